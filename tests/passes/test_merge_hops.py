"""The normal form of a path computes what the path computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from snnc.errors import GraphError, RefusedError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Kind,
    Linear,
    Node,
    Place,
    Pool,
    Scale,
    Signal,
    Sparse,
    Sum,
    Weighted,
)
from snnc.passes.merge_hops import merge
from snnc.reference.linear import apply

Hop = list[tuple[str, Node]]


KINDS = {
    True: ["linear", "scale", "place", "gather", "sparse", "sum"],
    False: ["conv", "pool", "transposed", "shuffle", "scale", "place", "flatten", "gather", "sum"],
}


def random_node(rng: np.random.Generator, shape: tuple[int, ...]) -> Node:
    axes = len(shape) - 1
    match rng.choice(KINDS[axes == 0]):
        case "linear":
            out = int(rng.integers(1, 6))
            return Linear(rng.normal(size=(out, shape[0])), maybe(rng, (out,)))
        case "scale":
            each = shape if rng.random() < 0.3 else shape[:1]
            offset = shape if rng.random() < 0.3 else shape[:1]
            return Scale(rng.normal(size=each), maybe(rng, offset))
        case "sum":
            return Sum()
        case "place":
            before, after = (int(n) for n in rng.integers(0, 3, 2))
            return Place(before, before + shape[0] + after)
        case "gather":
            out_shape = (shape[0], *(int(n) for n in rng.integers(3, 6, axes)))
            return Gather(rng.integers(-1, int(np.prod(shape)), out_shape))
        case "sparse":
            out = int(rng.integers(1, 5))
            matrix = sparse.random_array((out, shape[0]), density=0.5, rng=rng, format="csr")
            return Sparse(
                matrix.data, matrix.indices, matrix.indptr, shape, (out,), maybe(rng, (out,))
            )
        case "flatten":
            return Flatten()
        case "shuffle":
            return ConvTranspose(
                np.ones((shape[0], 1, *(2,) * axes)), None, (2,) * axes, (0,) * axes, (0,) * axes,
                (1,) * axes, shape[0],
            )  # fmt: skip
        case "pool":
            kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
            stride = (
                kernel if rng.random() < 0.6 else tuple(int(s) for s in rng.integers(1, 4, axes))
            )
            padding = tuple(int(k > 1 and rng.random() < 0.2) for k in kernel)
            return Pool(kernel, stride, padding, "avg" if rng.random() < 0.5 else "sum")
        case kind:
            return windowed(rng, shape, kind == "transposed")


def windowed(
    rng: np.random.Generator, shape: tuple[int, ...], transposed: bool
) -> Conv | ConvTranspose:
    axes = len(shape) - 1
    groups = int(rng.choice([1, shape[0]]))
    out = groups * int(rng.integers(1, 3))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    stride, dilation = (tuple(int(s) for s in rng.integers(1, 3, axes)) for _ in "sd")
    padding = tuple(int(p) for p in rng.integers(0, 2, axes))
    weight = rng.normal(size=(out, shape[0] // groups, *kernel))
    if not transposed:
        node = Conv(weight, None, stride, padding, dilation, groups)
    else:
        more = tuple(int(rng.integers(0, s)) for s in stride)
        node = ConvTranspose(weight, None, stride, padding, more, dilation, groups)
    whole = node.infer("", Signal(Kind.ANALOG, shape)).shape
    return replace(node, bias=maybe(rng, whole if rng.random() < 0.3 else (out,)))


def maybe(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray | None:
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
    except GraphError:
        return
    merged = merge(list(links), Signal(Kind.SPIKE, shape), "a→b")
    assert isinstance(merged[-1][1], Weighted)
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


def kinds(merged: Hop) -> list[str]:
    return [type(node).__name__ for _, node in merged]


def test_padding_between_two_convolutions_is_written_out() -> None:
    rng = np.random.default_rng(1)
    conv = Conv(rng.normal(size=(2, 2, 3, 3)), rng.normal(size=2), (1, 1), (1, 1))
    links: Hop = [("one", conv), ("two", conv)]
    merged = merge(list(links), Signal(Kind.SPIKE, (2, 6, 6)), "a→b")
    assert kinds(merged) == ["Sparse"]
    x = rng.normal(size=(2, 2, 6, 6))
    np.testing.assert_allclose(run(merged, x), run(links, x), atol=1e-9)


def test_what_is_too_large_to_be_written_out_is_refused_with_a_remedy() -> None:
    conv = Conv(np.ones((64, 64, 3, 3)), None, (1, 1), (1, 1))
    with pytest.raises(RefusedError, match="put a neuron between them") as error:
        merge([("one", conv), ("two", conv)], Signal(Kind.SPIKE, (64, 64, 64)), "a→b")
    assert error.value.where in ("one", "two")


def test_batch_norm_before_a_padded_convolution_gives_a_bias_per_position() -> None:
    """L7: the naive fold is wrong at the border."""
    rng = np.random.default_rng(2)
    norm = Scale(rng.normal(size=3), rng.normal(size=3))
    conv = Conv(rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), (1, 1), (1, 1))
    merged = merge([("bn", norm), ("conv", conv)], Signal(Kind.SPIKE, (3, 5, 5)), "a→b")
    assert kinds(merged) == ["Conv"]
    last = merged[0][1]
    assert isinstance(last, Conv)
    assert last.bias is not None
    assert last.bias.shape == (4, 5, 5)
    x = rng.normal(size=(2, 3, 5, 5))
    np.testing.assert_allclose(run(merged, x), run([("", norm), ("", conv)], x), atol=1e-12)


@pytest.mark.parametrize(
    ("links", "shape", "expected"),
    [
        ([], (4, 3, 3), ["Conv"]),
        ([], (4,), ["Sparse"]),
        ([Place(2, 7), Conv(np.ones((2, 7, 3, 3)))], (3, 5, 5), ["Conv"]),
        ([Place(2, 7), Flatten(), Linear(np.ones((2, 63)))], (3, 3, 3), ["Flatten", "Linear"]),
        ([Conv(np.ones((2, 3, 3, 3))), Place(1, 4)], (3, 5, 5), ["Conv"]),
        (
            [
                ConvTranspose(np.ones((3, 1, 2, 2)), None, (2, 2), groups=3),
                Conv(np.ones((4, 3, 3, 3)), None, (1, 1), (1, 1)),
            ],
            (3, 4, 4),
            ["ConvTranspose"],
        ),
        (
            [
                Conv(np.ones((8, 3, 3, 3)), None, (1, 1), (1, 1)),
                ConvTranspose(np.ones((2, 4, 2, 2)), None, (2, 2), groups=2),
            ],
            (3, 4, 4),
            ["ConvTranspose"],
        ),
        ([Scale(np.ones((2, 3, 3)) * np.arange(9).reshape(3, 3))], (2, 3, 3), ["Sparse"]),
        ([Scale(np.ones((2, 3, 3)))], (2, 3, 3), ["Conv"]),
    ],
    ids=[
        "identity", "identity-1d", "concat-conv", "concat-linear", "concat-of-currents",
        "upsample-conv", "pixel-shuffle", "hadamard", "uniform-hadamard",
    ],
)  # fmt: skip
def test_shared_kernels_stay_shared(
    links: list[Node], shape: tuple[int, ...], expected: list[str]
) -> None:
    """What would be correct but large as a matrix keeps its kernel."""
    merged = merge([(f"n{i}", n) for i, n in enumerate(links)], Signal(Kind.SPIKE, shape), "a→b")
    assert kinds(merged) == expected


def test_bias_before_a_delay_is_refused() -> None:
    links: Hop = [("fc", Linear(np.ones((2, 3)), np.ones(2))), ("wait", Delay(2))]
    with pytest.raises(RefusedError, match="bias passes a delay"):
        merge(links, Signal(Kind.SPIKE, (3,)), "a→b")


def test_delay_moves_to_the_front() -> None:
    links: Hop = [("fc", Linear(np.ones((2, 3)))), ("wait", Delay(2))]
    merged = merge(links, Signal(Kind.SPIKE, (3,)), "a→b")
    assert [type(node).__name__ for _, node in merged] == ["Delay", "Linear"]
