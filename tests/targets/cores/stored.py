"""What a synapse group stores on a slice, neuron by neuron of its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import SynapseFormat
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Synapse
from snnc.targets.cores.storage.sizes import ends, fan_in, sources, totals

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Lists:
    """What a synapse group stores on a slice.

    Attributes:
        operations: int64 (source neuron,) synapses in the list of each neuron of the source
            population, flattened; 0 where it has none here, and so no axon.
        words: int64 (source neuron,) words of that list.
        entries: int64 (source neuron,) entries that its axon takes where it ends; 0 without one,
            and where the first of those that share an entry counts it.
        fan_in: int64 (neuron of the slice,) synapses of each.
        stored: words of all lists; a shared one counts once.
    """

    operations: A
    words: A
    entries: A
    fan_in: A
    stored: int

    @property
    def axons(self) -> int:
        """Number of axons that end here."""
        return int(np.count_nonzero(self.operations))


def lists(group: Synapse, shape: Sequence[int], part: Slice, layout: SynapseFormat) -> Lists:
    """What `group` stores on `part`, a slice of its target population, whose shape is `shape`."""
    found = ends(group, shape, part, layout)
    operations, words, entries = np.zeros((3, sources(group)), np.int64)
    operations[found.source], words[found.source] = found.operations, found.words
    entries[found.source] = found.entries
    stored = totals(group, shape, part, layout).stored
    return Lists(operations, words, entries, fan_in(group, shape, part), stored)
