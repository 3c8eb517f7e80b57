"""What a pass is: a small frozen dataclass that turns a graph into an equivalent one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from snnc.ir import Conv, Delay, Flatten, Graph, Linear, Node, Pool, Scale

STATELESS = (Linear, Conv, Pool, Flatten, Scale)
"""Operations whose output at a step depends on the input at that step alone."""

LINEAR = (*STATELESS, Delay)
"""What may stand between two neurons."""


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


def run_passes(
    graph: Graph, passes: Sequence[Pass], after: Callable[[Pass, Graph], None] | None = None
) -> Graph:
    """Runs `passes` in order and checks the graph after each; `after` sees every result."""
    for item in passes:
        graph = item.run(graph).check()
        if after is not None:
            after(item, graph)
    return graph


def is_stateless(node: Node) -> bool:
    """Whether the node is one of `STATELESS`."""
    return isinstance(node, STATELESS)
