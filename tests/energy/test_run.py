"""`snnc.energy` as a user calls it: data of all kinds, options, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import snnc
from examples.digits.mlp import DigitsMLP
from snnc.energy.conventions import conventions
from snnc.energy.counts import Cause, Counts, Op
from snnc.errors import InputError, OptionError, SnncError
from snnc.frontends.model import Model
from snnc.ir import Graph, Input, Kind, Linear, Output
from tests.energy.made import counts, line, population


@pytest.fixture(scope="module")
def module() -> DigitsMLP:
    torch.manual_seed(0)
    return DigitsMLP(num_steps=3).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_every_form_of_data_gives_the_same_report(module: DigitsMLP, images: torch.Tensor) -> None:
    whole = snnc.energy(module, images)
    assert whole.samples == 5
    labels = torch.zeros(5)
    for data in (
        images.numpy(),
        (images,),
        [images[:2], images[2:]],
        DataLoader(TensorDataset(images, labels), batch_size=2),
        {"input": images, "labels": labels},
    ):
        assert snnc.energy(module, data) == whole


def test_conventions_by_name(module: DigitsMLP, images: torch.Tensor) -> None:
    def names(given: Any) -> list[str]:
        return [item.convention for item in snnc.energy(module, images, conventions=given).figures]

    assert names("syops") == ["syops"]
    assert names(("syops", "effective", "syops")) == ["syops", "effective"]
    assert names("all") == list(conventions())
    assert names(("lemaire2022", "all"))[0] == "lemaire2022"
    with pytest.raises(OptionError, match="there is none"):
        names(())


@pytest.mark.parametrize("data", [None, 5, "x.npz", object(), [], torch.zeros(0, 1, 8, 8)])
def test_what_holds_no_samples(module: DigitsMLP, data: Any) -> None:
    with pytest.raises(InputError, match=r"no samples|shape \(0"):
        snnc.energy(module, data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": "s1"}, "stage: means nothing for a module"),
        ({"first_layer": "twice"}, "first_layer: 'twice'"),
        ({"neurons": [3]}, "neurons"),
        ({"encoder": "flash"}, "no encoder 'flash'"),
        ({"conventions": "mine"}, "no convention 'mine'"),
        ({"time_axis": 9}, "no steps at axis 9"),
    ],
)
def test_options_of_a_module(
    module: DigitsMLP, images: torch.Tensor, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SnncError, match=words):
        snnc.energy(module, images, **options)


@pytest.mark.parametrize(
    "options", [{"time_axis": 0}, {"neurons": [torch.nn.ReLU]}, {"input_kind": "spike"}]
)
def test_options_of_modules_only(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="means nothing for a Model"):
        snnc.energy(model, np.zeros((1, 1, 6, 6)), **options)


def test_a_compiled_network_has_its_own_steps(model: Model) -> None:
    assert model.example is not None
    x = model.example.inputs["input"]
    compiled = snnc.compile(model, target="sim")
    with pytest.raises(OptionError, match="has its own T"):
        snnc.energy(compiled, x, steps=3)
    found = snnc.energy(compiled, {"input": x, "labels": np.zeros(len(x))})
    assert (found.stage, found.samples) == ("sim", len(x))
    with pytest.raises(OptionError, match="stage: means nothing"):
        snnc.energy(model, x, stage="s1")


@pytest.mark.parametrize("model", [3, None, "mlp.pt", torch.nn.Linear])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(OptionError, match="is no model"):
        snnc.energy(model, np.zeros((1, 4)))


def test_batches_that_do_different_things() -> None:
    """A program that depends on the values of its samples has no one list of operations."""

    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.first if x[0, 0] > 0 else self.second)(x) > 0

    batches = [torch.ones(2, 4), -torch.ones(2, 4)]
    with pytest.raises(InputError, match="does other things in one batch"):
        snnc.energy(Choosy(), batches)


def test_batches_of_other_operations_do_not_join() -> None:
    """The same lines in number and name, one of additions, one of multiplications."""
    cells = (population("if", 2, [[1]]),)
    parts = [
        counts(lines=(line("x", Cause.NORM, "affine", {op: 3}),), populations=cells)
        for op in (Op.AC, Op.MUL)
    ]
    with pytest.raises(InputError, match="does other things in one batch"):
        Counts.joined(parts)


def test_an_input_called_clean_gets_its_samples() -> None:
    """Arrays `labels` and `clean` are left out only where no input has that name."""
    graph = Graph.chain(
        {
            "clean": Input((3,), Kind.SPIKE),
            "fc": Linear(np.ones((2, 3))),
            "out": Output(),
        }
    )
    report = snnc.energy(graph, {"clean": np.ones((2, 4, 3)), "labels": np.zeros(2)})
    assert report.samples == 2
