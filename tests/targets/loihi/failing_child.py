"""The worker with a neuron model that raises: run by test_lava.py in a child process."""

from __future__ import annotations

import sys

from snnc.targets.loihi import lava_worker


def failing(_self: object, activation_in: object) -> None:
    raise FloatingPointError(f"this membrane is on fire: {activation_in}")


def work() -> None:
    lava_worker.apply_shim()
    from lava.proc.lif.models import PyLifResetModelBitAcc

    PyLifResetModelBitAcc.subthr_dynamics = failing
    lava_worker.main(sys.argv[1])


if __name__ == "__main__":
    lava_worker.guarded(work)
