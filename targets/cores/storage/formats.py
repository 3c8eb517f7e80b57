"""How wide synapses are, and in which format lists of them take the fewest words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.targets.cores.architecture import SynapseFormat
from snnc.targets.cores.program import Conv, Dense, Sparse, Synapse

A = NDArray[Any]
Place = Callable[[], tuple[A, A]]
"""() → (neuron of the source, ascending; which kind it is), int64 (axon,) each."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """The different kinds of lists that a group has on a slice.

    Attributes:
        synapses: int64 (kind,) of a list.
        spread: int64 (kind,) items of a list with one for every neuron from first to last, and
            one more for each further synapse of a neuron.
        skips: by the bits of a skip, int64 (kind,) items that runs without synapses add.
        axons: int64 (kind,) axons to such lists.
        copies: int64 (kind,) how many such lists are stored; fewer than axons where shared.
    """

    synapses: A
    spread: A
    skips: Callable[[int], A]
    axons: A
    copies: A
    place: Place


def width(group: Synapse, layout: SynapseFormat) -> int:
    """Bits of the weight and the delay of a synapse.

    Raises:
        RefusedError: either is wider than `layout` can store.
    """
    return _weight_width(group, layout) + _delay_width(group, layout)


def fewest_words(shapes: Shapes, size: int, bits: int, layout: SynapseFormat) -> A:
    """int64 (kind,): words of a list, in the format in which all take the fewest.

    Args:
        size: neurons of the slice.
        bits: `width` of a synapse.
    """
    choices = (_sized(*choice, layout) for choice in _formats(shapes, size, bits, layout))
    return min(choices, key=lambda words: int(words @ shapes.copies))


def _formats(
    shapes: Shapes, size: int, bits: int, layout: SynapseFormat
) -> Iterator[tuple[A, int]]:
    """Items of each kind of list and the bits of one, format by format; the first wins ties."""
    if "dense" in layout.formats:
        yield shapes.spread, bits
    if "sparse" in layout.formats:
        yield shapes.synapses, bits + max(1, (size - 1).bit_length())
    if "runlength" in layout.formats:
        for skip in layout.skip_bits:
            yield shapes.synapses + shapes.skips(skip), bits + skip


def _sized(items: A, item_bits: int, layout: SynapseFormat) -> A:
    """Words of lists of so many items."""
    full, rest = np.divmod(items, layout.entry_synapses)

    def entry(count: Any) -> Any:
        return -(-(layout.header_bits + count * item_bits) // layout.word_bits)

    return full * entry(layout.entry_synapses) + np.where(rest > 0, entry(rest), 0)


_NEEDED: WeakKeyDictionary[Synapse, int] = WeakKeyDictionary()
"""Bits that the weights of a group need: the same for all of its slices."""


def _needed(group: Synapse) -> int:
    if group not in _NEEDED:
        assert isinstance(group, Dense | Sparse | Conv)
        weights = group.data if isinstance(group, Sparse) else group.weight
        common = int(np.bitwise_or.reduce(weights, axis=None))
        unit = max(1, common & -common)
        low, high = (int(end) // unit for end in (weights.min(initial=0), weights.max(initial=0)))
        _NEEDED[group] = max(~low, high).bit_length() + (low < 0)
    return _NEEDED[group]


def _weight_width(group: Synapse, layout: SynapseFormat) -> int:
    needed = _needed(group)
    width = next((width for width in layout.weight_bits if width >= needed), None)
    if width is None:
        raise RefusedError(
            f"{group.source}.{group.target}",
            f"its weights take {needed} bits, synapses of the chip have {layout.weight_bits[-1]}",
            "quantise to fewer bits, or add a width to synapses.weight_bits of the chip's file",
        )
    return width


def _delay_width(group: Synapse, layout: SynapseFormat) -> int:
    needed = group.delay.bit_length()
    if needed > layout.delay_bits:
        raise RefusedError(
            f"{group.source}.{group.target}",
            f"its delay of {group.delay} takes {needed} bits, synapses of the chip have"
            f" {layout.delay_bits}",
            "delay it by less, or raise synapses.delay_bits of the chip's file",
        )
    return needed


__all__ = ["Place", "Shapes", "fewest_words", "width"]
