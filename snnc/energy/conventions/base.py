"""What every counting convention takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.energy.counts import Cause, Counts, FirstLayer, Op, Place
from snnc.energy.prices import Prices

A = NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """What a user can choose of the counting.

    Attributes:
        first_layer: whether what sees the same input at every step is done at every step or once.
        zero_weights: whether products with weights that are 0 count.
    """

    first_layer: FirstLayer = "per_step"
    zero_weights: bool = True


@dataclass(frozen=True, eq=False)
class Item:
    """One line of a figure.

    Attributes:
        layer: node or path of the module.
        cause: why the operations are done.
        what: the operation in words: `conv`, `batch norm`, `weight reads`.
        op: the kind of operation that is priced.
        count: (sample,) operations.
        price: pJ each; None where the table has no price.
    """

    layer: str
    cause: Cause
    what: str
    op: Op | str
    count: A
    price: float | None
    place: Place = "core"

    @property
    def energy(self) -> A:
        """(sample,) pJ; 0 where there is no price, which `Figure.unpriced` then says."""
        return np.asarray(self.count * (self.price or 0.0), np.float64)


@dataclass(frozen=True, eq=False)
class Figure:
    """The energy of a network as one convention has it.

    Attributes:
        convention, paper, rule: its name, where it is published, what it counts in one line.
        prices: the table used, with its bit width.
        items: everything that it counts.
        ann: pJ per sample of the ANN of the same shape by the same convention, where it has one.
        notes: what a reader must know: corrections, other readings with their numbers.
        left_out: operations that were counted but that the convention or the table can't price.
    """

    convention: str
    paper: str
    rule: str
    prices: Prices
    items: tuple[Item, ...]
    ann: float | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether everything that the convention counts has a price and a rule."""
        return not self.left_out

    @property
    def energy(self) -> A:
        """(sample,) pJ."""
        return np.asarray(sum(item.energy for item in self.items), np.float64)


class Convention(Protocol):
    """A way to turn counts into energy. One file each; `snnc.energy.conventions` lists them."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def paper(self) -> str:
        """Where it is published."""
        ...

    @property
    def rule(self) -> str:
        """What it counts, in one line."""
        ...

    def figure(self, counts: Counts, prices: Prices, settings: Settings) -> Figure:
        """The energy of every sample."""
        ...
