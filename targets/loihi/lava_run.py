"""Runs programs in Lava from outside: in a child process, with a time limit.

Lava changes the start method of processes, starts one process per part of the network, and its
`stop()` never returns after a failure; so it runs in a session of its own that is ended as a
whole, with the shared memory that it leaves.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError, ToolError
from snnc.ir import Graph
from snnc.ir.files import npz_bytes, read_npz
from snnc.reference import Inputs, Ports, Trace
from snnc.reference.trace import Port, collect, sample_count
from snnc.targets.base import Progress
from snnc.targets.cores.program import Conv, Dense, Program, Sparse, Synapse
from snnc.targets.loihi.model import host_streams, population_ports, run_model, widened
from snnc.targets.loihi.program_file import to_bytes

A = NDArray[Any]
WORKER = ("-m", "snnc.targets.loihi.lava_worker")
INSTALL = "python scripts/install_lava.py"
SHORTEST_LIMIT = 60.0
POLL = 0.02
ERROR_LINES = 6


@dataclass(frozen=True)
class Job:
    """One run of a program in Lava: its graph, and inputs as `run_int` takes them."""

    program: Program
    graph: Graph
    inputs: Inputs
    record: Ports | None = None


def run_lava(
    program: Program,
    graph: Graph,
    inputs: Inputs,
    record: Ports | None,
    progress: Progress = lambda _: None,
    limit: float | None = None,
) -> Trace:
    """Runs one program in Lava; see `run_lava_jobs`."""
    return run_lava_jobs([Job(program, graph, inputs, record)], progress, limit)[0]


def run_lava_jobs(
    jobs: Sequence[Job], progress: Progress = lambda _: None, limit: float | None = None
) -> list[Trace]:
    """Runs programs in Lava under `Loihi2SimCfg(select_tag="fixed_pt")`, one after another.

    All samples of a job run back to back on one chip, or each on a cleared one where the program
    needs that. The traces hold what Lava computed, lags
    removed; their event counts are those of the numpy model, since Lava counts none. That model
    also refuses inputs whose sums would overflow Lava's 32-bit integers.

    Args:
        limit: seconds after which the child is ended; by default an estimate with a wide margin,
            a minute at least.

    Raises:
        ToolError: Lava is not installed, failed, or ran into the limit.
        RefusedError: a program that Lava can't run. InputError, OptionError: as `run_model`.
    """
    require_lava()
    wanted = [population_ports(job.graph, job.program, job.record) for job in jobs]
    counted = [run_model(job.program, job.graph, job.inputs, None).events for job in jobs]
    with tempfile.TemporaryDirectory(prefix="snnc-lava-") as name:
        folder = Path(name)
        entries = [
            _write_job(folder, index, job, ports)
            for index, (job, ports) in enumerate(zip(jobs, wanted, strict=True))
        ]
        (folder / "jobs.json").write_text(json.dumps(entries), encoding="utf-8")
        run_child([*WORKER, str(folder)], limit or time_limit(jobs), folder / "progress", progress)
        found = [_read_job(folder, index, job) for index, job in enumerate(jobs)]
    return [
        collect(job.graph, widened(job.graph, kept), job.record, Trace(events=events))
        for job, kept, events in zip(jobs, found, counted, strict=True)
    ]


def _write_job(
    folder: Path, index: int, job: Job, ports: dict[str, set[Port]]
) -> dict[str, object]:
    _refuse_apart(job.program)
    streams, steps = host_streams(job.graph, job.inputs)
    flat = {name: data.reshape(-1, *data.shape[2:]) for name, data in streams.items()}
    (folder / f"{index}.program.npz").write_bytes(to_bytes(job.program))
    (folder / f"{index}.in.npz").write_bytes(npz_bytes(flat))
    pairs = [[name, port] for name in ports for port in sorted(ports[name])]
    return {"steps": steps, "ports": pairs}


def _refuse_apart(program: Program) -> None:
    """Refuses a program in several pieces: Lava runs what is connected to one process."""
    place = {name: index for index, name in enumerate(program.populations)}
    ends = [(place[synapse.source], place[synapse.target]) for synapse in program.synapses]
    rows, columns = np.asarray(ends, np.int64).reshape(-1, 2).T
    links = sparse.csr_array((np.ones(len(ends)), (rows, columns)), shape=(len(place),) * 2)
    pieces, labels = sparse.csgraph.connected_components(links, directed=False)
    if pieces > 1:
        apart = next(name for name, index in place.items() if labels[index] != labels[0])
        raise RefusedError(
            apart,
            "is not connected to the rest of the network, and Lava runs one network at a time",
            "compile the parts on their own, or run the stage loihi, snnc's own model of the chip",
        )


def _read_job(folder: Path, index: int, job: Job) -> dict[tuple[str, Port], A]:
    samples = sample_count(job.graph, job.inputs)
    kept: dict[tuple[str, Port], A] = {}
    for key, data in read_npz(folder / f"{index}.out.npz").items():
        name, port = key.rsplit("/", 1)
        kept[name, port] = data.reshape(samples, -1, *job.program.shape(name))
    return kept


def require_lava() -> str:
    """The installed version of Lava.

    Raises:
        ToolError: there is none.
    """
    try:
        return metadata.version("lava-nc")
    except metadata.PackageNotFoundError as error:
        raise ToolError("Lava", "is not installed", INSTALL) from error


def time_limit(jobs: Sequence[Job]) -> float:
    """Seconds that the jobs may take: ten times what similar ones took, a minute at least."""
    seconds = 0.0
    for job in jobs:
        streams, steps = host_streams(job.graph, job.inputs)
        samples, lag = len(next(iter(streams.values()))), job.program.max_lag
        runs = samples if job.program.cleared else 1
        total = steps * samples + lag * runs
        parts = len(job.program.populations) + len(job.program.synapses)
        work = sum(_work(synapse) for synapse in job.program.synapses)
        seconds += 20 * runs + total * 10 * (0.002 * parts + 5e-8 * work)
    return max(SHORTEST_LIMIT, seconds)


def _work(synapse: Synapse) -> int:
    """Multiplications of a step in Lava's process model."""
    match synapse:
        case Conv():
            relay = 10 * int(np.prod(synapse.in_shape)) * synapse.delay
            return relay + int(np.prod(synapse.out_shape)) * int(np.prod(synapse.weight.shape[1:]))
        case Sparse():
            return 10 * len(synapse.data) * (1 + synapse.delay)
        case _:
            assert isinstance(synapse, Dense)
            return synapse.weight.size * (1 + 5 * synapse.delay)


def run_child(
    arguments: Sequence[str],
    limit: float,
    progress_file: Path | None = None,
    progress: Progress = lambda _: None,
) -> str:
    """Runs Python with `arguments` in a process group of its own; returns its stdout.

    Raises:
        ToolError: it failed or took longer than `limit` seconds.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        _group([sys.executable, *arguments], out, err, threads) as child,
    ):
        deadline = time.monotonic() + limit
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise ToolError(
                    "Lava",
                    f"did not finish within {limit:.0f} s and was ended",
                    "run fewer samples or steps, or use the stage loihi",
                )
            if progress_file is not None and progress_file.exists():
                with suppress(ValueError):
                    progress(float(progress_file.read_text(encoding="utf-8")))
            time.sleep(POLL)
        if child.returncode != 0:
            raise ToolError("Lava", _last_error(_text(err)), "snnc doctor tells what works")
        return _text(out)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


@contextmanager
def _group(
    command: list[str], out: Any, err: Any, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        yield child
    finally:
        end_group(child)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Ends a child, all that it started, and the shared memory that they hold."""
    segments = _shared_memory(child.pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    _await_end(child.pid)
    for segment in segments:
        segment.unlink(missing_ok=True)


def _await_end(group: int) -> None:
    """Waits, briefly, until no process of the group runs; they have been killed already."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline and any(state not in "ZX" for _, state in _members(group)):
        time.sleep(POLL)


def _members(group: int) -> Iterator[tuple[Path, str]]:
    """Folder below /proc and state of every process of a group."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            fields = stat.rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield entry, fields[0]


def _shared_memory(group: int) -> set[Path]:
    """Segments of Python's shared memory that the processes of a group have mapped."""
    found: set[Path] = set()
    for entry, _ in _members(group):
        with suppress(OSError):
            for line in (entry / "maps").read_text(encoding="utf-8").splitlines():
                _, marker, name = line.partition("/dev/shm/psm_")  # noqa: S108
                if marker:
                    found.add(Path("/dev/shm") / f"psm_{name.split()[0]}")  # noqa: S108
    return found


def _last_error(text: str) -> str:
    """The first failure in what a child wrote: its last lines, down to the exception."""
    blocks = text.split("Traceback (most recent call last):")
    lines = [line for line in blocks[min(1, len(blocks) - 1)].splitlines() if line.strip()]
    ends = [i for i, line in enumerate(lines) if i and not line.startswith(" ")]
    lines = lines[: ends[0] + 1] if ends else lines
    return "failed: " + "\n    ".join(lines[-ERROR_LINES:] or ["it said nothing"])


__all__ = ["Job", "require_lava", "run_child", "run_lava", "run_lava_jobs", "time_limit"]
