"""How ngspice is run, and how every way it fails is noticed. A script plays the simulator."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from snnc.circuits.spice.deck import Netlist
from snnc.circuits.spice.ngspice import available, parse_raw, simulate
from snnc.errors import OptionError, ToolError

NETLIST = Netlist("* test\n.end\n", 1e-6)
needs_ngspice = pytest.mark.skipif(
    not available(), reason="needs ngspice (apt-get install ngspice)"
)


def raw(times: list[float], values: list[float], claimed: int | None = None) -> bytes:
    points = len(times) if claimed is None else claimed
    head = (
        "Title: * test\nDate: today\nPlotname: Transient Analysis\nFlags: real\n"
        f"No. Variables: 2\nNo. Points: {points}       \n"
        "Variables:\n\t0\ttime\ttime\n\t1\tV(X)\tvoltage\nBinary:\n"
    )
    body = b"".join(struct.pack("2d", *pair) for pair in zip(times, values, strict=True))
    return head.encode() + body


def fake(folder: Path, script: str, result: bytes | None = None) -> str:
    """A simulator that runs the shell script; $4 is where the raw file has to go."""
    program = folder / "fake-ngspice"
    if result is not None:
        (folder / "result").write_bytes(result)
        script = f'cp "{folder}/result" "$4"\n{script}'
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def refusal(program: str, timeout_s: float = 20.0) -> str:
    with pytest.raises(ToolError) as caught:
        simulate(NETLIST, timeout_s, program)
    assert caught.value.exit_code == 5
    assert caught.value.fix
    return str(caught.value)


def test_a_whole_run_gives_its_doubles(tmp_path: Path) -> None:
    third = 1 / 3
    traces = simulate(NETLIST, program=fake(tmp_path, "", raw([0, 1e-6], [0, third])))
    assert traces.axis.tolist() == [0, 1e-6]
    assert traces.values["v(x)"].tolist() == [0, third]
    assert float(traces.at("v(x)", 0.5e-6)) == pytest.approx(third / 2)


def test_it_gets_the_netlist_and_no_start_up_file(tmp_path: Path) -> None:
    program = fake(tmp_path, f'echo "$1 $2" > "{tmp_path}/args"; cp "$5" "{tmp_path}/deck"', b"")
    refusal(program)
    assert (tmp_path / "args").read_text() == "-n -b\n"
    assert (tmp_path / "deck").read_text() == NETLIST.text


def test_a_missing_simulator_says_how_to_install_it() -> None:
    text = refusal("no-such-ngspice")
    assert "isn't installed" in text
    assert "apt-get install ngspice" in text


def test_a_simulator_that_cannot_start(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert "can't be started" in refusal(str(program))


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    program = fake(tmp_path, f'sleep 300 & echo $! > "{tmp_path}/child"; wait')
    start = time.monotonic()
    assert "stopped after 0.5 s" in refusal(program, timeout_s=0.5)
    assert time.monotonic() - start < 10
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not alive(child):
            return
        time.sleep(0.05)
    pytest.fail("the simulator's child is still running")


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected doesn't."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_a_netlist_error_is_quoted(tmp_path: Path) -> None:
    text = refusal(fake(tmp_path, "echo 'Error on line 3: unknown device'; echo ok; exit 1"))
    assert "code 1" in text
    assert "Error on line 3: unknown device" in text
    assert "ok" not in text.split("says:")[1]


def test_no_result_at_all(tmp_path: Path) -> None:
    assert "wrote no result. It gives no reason" in refusal(fake(tmp_path, "exit 0"))


def test_stopping_early_with_exit_code_0(tmp_path: Path) -> None:
    program = fake(tmp_path, "echo 'Timestep too small'", raw([0, 4e-7], [0, 1]))
    text = refusal(program)
    assert "stopped at 4e-07 of 1e-06" in text
    assert "Timestep too small" in text


@pytest.mark.parametrize("missing", [1, 8, 16, 31])
def test_a_truncated_file(tmp_path: Path, missing: int) -> None:
    whole = raw([0, 1e-6], [0, 1])
    assert "truncated" in refusal(fake(tmp_path, "", whole[:-missing]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Title: x\n",
        raw([0], [0]).replace(b"real", b"complex"),
        raw([0], [0]).replace(b"Points: 1", b"Points: ?"),
        raw([0], [0])[:60],
        b"\xff\xfe\x00" * 50,
    ],
)
def test_a_file_of_something_else(tmp_path: Path, data: bytes) -> None:
    assert "no raw file" in refusal(fake(tmp_path, "", data))


def test_a_file_without_points(tmp_path: Path) -> None:
    assert "truncated" in refusal(fake(tmp_path, "", raw([], [])))


def test_nan_in_the_result(tmp_path: Path) -> None:
    assert "NaN or infinity for v(x)" in refusal(fake(tmp_path, "", raw([0, 1e-6], [0, np.nan])))


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_time_limit_has_to_be_positive(limit: float) -> None:
    with pytest.raises(OptionError, match="isn't positive"):
        simulate(NETLIST, limit)


def test_any_cut_of_a_raw_file_is_noticed() -> None:
    whole = raw([0, 1e-6], [0, 1])
    for length in range(len(whole)):
        with pytest.raises(ToolError):
            parse_raw(whole[:length])


@needs_ngspice
def test_the_real_simulator_and_a_netlist_error() -> None:
    with pytest.raises(ToolError, match=r"(?s)failed.*model"):
        simulate(Netlist("* x\nV1 a 0 1\nD1 a 0 nothing\n.tran 1n 1u\n.end\n", 1e-6))


@needs_ngspice
def test_the_real_simulator_stopping_early() -> None:
    text = "* x\nV1 a 0 1\nR1 a 0 1k\n.tran 1n 5e-7\n.end\n"
    assert simulate(Netlist(text, 5e-7)).axis[-1] == 5e-7
    with pytest.raises(ToolError, match="stopped at 5e-07 of 1e-06"):
        simulate(Netlist(text, 1e-6))
