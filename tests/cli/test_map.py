"""`snnc map` and `snnc targets --show` as a user types them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snnc.artefact import load
from snnc.cli import main
from snnc.frontends.model import Model
from snnc.frontends.model_file import save_model
from snnc.layouts import NOT_LAID_OUT
from snnc.report.chip_tables import NUMBERS
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import SECTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A model laid out on the array."""
    path = tmp_path_factory.mktemp("map")
    save_model(model, path / "model.pt")
    command = ("compile", path / "model.pt", "--target", "sim", "--chip", "array")
    done(cli(*command, "-o", path / "out"))
    return path


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(item) for item in arguments], catch_exceptions=False)


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output + result.stderr
    flat = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in flat


def test_map_shows_layers_limits_and_the_mesh(folder: Path) -> None:
    text = done(cli("map", folder / "out"))
    for word in ("array: 1 of 4,096 cores on 1 tile, 1 of 64 chips", "lif1", "lif2", "tightest",
                 "how full the fullest core is", "\n0 + · · · · · · ·\n"):  # fmt: skip
        assert word in text
    assert "\ncores\n" not in text
    assert "\ncores\n" in done(cli("map", folder / "out", "--cores"))


def test_json_has_all_of_it(folder: Path) -> None:
    data = json.loads(done(cli("map", folder / "out", "--json")))
    assert set(data) == {
        "chip", "cores", "cores_available", "tiles", "chips", "chips_available", "limits", "axons",
        "layers", "per_core", "links",
    }  # fmt: skip
    assert (data["chip"], data["cores"], data["chips"]) == ("array", 1, [[0, 0]])
    shapes = load(folder / "out").manifest["layers"]
    assert list(data["layers"]) == list(shapes)
    for name, layer in data["layers"].items():
        assert layer["neurons"] == np.prod(shapes[name]["shape"])
        assert set(layer["full"]) == set(data["limits"])
        assert layer["full"][layer["tightest"]] == max(layer["full"].values())
    (core,) = data["per_core"]
    assert core["usage"]["neurons"] == sum(item["neurons"] for item in data["layers"].values())
    assert core["usage"]["synapses"] == sum(item["synapses"] for item in data["layers"].values())
    assert [part["layer"] for part in core["slices"]] == list(shapes)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_picture_is_written(folder: Path, tmp_path: Path, kind: str) -> None:
    files = [tmp_path / f"{name}.{kind}" for name in "ab"]
    for file in files:
        assert f"wrote {file}" in done(cli("map", folder / "out", "--plot", file)).replace("\n", "")
    assert files[0].read_bytes() == files[1].read_bytes()
    json.loads(done(cli("map", folder / "out", "--plot", files[0], "--json")))


def test_map_refuses_what_it_cannot_do(folder: Path, tmp_path: Path) -> None:
    failed(cli("map", folder / "out", "--plot", tmp_path / "a.gif"), 2, ".svg or .png")
    failed(cli("map", folder / "out", "--plot", tmp_path / "no" / "a.svg"), 2, "does not exist")
    failed(cli("map", tmp_path / "no"), 3, "ArtefactError")
    compiled = load(folder / "out")
    replace(compiled, files={}).save(tmp_path / "old")
    failed(cli("map", tmp_path / "old"), 3, "has no layout on cores", "compile it again")
    report = [f"{NOT_LAID_OUT}lif1: too many neurons"]
    manifest = {**compiled.manifest, "report": report}
    replace(compiled, files={}, manifest=manifest).save(tmp_path / "large")
    failed(cli("map", tmp_path / "large"), 4, "lif1: too many neurons", "snnc targets")


def test_show_prints_a_chip_by_name_or_file() -> None:
    text = done(cli("targets", "--show", "loihi1"))
    assert text == done(cli("targets", "--show", CHIPS / "loihi1.toml"))
    for word in (NUMBERS, *SECTIONS, "143,000", "note: the lower end"):
        assert word in text
    data = json.loads(done(cli("targets", "--show", "loihi1", "--json")))
    assert set(data) == {"chip", "summary", NUMBERS, *SECTIONS}
    assert data["core"]["compartments"]["value"] == 1024
    assert data["cycles"]["barrier"]["value"] == [[1, 1130], [32, 4650]]
    assert "0.6 µs" in data["cycles"]["barrier"]["note"]


def test_show_refuses_what_is_no_chip(tmp_path: Path) -> None:
    failed(cli("targets", "--show", "loihi3"), 2, "no chip 'loihi3'", "loihi1", "NAME.toml")
    failed(cli("targets", "--show", tmp_path / "no.toml"), 3, "ChipFileError", "can't be read")
    failed(cli("targets", "sim", "--show", "loihi1"), 2, "--show", "nothing else")
    failed(cli("targets", "--chip", "loihi1", "--show", "loihi1"), 2, "--show", "nothing else")
    wrong = tmp_path / "wrong.toml"
    text = (CHIPS / "array.toml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("[mesh.rows]", "[mesh.lines]"), encoding="utf-8")
    failed(cli("targets", "--show", wrong), 3, "ChipFileError", "[mesh.lines] means nothing")
