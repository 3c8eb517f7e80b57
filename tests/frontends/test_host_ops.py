"""What only a host computes: functions of real values, maxima, norms, products, and totals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.model import Model
from snnc.frontends.trace import trace
from snnc.ir import Map, MaxPool, Neuron, Normalise, Scale
from tests.frontends.nets import STYLES, Loop, applied, assert_graph_is_module, kinds

V = (5,)
C = (4, 6, 6)
Cases = dict[str, tuple[Any, ...]]

FUNCTIONS: Cases = {
    "relu": (torch.relu,),
    "F.relu": (F.relu,),
    "x.relu": (lambda x: x.relu(),),
    "nn.ReLU, in place": (lambda x: nn.ReLU(inplace=True)(x.clone()),),
    "relu_": (lambda x: x.clone().relu_(),),
    "F.relu_": (lambda x: F.relu_(x.clone()),),
    "relu6": (lambda x: F.relu6(9 * x),),
    "nn.ReLU6": (lambda x: nn.ReLU6()(9 * x),),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2),),
    "nn.LeakyReLU": (nn.LeakyReLU(),),
    "elu": (lambda x: F.elu(x, 0.7),),
    "selu": (F.selu,),
    "gelu": (nn.GELU(),),
    "gelu, tanh": (nn.GELU("tanh"),),
    "sigmoid": (torch.sigmoid,),
    "nn.Sigmoid": (nn.Sigmoid(),),
    "expit": (torch.special.expit,),
    "sigmoid_": (lambda x: x.clone().sigmoid_(),),
    "tanh": (F.tanh,),
    "silu": (F.silu,),
    "nn.SiLU, in place": (lambda x: nn.SiLU(inplace=True)(x.clone()),),
    "softplus": (F.softplus,),
    "softplus, beta": (nn.Softplus(2.5),),
    "softplus, its threshold": (lambda x: F.softplus(x, 1.5, 0.5),),
    "softplus, negative beta": (lambda x: F.softplus(x, -1.5, 2),),
    "clamp": (lambda x: x.clamp(-0.5, 0.25),),
    "clamp from below": (lambda x: x.clamp(min=-0.5),),
    "clamp_min": (lambda x: x.clamp_min(0.1),),
    "clamp_max": (lambda x: torch.clamp_max(x, 0.1),),
    "clamp_": (lambda x: x.clone().clamp_(max=0.3),),
    "clip by tensors": (lambda x: torch.clip(x, torch.tensor(-0.5), torch.tensor([0.5])),),
    "hardtanh": (nn.Hardtanh(-0.3, 0.4),),
    "hardsigmoid": (lambda x: F.hardsigmoid(4 * x),),
    "hardsigmoid, in place": (lambda x: F.hardsigmoid(4 * x, inplace=True),),
    "abs": (abs,),
    "x.abs": (lambda x: x.abs(),),
    "exp": (torch.exp,),
    "log": (lambda x: (x.abs() + 1).log(),),
    "sqrt": (lambda x: torch.sqrt(x.abs()),),
    "rsqrt": (lambda x: (x.abs() + 1).rsqrt(),),
    "square": (torch.square,),
    "x**2": (lambda x: x**2,),
    "x**0.5": (lambda x: x.abs() ** 0.5,),
    "pow(2)": (lambda x: x.pow(2),),
    "pow_": (lambda x: x.clone().pow_(4),),
    "x**1": (lambda x: torch.pow(x, 1),),
    "x**-2": (lambda x: (x.abs() + 1) ** -2,),
    "reciprocal": (lambda x: (x.abs() + 1).reciprocal(),),
    "1/x": (lambda x: 1 / (x.abs() + 1),),
    "constant/x": (lambda x: torch.linspace(1, 2, 5).double() / (x.abs() + 1),),
    "div(constant, x)": (lambda x: torch.div(3.5 * torch.ones(()), x.abs() + 1),),
    "in place through a chain": (lambda x: x.clone().abs_().add_(1).log_().sqrt_().tanh_(),),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", FUNCTIONS)
def test_functions(what: str, style: str) -> None:
    (op,) = FUNCTIONS[what]
    applied(op, V, style=style)


AFFINE_OF_SPIKES = (
    "relu", "nn.ReLU, in place", "leaky_relu", "elu", "selu", "gelu", "gelu, tanh", "sigmoid",
    "tanh", "silu", "softplus, beta", "clamp", "clamp from below", "hardtanh", "exp", "sqrt",
    "x**2",
)  # fmt: skip


@pytest.mark.parametrize("what", AFFINE_OF_SPIKES)
def test_functions_of_spikes_are_affine(what: str) -> None:
    assert set(kinds(applied(*FUNCTIONS[what], V, spikes=True))) <= {"Scale"}


def test_a_function_that_leaves_spikes_alone_is_no_node() -> None:
    assert (
        kinds(applied(lambda x: x.relu().square().sqrt().clamp(0, 1).abs(), V, spikes=True)) == []
    )


MAXIMA: Cases = {
    "max_pool2d": (nn.MaxPool2d(2), C),
    "overlapping": (lambda x: F.max_pool2d(x, 3, 2, 1), C),
    "ceil": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), C),
    "ceil that changes nothing": (nn.MaxPool2d(2, ceil_mode=True), C),
    "dilated": (lambda x: F.max_pool2d(x, 2, 1, 0, 2), C),
    "dilated, ceil": (lambda x: F.max_pool2d(x, 2, 2, 1, 2, ceil_mode=True), C),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), (3, 8)),
    "max_pool1d, ceil": (lambda x: F.max_pool1d(x, 3, 2, ceil_mode=True), (3, 8)),
    "adaptive": (lambda x: F.adaptive_max_pool2d(x, (4, 5)), C),
    "adaptive, equal": (nn.AdaptiveMaxPool1d(2), (4, 6)),
    "adaptive, larger": (nn.AdaptiveMaxPool1d(7), (4, 6)),
    "global": (lambda x: x.amax((2, 3)), C),
    "global, kept": (lambda x: x.amax((2, 3), keepdim=True), C),
    "over channels": (lambda x: x.max(1)[0], C),
    "max, by name": (lambda x: torch.max(x, dim=-1, keepdim=True).values, C),
    "min": (lambda x: x.amin((1, 3)), C),
    "of all features": (lambda x: x.max(1, keepdim=True).values, V),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", MAXIMA)
def test_maxima(what: str, style: str) -> None:
    op, shape = MAXIMA[what]
    applied(lambda x: op(x - 3), shape, style=style)  # all negative: no zero border may win


def test_a_plain_maximum_is_one_node() -> None:
    model = applied(MAXIMA["overlapping"][0], C)
    assert kinds(model) == ["MaxPool"]
    (pool,) = (n for n in model.graph.nodes.values() if isinstance(n, MaxPool))
    assert (pool.kernel, pool.stride, pool.padding) == ((3, 3), (2, 2), (1, 1))
    assert kinds(applied(MAXIMA["ceil"][0], C)) == ["Gather", "MaxPool", "Gather"]


AFFINE = nn.LayerNorm(6), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
for layer in AFFINE:
    layer.weight.data.copy_(torch.linspace(0.5, 2, layer.weight.numel()))
    layer.bias.data.copy_(torch.linspace(-1, 1, layer.bias.numel()))

NORMS: Cases = {
    "layer norm": (lambda x: F.layer_norm(x, (5,)), V),
    "layer norm, affine": (AFFINE[0].double(), (3, 6)),
    "layer norm of images": (nn.LayerNorm(C).double(), C),
    "layer norm of two axes": (lambda x: F.layer_norm(x, (6, 6), eps=0.1), C),
    "layer norm of the channels": (
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2), C
    ),
    "group norm": (AFFINE[1].double(), C),
    "group norm of vectors": (nn.GroupNorm(2, 6).double(), (6,)),
    "instance norm": (AFFINE[2].double(), C),
    "instance norm, plain": (nn.InstanceNorm1d(3), (3, 7)),
    "softmax": (lambda x: x.softmax(-1), V),
    "nn.Softmax": (nn.Softmax(-1), (3, 4)),
    "softmax of the channels": (lambda x: F.softmax(x, 1), C),
    "softmax of rows": (lambda x: torch.softmax(x, -2), C),
    "log_softmax": (nn.LogSoftmax(1), (3, 4)),
    "F.normalize": (F.normalize, V),
    "F.normalize of rows": (lambda x: F.normalize(x, dim=-2), (3, 4)),
    "F.normalize, eps": (lambda x: F.normalize(x, eps=3.0), V),
    "norm": (lambda x: x.norm(dim=-1, keepdim=True), V),
    "norm, without its axis": (lambda x: x.norm(dim=(1, 2)), (3, 4, 2)),
    "torch.norm": (lambda x: torch.norm(x, 2, 1), (3, 4)),
    "vector_norm": (lambda x: torch.linalg.vector_norm(x, dim=1), (3, 4)),
    "vector_norm, positional": (lambda x: torch.linalg.vector_norm(x, 2, -1, True), (3, 4)),
    "linalg.norm": (lambda x: torch.linalg.norm(x, dim=-1), (3, 4)),
    "x / norm": (lambda x: x / x.norm(dim=-1, keepdim=True), (3, 4)),
    "x / norm, clamped": (lambda x: x / x.norm(dim=1, keepdim=True).clamp_min(1.5), V),
    "standardised by hand": (
        lambda x: (x - x.mean(1, keepdim=True)) / ((x - x.mean(1, keepdim=True)) ** 2)
        .mean(1, keepdim=True).sqrt(), V
    ),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", NORMS)
def test_norms(what: str, style: str) -> None:
    op, shape = NORMS[what]
    applied(op, shape, style=style)


def test_normalised_axes_that_are_last_need_no_reordering() -> None:
    assert kinds(applied(NORMS["layer norm, affine"][0], (3, 6))) == ["Normalise", "Scale"]
    assert kinds(applied(NORMS["softmax of the channels"][0], C)) == [
        "Gather", "Normalise", "Gather",
    ]  # fmt: skip
    model = applied(NORMS["group norm"][0], C)
    (norm,) = (n for n in model.graph.nodes.values() if isinstance(n, Normalise))
    (scale,) = (n for n in model.graph.nodes.values() if isinstance(n, Scale))
    assert (norm.rows, scale.weight.shape) == (2, (4,))


PRODUCTS: Cases = {
    "x * y": (lambda x, y: x * y, C, C),
    "x * y, in place": (lambda x, y: x.clone().mul_(y), V, V),
    "x *= y": (lambda x, y: _imul(x.clone(), y), V, V),
    "broadcast": (lambda x, y: x * y[:, :, None, None], C, (4,)),
    "broadcast channel": (lambda x, y: x * y, C, (1, 6, 6)),
    "gated": (lambda x: x * torch.sigmoid(x), V),
    "squeezed and excited": (
        lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)), C
    ),
    "with itself": (lambda x: x * x, V),
    "without features": (lambda x: x.norm(dim=1) * x.sum(1), V),
    "x / y": (lambda x, y: x / (y.abs() + 1), V, V),
    "x /= y": (lambda x, y: x.clone().div_(y.exp()), V, V),
    "torch.div": (lambda x, y: torch.true_divide(x, y.exp()), V, V),
    "real attention": (
        lambda q, k: (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ k, (2, 3, 4), (2, 5, 4)
    ),
}  # fmt: skip


def _imul(x: Tensor, y: Tensor) -> Tensor:
    x *= y
    return x


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", PRODUCTS)
def test_products(what: str, style: str) -> None:
    op, *shapes = PRODUCTS[what]
    applied(op, *shapes, style=style)


def test_a_real_value_gated_by_spikes() -> None:
    model = applied(lambda s: s * (2.5 * s.flip(1)), V, spikes=True)
    assert "Multiply" in kinds(model)


# ---- totals


def spike_train(m: Any, x: Tensor) -> Tensor:
    return torch.stack([m.a(m.fc(x_t)) for x_t in x])


def traced(body: Any, **parts: nn.Module) -> Model:
    torch.manual_seed(2)
    fc = nn.Linear(5, 6)
    module = Loop(body, fc=fc, fc2=nn.Linear(6, 3), a=neuron.IFNode(v_reset=None), **parts).double()
    model = trace(module, torch.rand(4, 7, 5).double(), time_axis=0)
    assert_graph_is_module(model, 1e-12)
    return model


def cosine(m: Any, x: Tensor) -> Tensor:
    return F.linear(F.normalize(spike_train(m, x).mean(0)), F.normalize(m.fc2.weight))


def running(m: Any, x: Tensor) -> Tensor:
    total = torch.zeros(())
    steps = []
    for x_t in x:
        total = total + m.a(m.fc(x_t))
        steps.append(torch.tanh(total))
    return torch.stack(steps)


def in_place_running(m: Any, x: Tensor) -> Tensor:
    total: Any = 0
    for x_t in x:
        total = total + m.fc2(m.a(m.fc(x_t)))
    return F.log_softmax(total / len(x), -1)


TOTALS: dict[str, Any] = {
    "softmax of the mean": lambda m, x: spike_train(m, x).mean(0).softmax(-1),
    "softmax of the scores": lambda m, x: m.fc2(spike_train(m, x).mean(0)).softmax(-1),
    "softmax of the sum": lambda m, x: F.softmax(m.fc2(spike_train(m, x).sum(0)), 1),
    "cosine": cosine,
    "layers behind": lambda m, x: m.fc2(torch.relu(spike_train(m, x).sum(0) - 1)).tanh(),
    "normalised by hand": lambda m, x: (
        (z := spike_train(m, x).mean(0)) / (z.norm(dim=-1, keepdim=True) + 1e-3)
    ),
    "maximum": lambda m, x: F.max_pool1d(spike_train(m, x).sum(0)[:, None], 2).flatten(1),
    "greatest": lambda m, x: spike_train(m, x).mean(0).amax(1, keepdim=True),
    "running scores": in_place_running,
    "divided by something else": lambda m, x: (spike_train(m, x).sum(0) / 3).exp(),
    "less its maximum": lambda m, x: (z := spike_train(m, x).mean(0)) - z.amax(1, keepdim=True),
    "added to itself": lambda m, x: (z := spike_train(m, x).mean(0)).exp() + z,
    "with the last step": lambda m, x: (s := spike_train(m, x)).sum(0).sigmoid() - s[-1],
    "concatenated with itself": lambda m, x: torch.cat(
        [z := spike_train(m, x).sum(0), z.sqrt()], 1
    ),
    "concatenated behind": lambda m, x: torch.cat(
        [spike_train(m, x).mean(0).tanh(), m.fc(x[-1]).relu()], 1
    ),
}


@pytest.mark.parametrize("what", TOTALS)
def test_functions_of_totals(what: str) -> None:
    model = traced(TOTALS[what])
    counters = [n for n in model.graph.nodes.values()
                if isinstance(n, Neuron) and n.compare == "never"]  # fmt: skip
    assert [float(n.a_v) for n in counters] == [1.0]
    assert model.graph.nodes["output"].reduce == "last"
    assert np.ptp(model.example.outputs["output"]) > 0
    assert list(model.example.spikes) == ["a"]


def test_a_mean_over_the_steps_is_the_gain_of_its_counter() -> None:
    model = traced(cosine)
    (counter,) = (n for n in model.graph.nodes.values()
                  if isinstance(n, Neuron) and n.compare == "never")  # fmt: skip
    assert float(counter.g) == 1 / 4
    assert kinds(model)[-2:] == ["Normalise", "Linear"]


def test_the_mean_of_a_function_of_every_step_stays_a_mean() -> None:
    model = traced(lambda m, x: m.fc2(spike_train(m, x)).softmax(-1).mean(0))
    assert model.graph.nodes["output"].reduce == "mean"
    assert len(model.graph.neurons) == 1


def test_a_function_in_place_forgets_views_of_its_argument() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        y = m.fc(x[0])
        view = y[:, :3]
        F.relu(y, inplace=True)
        return m.fc2(y) + view

    with pytest.raises(TraceError, match="changed in place"):
        traced(body)


REFUSED: dict[str, tuple[Any, str]] = {
    "where": (lambda m, x: torch.where(m.fc(x) > 0, 1.0, 0.0), "values of a traced"),
    "where, itself": (
        lambda m, x: torch.where(torch.ones(6) > 0, m.fc(x), torch.zeros(6)), "no node"
    ),
    "argmax": (lambda m, x: m.fc(x).argmax(-1), "do it outside"),
    "topk": (lambda m, x: m.fc(x).topk(2), "do it outside"),
    "odd power": (lambda m, x: m.fc(x) ** 3.5, "one of .*2"),
    "traced power": (lambda m, x: torch.pow(m.fc(x), m.fc(x)), "depend on the input"),
    "power of a constant": (lambda m, x: 2 ** m.fc(x), "no node"),
    "bounds per value": (lambda m, x: m.fc(x).clamp(torch.zeros(6)), "differ between"),
    "softplus of beta 0": (lambda m, x: F.softplus(m.fc(x), 0), "divides"),
    "softmax over steps": (lambda m, x: torch.softmax(spike_train(m, x), 0), "along the steps"),
    "softmax over samples": (lambda m, x: spike_train(m, x).softmax(1), "mixes samples"),
    "softmax in half": (
        lambda m, x: torch.softmax(m.fc(x), -1, torch.float16), "rounds"
    ),
    "norm of order 1": (lambda m, x: F.normalize(m.fc(x), 1, -1), "order 1"),
    "norm of everything": (lambda m, x: m.fc(x).norm(), "mixes samples"),
    "norm of matrices": (lambda m, x: torch.linalg.norm(m.fc(x), dim=(-2, -1)), "matrices"),
    "rms_norm": (lambda m, x: F.rms_norm(m.fc(x), (6,)), "values of each sample"),
    "whole quotient": (
        lambda m, x: torch.div(m.fc(x), m.fc(x), rounding_mode="floor"), "rounds the quotient"
    ),
    "every step of a running total": (running, "step 0 of tanh with step 1"),
    "total of some steps": (lambda m, x: spike_train(m, x)[1:].mean(0).tanh(), "from 1 on"),
    "integers": (lambda m, x: spike_train(m, x).long().sum(0).abs(), "in integers"),
    "mish": (lambda m, x: F.mish(m.fc(x)), "not known"),
    "maximum with a constant": (lambda m, x: torch.max(m.fc(x), torch.zeros(6)), "constant"),
    "attention": (
        lambda m, x: F.scaled_dot_product_attention(*[m.fc(x)[None]] * 3), "softmax"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    body, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        traced(body)
    assert caught.value.fix


def test_a_window_that_lies_in_the_padding_is_refused() -> None:
    with pytest.raises(TraceError, match="in the padding altogether"):
        applied(lambda x: F.max_pool1d(x, 2, 1, 1, 3), (1, 2))


def test_clip_keeps_an_open_bound() -> None:
    model = applied(lambda x: x.clamp(min=-0.5), V)
    (node,) = (n for n in model.graph.nodes.values() if isinstance(n, Map))
    assert (node.function, node.low, node.high) == ("clip", -0.5, np.finfo(np.float64).max)
