"""Weighted nodes of the sim engine: every way of computing them against the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.ir import (
    Conv,
    ConvTranspose,
    Input,
    Kind,
    Linear,
)
from snnc.targets.sim import engine, synapse
from snnc.targets.sim.conv import Convolution, Depthwise, Transposed, pieces
from snnc.targets.sim.engine import run
from snnc.targets.sim.plan import Plan
from tests.targets.sim.helpers import (
    RNG,
    assert_all_equal,
    chain,
    lif,
    random_sparse,
    spikes,
    weights,
)

A = NDArray[Any]


def kernels() -> list[tuple[str, tuple[int, ...], Conv | ConvTranspose]]:
    """(label, input shape, node): one or two axes, mixed and one channel per group."""
    two, one = (4, 7, 6), (4, 9)
    return [
        ("conv", two, Conv(weights(6, 4, 3, 2), None, (2, 1), (1, 2), (1, 2))),
        ("groups", two, Conv(weights(6, 2, 3, 3), None, (1, 1), (1, 1), (1, 1), 2)),
        ("1x1", two, Conv(weights(5, 4, 1, 1), None, (2, 3), (0, 0))),
        ("1x1 padded", two, Conv(weights(5, 4, 1, 1), None, (2, 1), (1, 2))),
        ("depthwise", two, Conv(weights(8, 1, 3, 2), None, (2, 1), (1, 0), (2, 1), 4)),
        ("identity", two, Conv(weights(4, 1, 1, 1), None, (1, 1), (0, 0), (1, 1), 4)),
        ("strided identity", two, Conv(weights(8, 1, 1, 1), None, (2, 3), (1, 2), (1, 1), 4)),
        ("1-d", one, Conv(weights(3, 4, 3), None, (2,), (2,), (2,))),
        ("1-d runs", one, Conv(weights(3, 4, 3), None, (1,), (1,), (1,))),
        ("up", two, ConvTranspose(weights(3, 4, 2, 3), None, (2, 3), (0, 0), (0, 0))),
        ("up groups", two, ConvTranspose(weights(6, 2, 2, 2), None, (2, 2), groups=2)),
        ("up open", two, ConvTranspose(weights(3, 4, 2, 2), None, (2, 2), (0, 0), (1, 0))),
        ("overlap", two, ConvTranspose(weights(6, 2, 4, 3), None, (2, 1), (1, 2), (1, 0),
                                       (1, 2), 2)),
        ("gaps", two, ConvTranspose(weights(2, 4, 1, 2), None, (3, 3), (0, 1), (2, 2))),
        ("all cut", two, ConvTranspose(weights(2, 4, 3, 3), None, (1, 1), (2, 2))),
        ("up depthwise", two, ConvTranspose(weights(8, 1, 2, 2), None, (2, 2), groups=4)),
        ("overlap depthwise", two, ConvTranspose(weights(4, 1, 3, 3), None, (2, 2), (1, 1),
                                                 (1, 1), (1, 1), 4)),
        ("cropped depthwise", two, ConvTranspose(weights(4, 1, 1, 1), None, (1, 1), (2, 2),
                                                 (0, 0), (1, 1), 4)),
        ("1-d up", one, ConvTranspose(weights(3, 4, 3), None, (2,), (1,), (1,), (1,))),
        ("1-d shuffle", one, ConvTranspose(weights(2, 2, 3), None, (3,), (0,), (0,), (1,), 2)),
    ]  # fmt: skip


KERNELS = kernels()


def with_bias(node: Any, form: str, shape: tuple[int, ...]) -> Any:
    bias = {"none": None, "channel": weights(shape[0]), "full": weights(*shape)}[form]
    return replace(node, bias=bias)


@pytest.mark.parametrize(("shape", "node"), [k[1:] for k in KERNELS], ids=[k[0] for k in KERNELS])
@pytest.mark.parametrize("form", ["none", "channel", "full"])
@pytest.mark.parametrize("exp", [0, 2, -3])
def test_kernels_biases_and_exponents(
    shape: tuple[int, ...], node: Conv | ConvTranspose, form: str, exp: int
) -> None:
    out = chain(Input(shape, Kind.SPIKE), node).signals["n1"].shape
    node = replace(with_bias(node, form, out), exp=exp)
    inputs = {"n0": spikes(3, 4, *shape)}
    assert_all_equal(chain(Input(shape, Kind.SPIKE), node, lif()), inputs)


@pytest.mark.parametrize(("shape", "node"), [k[1:] for k in KERNELS], ids=[k[0] for k in KERNELS])
@pytest.mark.parametrize("elements", [1, 40, 300])
def test_kernels_in_pieces(
    shape: tuple[int, ...], node: Conv | ConvTranspose, elements: int
) -> None:
    graph = chain(Input(shape, Kind.SPIKE), node, lif())
    with (
        mock.patch.object(synapse, "PATCHES", elements),
        mock.patch("snnc.targets.sim.conv.COLUMNS", 4),
    ):
        assert_all_equal(graph, {"n0": spikes(3, 4, *shape)})


@pytest.mark.parametrize(("shape", "node"), [k[1:] for k in KERNELS], ids=[k[0] for k in KERNELS])
@pytest.mark.parametrize("scale", [1 << 22, 1 << 50])
def test_kernels_beyond_float32_and_float64(
    shape: tuple[int, ...], node: Conv | ConvTranspose, scale: int
) -> None:
    wide = replace(node, weight=node.weight * scale + 1)
    assert_all_equal(chain(Input(shape, Kind.SPIKE), wide), {"n0": spikes(2, 3, *shape)})


@pytest.mark.parametrize(("shape", "node"), [k[1:] for k in KERNELS], ids=[k[0] for k in KERNELS])
@pytest.mark.parametrize("wins", [0.0, 1.0])
def test_columns_as_runs_and_as_rows(
    shape: tuple[int, ...], node: Conv | ConvTranspose, wins: float
) -> None:
    with mock.patch("snnc.targets.sim.conv.RUN", wins):
        assert_all_equal(chain(Input(shape, Kind.SPIKE), node), {"n0": spikes(2, 3, *shape)})


@pytest.mark.parametrize("out_shape", [(7,), (3, 4, 2)])
@pytest.mark.parametrize("exp", [0, 3, -2])
@pytest.mark.parametrize("scale", [1, 1 << 22, 1 << 50])
def test_sparse(out_shape: tuple[int, ...], exp: int, scale: int) -> None:
    node = random_sparse((2, 5, 3), out_shape, bias=weights(*out_shape), exp=exp)
    node = replace(node, weight=node.weight * scale)
    graph = chain(Input((2, 5, 3), Kind.GRADED, bits=4), node)
    with mock.patch.object(synapse, "ROW_IMAGES", 5), mock.patch.object(synapse, "PATCHES", 1):
        assert_all_equal(graph, {"n0": RNG.integers(0, 16, (3, 4, 2, 5, 3))})
    fires = chain(Input((2, 5, 3), Kind.SPIKE), replace(node, bias=None), lif())
    assert_all_equal(fires, {"n0": spikes(3, 4, 2, 5, 3)})


@pytest.mark.parametrize("form", ["none", "full"])
def test_linear_bias(form: str) -> None:
    node = with_bias(Linear(weights(5, 9)), form, (5,))
    assert_all_equal(chain(Input((9,), Kind.SPIKE), node, lif()), {"n0": spikes(3, 4, 9)})


def test_ways_of_kernels() -> None:
    table: dict[str, type] = {}
    for label, shape, node in KERNELS:
        graph = chain(Input(shape, Kind.SPIKE), node)
        made = engine._layers(Plan(graph, {"n0": spikes(1, 4, *shape)}, None))
        table[label] = type(made["n1"])
    assert table["identity"] is table["up depthwise"] is table["strided identity"] is Depthwise
    # Several taps: im2col is faster than a pass per tap.
    assert table["depthwise"] is table["conv"] is Convolution
    assert table["up"] is Transposed


def test_no_way_loops_over_groups() -> None:
    channels = 400
    inputs = {"n0": spikes(2, 2, channels, 2, 2)}
    for node in (
        Conv(weights(channels, 1, 1, 1), groups=channels),
        Conv(weights(channels, 1, 2, 2), groups=channels),
        ConvTranspose(weights(channels, 1, 2, 2), None, (2, 2), groups=channels),
        ConvTranspose(weights(channels, 2, 2, 2), None, (2, 2), groups=channels // 2),
    ):
        graph = chain(Input((channels, 2, 2), Kind.SPIKE), node)
        with (
            mock.patch.object(np, "matmul", wraps=np.matmul) as product,
            mock.patch.object(np, "multiply", wraps=np.multiply) as multiply,
        ):
            run(graph, inputs)
        assert product.call_count + multiply.call_count < 10


def test_pieces_bound_what_is_laid_out_at_once() -> None:
    most = synapse.PATCHES
    for images, rows, per_row, columns in ((64, 32, 20000, 1024), (9, 512, 10**5, 1 << 18)):
        count, height = pieces(images, rows, per_row, columns)
        assert count * height * per_row <= max(most, per_row)
    # Small images go together, so that a GEMM has columns enough.
    assert pieces(64, 4, 18432, 16) == (16, 4)
    assert pieces(3, 4, 18432, 16) == (3, 4)
