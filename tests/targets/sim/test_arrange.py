"""Gather and MatMul in the sim engine."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.ir import (
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
)
from snnc.targets.sim import plan, synapse
from snnc.targets.sim.arrange import Gathered, Grid
from snnc.targets.sim.plan import Plan
from snnc.targets.sim.scratch import Scratch
from tests.targets.sim.helpers import (
    RNG,
    assert_all_equal,
    chain,
    lif,
    spikes,
    weights,
)

A = NDArray[Any]


def arranged(plain: A) -> dict[str, A]:
    shape = plain.shape
    return {
        "transpose": plain.transpose(2, 0, 1),
        "flip": plain[:, ::-1, ::2],
        "crop": plain[1:, 2:4, :1],
        "same": plain,
        "flat": plain.reshape(-1),
        "pad": np.pad(plain, ((1, 0), (0, 2), (1, 1)), constant_values=-1),
        "pad turned": np.pad(plain[::-1].T, ((2, 1), (0, 0), (1, 1)), constant_values=-1),
        "hole": np.where(plain == 5, -1, plain),
        "repeat": plain.repeat(2, 1),
        "one": np.asarray([3]),
        "nothing": np.full((2, 3), -1),
        "random": RNG.integers(-1, plain.size, (4, *shape)),
        "last": np.asarray([[plain.size - 1, -1, 0]]),
    }


PLAIN = np.arange(3 * 4 * 5).reshape(3, 4, 5)


@pytest.mark.parametrize(("index"), arranged(PLAIN).values(), ids=arranged(PLAIN).keys())
@pytest.mark.parametrize("bits", [1, 8, 20])
def test_gather(index: A, bits: int) -> None:
    graph = chain(Input(PLAIN.shape, Kind.GRADED, bits=bits), Gather(index))
    assert_all_equal(graph, {"n0": RNG.integers(0, 1 << bits, (3, 4, *PLAIN.shape))})
    weighted = chain(
        Input(PLAIN.shape, Kind.SPIKE), lif(0), Gather(index), Flatten(),
        Linear(weights(6, index.size)), lif(),
    )  # fmt: skip
    with mock.patch.object(plan, "STEPS_MAX", 3):
        assert_all_equal(weighted, {"n0": spikes(3, 4, *PLAIN.shape)})


def test_a_permutation_or_a_crop_copies_nothing() -> None:
    x = spikes(2, 3, *PLAIN.shape)
    for label in ("transpose", "flip", "crop", "same", "flat", "one"):
        index = arranged(PLAIN)[label]
        y = Gathered(Gather(index))(x, Scratch())
        assert np.shares_memory(x, y), label
        np.testing.assert_array_equal(y, x.reshape(2, 3, -1)[:, :, index])


def test_grids_are_recognised() -> None:
    assert Grid.of(np.arange(12).reshape(3, 4)) == Grid(0, (4, 1))
    assert Grid.of(np.arange(12).reshape(3, 4)[::-1, 1:]) == Grid(9, (-4, 1))
    assert Grid.of(np.asarray([[0, 1], [2, 4]])) is None


@pytest.mark.parametrize("shape", [(1, 3, 4, 2), (3, 5, 1, 2), (2, 8, 16, 4)])
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (8, True), (20, True), (26, True)])
def test_products(shape: tuple[int, int, int, int], bits: int, signed: bool) -> None:
    node = MatMul(*shape)
    nodes: dict[str, Node] = {
        "a": Input((shape[0], shape[1], shape[2]), Kind.GRADED, bits=bits, signed=signed),
        "b": Input((shape[0] * shape[2] * shape[3],), Kind.GRADED, bits=bits, signed=signed),
        "fa": Flatten(), "pa": Place(0, sum(node.sizes)),
        "pb": Place(node.sizes[0], sum(node.sizes)), "m": node, "o": Output(),
    }  # fmt: skip
    edges = (("a", "fa"), ("fa", "pa"), ("b", "pb"), ("pa", "m"), ("pb", "m"), ("m", "o"))
    graph = Graph(nodes, edges).check()
    low, high = nodes["a"].range  # type: ignore[attr-defined]
    inputs = {
        name: RNG.integers(low, high + 1, (3, 4, *graph.signals[name].shape)) for name in "ab"
    }
    with mock.patch.object(synapse, "PATCHES", 50):
        assert_all_equal(graph, inputs)
    assert Plan(graph, inputs, None).bounds["m"] <= shape[2] * max(high, -low) ** 2


@pytest.mark.parametrize("value", [4095, 94906265])
def test_products_that_are_exact_and_sums_of_them_that_are_not(value: int) -> None:
    """value² is the largest odd square in float32, float64; three of them don't fit."""
    graph = chain(Input((6,), Kind.GRADED, bits=27), MatMul(1, 1, 3, 1))
    assert_all_equal(graph, {"n0": np.full((2, 4, 6), value)})
