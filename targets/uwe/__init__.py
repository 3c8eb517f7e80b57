"""Target `uwe`: a mixed-signal front end, with the cores behind it as in `sim`.

An ADC of the successive approximation kind (SAR) has T bits for the T steps of the network. In
every cycle it compares the pixel's voltage with one more trial level; its decisions, most
significant bit first, are the spikes of VTSNN's undistorted weighted encoding (UWE; Qiu et al.
2023, Algorithm 1), and enter the cores one plane per step. An R-2R ladder turns output spikes back
into voltages (UWD; Figure 8). Stage `uwe` runs the converter; it leaves the ladder to
`snnc circuit verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from snnc.circuits.spice.ngspice import available
from snnc.encoding import Scheme
from snnc.errors import RefusedError
from snnc.ir import Graph, Kind, Output
from snnc.passes.limits import Limits
from snnc.passes.regions import LEAVING
from snnc.targets.base import Check, Emitted, Engine
from snnc.targets.sim import Sim
from snnc.targets.uwe.converter import converter_bits, run
from snnc.targets.uwe.front_end import FrontEnd


class Uwe(Sim):
    """The encoder circuit as a target: netlists and facts of what makes the network's spikes."""

    name: ClassVar[str] = "uwe"
    summary: ClassVar[str] = "SAR ADC that makes the spikes, R-2R DAC that reads them; cores of sim"
    encodings: ClassVar[tuple[Scheme, ...]] = ("uwe", "none")

    def emit(self, graph: Graph, limits: Limits) -> Emitted:
        """Netlists of the converter and the ladder, and their facts.

        Raises:
            RefusedError: inputs that are no bit planes of 1 to 16 steps, or a node of real numbers.
        """
        cores = super().emit(graph, limits)
        front = FrontEnd(
            converter_bits(graph),
            {name: graph.signals[name].size for name in graph.inputs},
            tuple(name for name in graph.outputs if _is_code(graph, name)),
        )
        return Emitted(front.files(), cores.lag, front.report(), {**cores.facts, **front.facts()})

    @property
    def engines(self) -> Mapping[str, Engine]:
        return {"uwe": run}

    def refusal(self, graph: Graph, chip: str | None) -> str:
        try:
            converter_bits(graph)
        except RefusedError as error:
            return f"{error.where}: {error.cause}"
        return ""

    def checks(self) -> list[Check]:
        detail = "simulates the netlists; `snnc circuit verify --spice` compares with it"
        if available():
            return [Check("ngspice", True, detail)]
        return [Check("ngspice", False, "not installed (optional)", "apt-get install ngspice")]


def _is_code(graph: Graph, name: str) -> bool:
    """Whether an output is spikes at every step, which do not go to the host."""
    node = graph.nodes[name]
    spikes = graph.signals[name].kind is Kind.SPIKE and not name.endswith(LEAVING)
    return spikes and isinstance(node, Output) and node.reduce == "none"


__all__ = ["Uwe", "converter_bits", "run"]
