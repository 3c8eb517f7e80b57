"""What a backend is. Third-party backends subclass `Target` and register in `snnc.targets`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from snnc.encoding import SCHEMES, Scheme
from snnc.errors import OptionError
from snnc.ir import Graph, Node
from snnc.passes.limits import Limits, read_limits
from snnc.reference import Inputs, Ports, Trace
from snnc.targets.cores.program import Program

Progress = Callable[[float], None]
"""Told the finished share, 0 to 1, now and then."""

Engine = Callable[[Graph, Inputs, Ports | None, Progress, str | None], Trace]
"""Runs an integer graph (S2) as `run_int` does: same inputs, same trace, own time axis removed.
The last argument is the chip that the graph was compiled for, of this target or another."""


@dataclass(frozen=True)
class Check:
    """One line of `snnc doctor`."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Emitted:
    """What a target writes into an artefact.

    Attributes:
        files: bytes by path below the artefact's folder of the target; the same graph gives the
            same bytes.
        lag: by neuron layer, hardware steps between a step of the graph and the same step there.
        report: what a user must know: neuron programs used and why, what a format can't say.
        facts: the same as plain data for the manifest.
    """

    files: Mapping[str, bytes]
    lag: Mapping[str, int]
    report: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


class Target(ABC):
    """A backend."""

    name: ClassVar[str]
    summary: ClassVar[str]
    chips: ClassVar[tuple[str, ...]]
    """Chips that can be chosen, the default first."""
    data: ClassVar[Path]
    """Folder of the chips' data files, CHIP.toml."""
    must_fit: ClassVar[bool] = False
    """Whether a network that doesn't fit on the chip's cores is refused, or runs without them."""
    encodings: ClassVar[tuple[Scheme, ...]] = SCHEMES
    """What may stand before the cores; `host` stands for the host, too, where it does so."""

    def chip_file(self, chip: str | None = None) -> Path:
        """The data file of a chip (None: the default).

        Raises:
            OptionError: the target has no such chip.
        """
        chosen = chip or self.chips[0]
        if chosen not in self.chips:
            raise OptionError(
                "--chip", f"{self.name} has no chip {chosen!r}", f"one of {', '.join(self.chips)}"
            )
        return self.data / f"{chosen}.toml"

    def limits(self, chip: str | None = None) -> Limits:
        """Number formats and limits of a chip (None: the default), each with its source.

        Raises:
            OptionError: the target has no such chip. ChipFileError: its file is wrong.
        """
        return read_limits(self.chip_file(chip))

    @abstractmethod
    def emit(self, graph: Graph, limits: Limits) -> Emitted:
        """Lowers an integer graph to the target's own files.

        Raises:
            RefusedError: a node can't be said on this chip.
        """

    def program(self, graph: Graph, limits: Limits) -> Program | None:
        """What the cores run for an integer graph; None where the target has no cores.

        Raises:
            RefusedError: a node can't be said on them.
        """
        del graph, limits
        return None

    @property
    @abstractmethod
    def engines(self) -> Mapping[str, Engine]:
        """What can run an integer graph here, by stage name (S4)."""

    def unsupported(self, node: Node) -> str:
        """Why the cores can't compute a node of the float graph, '' where they can."""
        del node
        return ""

    def ready_engines(self) -> list[str]:
        """Stage names of the engines that can run on this machine."""
        return list(self.engines)

    def refusal(self, graph: Graph, chip: str | None) -> str:
        """Why the engines can't run an integer graph compiled for `chip`, '' where they can."""
        del graph, chip
        return ""

    def checks(self) -> list[Check]:
        """What `snnc doctor` says of this target."""
        return []
