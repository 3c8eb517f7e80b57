"""Target `sim`: integer graphs in numpy, many samples at once, exactly as S2 defines them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from snnc.errors import OptionError, RefusedError
from snnc.ir import Graph, HostOnly, Neuron, Node, Pool, Scale
from snnc.passes.limits import Limits
from snnc.processors import processors
from snnc.targets.base import Check, Emitted, Engine, Target
from snnc.targets.cores import CHIPS
from snnc.targets.cores.program import Program
from snnc.targets.loihi.lower import lower
from snnc.targets.sim.blas import single_threaded
from snnc.targets.sim.engine import run


class Sim(Target):
    """Runs the integer graph itself: no time of its own, no lag, the number formats of a chip."""

    name: ClassVar[str] = "sim"
    summary: ClassVar[str] = "fast exact simulation of the integer graph in numpy"
    chips: ClassVar[tuple[str, ...]] = ("loihi2", "loihi1", "array")
    data: ClassVar[Path] = CHIPS

    def chip_file(self, chip: str | None = None) -> Path:
        """The data file of a chip: one of `chips`, or a user's own.

        Raises:
            OptionError: there is none of that name.
        """
        if chip is None or chip in self.chips:
            return super().chip_file(chip)
        own = Path(chip)
        if own.suffix != ".toml":
            raise OptionError(
                "--chip",
                f"{self.name} has no chip {chip!r}",
                f"one of {', '.join(self.chips)}, or a chip's own file, NAME.toml",
            )
        return own

    def program(self, graph: Graph, limits: Limits) -> Program:
        """What a chip of cores runs for the graph; the engines here run the graph itself."""
        return lower(graph, limits)

    def emit(self, graph: Graph, limits: Limits) -> Emitted:
        """The integer graph is the program: no files of the target's own, no lag.

        Raises:
            RefusedError: a node of real numbers.
        """
        for name, node in graph.nodes.items():
            if _is_real(node):
                raise RefusedError(
                    name,
                    f"a {type(node).__name__} computes real numbers, {self.name} runs integers",
                    "compile the model with snnc.compile, which turns it into integers",
                )
        lag = dict.fromkeys(graph.neurons, 0)
        return Emitted({}, lag, (), {"chip": limits.chip})

    @property
    def engines(self) -> Mapping[str, Engine]:
        return {"sim": run}

    def checks(self) -> list[Check]:
        with single_threaded() as controlled:
            detail = f"{processors()} threads"
            if not controlled:
                detail += "; the threads of this numpy's BLAS can't be set, large runs are slower"
        return [Check("sim engine", True, detail)]


def _is_real(node: Node) -> bool:
    return isinstance(node, Neuron | Scale | HostOnly) or (
        isinstance(node, Pool) and node.mode == "avg"
    )


__all__ = ["Sim", "run"]
