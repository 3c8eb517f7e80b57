"""Runs in syops' own environment: `python -m tests.energy.syops_child CASE…` prints, by case, the
[ACs, MACs] that syops counts over all samples and steps of one call. The cases IF and LIF are a
layer 2 → 3 without bias on one row of two spikes, and those neurons."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import torch
from spikingjelly.clock_driven import neuron
from syops import get_model_complexity_info
from torch import nn

from tests.energy.cases import CASES

NEURONS = {"IF": neuron.IFNode, "LIF": neuron.LIFNode}


class Sequence(nn.Module):
    """Gives a sequence to a module: what syops shows the root is a batch."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def _case(name: str) -> tuple[nn.Module, torch.Tensor]:
    if name in NEURONS:
        return nn.Sequential(nn.Linear(2, 3, bias=False), NEURONS[name]()), torch.ones(1, 2)
    case = CASES[name]()
    (x,) = case.tensors
    assert case.module is not None
    return case.module, x


def count(name: str) -> list[float]:
    """[ACs, MACs] of a case."""
    module, x = _case(name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found, _ = get_model_complexity_info(
            Sequence(module), (1,), [(x, None)], print_per_layer_stat=False, as_strings=False
        )
    return [float(found[1] * len(x)), float(found[2] * len(x))]


if __name__ == "__main__":
    print(json.dumps({name: count(name) for name in sys.argv[1:]}))
