"""The examples' own promises: trained models that compile, and training scripts that run."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.digits.data import load
from snnc.compiler import Options, compile_model
from snnc.frontends.model_file import load_model
from snnc.verify import verify

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 2_000_000


@pytest.mark.parametrize("name", ["digits/cnn.pt", "digits/mlp.pt", "mnist/model.pt"])
def test_models_are_small(name: str) -> None:
    assert (ROOT / "examples" / name).stat().st_size < LIMIT


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_digits_keep_their_accuracy_and_agree_everywhere(name: str) -> None:
    """S0 to S1 equal but for ties, at most 0.5 points lost, all integer stages equal."""
    model = load_model(ROOT / "examples" / "digits" / f"{name}.pt")
    x_train, _, x_test, y_test = load()
    artefact = compile_model(model, Options(), x_train)
    report = verify(artefact, x_test, ["s0", "s1", "s2", "sim", "loihi"], y_test)
    assert report.ok
    assert report.samples["s0"] == 360
    assert report.accuracy["s0"] - report.accuracy["s2"] <= 0.005
    assert report.accuracy["s0"] > 0.975
    assert report.events["s2"] == {"wrap": 0, "clip": 0, "disputed": 0}


def test_mnist_agrees_on_its_own_example() -> None:
    model = load_model(ROOT / "examples" / "mnist" / "model.pt")
    report = verify(compile_model(model, Options()), None, ["s0", "s1", "s2", "sim", "loihi"])
    assert report.ok
    assert report.events["s2"]["wrap"] == report.events["s2"]["clip"] == 0


def write_idx(path: Path, magic: int, values: np.ndarray) -> None:
    header = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.mark.slow
def test_mnist_training_runs_on_idx_files(tmp_path: Path) -> None:
    """On digits blown up to 28×28, since MNIST itself does not come with the project."""
    x_train, y_train, x_test, y_test = load()
    for prefix, x, y in (("train", x_train, y_train), ("t10k", x_test, y_test)):
        images = np.pad(np.kron(x[:, 0] * 255, np.ones((3, 3))), [(0, 0), (2, 2), (2, 2)])
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", 0x803, images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", 0x801, y)
    command = [sys.executable, "-m", "examples.mnist.train", "--data", str(tmp_path)]
    command += ["--epochs", "1", "--limit", "256", "--out", str(tmp_path / "model.pt")]
    subprocess.run(command, cwd=ROOT, check=True)
    assert load_model(tmp_path / "model.pt").graph.steps == 8
    write = [sys.executable, "-m", "examples.mnist.data", "--data", str(tmp_path), "--out"]
    subprocess.run([*write, str(tmp_path / "npz")], cwd=ROOT, check=True)
    with np.load(tmp_path / "npz" / "mnist-test.npz") as arrays:
        assert arrays["input"].shape == (360, 1, 28, 28)
