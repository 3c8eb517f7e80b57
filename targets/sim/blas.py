"""The number of threads of the BLAS inside numpy, while the engine's own threads run.

numpy has no function for it. Its wheels bring OpenBLAS as a shared library of their own, whose
setter is called here through ctypes; with any other BLAS nothing is changed, and the engine is
right all the same, only slower where two pools of threads meet.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")


class _Threads:
    """Setter and getter of one loaded OpenBLAS; nested users leave the first one's value."""

    def __init__(self, library: ctypes.CDLL, prefix: str, suffix: str) -> None:
        self._set = getattr(library, f"{prefix}_set_num_threads{suffix}")
        self._get = getattr(library, f"{prefix}_get_num_threads{suffix}")
        self._lock, self._users, self._before = Lock(), 0, 0

    def hold_single(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = int(self._get())
                self._set(1)
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._set(self._before)


@cache
def _openblas() -> _Threads | None:
    folders = (Path(np.__file__).parent.with_name("numpy.libs"), Path(np.__file__).parent / ".libs")
    for path in sorted(file for folder in folders for file in folder.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                if hasattr(library, f"{prefix}_set_num_threads{suffix}"):
                    return _Threads(library, prefix, suffix)
    return None


@contextmanager
def single_threaded() -> Iterator[bool]:
    """BLAS calls inside use the calling thread only; yields whether that could be arranged."""
    threads = _openblas()
    if threads is None:
        yield False
        return
    threads.hold_single()
    try:
        yield True
    finally:
        threads.release()
