"""`package.module:factory`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snnc.errors import ModelFileError, OptionError, TraceError
from snnc.frontends.factory import build_module, load_factory
from snnc.frontends.load import SourceOptions
from snnc.frontends.nir import NirOptions

SOURCE = """
import torch
from torch import nn
from spikingjelly.activation_based import neuron

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), neuron.IFNode())

ready = build()

def broken():
    raise RuntimeError("no data")

def number():
    return 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "snnc_test_pkg").mkdir()
    (tmp_path / "snnc_test_pkg" / "nets.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    for name in ("snnc_test_pkg", "snnc_test_pkg.nets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "snnc_test_pkg.nets"


def test_factory_with_weights(code: str, tmp_path: Path) -> None:
    state = build_module(f"{code}:build").state_dict()
    state["0.weight"] += 1
    torch.save(state, tmp_path / "state.pt")
    example = np.random.default_rng(0).random((4, 3), np.float32)
    options = SourceOptions(NirOptions(), "state.pt", {"x": example}, steps=5)
    before = list(sys.path)
    model = load_factory(f"{code}:build", options)
    assert sys.path == before
    np.testing.assert_array_equal(model.graph.nodes["0"].weight, state["0.weight"].numpy())
    np.testing.assert_array_equal(model.example.inputs["input"], example)
    assert model.graph.steps == 5


def test_a_module_itself(code: str) -> None:
    assert isinstance(build_module(f"{code}:ready"), torch.nn.Module)


def test_no_example(code: str) -> None:
    with pytest.raises(OptionError, match="example"):
        load_factory(f"{code}:build", SourceOptions(NirOptions()))


def test_no_steps(code: str) -> None:
    options = SourceOptions(NirOptions(), example=np.ones((2, 3), np.float32))
    with pytest.raises(TraceError, match="steps"):
        load_factory(f"{code}:build", options)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("{}:none", "AttributeError"),
        ("{}:broken", "RuntimeError: no data"),
        ("{}:number", "returns a int"),
        ("{}x:build", "ModuleNotFoundError"),
    ],
)
def test_code_that_fails(code: str, what: str, match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        build_module(what.format(code))


def test_form(code: str) -> None:
    with pytest.raises(OptionError, match="is not package"):
        build_module("nothing")


def test_weights_that_do_not_fit(code: str, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(ModelFileError, match="no such file"):
        build_module(f"{code}:build", path)
    torch.save({"0.weight": torch.ones(2, 3)}, path)
    with pytest.raises(ModelFileError, match="missing"):
        build_module(f"{code}:build", path)
    torch.save({"0.weight": torch.ones(5, 3), "0.bias": torch.ones(2)}, path)
    with pytest.raises(ModelFileError, match="size mismatch"):
        build_module(f"{code}:build", path)
