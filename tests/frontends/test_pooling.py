"""Average pools and reductions, and what a threshold computes of spikes: max-pool, AND, OR."""

from __future__ import annotations

from typing import Any

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F  # noqa: N812
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.trace import trace
from snnc.ir import Neuron, Scale
from tests.frontends.nets import STYLES, Loop, applied, assert_graph_is_module, kinds

C = (4, 6, 6)

AVERAGES: dict[str, tuple[Any, ...]] = {
    "plain": (lambda x: F.avg_pool2d(x, 3, 2, 1), C),
    "ceil": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), C),
    "ceil that changes nothing": (nn.AvgPool2d(2, ceil_mode=True), C),
    "border not counted": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), C),
    "ceil, border not counted": (
        lambda x: F.avg_pool2d(x, (3, 2), 3, 1, ceil_mode=True, count_include_pad=False), C
    ),
    "own divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), C),
    "own divisor, ceil": (lambda x: F.avg_pool2d(x, 4, 3, ceil_mode=True, divisor_override=5), C),
    "one axis, ceil": (lambda x: F.avg_pool1d(x, 4, 3, ceil_mode=True), (3, 8)),
    "one axis, border": (lambda x: F.avg_pool1d(x, 3, 2, 1, False, False), (3, 8)),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (4, 5)), C),
    "adaptive, partly": (lambda x: F.adaptive_avg_pool2d(x, (None, 4)), C),
    "adaptive, larger": (lambda x: F.adaptive_avg_pool2d(x, 7), (4, 1, 1)),
    "adaptive, one axis": (lambda x: F.adaptive_avg_pool1d(x, 3), (4, 8)),
    "mean": (lambda x: x.mean((-2, -1)), C),
    "mean, kept": (lambda x: x.mean((-2, -1), keepdim=True), C),
    "mean of one axis": (lambda x: x.mean(-1), C),
    "mean over channels": (lambda x: torch.mean(x, dim=1), C),
    "mean of all features": (lambda x: x.mean((1, 2, 3), keepdim=True), C),
    "sum": (lambda x: x.sum(1), C),
    "sum of two": (lambda x: x.sum((1, 3)), C),
    "sum of vectors": (lambda x: x.sum(-1, keepdim=True), (5,)),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", AVERAGES)
def test_averages(what: str, style: str) -> None:
    op, *shapes = AVERAGES[what]
    applied(op, *shapes, style=style)


def test_averages_become_the_plainest_nodes() -> None:
    assert kinds(applied(*AVERAGES["ceil that changes nothing"])) == ["Pool"]
    assert kinds(applied(*AVERAGES["border not counted"])) == ["Pool", "Scale"]
    assert kinds(applied(*AVERAGES["adaptive"])) == ["Sparse"]
    assert kinds(applied(*AVERAGES["adaptive, larger"])) == ["Gather"]
    assert kinds(applied(*AVERAGES["mean"])) == ["Pool", "Flatten"]
    model = applied(*AVERAGES["own divisor"])
    (scale,) = (n for n in model.graph.nodes.values() if isinstance(n, Scale))
    assert scale.weight.tolist() == [1 / 3] * 4


GATES: dict[str, tuple[Any, ...]] = {
    "max_pool2d": (nn.MaxPool2d(2), C),
    "overlapping": (lambda x: F.max_pool2d(x, 3, 2, 1), C),
    "ceil": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), C),
    "dilated": (lambda x: F.max_pool2d(x, 2, 1, 0, 2), C),
    "dilated, ceil": (lambda x: F.max_pool2d(x, 2, 2, 1, 2, ceil_mode=True), C),
    "max_pool1d": (lambda x: F.max_pool1d(x, 2), (3, 8)),
    "adaptive": (lambda x: F.adaptive_max_pool2d(x, (4, 5)), C),
    "adaptive, equal": (nn.AdaptiveMaxPool1d(2), (4, 6)),
    "global": (lambda x: x.amax((2, 3)), C),
    "max over channels": (lambda x: x.max(1)[0], C),
    "max, by name": (lambda x: torch.max(x, dim=-1, keepdim=True).values, C),
    "all over features": (lambda x: x.prod(-1), (3, 4, 2)),
    "any over features": (lambda x: x.bool().any(1).double(), C),
    "min": (lambda x: x.amin((1, 2)), (2, 1, 5)),
    "and": (lambda x, y: x * y, C, C),
    "and, logical": (lambda x, y: torch.logical_and(x, y).double(), C, C),
    "and, bitwise": (lambda x, y: (x.bool() & y.bool()).double(), C, C),
    "and, minimum": (lambda x, y: torch.minimum(x, y), C, C),
    "and, in place": (lambda x, y: x.clone().mul_(y), C, C),
    "and, broadcast": (lambda x, y: x[:, :, None, None] * y, (4,), C),
    "and of three": (lambda x, y: x * y * x.flip(1), C, C),
    "iand": (lambda x, y: (1 - x) * y, C, C),
    "iand of sew": (lambda x, y: x * (1.0 - y), C, C),
    "nor": (lambda x, y: (1 - x) * (1 - y), C, C),
    "not": (lambda x: torch.logical_not(x).double(), C),
    "or": (lambda x, y: torch.maximum(x, y), C, C),
    "or, logical": (lambda x, y: torch.logical_or(x, y).double(), C, C),
    "or, bitwise": (lambda x, y: (x.bool() | ~y.bool()).double(), C, C),
    "or, max": (lambda x, y: torch.max(x, y), C, C),
    "pool of a concatenation": (lambda x, y: F.max_pool2d(torch.cat([x, y], 1), 2), C, C),
    "pool of upsampled": (lambda x: F.max_pool2d(F.interpolate(x, scale_factor=2), 3), C),
    "the same twice": (lambda x: x * x + torch.maximum(x, x), C),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", GATES)
def test_gates(what: str, style: str) -> None:
    op, *shapes = GATES[what]
    applied(op, *shapes, style=style, spikes=True)


def test_a_gate_is_a_neuron_without_memory_that_is_recorded() -> None:
    model = applied(*GATES["max_pool2d"], spikes=True)
    gate = model.graph.nodes["op"]
    assert isinstance(gate, Neuron)
    assert (float(gate.a_v), float(gate.theta), gate.reset) == (0.0, 0.5, "none")
    assert model.example.spikes["op"].shape == (2, 4, 4, 3, 3)
    assert 0 < model.example.spikes["op"].mean() < 1


@pytest.mark.parametrize(("what", "theta"), [("and", 1.5), ("iand", 0.5), ("nor", -0.5)])
def test_thresholds(what: str, theta: float) -> None:
    model = applied(*GATES[what], spikes=True)
    thetas = [float(n.theta) for n in model.graph.nodes.values() if isinstance(n, Neuron)]
    assert thetas == [theta, 1.0]


def spike_train(m: Any, x: Tensor) -> Tensor:
    return torch.stack([m.a(m.fc(x_t)) for x_t in x])


def parts() -> dict[str, nn.Module]:
    torch.manual_seed(2)
    fc = nn.Linear(5, 6)
    fc.bias.data.copy_(torch.linspace(-0.5, 1.3, 6))
    return {"fc": fc, "fc2": nn.Linear(6, 3), "a": neuron.IFNode(v_reset=None)}


OVER_STEPS = {
    "prod": (lambda s: s.prod(0), 3.5),
    "all": (lambda s: s.all(0), 3.5),
    "amin": (lambda s: s.amin(0), 3.5),
    "min": (lambda s: s.min(dim=0).values, 3.5),
    "any": (lambda s: s.bool().any(0), 0.5),
    "max": (lambda s: s.max(0)[0], 0.5),
    "amax, kept": (lambda s: s.amax(0, keepdim=True)[0], 0.5),
}


@pytest.mark.parametrize("what", OVER_STEPS)
def test_and_and_or_over_the_steps(what: str) -> None:
    op, theta = OVER_STEPS[what]
    module = Loop(lambda m, x: op(spike_train(m, x)), **parts()).double()
    model = trace(module, torch.rand(4, 7, 5).double(), time_axis=0)
    assert_graph_is_module(model, 1e-12)
    gate = model.graph.nodes[model.graph.sources("output")[0]]
    assert (float(gate.a_v), float(gate.theta)) == (1.0, theta)
    assert model.graph.nodes["output"].reduce == "last"
    assert 0 < model.example.outputs["output"].mean() < 1


def test_a_layer_after_and_over_the_steps() -> None:
    module = Loop(lambda m, x: m.fc2(spike_train(m, x).prod(0)), **parts()).double()
    assert_graph_is_module(trace(module, torch.rand(4, 7, 5).double(), time_axis=0), 1e-12)


def test_a_gate_at_the_last_step_only() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        return F.max_pool1d(spike_train(m, x)[-1].unsqueeze(1), 2).squeeze(1)

    model = trace(Loop(body, **parts()).double(), torch.rand(4, 7, 5).double(), time_axis=0)
    assert_graph_is_module(model, 1e-12)


def test_max_pool_of_currents_is_not_the_or_of_spikes() -> None:
    """Why max-pool of currents stays on the host: the two differ in a share of all outputs."""
    torch.manual_seed(0)
    x = torch.randn(10, 64, 4, 8, 8)
    pooled, each = snn.Leaky(0.8, init_hidden=True), snn.Leaky(0.8, init_hidden=True)
    of_max = torch.stack([pooled(F.max_pool2d(x_t, 2)) for x_t in x])
    or_of = torch.stack([F.max_pool2d(each(x_t), 2) for x_t in x])
    assert float((of_max != or_of).float().mean()) > 0.05


REFUSED = {
    "max of two currents": (lambda m, x: torch.maximum(m.fc(x), m.fc(x) * 2), "no spike train"),
    "max with a constant": (lambda m, x: torch.maximum(m.fc(x), torch.ones(6)), "with a constant"),
    "not of currents": (lambda m, x: torch.logical_not(m.fc(x)), "no spikes"),
    "place of the maximum": (lambda m, x: spike_train(m, x).max(0)[1], "places of extrema"),
    "some steps": (lambda m, x: spike_train(m, x)[1:].prod(0), "from 1 on"),
    "over samples": (lambda m, x: spike_train(m, x).amax(1), "mixes samples"),
    "over all": (lambda m, x: m.fc(x).mean(), "mixes samples"),
    "time axis kept": (lambda m, x: spike_train(m, x).sum(0, keepdim=True), "keeps the time axis"),
    "pools to nothing": (lambda m, x: F.adaptive_avg_pool1d(m.fc(x[0])[:, None], 0), "to nothing"),
    "max_pool3d": (lambda m, x: F.max_pool3d(m.fc(x)[None], 2), "three spatial axes"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    body, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        trace(Loop(body, **parts()), torch.randn(4, 3, 5), time_axis=0)
    assert caught.value.fix


def test_a_window_that_lies_in_the_padding_is_refused() -> None:
    with pytest.raises(TraceError, match="not 0 or 1"):
        applied(lambda x: F.max_pool1d(x, 2, 1, 1, 3), (1, 2), spikes=True)
