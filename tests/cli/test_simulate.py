"""`snnc simulate` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import snnc
from snnc.artefact import load
from snnc.cli import main
from snnc.frontends.model import Model
from snnc.frontends.model_file import save_model
from snnc.layouts import NOT_LAID_OUT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A model laid out on the array, and its example as a file, with what it answers as labels."""
    path = tmp_path_factory.mktemp("simulate")
    save_model(model, path / "model.pt")
    command = ("compile", path / "model.pt", "--target", "sim", "--chip", "array")
    done(cli(*command, "-o", path / "out"))
    assert model.example is not None
    x = model.example.inputs["input"]
    answers = snnc.load(path / "out").run(x).outputs["output"].sum(1).argmax(1)
    np.savez(path / "x.npz", input=x, labels=np.where(np.arange(6) < 3, answers, answers + 1))
    return path


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(item) for item in arguments], catch_exceptions=False)


def simulate(*arguments: str | Path) -> Result:
    return cli("simulate", *arguments)


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def data_of(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(simulate(*arguments, "--json")))
    return found


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output + result.stderr
    flat = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in flat, flat


def mean(item: Mapping[str, float]) -> float:
    return item["mean"]


def test_the_example_is_simulated(folder: Path) -> None:
    text = done(simulate(folder / "out"))
    for word in ("array: 1 core on 1 tile, 1 chip", "6 samples: mean", "T = 10 +", "lif1", "lif2",
                 "energy per inference", "time per inference", "inferences per second",
                 "core 0:", "nothing has been built"):  # fmt: skip
        assert word in text, word
    assert "right" not in text
    for title in ("\nsteps, ", "\ncores, ", "\nlinks, "):
        assert title not in text


def test_tables_are_asked_for_one_by_one(folder: Path) -> None:
    titles = {
        "--steps": "\nsteps, ",
        "--cores": "\ncores, ",
        "--links": "· no packet crosses a link",
    }
    for option in titles:
        text = done(simulate(folder / "out", option))
        assert [name for name, title in titles.items() if title in text] == [option]


def test_a_file_gives_what_the_example_gives_and_the_accuracy(folder: Path) -> None:
    found = data_of(folder / "out", "--input", folder / "x.npz")
    assert found.pop("accuracy") == 0.5
    assert found == data_of(folder / "out")
    assert "6 samples, 50.00% of them right" in done(
        simulate(folder / "out", "--input", folder / "x.npz")
    )


def test_only_the_first_samples(folder: Path) -> None:
    every = data_of(folder / "out")
    for source in ((), ("--input", folder / "x.npz")):
        first = data_of(folder / "out", *source, "--samples", "2")
        assert first["samples"] == 2
        assert first["per_sample"]["cycles"] == every["per_sample"]["cycles"][:2]
        assert first.get("accuracy", 1.0) == 1.0
    assert data_of(folder / "out", "--samples", "100")["samples"] == 6


def test_counts_are_those_of_the_engine(folder: Path, model: Model) -> None:
    found = data_of(folder / "out")
    assert model.example is not None
    ports = dict.fromkeys(("lif1", "lif2"), ("s",))
    trace = snnc.load(folder / "out").run(model.example.inputs["input"], record=ports)
    for name in ports:
        spikes = np.count_nonzero(trace.records[name, "s"]) / 6
        assert mean(found["layers"][name]["messages"]) == pytest.approx(spikes)
    parts = sum(mean(layer["messages"]) for layer in found["layers"].values())
    assert mean(found["counts"]["messages"]) == pytest.approx(parts)
    (core,) = found["per_core"]
    assert mean(core["received"]) == pytest.approx(mean(found["counts"]["packets"]))
    causes = sum(mean(item) for item in found["energy_pJ"]["by_cause"].values())
    assert mean(found["energy_pJ"]) == pytest.approx(causes)
    neurons = sum(
        np.prod(item["shape"]) for item in load(folder / "out").manifest["layers"].values()
    )
    update = found["figures"]["energy.update"]
    assert mean(found["energy_pJ"]["by_cause"]["neuron"]) == pytest.approx(
        update["value"] * neurons * (found["steps"] + found["lag"])
    )
    assert "Horowitz" in update["source"]


def test_python_says_the_same(folder: Path, model: Model) -> None:
    compiled = snnc.load(folder / "out")
    example = json.loads(json.dumps(compiled.simulate().to_dict()))
    assert example == data_of(folder / "out")
    samples = np.load(folder / "x.npz")
    found = compiled.simulate(samples["input"], samples["labels"])
    assert found.accuracy == 0.5
    assert found.table() == done(simulate(folder / "out", "--input", folder / "x.npz"))


def test_report_and_picture_are_written(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")
    files = [tmp_path / name for name in ("a.json", "a.png", "b.json", "b.png")]
    for report, picture in (files[:2], files[2:]):
        text = done(simulate(folder / "out", "-o", report, "--plot", picture)).replace("\n", "")
        assert f"wrote {report}" in text
        assert f"wrote {picture}" in text
    assert files[0].read_bytes() == files[2].read_bytes()
    assert files[1].read_bytes() == files[3].read_bytes()
    assert json.loads(files[0].read_text()) == data_of(folder / "out", "--plot", tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_bytes().startswith(b"<?xml")


def test_what_has_no_layout_is_refused(folder: Path, tmp_path: Path) -> None:
    compiled = load(folder / "out")
    replace(compiled, files={}).save(tmp_path / "old")
    failed(simulate(tmp_path / "old"), 3, "has no layout on cores", "compile it again")
    manifest = {**compiled.manifest, "report": [f"{NOT_LAID_OUT}lif1: too many neurons"]}
    replace(compiled, files={}, manifest=manifest).save(tmp_path / "large")
    failed(simulate(tmp_path / "large"), 4, "lif1: too many neurons", "snnc targets")
    failed(simulate(tmp_path / "no"), 3, "ArtefactError")


@pytest.mark.parametrize("extra", [(), ("--samples", "1")])
def test_wrong_samples_are_refused(folder: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    wrong = {
        "shape": {"input": np.zeros((2, 1, 5, 6))},
        "NaN": {"input": np.full((2, 1, 6, 6), np.nan)},
        "names": {"input": np.zeros((2, 1, 6, 6)), "other": np.zeros(2)},
        "number": {"input": np.asarray(1.0)},
        "labels": {"input": np.zeros((2, 1, 6, 6)), "labels": np.asarray(1)},
    }
    for name, arrays in wrong.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        file = tmp_path / f"{name}.npz"
        failed(simulate(folder / "out", "--input", file, *extra), 2, "InputError")
    failed(simulate(folder / "out", "--input", tmp_path / "no.npz", *extra), 2, "no such file")
    np.savez(tmp_path / "none.npz", input=np.zeros((0, 1, 6, 6)))
    failed(simulate(folder / "out", "--input", tmp_path / "none.npz", *extra), 2, "InputError")


def test_without_an_example_samples_are_needed(folder: Path, tmp_path: Path) -> None:
    replace(load(folder / "out"), example=None).save(tmp_path / "bare")
    failed(simulate(tmp_path / "bare", "--samples", "1"), 2, "--input", "give samples")


def test_wrong_options_are_said_before_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the head of an error holds a short path only

    def never(*_: object) -> None:
        pytest.fail("it was simulated")

    monkeypatch.setattr("snnc.cli.simulate.simulate", never)
    assert simulate(folder / "out", "--samples", "0").exit_code == 2
    failed(simulate(folder / "out", "-o", "r.txt"), 2, "OptionError: r.txt", ".json")
    failed(simulate(folder / "out", "--plot", "r.pdf"), 2, "OptionError: r.pdf", ".svg or .png")
    for option, name in (("-o", "r.json"), ("--plot", "r.svg")):
        failed(simulate(folder / "out", option, Path("no") / name), 2, "does not exist")
    assert not list(tmp_path.iterdir())
