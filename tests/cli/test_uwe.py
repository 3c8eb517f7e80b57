"""Bit planes from the command line and from Python: compile, run, verify, energy, targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.circuits.encodings import uwe
from snnc.energy.run import energy_of
from snnc.frontends.model_file import save_model
from tests import planes
from tests.cli.test_commands import cli, failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of bit planes, images for it, and its artefact on the circuit."""
    path = tmp_path_factory.mktemp("uwe")
    save_model(planes.model(8), path / "model.pt")
    images = planes.images(8, 4, seed=3).astype(np.uint8)
    np.savez(path / "images.npz", images=images)
    np.savez(path / "planes.npz", images=np.moveaxis(uwe(images), 0, 1))
    np.savez(path / "scaled.npz", images=images / 255)
    done = cli(
        "compile", str(path / "model.pt"), "--encoding", "uwe", "--target", "uwe", "-o",
        str(path / "out"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "encoder.cir" in done.output
    return path


def test_verify_compares_the_circuit(folder: Path) -> None:
    done = cli(
        "verify", str(folder / "out"), "--input", str(folder / "images.npz"), "--stages",
        "s1,s2,sim,loihi,uwe", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    pairs = json.loads(done.stdout)["pairs"]
    assert [pair["second"] for pair in pairs] == ["s2", "sim", "loihi", "uwe"]


@pytest.mark.parametrize("stage", ["s1", "s2", "sim", "loihi", "uwe"])
def test_run_takes_images_on_every_stage(folder: Path, tmp_path: Path, stage: str) -> None:
    done = cli(
        "run", str(folder / "out"), "--input", str(folder / "images.npz"), "--stage", stage, "-o",
        str(tmp_path / "y.npz"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "y.npz") as arrays:
        assert arrays["out"].shape == (4, 8, 1, 4, 4)


def test_images_of_reals_and_planes_are_refused(folder: Path) -> None:
    verify = ("verify", str(folder / "out"), "--stages", "s1,s2", "--input")
    failed(cli(*verify, str(folder / "scaled.npz")), 2, "InputError: in", "scale the images")
    failed(cli(*verify, str(folder / "planes.npz")), 2, "InputError: in", "(sample, 1, 4, 4)")


def test_steps_can_only_be_the_models_own(folder: Path, tmp_path: Path) -> None:
    model = str(folder / "model.pt")
    out = ("-o", str(tmp_path / "a"))
    same = cli("compile", model, "--encoding", "uwe", "--steps", "8", *out)
    assert same.exit_code == 0, same.output
    for command in (
        ("compile", model, "--encoding", "uwe", "--steps", "4", "-o", str(tmp_path / "b")),
        ("energy", model, "--encoding", "uwe", "--steps", "4", "--input",
         str(folder / "images.npz")),
    ):  # fmt: skip
        failed(cli(*command), 2, "OptionError: --steps", "sequences of 8 steps", "leave --steps")


def test_other_encodings_name_the_one_to_take(folder: Path, tmp_path: Path) -> None:
    done = cli(
        "compile", str(folder / "model.pt"), "--encoding", "ttfs", "--target", "uwe", "-o",
        str(tmp_path / "a"),
    )  # fmt: skip
    failed(done, 2, "OptionError: --encoding", "target uwe takes uwe or none", "--encoding uwe")


def test_energy_counts_planes_and_conversions(folder: Path) -> None:
    """Images behind --encoding uwe count as their planes do without it."""
    found = []
    for name, options in (("images", ("--encoding", "uwe", "--encoder", "sar:8")), ("planes", ())):
        done = cli(
            "energy", str(folder / "model.pt"), "--input", str(folder / f"{name}.npz"), "--json",
            *options,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        found.append(json.loads(done.stdout))
    assert found[0]["figures"] == found[1]["figures"]
    assert found[0]["encoder"]["pixels"] == 16
    done = cli("energy", str(folder / "out"), "--input", str(folder / "images.npz"))
    assert done.exit_code == 0, done.output


def test_planes_alone_are_no_conversions(folder: Path) -> None:
    done = cli(
        "energy", str(folder / "model.pt"), "--input", str(folder / "planes.npz"), "--encoder",
        "sar:8",
    )  # fmt: skip
    failed(done, 2, "OptionError: --encoder", "the data are spikes", "--encoding uwe")


def test_targets_and_doctor_show_the_circuit() -> None:
    listed = json.loads(cli("targets", "--json").stdout)
    assert listed["uwe"]["engines"] == ["uwe"]
    assert "weight_min" in cli("targets", "uwe").output
    names = [check["name"] for check in json.loads(cli("doctor", "--json").stdout)]
    assert "uwe: ngspice" in names


def test_from_python_the_module_itself_sees_the_planes() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, step_mode="m"),
        neuron.IFNode(step_mode="m", v_reset=None),
        layer.Conv2d(4, 1, 3, padding=1, step_mode="m"),
        neuron.IFNode(step_mode="m", v_reset=None),
    )
    example = torch.from_numpy(uwe(planes.images(8))).float()
    compiled = snnc.compile(module, "uwe", encoding="uwe", example_input=example, time_axis=0)
    images = planes.images(8, 5, seed=4)
    report = compiled.verify(images, "s0,s1,s2,sim,uwe")
    assert report.ok
    assert report.samples["s0"] == 5
    assert report.pairs[0].compared
    assert compiled.verify(images, "S0, S1").samples["s0"] == 5
    assert compiled.run(images, "uwe").outputs
    assert energy_of(compiled, images)
