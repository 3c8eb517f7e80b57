"""The normal form of a path computes what the path computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import GraphError, RefusedError
from snnc.ir import Conv, Delay, Flatten, Kind, Linear, Node, Pool, Scale, Signal
from snnc.passes.merge_hops import merge
from snnc.reference.linear import apply

Hop = list[tuple[str, Node]]


def random_node(rng: np.random.Generator, shape: tuple[int, ...]) -> Node:
    axes = len(shape) - 1
    if axes == 0:
        kind = rng.choice(["linear", "scale"])
    else:
        kind = rng.choice(["conv", "pool", "scale", "flatten"], p=[0.35, 0.35, 0.2, 0.1])
    match kind:
        case "linear":
            out = int(rng.integers(1, 6))
            return Linear(rng.normal(size=(out, shape[0])), maybe(rng, out))
        case "scale":
            return Scale(rng.normal(size=shape[0]), maybe(rng, shape[0]))
        case "flatten":
            return Flatten()
        case "pool":
            kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
            stride = (
                kernel if rng.random() < 0.6 else tuple(int(s) for s in rng.integers(1, 4, axes))
            )
            padding = tuple(int(k > 1 and rng.random() < 0.2) for k in kernel)
            return Pool(kernel, stride, padding, "avg" if rng.random() < 0.5 else "sum")
        case _:
            groups = int(rng.choice([1, shape[0]]))
            out = groups * int(rng.integers(1, 3))
            kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
            stride, dilation = (tuple(int(s) for s in rng.integers(1, 3, axes)) for _ in "sd")
            padding = tuple(int(p) for p in rng.integers(0, 2, axes))
            weight = rng.normal(size=(out, shape[0] // groups, *kernel))
            return Conv(weight, maybe(rng, out), stride, padding, dilation, groups)


def maybe(rng: np.random.Generator, size: int) -> np.ndarray | None:
    return rng.normal(size=size) if rng.random() < 0.5 else None


def run(links: Hop, x: np.ndarray) -> np.ndarray:
    for name, node in links:
        x = apply(name, node, x)
    return x


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(0, 4), axes=st.integers(1, 2))
def test_merged_path_equals_path(seed: int, length: int, axes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(4, 9, axes)))
    signal, links = Signal(Kind.SPIKE, shape), []
    try:
        for index in range(length):
            node = random_node(rng, signal.shape)
            signal = node.infer(f"n{index}", signal)
            links.append((f"n{index}", node))
        merged = merge(list(links), Signal(Kind.SPIKE, shape), "a→b")
    except (GraphError, RefusedError):
        return
    assert isinstance(merged[-1][1], Linear | Conv)
    for _, node in merged[:-1]:
        assert isinstance(node, Flatten) or (isinstance(node, Pool) and node.mode == "sum")
    x = rng.normal(size=(2, *shape))
    np.testing.assert_allclose(run(merged, x), run(links, x), atol=1e-9)


def test_pool_before_conv_stays_a_pool_so_that_weights_keep_their_bits() -> None:
    rng = np.random.default_rng(0)
    conv = Conv(rng.normal(size=(4, 2, 3, 3)), None, (1, 1), (1, 1))
    merged = merge(
        [("pool", Pool((2, 2), (2, 2), (0, 0))), ("conv", conv)],
        Signal(Kind.SPIKE, (2, 8, 8)),
        "a→b",
    )
    assert [type(node).__name__ for _, node in merged] == ["Pool", "Conv"]
    last = merged[-1][1]
    assert isinstance(last, Conv)
    np.testing.assert_array_equal(last.weight, conv.weight / 4)


def test_padding_between_two_convolutions_is_refused_with_a_remedy() -> None:
    conv = Conv(np.ones((2, 2, 3, 3)), None, (1, 1), (1, 1))
    with pytest.raises(RefusedError, match="put a neuron between them") as error:
        merge([("one", conv), ("two", conv)], Signal(Kind.SPIKE, (2, 64, 64)), "a→b")
    assert "two" in error.value.where


def test_bias_before_a_delay_is_refused() -> None:
    links: Hop = [("fc", Linear(np.ones((2, 3)), np.ones(2))), ("wait", Delay(2))]
    with pytest.raises(RefusedError, match="bias passes a delay"):
        merge(links, Signal(Kind.SPIKE, (3,)), "a→b")


def test_delay_moves_to_the_front() -> None:
    links: Hop = [("fc", Linear(np.ones((2, 3)))), ("wait", Delay(2))]
    merged = merge(links, Signal(Kind.SPIKE, (3,)), "a→b")
    assert [type(node).__name__ for _, node in merged] == ["Delay", "Linear"]
