"""`snnc circuit` as a user types it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snnc.circuits import sar
from snnc.circuits.dac import CapacitorDac, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.spice.deck import Netlist
from snnc.circuits.spice.netlists import ArraySwitching, LadderSweep, SarLoop
from snnc.circuits.spice.ngspice import available
from snnc.circuits.switching import SwitchedArrayDac
from snnc.circuits.verify import verify_encoding
from snnc.circuits.yields import measure_yield, sweep
from snnc.cli import main
from snnc.cli.circuit_options import PARAMETERS, parse_values
from snnc.errors import OptionError
from snnc.report.circuit_tables import UNITS, quantity

ngspice = pytest.mark.skipif(not available(), reason="needs ngspice (apt-get install ngspice)")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "circuits.md"


def circuit(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["circuit", *map(str, arguments)])


def done(result: Result) -> str:
    """What it printed, on one line."""
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    flat = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in flat, flat


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")


def test_verify_says_what_was_checked() -> None:
    words = done(circuit("verify", "--bits", "5", "--mismatch", "1%", "--instances", "50"))
    assert words.startswith("5-bit SAR encoder, single-ended capacitor array, v_ref 1 V: all")
    for said in (
        "mid-bin inputs 32 0 holds",
        "thresholds themselves 31 0 holds",
        "UWD of the converter's spikes 32 0 holds",
        "offset up 15.625 mV 15.625 mV",
        "comparator noise 0.25 LSB",
        "yield: 50 of 50 instances",
        "with mismatch 1 %",
        "not compared with ngspice",
    ):
        assert said in words, said
    assert "FAIL" not in words


def test_verify_as_data_is_the_report_of_the_api() -> None:
    result = circuit(
        "verify", "--json", "--bits", "4", "--dac", "ladder", "--mismatch", "0.05",
        "--instances", "40", "--seed", "3", "--v-ref", "1.8", "--noise", "0.01",
    )  # fmt: skip
    done(result)
    data = json.loads(result.stdout)
    design = data.pop("design")
    assert data.pop("seed") == 3
    assert (design["dac"], design["mismatch"], design["v_ref"]) == ("ladder", 0.05, 1.8)
    assert design["impairments"]["comparator_noise"] == 0.01
    impairments = sar.Impairments(comparator_noise=0.01)
    same = verify_encoding(Design(4, "ladder", 0.05, impairments, v_ref=1.8), 40, 3)
    assert 0 < same.good.count < 40
    assert data == json.loads(json.dumps(same.to_dict()))


def test_every_option_reaches_the_design() -> None:
    volts = {"offset": 0.001, "gain": 0.002, "noise": 0.003, "sampling-noise": 0.004,
             "reference-noise": 0.005, "tau": 1e-9, "droop": 7.0, "metastable-window": 0.006,
             "slot": 2e-7, "r-up": 8.0, "r-down": 9.0}  # fmt: skip
    options = [word for name, value in volts.items() for word in (f"--{name}", str(value))]
    result = circuit("verify", "--json", "--bits", "3", "--dac", "ladder", *options)
    done(result)
    design = json.loads(result.stdout)["design"]
    assert design["impairments"] == {
        "offset": 0.001, "gain": 0.002, "comparator_noise": 0.003, "sampling_noise": 0.004,
        "reference_noise": 0.005, "tau": 1e-9, "droop": 7.0, "metastable_window": 0.006,
    }  # fmt: skip
    assert (design["slot"], design["r_up"], design["r_down"]) == (2e-7, 8.0, 9.0)
    moving = circuit("verify", "--json", "--bits", "3", "--no-hold")
    assert json.loads(moving.stdout)["design"]["sample_and_hold"] is False


def test_a_yield_is_measured_and_not_judged() -> None:
    words = done(circuit("verify", "--bits", "4", "--offset", "0.05", "--instances", "10"))
    assert "yield: 0 of 10 instances" in words
    assert "offset 50 mV" in words


def test_a_converter_that_takes_ties_for_0_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sar._Search._decide

    def strict(self: sar._Search, seen: sar.FloatArray, trial: sar.IntArray) -> object:
        return right(self, seen, trial) & (seen > self.levels.take(trial))

    monkeypatch.setattr(sar._Search, "_decide", strict)
    result = circuit("verify", "--bits", "4", "--instances", "1")
    assert result.exit_code == 1, result.output
    words = " ".join(result.stdout.split())
    assert "NOT ALL CHECKS HOLD" in words
    assert "thresholds themselves 15 15 FAILS" in words
    assert "! thresholds themselves: 0.0625 V gives 0, not 1" in words
    as_data = circuit("verify", "--bits", "4", "--instances", "1", "--json")
    assert as_data.exit_code == 1
    assert json.loads(as_data.stdout)["passed"] is False


@ngspice
@pytest.mark.parametrize(
    ("dac", "what"), [("ladder", "ladder levels at DC"), ("vcm", "vcm array, switching energy")]
)
def test_verify_with_ngspice(dac: str, what: str) -> None:
    words = done(circuit("verify", "--bits", "3", "--dac", dac, "--mismatch", "2%", "--spice"))
    assert what in words
    assert "not compared" not in words


def test_a_sweep_is_that_of_the_api(tmp_path: Path) -> None:
    result = circuit(
        "sweep", "--parameter", "noise", "--values", "0:0.04:3", "--bits", "4", "--instances",
        "60", "--seed", "5", "--json", "--csv", tmp_path / "s.csv",
    )  # fmt: skip
    done(result)
    data = json.loads(result.stdout)
    points = sweep(Design(4), "comparator_noise", [0.0, 0.02, 0.04], 60, 5)
    assert [p["good"] for p in data["points"]] == [p.share.count for p in points]
    assert 0 < points[1].share.count < 60
    with (tmp_path / "s.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, point in zip(rows, data["points"], strict=True):
        assert (row["parameter"], row["unit"]) == ("noise", "V")
        assert float(row["value"]) == point["value"]
        assert float(row["yield"]) == point["good"] / 60 == point["yield"]
        assert [float(row["low"]), float(row["high"])] == point["interval"]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_can_be_swept(parameter: str) -> None:
    words = done(
        circuit("sweep", "--parameter", parameter, "--values", "0", "--bits", "3",
                "--instances", "20")
    )  # fmt: skip
    assert f"yield against {parameter}" in words
    assert "20 of 20 100.0%" in words


def test_the_rest_of_the_design_counts_in_a_sweep() -> None:
    result = circuit("sweep", "--parameter", "offset", "--values", "0,0.04", "--bits", "4",
                     "--mismatch", "15%", "--instances", "100", "--json")  # fmt: skip
    done(result)
    good = [point["good"] for point in json.loads(result.stdout)["points"]]
    assert good[0] == measure_yield(Design(4, mismatch=0.15), 100).count < 100
    assert good[1] == 0


def test_values() -> None:
    assert parse_values("1%,0.5, 2") == [0.01, 0.5, 2.0]
    assert parse_values("0:2%:5") == [0.0, 0.005, 0.01, 0.015, 0.02]
    assert set(UNITS) == set(PARAMETERS)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.001953125, "V", "1.9531 mV"), (-2441.4, "V/s", "-2.4414 kV/s"), (1.0, "V", "1 V"),
        (0.0, "s", "0 s"), (0.02, "", "2 %"), (1e-3, "V", "1 mV"), (float("nan"), "V", "nan V"),
        (1e-18, "s", "0.001 fs"), (18.034e-9, "s", "18.034 ns"),
    ],
)  # fmt: skip
def test_quantities(value: float, unit: str, said: str) -> None:
    assert quantity(value, unit) == said


def netlist_of(what: str) -> Netlist:
    rng = np.random.default_rng(7)
    if what == "ladder":
        dac = Design(4, "ladder", 0.02, r_up=5.0).make(1, rng).dac
        assert not isinstance(dac, CapacitorDac | SwitchedArrayDac)
        return LadderSweep(dac).netlist()  # type: ignore[arg-type]
    if what == "array":
        array = SwitchedArrayDac.draw("split", 4, 0.02, 1, rng)
        assert array.down is not None
        return ArraySwitching(array.down[0] * array.unit, array.plates(9)[1], 1.0).netlist()
    held = CapacitorDac.draw(4, 0.02, 1, rng)
    return SarLoop(held, mid_bins(4)[[3, 12]], offset=0.01).netlist()


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("ladder", ("--r-up", "5")),
        ("array", ("--dac", "split", "--code", "9", "--side", "down")),
        ("sar", ("--code", "3", "--code", "12", "--offset", "0.01")),
    ],
)
def test_netlists(what: str, options: tuple[str, ...], tmp_path: Path) -> None:
    command = ("netlist", what, "--bits", "4", "--mismatch", "2%", "--seed", "7", *options)
    expected = netlist_of(what)
    shown = circuit(*command)
    done(shown)
    assert shown.stdout == expected.text
    done(circuit(*command, "-o", tmp_path / "x.cir"))
    assert (tmp_path / "x.cir").read_text() == expected.text
    data = json.loads(circuit(*command, "--json").stdout)
    assert data == {"netlist": expected.text, "stop": expected.stop}


def test_a_sar_converts_every_pixel_unless_told() -> None:
    shown = circuit("netlist", "sar", "--bits", "3", "--dac", "ladder")
    assert "SAR of 3 bits, 8 conversions" in done(shown)


@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_design_gives_the_same_picture(kind: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.{kind}" for name in ("a", "b", "c")]
    for file, seed in zip(files, ("1", "1", "2"), strict=True):
        done(circuit("plot", "-o", file, "--bits", "4", "--mismatch", "20%", "--seed", seed))
    first, same, other = (file.read_bytes() for file in files)
    assert first == same != other


@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize(
    "options",
    [("--bits", "1"), ("--bits", "3", "--dac", "ladder", "--noise", "0.1"),
     ("--bits", "1", "--dac", "vcm"), ("--bits", "13", "--dac", "monotonic")],
)  # fmt: skip
def test_every_design_can_be_drawn(options: tuple[str, ...], tmp_path: Path) -> None:
    done(circuit("plot", "-o", tmp_path / "x.svg", *options))
    assert (tmp_path / "x.svg").stat().st_size < 1_000_000


@pytest.mark.usefixtures("matplotlib")
def test_wrong_pixels_are_those_of_the_converter(tmp_path: Path) -> None:
    from snnc.report import circuit_plots

    design = Design(4, impairments=sar.Impairments(offset=0.04))
    picture = circuit_plots._design_picture(design, 0)
    found = design.make(1, np.random.default_rng(0)).convert(mid_bins(4))[0]
    wrong = int((found != np.arange(16)).sum())
    assert wrong == 15
    assert "15 of 16 pixels are wrong" in picture.axes[3].get_title(loc="left")


@pytest.mark.usefixtures("matplotlib")
def test_a_picture_of_a_sweep(tmp_path: Path) -> None:
    words = done(
        circuit("sweep", "--parameter", "droop", "--values", "1,1000,100000", "--bits", "3",
                "--instances", "5", "--plot", tmp_path / "s.svg")
    )  # fmt: skip
    assert words.endswith("s.svg")
    assert b"<svg" in (tmp_path / "s.svg").read_bytes()


def test_pictures_need_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnc.report.pictures.find_spec", lambda name: None)
    failed(circuit("plot", "-o", tmp_path / "x.svg"), 5, "ToolError", "pip install snnc[plots]")


def test_ngspice_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    failed(circuit("verify", "--spice"), 5, "ToolError: ngspice", "apt-get install ngspice")


SWEEP = ("sweep", "--parameter", "noise", "--values")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("verify", "--bits", "0"), ("OptionError: bits", "outside 1 to 16")),
        (("verify", "--bits", "17"), ("OptionError: bits", "outside 1 to 16")),
        (("netlist", "ladder", "--bits", "17"), ("OptionError: bits",)),
        (("netlist", "sar", "--bits", "0", "--code", "0"), ("OptionError: bits",)),
        (("verify", "--bits", "x"), ("'x' is not a valid integer",)),
        (("verify", "--mismatch", "nan"), ("OptionError: mismatch", "is nan")),
        (("verify", "--mismatch=-1%"), ("OptionError: mismatch", "is -0.01")),
        (("verify", "--mismatch", "1pc"), ("'1pc' is no number", "0.01 or 1%")),
        (("verify", "--mismatch", "100%"), ("InputError", "smaller spread")),
        (("verify", "--noise", "nan"), ("OptionError: Impairments.comparator_noise",)),
        (("verify", "--noise=-1"), ("OptionError: Impairments.comparator_noise", "at least 0")),
        (("verify", "--offset", "inf"), ("OptionError: Impairments.offset", "isn't finite")),
        (("verify", "--no-hold", "--droop", "1"), ("OptionError", "nothing is held")),
        (("verify", "--v-ref", "0"), ("OptionError: v_ref",)),
        (("verify", "--slot", "nan"), ("OptionError: slot",)),
        (("verify", "--r-up", "5"), ("OptionError: dac single-ended", "no switch resistance")),
        (("verify", "--instances", "0"), ("OptionError: instances",)),
        (("verify", "--confidence", "1"), ("0<x<1",)),
        (("verify", "--seed=-1"), ("--seed", "x>=0")),
        (("verify", "--dac", "flash"), ("'flash' is not one of", "monotonic")),
        ((*SWEEP, "a,b"), ("OptionError: --values", "aren't numbers")),
        ((*SWEEP, "0:1"), ("OptionError: --values", "from, to and how many")),
        ((*SWEEP, "0:1:1"), ("OptionError: --values", "from, to and how many")),
        ((*SWEEP, "0:1:2.5"), ("OptionError: --values", "aren't numbers")),
        ((*SWEEP, "0:1:99999"), ("OptionError: --values", "99,999, above 10,000")),
        ((*SWEEP, "0,nan"), ("OptionError: --values", "aren't finite")),
        ((*SWEEP, "0,-1"), ("OptionError: Impairments.comparator_noise",)),
        ((*SWEEP, "0", "--noise", "0.1"), ("OptionError: --parameter noise", "one way only")),
        ((*SWEEP, "0", "--plot", "x.pdf"), ("OptionError: x.pdf", "x.svg")),
        ((*SWEEP, "0", "--csv", "x.txt"), ("OptionError: x.txt", "x.csv")),
        ((*SWEEP, "0", "--csv", "nowhere/x.csv"), ("folder does not exist",)),
        (("sweep", "--parameter", "heat", "--values", "1"), ("'heat' is not one of",)),
        (("plot", "-o", "x.pdf"), ("OptionError: x.pdf", ".svg or .png")),
        (("plot", "-o", "nowhere/x.svg"), ("folder does not exist",)),
        (("netlist", "array"), ("OptionError: --code", "give it once")),
        (("netlist", "array", "--code", "256"), ("InputError: --code", "256 isn't one of 8")),
        (("netlist", "array", "--code=-1"), ("InputError: --code",)),
        (("netlist", "array", "--code", "1", "--dac", "ladder"), ("OptionError", "is no array")),
        (("netlist", "array", "--code", "1", "--side", "down"), ("OptionError: --side down",)),
        (("netlist", "array", "--code", "1", "--offset", "1"), ("OptionError: --offset",)),
        (("netlist", "ladder", "--code", "1"), ("OptionError: --code", "no difference")),
        (("netlist", "ladder", "--dac", "split"), ("OptionError: --dac split", "is no ladder")),
        (("netlist", "ladder", "--r-up", "nan"), ("OptionError: LadderDac.r_up",)),
        (("netlist", "sar", "--dac", "split"), ("OptionError: --dac split", "whole loop")),
        (("netlist", "sar", "--side", "up"), ("OptionError: --side", "no difference")),
        (("netlist", "sar", "--offset", "nan"), ("OptionError: offset",)),
        (("netlist", "sar", "--bits", "13"), ("OptionError", "8,192", "--code")),
        (("netlist", "flash"), ("'flash' is not one of",)),
        (("netlist", "ladder", "-o", "nowhere/x.cir"), ("folder does not exist",)),
    ],
)
def test_refusals(
    options: tuple[str, ...], words: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    failed(circuit(*options), 2, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [("verify", "--bits", "0"), ("verify", "--dac", "flash")])
def test_errors_are_json_where_json_is_asked_for(options: tuple[str, ...]) -> None:
    result = circuit(*options, "--json")
    assert result.exit_code == 2
    data = json.loads(result.stdout)
    assert (data["error"], data["exit_code"]) == ("OptionError", 2)
    assert not result.stderr


def test_parse_values_is_no_usage_error() -> None:
    with pytest.raises(OptionError):
        parse_values("")


def test_other_commands_do_not_load_the_circuits() -> None:
    code = "import sys, snnc.cli; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_documentation_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = DOCS.read_text(encoding="utf-8").split("```\n")
    found = circuit("verify", "--bits", "8", "--dac", "ladder", "--mismatch", "1%").stdout
    assert [blocks[2][:5], blocks[4][:5]] == ["8-bit", "· yie"]
    for line in [*blocks[2].splitlines(), *blocks[4].splitlines()]:
        assert line in found, line
    points = circuit("sweep", "--dac", "ladder", "--parameter", "mismatch", "--values", "0:2%:5")
    table = next(block for block in blocks if block.startswith("  mismatch "))
    assert table in points.stdout
