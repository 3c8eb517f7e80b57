"""Stateless layers against torch's own results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.model import Model
from snnc.frontends.trace import trace
from snnc.ir import Conv, Flatten, Linear, Pool, Scale
from tests.frontends.nets import Loop, assert_graph_is_module

PROPERTY = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**31)


def readout_and_spikes(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = m.lif.init_leaky()
    steps = []
    for _ in range(3):
        y = m.layer(x)
        spk, mem = m.lif(y, mem)
        steps.append(spk)
    return y, torch.stack(steps)


def traced(layer: nn.Module, x: Tensor) -> Model:
    """The layer's own output is a readout, so every value of it is compared."""
    net = Loop(readout_and_spikes, layer=layer, lif=snn.Leaky(0.8)).double()
    model = trace(net, x.double())
    assert model.graph.nodes["output_0"].reduce == "last"
    assert_graph_is_module(model)
    return model


def only(model: Model, kind: type) -> Any:
    (node,) = (n for n in model.graph.nodes.values() if isinstance(n, kind))
    return node


@st.composite
def windows(draw: Any, rank: int) -> dict[str, Any]:
    def axis(low: int, high: int) -> Any:
        return draw(st.tuples(*[st.integers(low, high)] * rank))

    kernel, stride, padding, dilation = axis(1, 4), axis(1, 3), axis(0, 2), axis(1, 2)
    reach = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    extents = tuple(max(n, r) for n, r in zip(axis(1, 9), reach, strict=True))
    return {
        "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation,
        "extents": extents,
    }  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2])
@PROPERTY
@given(data=st.data())
def test_conv(rank: int, data: Any) -> None:
    w = data.draw(windows(rank))
    groups = data.draw(st.integers(1, 3))
    channels = groups * data.draw(st.integers(1, 3))
    out = groups * data.draw(st.integers(1, 3))
    torch.manual_seed(data.draw(seeds))
    cls = nn.Conv1d if rank == 1 else nn.Conv2d
    layer = cls(
        channels, out, w["kernel"], w["stride"], w["padding"], w["dilation"], groups,
        bias=data.draw(st.booleans()),
    )  # fmt: skip
    node = only(traced(layer, torch.randn(2, channels, *w["extents"])), Conv)
    assert node.kernel == w["kernel"]
    assert node.weight.dtype == np.float64


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
@PROPERTY
@given(data=st.data())
def test_conv_with_padding_by_name(rank: int, padding: str, data: Any) -> None:
    kernel = data.draw(st.tuples(*[st.sampled_from([1, 3, 5])] * rank))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    torch.manual_seed(data.draw(seeds))
    cls = nn.Conv1d if rank == 1 else nn.Conv2d
    layer = cls(2, 3, kernel, padding=padding, dilation=dilation)
    traced(layer, torch.randn(2, 2, *(10,) * rank))


@pytest.mark.parametrize("rank", [1, 2])
@PROPERTY
@given(data=st.data())
def test_avg_pool(rank: int, data: Any) -> None:
    w = data.draw(windows(rank))
    padding = tuple(min(p, k // 2) for p, k in zip(w["padding"], w["kernel"], strict=True))
    assume(all(n + 2 * p >= k for n, p, k in zip(w["extents"], padding, w["kernel"], strict=True)))
    torch.manual_seed(data.draw(seeds))
    cls = nn.AvgPool1d if rank == 1 else nn.AvgPool2d
    stride = data.draw(st.sampled_from([None, w["stride"]]))
    node = only(traced(cls(w["kernel"], stride, padding), torch.randn(2, 3, *w["extents"])), Pool)
    assert node.mode == "avg"
    assert node.stride == (stride or w["kernel"])


def test_ceil_mode_that_changes_nothing_is_accepted() -> None:
    traced(nn.AvgPool2d(2, ceil_mode=True), torch.randn(2, 3, 6, 6))


@pytest.mark.parametrize(("divisor", "mode"), [(1, "sum"), (6, "avg")])
def test_divisor_override(divisor: int, mode: str) -> None:
    layer = nn.AvgPool2d((2, 3), divisor_override=divisor)
    assert only(traced(layer, torch.randn(2, 3, 6, 6)), Pool).mode == mode


@pytest.mark.parametrize("size", [1, (2, 3), (None, 2)])
def test_adaptive_pool_that_divides(size: Any) -> None:
    traced(nn.AdaptiveAvgPool2d(size), torch.randn(2, 3, 4, 6))
    traced(nn.AdaptiveAvgPool1d(2), torch.randn(2, 3, 4))


@PROPERTY
@given(st.sampled_from([1, 2, 3]), st.booleans(), st.floats(1e-6, 0.1), seeds)
def test_batch_norm(dims: int, affine: bool, eps: float, seed: int) -> None:
    torch.manual_seed(seed)
    cls = nn.BatchNorm2d if dims == 3 else nn.BatchNorm1d
    layer = cls(3, eps=eps, affine=affine)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.1, 3)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    node = only(traced(layer, torch.randn(2, 3, *(4,) * (dims - 1))), Scale)
    assert node.weight.shape == (3,)


@PROPERTY
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_flatten(shape: list[int], data: Any) -> None:
    start = data.draw(st.integers(1, len(shape)))
    end = data.draw(st.integers(start, len(shape)))
    model = traced(nn.Flatten(start, end), torch.randn(2, *shape))
    kept = [n for n in model.graph.nodes.values() if isinstance(n, Flatten)]
    assert len(kept) == (start != end)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize(
    "reshape",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(start_dim=1),
        lambda x: x.reshape((len(x), 4, 6)).flatten(1),
    ],
)
def test_reshapes_that_merge_features(reshape: Any, batch: int) -> None:
    class Reshape(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return reshape(x)

    model = traced(Reshape(), torch.randn(batch, 4, 2, 3))
    assert model.graph.signals[model.graph.sources("lif")[0]].shape == (24,)


def test_functions_with_constant_parameters() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
            self.weight = nn.Parameter(torch.randn(5, 4))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(x, self.kernel, padding=1)
            x = F.dropout(F.avg_pool2d(x, 2), 0.5, training=self.training)
            x = F.adaptive_avg_pool2d(x.contiguous().clone(), 1).squeeze(-1).squeeze(-1)
            return F.linear(input=x.to(torch.float64).detach(), weight=self.weight * 2)

    model = traced(Functional(), torch.randn(2, 2, 6, 6))
    assert len([n for n in model.graph.nodes.values() if isinstance(n, Linear)]) == 1


def test_what_does_nothing_leaves_no_node() -> None:
    layer = nn.Sequential(nn.Dropout(0.5), nn.Identity(), nn.Dropout1d(), nn.Linear(3, 3))
    model = traced(layer, torch.randn(2, 3))
    kinds = [type(n).__name__ for n in model.graph.nodes.values()]
    assert kinds == ["Input", "Linear", "Neuron", "Output", "Output"]


def test_half_precision_weights_are_held_exactly() -> None:
    net = nn.Sequential(nn.Linear(3, 4), snn.Leaky(0.5, init_hidden=True)).to(torch.bfloat16)
    x = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.bfloat16)
    model = trace(net, x, steps=2)
    np.testing.assert_array_equal(
        model.graph.nodes["0"].weight, net[0].weight.detach().float().numpy()
    )


def refused(layer: nn.Module, x: Tensor, match: str) -> TraceError:
    with pytest.raises(TraceError, match=match) as caught:
        traced(layer, x)
    assert caught.value.fix
    return caught.value


IMAGE = (2, 3, 5, 5)


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        (nn.LPPool2d(2, 2), IMAGE, "not supported"),
        (nn.Mish(), (2, 3), "not known"),
        (nn.RMSNorm(3), (2, 3), "each sample"),
        (nn.BatchNorm2d(3, track_running_stats=False), IMAGE, "statistics of the batch"),
        (nn.MaxPool2d(2, return_indices=True), IMAGE, "places"),
        (nn.GRUCell(3, 3), (2, 3), "not supported"),
        (nn.LSTM(3, 3), (2, 3), "not supported"),
        (nn.Conv3d(1, 2, 1), (2, 1, 2, 2, 2), "three spatial axes"),
        (nn.Embedding(3, 3), (2, 3), "not supported|fails"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_refusals_name_the_module(layer: nn.Module, shape: tuple[int, ...], match: str) -> None:
    error = refused(layer, torch.rand(shape), match)
    assert "layer" in error.where or "fails" in error.cause


def test_a_hook_that_changes_values_is_traced_or_refused() -> None:
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda _m, _i, out: out * 2)
    assert only(traced(layer, torch.rand(2, 3)), Scale).weight.tolist() == [2, 2, 2]
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda _m, _i, out: out.cumsum(1))
    refused(layer, torch.rand(2, 3), "no node for")
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda _m, _i, out: torch.ones(2, 3))
    refused(layer, torch.rand(2, 3), "does not depend")


def test_a_hook_that_only_looks_is_accepted() -> None:
    seen = []
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape)))
    traced(layer, torch.rand(2, 3))
    assert seen
