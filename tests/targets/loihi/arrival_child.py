"""A message comes to a port whose queue is not empty yet: run by test_lava.py in a child process.

Prints how often the port's reader was woken, by Lava's own port and by the mended one.
"""

from __future__ import annotations

from threading import Semaphore
from types import SimpleNamespace
from typing import Any

from snnc.targets.loihi import lava_worker


def woken() -> int:
    from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspRecvQueue

    port: Any = CspRecvPort("port", None, SimpleNamespace(shape=(1,), dtype=int, nbytes=8), 2,
                            None, None, None, None)  # fmt: skip
    port._queue, calls, arrived = CspRecvQueue(2), [], Semaphore(1)
    port._queue.put_nowait(0)

    def woke() -> None:
        calls.append(1)

    port.observer = woke
    put = port._queue.put_nowait

    def last(item: int) -> None:
        put(item)
        port._done = True
        arrived.release()

    port._queue.put_nowait = last
    port._req_callback(arrived)
    return len(calls)


def work() -> None:
    lava_worker.apply_shim()
    before = woken()
    lava_worker.tell_every_arrival()
    print(before, woken())


if __name__ == "__main__":
    lava_worker.guarded(work)
