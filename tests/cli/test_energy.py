"""`snnc energy` as a user types it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snnc.cli import main
from snnc.energy.prices import load_prices
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
    assert words.startswith("energy of model.pt: ")
    assert "; stage s1, 6 samples, T = 10 " in words
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


@pytest.mark.parametrize(
    "options",
    [
        ("--steps", "4"),
        ("--encoding", "rate"),
        ("--weights", "w.pt"),
        ("--time-axis", "1"),
        ("--dt", "0.1"),
    ],
)
def test_an_artefact_brings_its_own_options(folder: Path, options: tuple[str, ...]) -> None:
    result = energy(folder / "out", "--input", folder / "x.npz", *options)
    failed(result, 2, "OptionError", options[0])


@pytest.mark.parametrize(
    "options", [("--example", "x.npz"), ("--dt", "0.1"), ("--encoding", "rate")]
)
def test_options_that_a_factory_has_no_use_for(
    folder: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = energy("examples.digits.mlp:build", "--input", "x.npz", *options)
    failed(result, 2, "OptionError", options[0])


def test_a_factory_with_steps_where_its_data_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8)))
    result = energy("examples.digits.mlp:build", "--input", tmp_path / "x.npy", "--time-axis", "7")
    failed(result, 2, "InputError: input", "(2, 1, 8, 8)", "axis 7")


@pytest.mark.slow
def test_processes_get_the_weights_that_a_factory_made(tmp_path: Path) -> None:
    """Untrained weights are random: every process would otherwise count another network."""
    from snnc.energy.jobs import ModuleJob
    from snnc.energy.shards import count_samples
    from tests.energy.chance import build

    job = ModuleJob(build)
    files = [job.check(np.random.default_rng(0).random((8, 1, 8, 8)))]
    one, two = (count_samples(job, files, workers) for workers in (1, 2))
    for mine, theirs in zip(one.synapses, two.synapses, strict=True):
        assert np.array_equal(mine.operations, theirs.operations)


def test_values_that_overflow(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", input=np.full((2, 1, 6, 6), 1.7e308))
    result = energy(folder / "model.pt", "--input", tmp_path / "x.npz")
    failed(result, 2, "InputError: input", "leads to values that are NaN or infinite")


def test_lines_go_to_a_csv_file_only(folder: Path) -> None:
    before = (folder / "model.pt").read_bytes()
    result = energy(folder / "model.pt", "--input", folder / "x.npz", "--csv", folder / "model.pt")
    failed(result, 2, "OptionError", "lines are written to .csv files")
    assert (folder / "model.pt").read_bytes() == before


def test_a_device_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    failed(energy(folder / "small.json", "--csv", pipe), 2, "OptionError", "is no ordinary file")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_endless_digits_of_an_encoder(folder: Path) -> None:
    result = energy(
        folder / "model.pt", "--input", folder / "x.npz", "--encoder", "sar:" + "9" * 5000
    )
    failed(result, 2, "OptionError: --encoder", "999…")
    assert len(result.stderr) < 1000


def test_lines_of_files_end_where_their_words_do(folder: Path) -> None:
    for options in ((), ("--diff", folder / "large.json")):
        result = energy(folder / "small.json", *options)
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) <= 100
        assert all(line == line.rstrip() for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_output_that_can_not_be_written(folder: Path, options: tuple[str, ...]) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no /dev/full")
    command = [sys.executable, "-m", "snnc", "energy", str(folder / "small.json"), *options]
    with full.open("w") as nowhere:
        done = subprocess.run(
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "standard output can't be written (No space left on device)\n"


@pytest.mark.slow
def test_a_terminal_without_the_signs(folder: Path) -> None:
    command = [sys.executable, "-m", "snnc", "energy", str(folder / "small.json")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"207.4 pJ per sample" in done.stdout


DOCS = Path(__file__).resolve().parents[2] / "docs" / "energy.md"


@pytest.mark.slow
def test_the_documentation_shows_what_is_printed(tmp_path: Path) -> None:
    from examples.digits.data import write

    write(tmp_path)
    shutil.copy(DOCS.parents[1] / "examples" / "digits" / "mlp.pt", tmp_path / "model.pt")
    result = energy(tmp_path / "model.pt", "--input", tmp_path / "test.npz")
    command, shown = DOCS.read_text(encoding="utf-8").split("```console\n")[1].split("\n", 1)
    assert command == "$ snnc energy model.pt --input x.npz"
    assert result.stdout.startswith(shown.split("```")[0])


def test_the_price_table_of_the_documentation(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    (tmp_path / "mine.toml").write_text(text)
    prices = load_prices(tmp_path / "mine.toml")
    assert prices.operations == {"mac": 0.5, "ac": 0.05, "compare": 0.05}
    assert prices.memory == ((8192.0, 10.0),)


@pytest.mark.parametrize("options", [("--bogus",), ("--steps", "0"), ("--stage", "s9"), ()])
def test_errors_are_json_where_json_is_asked_for(options: tuple[str, ...]) -> None:
    result = energy(*options, "--json")
    assert result.exit_code == 2
    data = json.loads(result.stdout)
    assert data["error"] == "OptionError"
    assert data["exit_code"] == 2
    assert not result.stderr
