"""Stateless operations against torch in float64, and in integers against themselves."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    Kind,
    Linear,
    MatMul,
    Node,
    Output,
    Place,
    Pool,
    Scale,
    Signal,
    Sparse,
    Sum,
)
from snnc.reference import run_float
from snnc.reference.linear import apply

torch.set_num_threads(1)
QUICK = settings(max_examples=80, deadline=None)


def axes(rank: int, low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * rank)


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-9, 10, shape)


@pytest.mark.parametrize("rank", [1, 2])
@QUICK
@given(data=st.data())
def test_conv(rank: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    groups, per_group, share = (data.draw(st.integers(1, 3)) for _ in range(3))
    kernel, dilation = data.draw(axes(rank, 1, 4)), data.draw(axes(rank, 1, 3))
    stride, padding = data.draw(axes(rank, 1, 3)), data.draw(axes(rank, 0, 3))
    extents = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + data.draw(st.integers(0, 5))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    x = whole(rng, 2, per_group * groups, *extents)
    weight, bias = whole(rng, share * groups, per_group, *kernel), whole(rng, share * groups)
    function = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
    tensors = [torch.as_tensor(value, dtype=torch.float64) for value in (x, weight, bias)]
    expected = function(*tensors, stride, padding, dilation, groups).numpy()
    node = Conv(weight, bias, stride, padding, dilation, groups)
    real = apply("c", node, x.astype(np.float64))
    assert real.dtype == np.float64
    assert np.array_equal(real, expected)
    integer = apply("c", node, x)
    assert integer.dtype == np.int64
    assert np.array_equal(integer, expected)


def real(value: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def check(node: Node, x: np.ndarray, expected: torch.Tensor) -> None:
    """The node gives `expected` for the integers x, in both number systems, as typed."""
    for kind, values in ((Kind.ANALOG, x.astype(np.float64)), (Kind.GRADED, x)):
        y = apply("n", node, values)
        assert y.dtype == values.dtype
        assert np.array_equal(y, expected.numpy())
        assert node.infer("n", Signal(kind, x.shape[1:])).shape == y.shape[1:]


@pytest.mark.parametrize("rank", [1, 2])
@QUICK
@given(data=st.data())
def test_conv_transpose(rank: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    groups, per_group, share = (data.draw(st.integers(1, 3)) for _ in range(3))
    kernel, dilation = data.draw(axes(rank, 1, 4)), data.draw(axes(rank, 1, 3))
    stride, extents = data.draw(axes(rank, 1, 3)), data.draw(axes(rank, 1, 5))
    # torch allows less output padding than stride or dilation, and no empty output.
    grown = tuple(
        data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    whole_extent = ConvTranspose(
        np.zeros((1, 1, *kernel)), None, stride, (0,) * rank, grown, dilation
    ).extents(extents)
    padding = tuple(data.draw(st.integers(0, min(4, (n - 1) // 2))) for n in whole_extent)
    x = whole(rng, 2, per_group * groups, *extents)
    weight, bias = whole(rng, share * groups, per_group, *kernel), whole(rng, share * groups)
    # torch keeps the input channels first: (in, out / groups, *kernel).
    grouped = weight.reshape(groups, share, per_group, *kernel)
    theirs = np.swapaxes(grouped, 1, 2).reshape(groups * per_group, share, *kernel)
    function = (
        torch.nn.functional.conv_transpose1d if rank == 1 else torch.nn.functional.conv_transpose2d
    )
    expected = function(real(x), real(theirs), real(bias), stride, padding, grown, groups, dilation)
    node = ConvTranspose(weight, bias, stride, padding, grown, dilation, groups)
    check(node, x, expected)


@QUICK
@given(data=st.data())
def test_conv_transpose_is_the_adjoint_of_conv(data: st.DataObject) -> None:
    """⟨Conv x, y⟩ = ⟨x, ConvTranspose y⟩ with the kernels' channels exchanged."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    kernel, stride = data.draw(axes(2, 1, 4)), data.draw(axes(2, 1, 3))
    padding = data.draw(axes(2, 0, 2))
    extents = tuple(max(1, k - 2 * p) + 4 for k, p in zip(kernel, padding, strict=True))
    weight, x = whole(rng, 3, 2, *kernel), whole(rng, 1, 2, *extents)
    product = apply("c", Conv(weight, None, stride, padding), x)
    y = whole(rng, *product.shape)
    rest = tuple(
        (n + 2 * p - k) % s for n, p, k, s in zip(extents, padding, kernel, stride, strict=True)
    )
    back = ConvTranspose(np.swapaxes(weight, 0, 1), None, stride, padding, rest)
    assert (product * y).sum() == (x * apply("t", back, y)).sum()


@QUICK
@given(data=st.data())
def test_sparse(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    inputs, outputs = data.draw(axes(2, 1, 5)), data.draw(axes(3, 1, 3))
    rows, columns = int(np.prod(outputs)), int(np.prod(inputs))
    # Rows may be empty, and may name an input twice: the weights add up.
    lengths = rng.integers(0, 4, rows)
    lengths[rng.integers(rows)] += 1
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(0, columns, indptr[-1])
    weight, x = whole(rng, indptr[-1]), whole(rng, 2, *inputs)
    bias = whole(rng, *outputs) if data.draw(st.booleans()) else None
    small = np.int32 if data.draw(st.booleans()) else np.int64
    node = Sparse(weight, indices.astype(small), indptr.astype(small), inputs, outputs, bias)
    places = torch.as_tensor(np.stack([np.repeat(np.arange(rows), lengths), indices]))
    matrix = torch.sparse_coo_tensor(places, real(weight), (rows, columns), check_invariants=True)
    expected = torch.sparse.mm(matrix, real(x.reshape(2, -1)).T).T.reshape(2, *outputs)
    check(node, x, expected if bias is None else expected + real(bias))


@QUICK
@given(data=st.data())
def test_matmul(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    heads, rows, inner, columns = data.draw(axes(4, 1, 5))
    left, right = whole(rng, 2, heads, rows, inner), whole(rng, 2, heads, inner, columns)
    x = np.concatenate([left.reshape(2, -1), right.reshape(2, -1)], axis=1)
    check(MatMul(heads, rows, inner, columns), x, torch.matmul(real(left), real(right)))


@QUICK
@given(data=st.data())
def test_gather_is_indexing(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    inputs, outputs = data.draw(axes(3, 1, 4)), data.draw(axes(2, 1, 6))
    x = whole(rng, 2, *inputs)
    index = rng.integers(-1, np.prod(inputs), outputs)
    padded = torch.nn.functional.pad(real(x.reshape(2, -1)), (0, 1))  # −1 is the zero at the end
    check(Gather(index), x, padded[:, torch.as_tensor(index)])


@pytest.mark.parametrize("pads", [(1, 2, 0, 3), (-1, 1, 2, 0), (-1, -2, 0, 0), (0, 0, 0, 0)])
def test_gather_is_padding_and_cropping(pads: tuple[int, ...]) -> None:
    x = whole(np.random.default_rng(0), 2, 3, 4, 5)
    places = real(np.arange(1, 61).reshape(1, 3, 4, 5))
    index = torch.nn.functional.pad(places, pads)[0].numpy().astype(np.int64) - 1
    check(Gather(index), x, torch.nn.functional.pad(real(x), pads))


def test_gather_is_transposing_and_shuffling() -> None:
    x = whole(np.random.default_rng(0), 2, 8, 3, 5)
    places = torch.arange(8 * 3 * 5).reshape(1, 8, 3, 5)
    for move in (
        lambda z: z.permute(0, 2, 3, 1).contiguous(),
        lambda z: torch.nn.functional.pixel_shuffle(z, 2),
        lambda z: z.flip(1, 3),
        lambda z: z[:, [5, 0, 0]],
        lambda z: z.reshape(len(z), 4, 30),
        lambda z: z[:, 2:7:2, :, -2:],
        lambda z: torch.roll(z, (1, -2), (2, 3)),
        lambda z: z.repeat_interleave(2, 2),
    ):
        check(Gather(move(places)[0].numpy()), x, move(real(x)))


@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_placed_parts_sum_to_a_concatenation(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [whole(rng, 2, channels, *shape) for channels in (3, 1, 4)]
    expected = torch.cat([real(part) for part in parts], dim=1).numpy()
    total = sum(apply("p", Place(at, 8), x) for at, x in zip((0, 3, 4), parts, strict=True))
    assert total.dtype == np.int64
    assert np.array_equal(total, expected)


def test_a_graph_sums_its_placed_parts() -> None:
    rng = np.random.default_rng(0)
    nodes: dict[str, Node] = {
        "a": Input((3, 4)), "b": Input((2, 4)), "low": Place(0, 5), "high": Place(3, 5),
        "cat": Sum(), "twice": Sum(), "out": Output(),
    }  # fmt: skip
    edges = (
        ("a", "low"), ("b", "high"), ("low", "cat"), ("high", "cat"), ("cat", "twice"),
        ("low", "twice"), ("twice", "out"),
    )  # fmt: skip
    a, b = whole(rng, 2, 6, 3, 4), whole(rng, 2, 6, 2, 4)
    y = run_float(Graph(nodes, edges).check(), {"a": a, "b": b}).outputs["out"]
    assert np.array_equal(y, torch.cat([real(2 * a), real(b)], dim=2).numpy())


def test_sum_is_the_identity() -> None:
    x = whole(np.random.default_rng(0), 2, 3, 4)
    check(Sum(), x, real(x))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
@pytest.mark.parametrize("per_value", [(False, False), (False, True), (True, False), (True, True)])
def test_scale_per_channel_and_per_value(
    shape: tuple[int, ...], per_value: tuple[bool, bool]
) -> None:
    rng = np.random.default_rng(0)
    x = whole(rng, 2, *shape)
    weight, bias = (whole(rng, *(shape if each else shape[:1])) for each in per_value)
    wide = [real(a).reshape(*a.shape, *(1,) * (len(shape) - a.ndim)) for a in (weight, bias)]
    check(Scale(weight, bias), x, real(x) * wide[0] + wide[1])
    check(Scale(weight), x, real(x) * wide[0])


@pytest.mark.parametrize("rank", [1, 2])
def test_a_bias_for_every_value(rank: int) -> None:
    rng = np.random.default_rng(0)
    ones, zeros = (1,) * rank, (0,) * rank
    x, weight = whole(rng, 2, 4, *(5, 6)[:rank]), whole(rng, 2, 2, *(2, 3)[:rank])
    conv = Conv(weight, whole(rng, 2, *(4, 4)[:rank]), ones, zeros, ones, 2)
    up = ConvTranspose(weight, whole(rng, 2, *(6, 8)[:rank]), ones, zeros, zeros, ones, 2)
    theirs = np.swapaxes(weight.reshape(2, 1, *weight.shape[1:]), 1, 2).reshape(4, 1, *up.kernel)
    functional = torch.nn.functional
    across = functional.conv1d if rank == 1 else functional.conv2d
    spread = functional.conv_transpose1d if rank == 1 else functional.conv_transpose2d
    assert conv.bias is not None
    assert up.bias is not None
    check(conv, x, across(real(x), real(weight), groups=2) + real(conv.bias))
    check(up, x, spread(real(x), real(theirs), groups=2) + real(up.bias))


@QUICK
@given(exp=st.integers(-4, 4), seed=st.integers(0, 999))
def test_exponents_shift_with_floor(exp: int, seed: int) -> None:
    """Every weighted node: floor(sum · 2^exp), also of negative sums."""
    rng = np.random.default_rng(seed)
    x = whole(rng, 3, 2, 4)
    kernel = whole(rng, 4, 1, 3)
    indptr = np.asarray([0, 3, 3, 8])
    one, none = (1,), (0,)
    for plain in (
        Conv(kernel, None, one, none, one, 2),
        ConvTranspose(kernel, None, (2,), one, one, one, 2),
        Sparse(whole(rng, 8), rng.integers(0, 8, 8), indptr, (2, 4), (3,)),
    ):
        shifted = type(plain)(**{**vars(plain), "exp": exp})
        expected = np.floor(apply("n", plain, x) * 2.0**exp)
        y = apply("n", shifted, x)
        assert y.dtype == np.int64
        assert np.array_equal(y, expected)


@pytest.mark.parametrize("rank", [1, 2])
@QUICK
@given(data=st.data())
def test_pool(rank: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    kernel = data.draw(axes(rank, 1, 4))
    stride = data.draw(axes(rank, 1, 3))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    x = whole(rng, 2, 3, *(k + data.draw(st.integers(0, 4)) for k in kernel)).astype(np.float64)
    cls = torch.nn.AvgPool1d if rank == 1 else torch.nn.AvgPool2d
    expected = cls(kernel, stride, padding, count_include_pad=True)(torch.as_tensor(x)).numpy()
    mean = apply("p", Pool(kernel, stride, padding), x)
    np.testing.assert_allclose(mean, expected, rtol=1e-14, atol=1e-14)
    total = apply("p", Pool(kernel, stride, padding, "sum"), x.astype(np.int64))
    assert total.dtype == np.int64
    np.testing.assert_allclose(total, expected * np.prod(kernel), rtol=1e-13, atol=1e-12)


def test_linear_and_its_exponent() -> None:
    rng = np.random.default_rng(0)
    weight, bias, x = whole(rng, 4, 6), whole(rng, 4), whole(rng, 3, 6)
    assert np.array_equal(apply("l", Linear(weight, bias), x * 0.5), x * 0.5 @ weight.T + bias)
    # The exponent shifts the sum, with floor: -3 · 2^-1 is -2.
    node = Linear(np.asarray([[1, 2], [-1, -2]]), exp=-1)
    assert apply("l", node, np.asarray([[1, 1]])).tolist() == [[1, -2]]
    assert apply("l", Linear(node.weight, exp=2), np.asarray([[1, 1]])).tolist() == [[12, -12]]
    conv = Conv(np.asarray([[[1, 2]]]), None, (1,), (0,), (1,), exp=-1)
    assert apply("c", conv, np.asarray([[[-1, -1, 1]]])).tolist() == [[[-2, 0]]]


def test_scale_and_flatten() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    scaled = apply("s", Scale(np.asarray([2, 3]), np.asarray([1, -1])), x)
    assert np.array_equal(scaled[:, 0], 2 * x[:, 0] + 1)
    assert np.array_equal(scaled[:, 1], 3 * x[:, 1] - 1)
    for start, end in ((0, -1), (0, 1), (1, 2), (-2, -1)):
        expected = torch.as_tensor(x[0]).flatten(start, end).numpy()
        assert np.array_equal(apply("f", Flatten(start, end), x)[0], expected)
    with pytest.raises(GraphError, match="not a stateless operation"):
        apply("d", Delay(1), x)
