"""Moments of the inputs of a layer."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from snnc.ir import Conv, Graph, Input, Neuron, Output
from snnc.passes.calibrate import measure


def network(channels: int, groups: int, extent: int) -> Graph:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(channels, channels // groups, 3, 3))
    nodes = {
        "in": Input((channels, extent, extent)),
        "conv": Conv(weight, None, (2, 1), (1, 1), groups=groups),
        "n": Neuron(np.asarray(0.5), np.asarray(1.0)),
        "out": Output(),
    }
    return Graph.chain(nodes, 3)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_moments_are_sums_over_samples_steps_and_positions(groups: int) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5, 6))
    graph = network(4, groups, 5).with_nodes({"in": Input((4, 5, 6))})
    found = measure(graph, [{"in": x}]).moments["conv"]
    padded = np.pad(x.reshape(6, 4, 5, 6), ((0, 0), (0, 0), (1, 1), (1, 1)))
    share = 4 // groups
    expected = np.zeros((groups, share * 9, share * 9))
    for sample, row, column in np.ndindex(6, 3, 6):
        window = padded[sample, :, 2 * row : 2 * row + 3, column : column + 3]
        for group in range(groups):
            values = window[group * share : (group + 1) * share].ravel()
            expected[group] += np.outer(values, values)
    np.testing.assert_allclose(found, expected)


def test_moments_of_small_maps_take_no_memory_per_sample() -> None:
    """A deep layer: many weights per row, few positions, many samples and steps."""
    graph = network(64, 1, 2)
    x = {"in": np.ones((32, 3, 64, 2, 2))}
    tracemalloc.start()
    try:
        measure(graph, [x])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = (64 * 9) ** 2 * 8
    assert peak < 8 * one, f"{peak / one:.0f} moments at once, for 96 samples and steps"
