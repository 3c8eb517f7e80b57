"""What a pass is: a small frozen dataclass that turns a graph into an equivalent one."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import ClassVar

from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Linear,
    Place,
    Pool,
    Scale,
    Sparse,
    Sum,
)

LINEAR = (
    Linear, Conv, ConvTranspose, Sparse, Pool, Flatten, Place, Gather, Scale, Sum, Delay,
)  # fmt: skip
"""What may stand between two populations: it commutes with sums and delays."""


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, or the first of name@1, name@2, … that is not taken; copies of copies count on."""
    stem = name.split("@")[0]
    names = itertools.chain([name], (f"{stem}@{index}" for index in itertools.count(1)))
    return next(free for free in names if free not in taken)


@dataclass(frozen=True)
class Pass(ABC):
    """Base of all passes; fields are its options.

    Attributes:
        name: as printed in reports.
        ensures: what holds of the result, in words.
    """

    name: ClassVar[str]
    ensures: ClassVar[str]

    @abstractmethod
    def run(self, graph: Graph) -> Graph:
        """The transformed graph.

        Raises:
            RefusedError: the graph holds something that can't be transformed exactly.
        """


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """Runs `passes` in order and checks the graph after each."""
    for item in passes:
        graph = item.run(graph).check()
    return graph
