"""Branches that meet, constants between layers, and layers after a sum over the steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.trace import trace
from tests.frontends.nets import STYLES, Loop, applied, assert_graph_is_module, kinds

C = (4, 6, 6)
PER_VALUE = torch.linspace(-1, 1, 144).double().reshape(C)
PER_CHANNEL = torch.linspace(-1, 1, 4).double().reshape(4, 1, 1)


def changed_in_place(x: Tensor, y: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    total += x * 2
    total += y
    total *= 0.5
    total -= 1
    return total.div_(4)


JOINS: dict[str, tuple[Any, ...]] = {
    "twice the same": (lambda x: x + x, C),
    "add": (lambda x, y: x + y, C, C),
    "three": (lambda x, y: x + y + x, C, C),
    "sub": (lambda x, y: x - y, C, C),
    "rsub": (lambda x, y: torch.rsub(x, y), C, C),
    "alpha": (lambda x, y: torch.add(x, y, alpha=0.5), C, C),
    "neg": (lambda x: -x, C),
    "one minus": (lambda x: 1 - x, C),
    "in place": (changed_in_place, C, C),
    "broadcast": (lambda x, y: x + y, (4, 1, 1), C),
    "broadcast rank": (lambda x, y: x[:, :, None, None] * 2 + y, (4,), C),
    "residual": (lambda x: x - x.mean((1, 2, 3), keepdim=True), C),
    "cat": (lambda x, y: torch.cat([x, y], 1), (2, 3, 3), (4, 3, 3)),
    "cat last": (lambda x, y: torch.concat([x, y], -1), (4, 3, 3), (4, 3, 2)),
    "cat the same": (lambda x: torch.cat([x, x], 1), C),
    "cat constants": (lambda x: torch.cat([x, PER_VALUE.expand_as(x), x], 2), C),
    "cat zeros": (lambda x: torch.cat([torch.zeros_like(x), x], 1), C),
    "hstack": (lambda x, y: torch.hstack([x, y]), C, C),
    "stack": (lambda x, y: torch.stack([x, y], 2), C, C),
    "stack first": (lambda x, y: torch.stack([x, y, x], 1).flatten(1, 2), C, C),
    "times per value": (lambda x: x * PER_VALUE, C),
    "times per channel": (lambda x: PER_CHANNEL * x + PER_VALUE, C),
    "over a number": (lambda x: x / 3 - 0.5, C),
    "over a tensor": (lambda x: x / (PER_CHANNEL + 2), C),
    "plus a wide constant": (lambda x: x + PER_VALUE, (4, 1, 1)),
    "a constant per sample, all the same": (lambda x: x + torch.ones_like(x), C),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", JOINS)
def test_joins(what: str, style: str) -> None:
    op, *shapes = JOINS[what]
    applied(op, *shapes, style=style)


def test_joins_become_the_plainest_nodes() -> None:
    assert kinds(applied(*JOINS["add"])) == ["Sum"]
    assert kinds(applied(*JOINS["cat"])) == ["Place", "Place", "Sum"]
    assert kinds(applied(*JOINS["one minus"])) == ["Scale"]
    assert kinds(applied(*JOINS["cat zeros"])) == ["Place"]
    assert kinds(applied(lambda x: x * 1 + 0, C)) == []


def test_a_factor_is_per_channel_where_that_is_enough() -> None:
    model = applied(*JOINS["times per channel"])
    factor, offset = (n for n in model.graph.nodes.values() if type(n).__name__ == "Scale")
    assert factor.weight.shape == (4,)
    assert offset.bias.shape == C


def test_a_static_branch_joins_one_that_moves() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        current = m.fc(x)
        spikes = [m.a(current) for _ in range(4)]
        return torch.stack([m.b(s + current) for s in spikes])

    assert_traced(body, torch.randn(3, 5), None)


def parts() -> dict[str, nn.Module]:
    torch.manual_seed(3)
    bn = nn.BatchNorm1d(6)
    bn.running_mean.normal_()
    return {
        "fc": nn.Linear(5, 6), "fc2": nn.Linear(6, 6), "bn": bn,
        "a": neuron.IFNode(v_reset=None), "b": neuron.LIFNode(),
    }  # fmt: skip


def assert_traced(body: Any, x: Tensor, time_axis: int | None = 0) -> Any:
    model = trace(Loop(body, **parts()).double(), x.double(), time_axis=time_axis)
    assert_graph_is_module(model, 1e-12)
    return model.graph


def spikes(m: Any, x: Tensor) -> list[Tensor]:
    return [m.a(m.fc(x_t)) for x_t in x]


def rates(m: Any, x: Tensor) -> Tensor:
    return torch.stack(spikes(m, x)).mean(0)


AFTER_SUMS = {
    "linear after mean": (lambda m, x: m.fc2(rates(m, x)), "mean"),
    "linear after sum": (lambda m, x: m.fc2(sum(spikes(m, x))), "sum"),
    "batch norm after sum": (lambda m, x: m.bn(m.fc2(sum(spikes(m, x)))) - 3, "sum"),
    "sum, linear, mean": (lambda m, x: m.fc2(sum(spikes(m, x))) / 4, "mean"),
    "times 1/T": (lambda m, x: m.fc2(sum(spikes(m, x)) * (1 / 4)), "mean"),
    "another divisor": (lambda m, x: sum(spikes(m, x)) / 3, "sum"),
    "two sums": (lambda m, x: sum(spikes(m, x)) + m.fc(x).sum(0), "sum"),
    "sum and mean": (lambda m, x: rates(m, x) + m.fc(x).sum(0), "mean"),
    "mean over steps and features": (lambda m, x: torch.stack(spikes(m, x)).mean((0, 2)), "mean"),
    "reshaped mean": (lambda m, x: rates(m, x).reshape(-1, 2, 3).mean(-1), "mean"),
}  # fmt: skip


@pytest.mark.parametrize("what", AFTER_SUMS)
def test_linear_layers_after_a_sum_over_steps(what: str) -> None:
    body, reduce = AFTER_SUMS[what]
    graph = assert_traced(body, torch.randn(4, 3, 5))
    assert graph.nodes["output"].reduce == reduce


def test_a_static_value_joins_a_sum_over_steps() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        current = m.fc(x)
        return sum(m.a(current) for _ in range(5)) + current

    assert_traced(body, torch.randn(3, 5), None)


def shared_memory(m: Any, x: Tensor) -> Tensor:
    out = []
    for x_t in x:
        y = m.fc(x_t)
        old = y.view(-1, 6)
        y += m.a(y)
        out.append(old * 2)
    return torch.stack(out)


def one_step_ahead(m: Any, x: Tensor) -> Tensor:
    currents = [m.fc(x_t) for x_t in x]
    fed = [m.fc2(a) + b for a, b in pairwise(currents)]
    return torch.stack([m.a(y) for y in fed])


REFUSED: dict[str, tuple[Any, str]] = {
    "later steps": (one_step_ahead, "its step 0 reads step 1 of add"),
    "other numbers of steps": (lambda m, x: m.fc(x) + m.fc(x)[:1], "joins steps 0..3"),
    "steps and a sum": (lambda m, x: rates(m, x) + m.fc(x), "sum over st"),
    "other axes": (lambda m, x: m.fc(x)[:3] + m.fc(x)[:3].transpose(0, 1), "mean the same"),
    "constant per sample": (
        lambda m, x: torch.stack(spikes(m, x)) + torch.arange(3.0)[:, None], "between samples"
    ),
    "constant per step": (
        lambda m, x: torch.stack(spikes(m, x)) * torch.arange(4.0)[:, None, None], "between samp"
    ),
    "old memory": (shared_memory, "changed in place"),
    "small integers": (lambda m, x: torch.stack(spikes(m, x)).bool() + True, "calculates in"),
    "cat of samples": (lambda m, x: torch.cat(spikes(m, x)[:1] * 2, 0), "along axis 0"),
    "divided by 0": (lambda m, x: m.fc(x) / torch.zeros(6), "divides by 0"),
    "rounded": (lambda m, x: torch.div(m.fc(x), 2, rounding_mode="floor"), "rounds"),
    "part of a constant": (lambda m, x: torch.zeros(4, 3, 6)[0].add_(m.fc(x[0])), "a part of"),
    "neuron after a sum": (lambda m, x: m.b(sum(spikes(m, x))), "sum over the steps"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    body, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        trace(Loop(body, **parts()), torch.randn(4, 3, 5), time_axis=0)
    assert caught.value.fix
