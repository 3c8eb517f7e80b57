"""Runs netlists with ngspice in batch mode.

ngspice (BSD) is a program of its own, installed with `apt-get install ngspice`. It writes a binary
raw file, so that values come back as the doubles they were, with no printed digits in between.

It is not to be believed on its exit code: a run that stops early ("timestep too small") exits 0
and leaves a file that looks whole. So the last point is compared with where the analysis had to
end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnc.circuits.spice.deck import Netlist, Traces
from snnc.errors import OptionError, ToolError

_MARK = b"Binary:\n"
_COMPLAINT = re.compile(r"error|fatal|too small|singular|can't|abort", re.IGNORECASE)


def available(program: str = "ngspice") -> bool:
    """Whether the simulator is on the path."""
    return shutil.which(program) is not None


def simulate(netlist: Netlist, timeout_s: float = 120.0, program: str = "ngspice") -> Traces:
    """Runs one netlist to its end. Start-up files of the user (.spiceinit) are not read.

    Args:
        timeout_s: wall-clock seconds; then the simulator and all it started are killed.
        program: name or path of the simulator.

    Raises:
        ToolError: ngspice is missing, fails, hangs, or stops before the end of the analysis.
        OptionError: a time limit that isn't positive.
    """
    if not timeout_s > 0:
        raise OptionError("timeout", f"{timeout_s} s isn't positive", "give some seconds")
    path = shutil.which(program)
    if path is None:
        raise ToolError(program, "isn't installed", "apt-get install ngspice")
    with tempfile.TemporaryDirectory(prefix="snnc-ngspice-") as folder:
        deck, raw = Path(folder) / "deck.cir", Path(folder) / "out.raw"
        deck.write_text(netlist.text, encoding="ascii")
        log = _execute([path, "-n", "-b", "-r", str(raw), str(deck)], folder, timeout_s, program)
        if not raw.is_file():
            raise ToolError(program, f"wrote no result. {_complaint(log)}", "check the netlist")
        traces = parse_raw(raw.read_bytes(), program)
    _check_end(traces, netlist, log, program)
    return traces


def parse_raw(data: bytes, program: str = "ngspice") -> Traces:
    """A binary raw file with one plot of real numbers: a text header, then points of doubles.

    Raises:
        ToolError: it is truncated, or no such file.
    """
    head, mark, body = data.partition(_MARK)
    header, _, columns = head.partition(b"\nVariables:\n")
    fields = {key: value.strip() for key, _, value in (x.partition(":") for x in _lines(header))}
    names = [words[1].lower() for words in map(str.split, _lines(columns)) if len(words) > 1]
    counts = (fields.get("No. Variables", ""), fields.get("No. Points", ""))
    if not mark or fields.get("Flags") != "real" or not all(map(str.isdecimal, counts)):
        raise ToolError(program, "wrote no raw file of real numbers", "check the netlist")
    points = int(counts[1])
    shape = (points, int(counts[0]))
    if 0 in shape or len(names) != shape[1] or len(body) != 8 * points * shape[1]:
        raise ToolError(
            program,
            f"truncated its result: {len(body)} bytes of {points} points × {shape[1]} vectors",
            "make room on the disk of temporary files, then run it again",
        )
    table = np.frombuffer(body, np.float64).reshape(shape).T.copy()
    return Traces(table[0], dict(zip(names[1:], table[1:], strict=True)))


def _lines(text: bytes) -> list[str]:
    return [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]


def _execute(command: list[str], folder: str, timeout_s: float, program: str) -> str:
    """Runs the simulator in a process group of its own and returns what it printed."""
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as cause:
        raise ToolError(program, f"can't be started ({cause.strerror})", "reinstall it") from cause
    try:
        with process, _killed_on_error(process):
            output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as cause:
        raise ToolError(
            program,
            f"was stopped after {timeout_s:g} s without a result",
            "allow it more time, or simulate fewer conversions",
        ) from cause
    log = output.decode("utf-8", "replace")
    if process.returncode != 0:
        raise ToolError(
            program,
            f"failed with code {process.returncode}. {_complaint(log)}",
            "check the netlist",
        )
    return log


@contextlib.contextmanager
def _killed_on_error(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends the whole group if the wait for it is cut short, by time or by the user."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _check_end(traces: Traces, netlist: Netlist, log: str, program: str) -> None:
    last = float(traces.axis[-1])
    if not np.isclose(last, netlist.stop, rtol=1e-9, atol=0.0):
        raise ToolError(
            program,
            f"stopped at {last:g} of {netlist.stop:g} and exited as if all were well. "
            + _complaint(log),
            "loosen reltol, or slow the edges down",
        )
    bad = [name for name, values in traces.values.items() if not np.all(np.isfinite(values))]
    if bad:
        raise ToolError(program, f"computed NaN or infinity for {bad[0]}", "check the netlist")


def _complaint(log: str) -> str:
    """The lines in which the simulator says what is wrong, at most three."""
    lines = [line.strip() for line in log.splitlines() if _COMPLAINT.search(line)]
    return "It says: " + "; ".join(lines[:3]) if lines else "It gives no reason."
