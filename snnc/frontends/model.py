"""What a frontend returns: a graph, and what the module itself did on an example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, IntNeuron


@dataclass(frozen=True)
class Example:
    """One batch through the module itself: stage S0.

    Attributes:
        inputs: by input node, (sample, …) or (sample, step, …).
        spikes: by neuron node, uint8 (sample, step, …).
        outputs: by output node, (sample, step, …), or (sample, …) where it is reduced.
    """

    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    spikes: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model as read from its source.

    Attributes:
        graph: the float graph (S1), or S2 where the source held integers already (`.net`).
        example: the source's own run of an example (S0), where there is one.
        source: names and versions of the frameworks it came from.
    """

    graph: Graph
    example: Example | None = None
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_integer(self) -> bool:
        """Whether the graph is in integers (S2) already."""
        return any(isinstance(node, IntNeuron) for node in self.graph.nodes.values())


def pack_spikes(spikes: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Spikes as bits and their shape: an eighth of the bytes, for files."""
    return {
        "bits": np.packbits(spikes.astype(bool), axis=None),
        "shape": np.asarray(spikes.shape, np.int64),
    }


def unpack_spikes(packed: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """What `pack_spikes` packed.

    Raises:
        KeyError, TypeError, ValueError: the parts are missing or don't belong together.
    """
    shape = tuple(int(n) for n in packed["shape"])
    return np.unpackbits(packed["bits"], count=math.prod(shape)).reshape(shape)
