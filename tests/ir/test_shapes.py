"""Shapes against torch's own layers, over kernels, strides, padding, dilation and groups."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from snnc.errors import GraphError
from snnc.ir import Conv, Flatten, Kind, Pool, Signal

torch.set_num_threads(1)


def per_axis(rank: int, low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * rank)


def torch_shape(module: torch.nn.Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return tuple(module(torch.zeros(1, *shape)).shape[1:])
    except RuntimeError:
        return None


@pytest.mark.parametrize("rank", [1, 2])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_conv(rank: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, 3))
    per_group, share = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    kernel = data.draw(per_axis(rank, 1, 5))
    stride, dilation = data.draw(per_axis(rank, 1, 3)), data.draw(per_axis(rank, 1, 3))
    padding, extents = data.draw(per_axis(rank, 0, 4)), data.draw(per_axis(rank, 1, 12))
    cls = torch.nn.Conv1d if rank == 1 else torch.nn.Conv2d
    channels, out = per_group * groups, share * groups
    module = cls(channels, out, kernel, stride, padding, dilation, groups)
    expected = torch_shape(module, (channels, *extents))
    node = Conv(module.weight.detach().numpy(), None, stride, padding, dilation, groups)
    x = Signal(Kind.SPIKE, (channels, *extents))
    if expected is None:
        with pytest.raises(GraphError, match="larger than its input"):
            node.infer("conv", x)
    else:
        assert node.infer("conv", x).shape == expected


@pytest.mark.parametrize("rank", [1, 2])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_pool(rank: int, data: st.DataObject) -> None:
    kernel = data.draw(per_axis(rank, 1, 4))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    stride, extents = data.draw(per_axis(rank, 1, 3)), data.draw(per_axis(rank, 1, 9))
    cls = torch.nn.AvgPool1d if rank == 1 else torch.nn.AvgPool2d
    expected = torch_shape(cls(kernel, stride, padding), (3, *extents))
    node, x = Pool(kernel, stride, padding), Signal(Kind.ANALOG, (3, *extents))
    if expected is None:
        with pytest.raises(GraphError, match="larger than its input"):
            node.infer("pool", x)
    else:
        assert node.infer("pool", x).shape == expected


@pytest.mark.parametrize(("start", "end"), [(0, -1), (1, -1), (0, 1), (1, 2), (-2, -1), (1, 1)])
def test_flatten(start: int, end: int) -> None:
    expected = torch.zeros(2, 3, 4).flatten(start, end).shape
    assert Flatten(start, end).infer("f", Signal(Kind.SPIKE, (2, 3, 4))).shape == tuple(expected)


def test_integer_weights_keep_integers() -> None:
    weight = np.ones((1, 1, 1, 1), np.int8)
    for kind, result in ((Kind.SPIKE, Kind.GRADED), (Kind.ANALOG, Kind.ANALOG)):
        assert Conv(weight).infer("c", Signal(kind, (1, 2, 2))).kind is result
    assert Conv(weight * 1.0).infer("c", Signal(Kind.SPIKE, (1, 2, 2))).kind is Kind.ANALOG
    assert Pool((2,), (2,), (0,), "sum").infer("p", Signal(Kind.SPIKE, (1, 2))).kind is Kind.GRADED
    assert Pool((2,), (2,), (0,), "avg").infer("p", Signal(Kind.SPIKE, (1, 2))).kind is Kind.ANALOG
