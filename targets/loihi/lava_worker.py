"""Runs programs in Lava. This is a process of its own: `python -m … FOLDER` or `… --check`.

FOLDER holds `jobs.json`, a list of jobs, and their arrays; for job `n` the worker writes
`n.out.npz`, and the finished share of all jobs into `progress`. After a failure it prints the
traceback and ends at once, since Lava's `run()` and `stop()` would hang; its parent ends the
processes that Lava started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.atomic import write_whole
from snnc.errors import ToolError
from snnc.ir.files import npz_bytes, read_npz
from snnc.targets.cores.program import Program
from snnc.targets.loihi.program_file import from_arrays

A = NDArray[Any]
Progress = Callable[[float], None]


def apply_shim() -> None:
    """Makes Lava 0.10 and lava-dl 0.6 importable on Python 3.11 and newer.

    Lava fixes the start method of processes, declares dataclass defaults that Python 3.11
    refuses, and lava-dl imports an object detection package that needs cv2 and torchvision.
    """
    fixed = multiprocessing.set_start_method
    multiprocessing.set_start_method = lambda method, force=False: fixed(method, force=True)
    try:
        if "lava.magma.compiler.var_model" not in sys.modules:
            _import_with_hashable_dataclasses()
        import lava.magma.runtime.message_infrastructure.multiprocessing  # noqa: F401
    finally:
        multiprocessing.set_start_method = fixed
    stub = types.ModuleType("lava.lib.dl.slayer.object_detection")
    stub.__path__ = []
    sys.modules.setdefault(stub.__name__, stub)


def _import_with_hashable_dataclasses() -> None:
    original = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        options.setdefault("unsafe_hash", True)
        return original(**options) if cls is None else original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


def run_program(
    program: Program, streams: Mapping[str, A], job: Mapping[str, Any], progress: Progress
) -> dict[str, A]:
    """What a job asks for, (step, neuron) by `layer/port`.

    A program that needs a cleared chip for every sample gets a new network for each.
    """
    from snnc.targets.loihi.lava_network import Network

    ports = [(name, port) for name, port in job["ports"]]
    span = max(len(data) for data in streams.values())
    length = job["steps"] if program.cleared else span
    found: list[dict[tuple[str, str], A]] = []
    for first in range(0, span, length):
        part = {name: data[first : first + length] for name, data in streams.items()}
        network = Network(program, part, job["steps"])

        def share(done: float, first: int = first) -> None:
            progress((first + done * length) / span)

        found.append(network.run(ports, share))
    return {
        f"{name}/{port}": np.concatenate([part[name, port] for part in found])
        for name, port in ports
    }


def run_jobs(folder: Path) -> None:
    """Runs all jobs of a folder."""
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    for index, job in enumerate(jobs):
        program = from_arrays(read_npz(folder / f"{index}.program.npz"), f"job {index}")
        streams = read_npz(folder / f"{index}.in.npz")

        def progress(share: float, index: int = index) -> None:
            done = (index + share) / len(jobs)
            write_whole(folder / "progress", str(done).encode(), ToolError)

        arrays = run_program(program, streams, job, progress)
        write_whole(folder / f"{index}.out.npz", npz_bytes(arrays), ToolError)


def end_on_failure() -> None:
    """Makes a process model that raises print its traceback and end this process.

    Lava's own way is to wait for the other processes, which wait for the one that failed.
    """
    from lava.magma.runtime.message_infrastructure.multiprocessing import SystemProcess

    worker = os.getpid()

    def run(process: Any) -> None:
        try:
            multiprocessing.Process.run(process)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            sys.stderr.flush()
            os.kill(worker, signal.SIGKILL)

    SystemProcess.run = run


def tell_every_arrival() -> None:
    """Makes Lava's receiving ports wake who waits for them at every message.

    Lava 0.10 wakes only where the queue was empty when the message came; a reader that empties it
    between that look and the message's entry then waits for ever, and the whole network with it.
    """
    from lava.magma.compiler.channels.pypychannel import CspRecvPort

    def listen(port: Any, arrived: Any) -> None:
        with contextlib.suppress(EOFError):
            while arrived.acquire() and not port._done:
                port._queue.put_nowait(0)
                if (observer := port.observer) is not None:
                    observer()

    CspRecvPort._req_callback = listen


def follow_parent() -> None:
    """Ends this process group when the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGKILL)

    if os.getpgrp() == os.getpid():
        threading.Thread(target=watch, daemon=True).start()


def check() -> None:
    """Prints what of Lava can be imported."""
    apply_shim()
    import lava.proc.lif.models  # noqa: F401

    found = {name: metadata.version(name) for name in ("lava-nc", "lava-dl")}
    print(json.dumps(found))


def guarded(work: Callable[[], None]) -> None:
    """Runs `work` and ends the process at once, with its traceback on stderr where it failed."""
    status = 0
    follow_parent()
    try:
        work()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 3
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(argument: str) -> None:
    """The worker's work."""
    if argument == "--check":
        check()
        return
    apply_shim()
    end_on_failure()
    tell_every_arrival()
    run_jobs(Path(argument))


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1]))
