"""The operations of the host against torch in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from torch import Tensor

from snnc.errors import GraphError
from snnc.ir import HostOnly, Kind, Map, MaxPool, Multiply, Normalise, Signal
from snnc.ir.ops import Function
from snnc.reference.host import FUNCTIONS
from snnc.reference.linear import apply

torch.set_num_threads(1)
QUICK = settings(max_examples=80, deadline=None)

VALUES = np.concatenate(
    [np.linspace(-6, 6, 241), [0.0, -0.0, 1e-300, -1e-300, 1e-9, 25.0, -25.0, 600.0, -600.0, 1e9]]
)

EXPECTED: dict[Function, list[tuple[float, float, Callable[[Tensor], Tensor]]]] = {
    "relu": [(0, 0, F.relu)],
    "leaky_relu": [(0.01, 0, F.leaky_relu), (-0.5, 0, lambda x: F.leaky_relu(x, -0.5))],
    "elu": [(1, 0, F.elu), (0.3, 0, lambda x: F.elu(x, 0.3))],
    "gelu": [(0, 0, F.gelu)],
    "gelu_tanh": [(0, 0, lambda x: F.gelu(x, approximate="tanh"))],
    "sigmoid": [(0, 0, torch.sigmoid)],
    "tanh": [(0, 0, torch.tanh)],
    "silu": [(0, 0, F.silu)],
    "softplus": [
        (1, 20, F.softplus),
        (2.5, 20, lambda x: F.softplus(x, 2.5)),
        (0.5, 1, lambda x: F.softplus(x, 0.5, 1)),
        (-1, 3, lambda x: F.softplus(x, -1, 3)),
        (1, 0, lambda x: F.softplus(x, 1, 0)),
    ],
    "clip": [
        (-1, 2, lambda x: x.clamp(-1, 2)),
        (2, -1, lambda x: x.clamp(2, -1)),
        (0, np.finfo(np.float64).max, lambda x: x.clamp(min=0)),
    ],
    "abs": [(0, 0, torch.abs)],
    "exp": [(0, 0, torch.exp)],
    "log": [(0, 0, torch.log)],
    "sqrt": [(0, 0, torch.sqrt)],
    "square": [(0, 0, torch.square)],
    "reciprocal": [(0, 0, torch.reciprocal)],
}  # fmt: skip


def run(node: HostOnly, x: np.ndarray) -> np.ndarray:
    """The node's output, of the shape that it infers."""
    y = apply("node", node, x)
    assert y.dtype == np.float64
    assert y.shape[1:] == node.infer("node", Signal(Kind.ANALOG, x.shape[1:])).shape
    return y


def test_every_function_is_compared() -> None:
    assert set(EXPECTED) == set(FUNCTIONS) == set(get_args(Function))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", EXPECTED)
def test_functions(function: Function) -> None:
    for low, high, theirs in EXPECTED[function]:
        ours = run(Map(function, low, high), VALUES[None])[0]
        wanted = theirs(torch.from_numpy(VALUES)).numpy()
        np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-14, err_msg=f"{low}, {high}")
    assert len({*wanted[np.isfinite(wanted)]}) > 2


def test_softplus_switches_where_torch_does() -> None:
    """Just above the threshold the two pieces differ by log(1 + exp(−βx))/β."""
    x = np.asarray([[0.99, 1.0, 1.01]])
    below, at, above = run(Map("softplus", 2.0, 2.0), x)[0]
    assert above == 1.01
    assert min(below, at) > 1.05


def test_a_softplus_that_divides_by_0_is_refused() -> None:
    with pytest.raises(GraphError, match="β, which is 0"):
        Map("softplus", 0.0, 20.0).infer("node", Signal(Kind.ANALOG, (3,)))


@st.composite
def pools(draw: st.DrawFn) -> tuple[MaxPool, np.ndarray]:
    """A pool over one or two axes, and an image whose values are all negative."""
    rank = draw(st.integers(1, 2))

    def each(low: int, high: int) -> tuple[int, ...]:
        return draw(st.tuples(*[st.integers(low, high)] * rank))

    kernel, stride, dilation = each(1, 4), each(1, 3), each(1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    extents = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 5))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return MaxPool(kernel, stride, padding, dilation), rng.normal(-5, 1, (2, 3, *extents))


@QUICK
@given(pools())
def test_max_pool(case: tuple[MaxPool, np.ndarray]) -> None:
    node, x = case
    pool = F.max_pool1d if len(node.kernel) == 1 else F.max_pool2d
    wanted = pool(torch.from_numpy(x), node.kernel, node.stride, node.padding, node.dilation)
    np.testing.assert_array_equal(run(node, x), wanted.numpy())


@pytest.mark.parametrize(("kernel", "padding"), [(1, 1), (3, 2), (4, 3)])
def test_the_most_padding_is_that_of_torch(kernel: int, padding: int) -> None:
    x = torch.zeros(1, 1, 12)
    signal = Signal(Kind.ANALOG, (1, 12))
    for dilation in (1, 2):
        F.max_pool1d(x, kernel, 1, kernel // 2, dilation)
        MaxPool((kernel,), (1,), (kernel // 2,), (dilation,)).infer("node", signal)
        with pytest.raises(RuntimeError, match="half of kernel"):
            F.max_pool1d(x, kernel, 1, padding, dilation)
        with pytest.raises(GraphError, match="more than half"):
            MaxPool((kernel,), (1,), (padding,), (dilation,)).infer("node", signal)


X = np.random.default_rng(1).normal(0.3, 2, (4, 6, 2, 5))

NORMS: dict[str, tuple[Normalise, Callable[[Tensor], Tensor]]] = {
    "layer": (Normalise(1, "layer", 1e-5), lambda x: F.layer_norm(x, x.shape[1:])),
    "last axes": (Normalise(6, "layer", 0.1), lambda x: F.layer_norm(x, x.shape[2:], eps=0.1)),
    "group": (Normalise(3, "layer", 1e-5), lambda x: F.group_norm(x, 3)),
    "instance": (Normalise(6, "layer", 1e-5), F.instance_norm),
    "l2": (Normalise(12, "l2", 1e-12), lambda x: F.normalize(x, dim=-1)),
    "l2 of the whole": (
        Normalise(1, "l2", 100.0), lambda x: F.normalize(x.flatten(1), eps=100.0).reshape(x.shape)
    ),
    "softmax": (Normalise(12, "softmax"), lambda x: x.softmax(-1)),
    "log_softmax": (Normalise(12, "log_softmax"), lambda x: x.log_softmax(-1)),
}  # fmt: skip


@pytest.mark.parametrize("what", NORMS)
@pytest.mark.parametrize("scale", [1.0, 1e-6, 300.0])
def test_normalise(what: str, scale: float) -> None:
    node, theirs = NORMS[what]
    wanted = theirs(torch.from_numpy(X * scale)).numpy()
    np.testing.assert_allclose(run(node, X * scale), wanted, rtol=1e-10, atol=1e-13)


def test_normalise_of_constants() -> None:
    """Nothing is divided by 0 where eps says so; softmax of huge values does not overflow."""
    zero = np.zeros((1, 4))
    assert run(Normalise(1, "l2", 1e-12), zero).tolist() == zero.tolist()
    assert run(Normalise(1, "layer", 1e-5), zero + 7).tolist() == zero.tolist()
    assert run(Normalise(2, "softmax"), zero + 1e4).tolist() == [[0.5] * 4]


@QUICK
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_multiply(channels: int, extent: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, channels, extent))
    np.testing.assert_array_equal(run(Multiply(), np.concatenate([a, b], axis=1)), a * b)
