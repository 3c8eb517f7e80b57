"""`snnc energy` as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snnc.cli import main
from snnc.energy.report import read_report
from snnc.frontends.model import Model
from snnc.frontends.model_file import save_model
from tests.energy.examples import large_report, small_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A model, its artefact, data in one file and in two, and saved reports."""
    path = tmp_path_factory.mktemp("energy")
    save_model(model, path / "model.pt")
    assert model.example is not None
    x = model.example.inputs["input"]
    np.savez(path / "x.npz", input=x, labels=np.zeros(len(x), np.int64))
    np.savez(path / "first.npz", input=x[:4])
    np.savez(path / "last.npz", input=x[4:])
    small_report().save(path / "small.json")
    large_report(layers=2).save(path / "large.json")
    result = cli("compile", path / "model.pt", "-o", path / "out", "--target", "sim")
    assert result.exit_code == 0, result.output
    return path


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(item) for item in arguments], catch_exceptions=False)


def energy(*arguments: str | Path) -> Result:
    return cli("energy", *arguments)


def done(result: Result) -> str:
    """What it printed, on one line."""
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output + result.stderr
    flat = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in flat, flat


def test_a_model_on_data(folder: Path, model: Model) -> None:
    words = done(energy(folder / "model.pt", "--input", folder / "x.npz"))
    assert words.startswith("energy of model.pt: stage s1, 6 samples, T = 10")
    for said in ("conv", "lif1", "fc", "lif2", "45nm-fp32 (32-bit float)", "95 % CI", "per step",
                 "once", "synapses", "neuron", "Horowitz"):  # fmt: skip
        assert said in words, said


def test_json_csv_plot_and_report_say_the_same(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")
    files = {name: tmp_path / f"r.{name}" for name in ("json", "csv", "svg")}
    result = energy(
        folder / "model.pt", "--input", folder / "x.npz", "--json", "-o", files["json"],
        "--csv", files["csv"], "--plot", files["svg"],
        "--convention", "syops", "--convention", "all",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data == json.loads(files["json"].read_text())
    report = read_report(files["json"])
    names = [figure.convention for figure in report.figures]
    assert names[:2] == ["syops", "effective"]
    assert len(set(names)) == len(names) == 7
    with files["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    mine = [
        float(row["mean_energy_pJ"] or 0)
        for row in rows
        if (row["convention"], row["first_layer"]) == ("effective", "once")
    ]
    assert sum(mine) == pytest.approx(report.figure("effective").once.energy.mean)
    assert files["svg"].read_bytes().startswith(b"<?xml")
    # A saved report gives the same table, picture and lines.
    again = energy(files["json"], "--csv", tmp_path / "b.csv", "--plot", tmp_path / "b.svg")
    assert again.exit_code == 0
    assert (tmp_path / "b.csv").read_bytes() == files["csv"].read_bytes()
    assert (tmp_path / "b.svg").read_bytes() == files["svg"].read_bytes()


def test_several_files_are_one_set_and_processes_change_nothing(folder: Path) -> None:
    def one(*arguments: str | Path) -> object:
        return json.loads(energy(folder / "model.pt", "--json", *arguments).stdout)

    whole = one("--input", folder / "x.npz")
    parts = ("--input", folder / "first.npz", "--input", folder / "last.npz")
    assert one(*parts) == whole
    assert one(*parts, "--samples", "5") != whole


@pytest.mark.slow
def test_workers_change_nothing(folder: Path) -> None:
    arguments = (folder / "model.pt", "--json", "--input", folder / "x.npz")
    assert energy(*arguments).stdout == energy(*arguments, "--workers", "2").stdout


def test_an_artefact(folder: Path) -> None:
    for stage in ("s1", "s2", "sim"):
        words = done(energy(folder / "out", "--input", folder / "x.npz", "--stage", stage))
        assert f"stage {stage}, 6 samples" in words


def test_settings_reach_the_report(folder: Path) -> None:
    result = energy(
        folder / "model.pt", "--input", folder / "x.npz", "--first-layer", "once",
        "--skip-zero-weights", "--prices", "45nm-int8", "--samples", "2", "--json",
    )  # fmt: skip
    data = json.loads(result.stdout)
    assert data["settings"] == {"first_layer": "once", "zero_weights": False}
    assert data["figures"][0]["prices"]["name"] == "45nm-int8"
    assert data["samples"] == 2


def test_the_encoder(folder: Path) -> None:
    result = energy(
        folder / "model.pt", "--input", folder / "x.npz", "--encoder", "sar:8", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["encoder"]["pixels"] == 36


def test_a_saved_report_is_shown_and_converted(folder: Path, tmp_path: Path) -> None:
    words = done(energy(folder / "small.json", "--csv", tmp_path / "a.csv"))
    assert "207.4 pJ" in words
    assert "a.csv" in words
    data = json.loads(energy(folder / "small.json", "--json").stdout)
    assert data == json.loads((folder / "small.json").read_text())


def test_two_reports(folder: Path) -> None:
    words = done(energy(folder / "large.json", "--diff", folder / "small.json"))
    assert "small.pt → resnet18.pt" in words
    assert "! the stages differ: s1 / torch" in words
    assert "only in small.pt: first, second, norm, lif" in words
    data = json.loads(
        energy(folder / "small.json", "--diff", folder / "small.json", "--json").stdout
    )
    assert data["report"]["model"] == "small.pt"
    assert data["difference"]["comparisons"][0]["ratio"] == 1.0


def test_the_list_of_conventions_and_prices() -> None:
    words = done(energy("--conventions"))
    for said in ("effective", "vtsnn_table3", "17:1091097", "45nm-fp32", "loihi", "Horowitz"):
        assert said in words, said
    data = json.loads(energy("--conventions", "--json").stdout)
    assert set(data) == {"conventions", "prices"}
    assert data["prices"]["45nm-fp32"]["operations"]["mac"] == 4.6


def test_help_names_the_conventions() -> None:
    assert "spikinghash_eq26" in done(energy("--help"))


def test_no_model() -> None:
    failed(energy(), 2, "OptionError: MODEL")


def test_no_data(folder: Path) -> None:
    failed(energy(folder / "model.pt"), 2, "InputError: --input", "no data")


def test_data_without_samples(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", input=np.zeros((0, 1, 6, 6)))
    failed(energy(folder / "model.pt", "--input", tmp_path / "none.npz"), 2, "InputError")


def test_data_of_another_shape(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", input=np.zeros((2, 1, 5, 6)))
    failed(energy(folder / "model.pt", "--input", tmp_path / "x.npz"), 2, "InputError", "shape")


def test_data_with_nan(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", input=np.full((2, 1, 6, 6), np.nan))
    failed(energy(folder / "model.pt", "--input", tmp_path / "x.npz"), 2, "NaN")


def test_missing_data(folder: Path) -> None:
    failed(energy(folder / "model.pt", "--input", folder / "no.npz"), 2, "InputError", "no.npz")


def test_missing_model(folder: Path) -> None:
    failed(
        energy(folder / "no.pt", "--input", folder / "x.npz"), 3, "ModelFileError", "no such file"
    )


def test_missing_report(folder: Path) -> None:
    failed(energy(folder / "no.json"), 3, "ModelFileError", "can't be read")
    failed(energy(folder / "small.json", "--diff", folder / "no.json"), 3, "can't be read")


def test_corrupt_report(folder: Path, tmp_path: Path) -> None:
    text = (folder / "small.json").read_text()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    failed(energy(tmp_path / "cut.json"), 3, "ModelFileError", "not whole JSON")
    (tmp_path / "other.json").write_text('{"format": "other"}')
    failed(energy(tmp_path / "other.json"), 3, "'other'", "snnc-energy-1")
    failed(energy(folder / "small.json", "--diff", tmp_path / "cut.json"), 3, "not whole JSON")


def test_wrong_suffixes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the head of an error holds a short path only
    for option, name in (("-o", "r.txt"), ("--plot", "r.pdf")):
        failed(energy(folder / "small.json", option, name), 2, "OptionError", name)
    failed(energy(folder / "x.npz", "--input", folder / "x.npz"), 3, "unknown kind of model file")
    assert not list(tmp_path.iterdir())


def test_no_folder_for_the_outputs_is_said_before_the_run(folder: Path, tmp_path: Path) -> None:
    for option, name in (("-o", "r.json"), ("--plot", "r.svg"), ("--csv", "r.csv")):
        failed(energy("no.pt", option, tmp_path / "none" / name), 2, "folder does not exist")


def test_unknown_convention(folder: Path) -> None:
    result = energy(folder / "model.pt", "--input", folder / "x.npz", "--convention", "mine")
    failed(result, 2, "OptionError: --convention", "'mine'", "lemaire2022")


def test_unknown_prices(folder: Path) -> None:
    result = energy(folder / "model.pt", "--input", folder / "x.npz", "--prices", "7nm")
    failed(result, 2, "OptionError", "7nm", "45nm-fp32")


def test_unknown_encoder(folder: Path) -> None:
    result = energy(folder / "model.pt", "--input", folder / "x.npz", "--encoder", "flash:8")
    failed(result, 2, "OptionError: --encoder", "'flash:8'", "sar:BITS")


def test_stage_of_a_model(folder: Path) -> None:
    result = energy(folder / "model.pt", "--input", folder / "x.npz", "--stage", "s2")
    failed(result, 2, "OptionError: --stage")


@pytest.mark.parametrize(
    "options",
    [
        ("--input", "x.npz"),
        ("--prices", "45nm-fp32"),
        ("--convention", "syops"),
        ("--first-layer", "once"),
        ("--skip-zero-weights",),
        ("--encoder", "sar:8"),
        ("--encoding", "rate"),
        ("--stage", "s1"),
        ("--steps", "4"),
        ("--samples", "1"),
        ("--workers", "2"),
        ("--weights", "w.pt"),
        ("--dt", "0.1"),
    ],
)
def test_options_of_a_run_need_a_run(folder: Path, options: tuple[str, ...]) -> None:
    failed(energy(folder / "small.json", *options), 2, f"OptionError: {options[0]}", "saved report")
