"""Counts of whole data sets: batch by batch, on one process or several."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from snnc.energy.counts import Counts
from snnc.energy.jobs import Job
from snnc.errors import InputError, ToolError
from snnc.samples import Samples, batches, length
from snnc.targets.sim.blas import single_threaded

Progress = Callable[[int, int], None]
"""Told the samples that are done, and all of them."""


def count_samples(
    job: Job,
    files: Sequence[Samples],
    workers: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> Counts:
    """Counts every sample of every file; the order of the samples is theirs, whoever ran them.

    Args:
        files: checked samples.
        workers: processes that share the batches.

    Raises:
        InputError: no samples; values that become NaN or infinite.
        ToolError: a process died.
    """
    total = sum(length(samples) for samples in files)
    if not total:
        raise InputError("--input", "there are no samples", "give at least one")
    # Smaller batches where there would be none for some of the processes.
    tasks = list(_tasks(files, min(job.batch, math.ceil(total / workers))))
    done = 0
    parts: dict[int, Counts] = {}
    for first, counts in _run(job, tasks, min(workers, len(tasks))):
        parts[first] = counts
        done += counts.samples
        progress(done, total)
    return Counts.joined([parts[first] for first in sorted(parts)])


def _tasks(files: Sequence[Samples], size: int) -> Iterator[tuple[int, Samples]]:
    """(number of the first sample in the whole set, samples) of every batch."""
    start = 0
    for samples in files:
        for first, part in batches(samples, size):
            yield start + first, part
        start += length(samples)


def _run(
    job: Job, tasks: Sequence[tuple[int, Samples]], workers: int
) -> Iterator[tuple[int, Counts]]:
    if workers <= 1:
        for first, part in tasks:
            yield first, job.counts(part, first)
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(job,)
    )
    try:
        waiting = {pool.submit(_count, part, first): first for first, part in tasks}
        for ready in as_completed(waiting):
            yield waiting[ready], ready.result()
    except BrokenProcessPool as cause:
        raise ToolError(
            "--workers", f"one of {workers} processes died, perhaps for want of memory",
            "give fewer --workers",
        ) from cause  # fmt: skip
    finally:
        # After an error or Ctrl-C, what has not begun never does.
        pool.shutdown(cancel_futures=True)


_JOBS: list[Any] = []
"""The job of a worker process: sent once, not with every batch."""


def _begin(job: Job) -> None:
    # Ctrl-C reaches every process; the one in front ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _JOBS[:] = [job]


def _count(part: Samples, first: int) -> Counts:
    with single_threaded():
        return _JOBS[0].counts(part, first)
