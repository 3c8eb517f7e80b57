"""Stateless operations against torch in float64, and in integers against themselves."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from snnc.errors import GraphError
from snnc.ir import Conv, Delay, Flatten, Linear, Pool, Scale
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
