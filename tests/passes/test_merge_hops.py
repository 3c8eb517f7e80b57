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


def test_holes_of_a_dilated_kernel_stay_holes() -> None:
    """A 3×3 kernel of dilation 12 and a pointwise one: nine taps, not 25×25."""
    rng = np.random.default_rng(7)
    depthwise = Conv(rng.normal(size=(2, 1, 3, 3)), None, (1, 1), (12, 12), (12, 12), 2)
    pointwise = Conv(rng.normal(size=(3, 2, 1, 1)), None, dilation=(5, 7))
    upsampled = ConvTranspose(np.ones((2, 1, 1, 1)), None, (4, 4), groups=2)
    spread = Conv(rng.normal(size=(3, 2, 3, 3)), None, (1, 1), (6, 4), (6, 4))
    x = rng.normal(size=(2, 2, 13, 11))
    for links in ([depthwise, pointwise], [pointwise_in(rng), depthwise], [upsampled, spread]):
        hop: Hop = [(f"n{i}", node) for i, node in enumerate(links)]
        ((_, merged),) = merge(list(hop), Signal(Kind.SPIKE, (2, 13, 11)), "a→b")
        assert isinstance(merged, Conv | ConvTranspose)
        assert merged.kernel == (3, 3)
        np.testing.assert_allclose(run([("m", merged)], x), run(hop, x), atol=1e-9)


def pointwise_in(rng: np.random.Generator) -> Conv:
    return Conv(rng.normal(size=(2, 2, 1, 1)), None)


def moved(rng: np.random.Generator, shape: tuple[int, ...]) -> Gather:
    """Channels picked, repeated and left out, maps padded and cropped."""
    values = np.arange(np.prod(shape)).reshape(shape)
    if rng.random() < 0.7:
        picked = rng.integers(-1, shape[0], rng.integers(1, 6))
        each = (picked >= 0).reshape(-1, *(1,) * (len(shape) - 1))
        values = np.where(each, values[np.maximum(picked, 0)], -1)
    for axis in range(1, len(shape)):
        before, after = (int(n) for n in rng.integers(-1, 3, 2))
        place = np.arange(shape[axis] + before + after) - before
        inside = (place >= 0) & (place < shape[axis])
        values = np.take(values, np.where(inside, place, 0), axis)
        values = np.where(np.expand_dims(inside, [a for a in range(len(shape)) if a != axis]),
                          values, -1)  # fmt: skip
    return Gather(values)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), axes=st.integers(0, 2))
def test_moved_channels_and_maps_merge_with_what_is_around_them(seed: int, axes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), *(int(n) for n in rng.integers(4, 8, axes)))
    signal, links = Signal(Kind.SPIKE, shape), []
    try:
        for index in range(int(rng.integers(1, 4))):
            for make in (moved, random_node) if rng.random() < 0.5 else (random_node, moved):
                node = make(rng, signal.shape)
                signal = node.infer(f"n{index}", signal)
                links.append((f"{make.__name__}{index}", node))
    except GraphError:
        return
    merged = merge(list(links), Signal(Kind.SPIKE, shape), "a→b")
    x = rng.normal(size=(2, *shape))
    np.testing.assert_allclose(run(merged, x), run(links, x), atol=1e-9)


def picked(channels: list[int], extents: tuple[int, ...]) -> Gather:
    inner = int(np.prod(extents))
    index = np.asarray(channels)[:, None] * inner + np.arange(inner)
    return Gather(index.reshape(-1, *extents))


def padding(shape: tuple[int, int, int], before: int, after: int) -> Gather:
    index = np.arange(np.prod(shape)).reshape(shape)
    return Gather(np.pad(index, ((0, 0), *[(before, after)] * 2), constant_values=-1))


def kernel(*shape: int, groups: int = 1, stride: int = 1, pad: int = 1) -> Conv:
    weight = np.random.default_rng(3).normal(size=shape)
    return Conv(weight, None, (stride, stride), (pad, pad), groups=groups)


@pytest.mark.parametrize(
    ("links", "weights"),
    [
        ([padding((4, 8, 8), 1, 1), kernel(3, 4, 3, 3, pad=0)], (3, 4, 3, 3)),
        ([padding((4, 8, 8), 0, 1), kernel(3, 4, 3, 3, stride=2, pad=0)], (3, 4, 4, 4)),
        ([padding((4, 8, 8), 1, 1), kernel(4, 1, 3, 3, groups=4, pad=0)], (4, 1, 3, 3)),
        ([picked([2, 3], (8, 8)), kernel(3, 2, 3, 3)], (3, 4, 3, 3)),
        ([picked([0, 2, 1, 3], (8, 8)), kernel(4, 2, 3, 3, groups=2)], (4, 4, 3, 3)),
        ([picked([1, 0], (8, 8)), Place(1, 4), kernel(3, 4, 3, 3)], (3, 4, 3, 3)),
        ([kernel(6, 4, 3, 3), picked([2, 3], (8, 8))], (2, 4, 3, 3)),
        ([kernel(5, 4, 1, 1, pad=0), kernel(5, 1, 3, 3, groups=5)], (5, 4, 3, 3)),
        ([kernel(5, 4, 2, 2, stride=2, pad=0), kernel(3, 5, 3, 3)], (3, 4, 6, 6)),
        (
            [Gather(np.arange(256).reshape(4, 8, 8).transpose(1, 2, 0)), Flatten(),
             Linear(np.random.default_rng(3).normal(size=(3, 256)))],
            (3, 256),
        ),
    ],
)  # fmt: skip
def test_splits_shuffles_and_padding_need_no_matrix(
    links: list[Node], weights: tuple[int, ...]
) -> None:
    hop: Hop = [(f"n{i}", node) for i, node in enumerate(links)]
    merged = merge(list(hop), Signal(Kind.SPIKE, (4, 8, 8)), "a→b")
    last = merged[-1][1]
    assert not isinstance(last, Sparse)
    assert isinstance(last, Weighted)
    assert last.weight.shape == weights
    x = np.random.default_rng(4).normal(size=(2, 4, 8, 8))
    np.testing.assert_allclose(run(merged, x), run(hop, x), atol=1e-9)


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
