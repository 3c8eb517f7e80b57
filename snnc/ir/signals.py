"""Static types of the signals that run along the edges of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a signal can carry. AC or MAC, and what a core can hold, follow from it."""

    SPIKE = "spike"
    """0 or 1."""
    GRADED = "graded"
    """An integer."""
    ANALOG = "analog"
    """A real number."""


class Rate(StrEnum):
    """How often a signal takes a new value."""

    STEP = "step"
    SAMPLE = "sample"
    """Once per sample: the same value at every step."""


@dataclass(frozen=True)
class Signal:
    """Type of an edge: kind, feature shape (without the sample and step axes) and rate."""

    kind: Kind
    shape: tuple[int, ...]
    rate: Rate = Rate.STEP

    @property
    def size(self) -> int:
        """Number of values per step."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        suffix = " once" if self.rate is Rate.SAMPLE else ""
        return f"{self.kind.value}[{'×'.join(map(str, self.shape))}]{suffix}"
