"""Model files: what is written comes back, and nothing else is read."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

import snnc
from snnc.errors import GraphError, ModelFileError, TraceError
from snnc.frontends import trace as trace_module
from snnc.frontends.model import Model
from snnc.frontends.model_file import export, load_model, read_state
from snnc.ir.files import to_bytes
from snnc.reference.agreement import compare_with_framework


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        layer.Conv2d(1, 3, 3), neuron.IFNode(), layer.AvgPool2d(2), layer.Flatten(),
        layer.Linear(12, 4), snntorch.Leaky(torch.rand(4), init_hidden=True),
    )  # fmt: skip


def example() -> torch.Tensor:
    return torch.rand(3, 1, 6, 6)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Model]:
    path = tmp_path / "model.pt"
    return path, export(net(), example(), path, steps=5)


def test_what_is_written_comes_back(written: tuple[Path, Model]) -> None:
    path, model = written
    read = load_model(path)
    assert to_bytes(read.graph) == to_bytes(model.graph)
    assert model.example is not None
    assert read.example is not None
    for part in ("inputs", "spikes", "outputs"):
        ours, theirs = getattr(read.example, part), getattr(model.example, part)
        assert set(ours) == set(theirs) != set()
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert read.example.spikes["1"].dtype == np.uint8
    assert set(read.source) == {"torch", "snntorch", "spikingjelly"}
    report = compare_with_framework(read.graph, read.example)
    assert set(report) == {"1", "5"}
    assert not any(found.real for found in report.values())


def test_the_public_name() -> None:
    assert snnc.export is export


def test_same_model_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    torch.manual_seed(3)
    x, module = example(), net()
    for name in ("a.pt", "b.pt"):
        export(module, x, tmp_path / name, steps=5)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.pt", "b.pt"]


def test_a_failed_trace_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    with pytest.raises(TraceError):
        export(nn.Sequential(nn.Mish(), neuron.IFNode()), example(), path, steps=5)
    broken = net()
    broken[0].weight.data[0] = float("nan")
    with pytest.raises(GraphError, match="NaN"):
        export(broken, example(), path, steps=5)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ModelFileError, match="No space left"):
        export(net(), example(), path, steps=5)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.pt"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        export(net(), example(), tmp_path / "none" / "model.pt", steps=5)


def test_a_wrong_trace_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace's own numbers are spoilt; the check against the module must see it."""
    own = trace_module.own

    def spoilt(node: Any) -> Any:
        node = own(node)
        if hasattr(node, "theta"):
            object.__setattr__(node, "theta", np.asarray(node.theta * 1.05))
        return node

    monkeypatch.setattr(trace_module, "own", spoilt)
    with pytest.raises(TraceError, match=r"decides .* otherwise"):
        export(net(), example(), tmp_path / "model.pt", steps=5)
    assert not os.listdir(tmp_path)


def test_a_wrong_readout_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = trace_module.own

    def spoilt(node: Any) -> Any:
        node = own(node)
        if type(node).__name__ == "Linear":
            object.__setattr__(node, "weight", node.weight * 1.01)
        return node

    class Readout(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.node, self.fc = neuron.IFNode(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.node(x))

    monkeypatch.setattr(trace_module, "own", spoilt)
    with pytest.raises(TraceError, match="output"):
        export(Readout(), torch.rand(3, 4), tmp_path / "model.pt", steps=5)


def refused(path: Path, match: str) -> ModelFileError:
    with pytest.raises(ModelFileError, match=match) as caught:
        load_model(path)
    assert str(path) == caught.value.where
    assert caught.value.fix
    return caught.value


def assert_shows_both_ways(error: ModelFileError) -> None:
    assert "snnc.export(" in error.fix
    assert "package.module:factory --weights" in error.fix


def test_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none.pt", "no such file")


@pytest.mark.parametrize("kept", [0, 1, 3, 10, 200, 0.5, 0.9, 0.999])
def test_truncated(written: tuple[Path, Model], kept: float) -> None:
    path, _ = written
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 or kept in (0, 1) else kept * len(data))])
    refused(path, "not a file of torch|cut short|damaged")


def test_flipped_bytes(written: tuple[Path, Model]) -> None:
    """Any damaged byte of the content is seen: the members of the file carry checksums."""
    path, _ = written
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (i for i in archive.infolist() if i.filename.endswith("data.pkl"))
    start = data.index(b"\x80", pickled.header_offset)
    for position in generator.integers(start, start + pickled.file_size, 50):
        spoilt = bytearray(data)
        spoilt[position] ^= 0xFF
        path.write_bytes(spoilt)
        with pytest.raises(ModelFileError):
            load_model(path)


def test_garbage(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"hello world" * 100)
    refused(path, "not a file of torch")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    refused(path, "damaged")
    path.unlink()
    path.mkdir()
    refused(path, "can't be read")


def test_pickled_module(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Sequential(nn.Linear(2, 2), neuron.IFNode()), path)
    assert_shows_both_ways(refused(path, "pickled module"))


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['SNNC_BOMB']}",)


@pytest.mark.parametrize("kind", ["torch", "old torch", "pickle"])
def test_code_in_a_file_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("SNNC_BOMB", str(mark))
    path = tmp_path / "model.pt"
    content = {"format": "snnc-model", "version": 1, "tree": Bomb()}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    assert_shows_both_ways(refused(path, "pickle"))
    assert not mark.exists()


def test_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    buffer = io.BytesIO()
    torch.save({"a": 1}, buffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    path.write_bytes(buffer.getvalue())
    assert_shows_both_ways(refused(path, "TorchScript"))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "model": s}])
def test_state_dict(tmp_path: Path, wrap: Any) -> None:
    path = tmp_path / "state.pt"
    torch.save(wrap(dict(net().state_dict())), path)
    assert_shows_both_ways(refused(path, "weights .* but not the structure"))


def test_other_content(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in ([1, 2], torch.ones(3), {"a": 1}, {}):
        torch.save(content, path)
        assert_shows_both_ways(refused(path, "no model of snnc"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"version": 2}, "version 2"),
        ({"arrays": {}}, "lacks its field"),
        ({"arrays": 3}, "damaged"),
        ({"example": {}}, "damaged"),
        ({"source": None}, "damaged"),
        ({"tree": {"schema": 99}}, "schema"),
        ({"tree": []}, "not a graph"),
        (
            {"example": {"inputs": {"x": torch.ones(1)}, "spikes": {}, "outputs": {}}},
            "another graph",
        ),
    ],
)  # fmt: skip
def test_spoilt_content(written: tuple[Path, Model], change: dict[str, Any], match: str) -> None:
    path, _ = written
    content = torch.load(path, weights_only=True)
    torch.save({**content, **change}, path)
    with pytest.raises(ModelFileError, match=match):
        load_model(path)


def test_read_state(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save(net().state_dict(), path)
    assert set(read_state(path)) == set(net().state_dict())
    torch.save([1], path)
    with pytest.raises(ModelFileError, match="no state dict"):
        read_state(path)


def test_reading_needs_no_framework(written: tuple[Path, Model]) -> None:
    code = (
        "import sys; from snnc.frontends.model_file import load_model; load_model(sys.argv[1]);"
        "assert not {'snntorch', 'spikingjelly'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(written[0])], check=True)


def test_importing_snnc_needs_no_torch() -> None:
    code = "import sys, snnc, snnc.frontends.model; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
