"""The summed input of a node: sums of small integers stay small, concatenations are copied once.

A `Place` with one source makes no array of its own (`Plan.fused`): who reads it copies its source
to where it belongs, so that a concatenation of spikes is one pass over bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnc.ir import Flatten, Gather, Node, Output, Place, Sum
from snnc.targets.sim.plan import Plan
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.synapse import float_type

A = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """One term of the sum: the value of a node, and the channels that it adds to."""

    value: str
    channels: slice


class Total:
    """Adds up what flows into one node."""

    def __init__(self, plan: Plan, name: str) -> None:
        sources = plan.graph.sources(name)
        self.alone = None if len(sources) > 1 or sources[0] in plan.fused else sources[0]
        """The node whose value is the sum as it is."""
        if self.alone is not None:
            return
        self.shape, self.bound = plan.graph.input_signal(name).shape, plan.total_bound(name)
        parts = [_part(plan, source, self.shape) for source in sources]
        # Whole ones first: then there is nothing to clear.
        self.parts = sorted(parts, key=lambda part: _extent(part) != _channels(self.shape))
        self.fresh, self.clear = _freshness(self.parts, self.shape)
        self.lasts = _is_its_input(plan.graph.nodes[name])

    def __call__(self, values: Mapping[str, A], scratch: Scratch) -> A:
        """The sum (step or 1, sample, …) of what the sources hold."""
        if self.alone is not None:
            return values[self.alone]
        terms = [values[part.value] for part in self.parts]
        shape = (max(map(len, terms)), terms[0].shape[1], *self.shape)
        dtype = self._dtype(terms)
        take = scratch.result if self.lasts else scratch.work
        total = take(name="total", shape=shape, dtype=dtype)
        if self.clear:
            total[...] = 0
        for part, term, fresh in zip(self.parts, terms, self.fresh, strict=True):
            where = total[:, :, part.channels] if self.shape else total
            if fresh:
                np.copyto(where, term, casting="unsafe")
            else:
                np.add(where, _as(term, dtype), out=where, casting="unsafe")
        return total

    def _dtype(self, terms: Sequence[A]) -> DTypeLike:
        """The narrowest type that is exact and needs no conversion on the way."""
        if self.bound <= 1 and all(term.dtype == np.bool_ for term in terms):
            return np.bool_
        if self.bound <= 127 and all(term.dtype.itemsize == 1 for term in terms):
            return np.int8
        return float_type(self.bound)


def _as(term: A, dtype: DTypeLike) -> A:
    """Bytes as the bytes that they are added to: no conversion, and no `or` of two bools."""
    return term.view(dtype) if dtype == np.int8 else term


def _is_its_input(node: Node) -> bool:
    """Whether the node's output may be (a view of) its summed input."""
    return isinstance(node, Sum | Flatten | Gather | Place | Output)


def _channels(shape: tuple[int, ...]) -> int:
    return shape[0] if shape else 1


def _extent(part: Part) -> int:
    return int(part.channels.stop - part.channels.start)


def _part(plan: Plan, source: str, shape: tuple[int, ...]) -> Part:
    node = plan.graph.nodes[source]
    if source not in plan.fused or not isinstance(node, Place):
        return Part(source, slice(0, _channels(shape)))
    (value,) = plan.graph.sources(source)
    return Part(value, slice(node.start, node.start + plan.shape(value)[0]))


def _freshness(parts: Sequence[Part], shape: tuple[int, ...]) -> tuple[list[bool], bool]:
    """Which parts are the first to write to all of their channels; whether some are never written
    before they are added to or read."""
    written = np.zeros(_channels(shape), bool)
    fresh: list[bool] = []
    clear = False
    for part in parts:
        before = written[part.channels]
        fresh.append(not before.any())
        clear |= bool(before.any() and not before.all())
        written[part.channels] = True
    return fresh, clear or not bool(written.all())
