"""Loihi 1 and 2: the chip's program, a numpy model of Lava's rules, and Lava itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from snnc.errors import RefusedError, ToolError
from snnc.ir import Graph, MatMul, Node
from snnc.passes.limits import Limits
from snnc.reference import Inputs, Ports, Trace
from snnc.targets.base import Check, Emitted, Engine, Progress, Target
from snnc.targets.cores import CHIPS
from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    MultiCompartment,
    Program,
)
from snnc.targets.loihi.hops import product_reason
from snnc.targets.loihi.lava_run import INSTALL, WORKER, require_lava, run_child, run_lava
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from snnc.targets.loihi.net_file import net_bytes, net_hints, net_reasons
from snnc.targets.loihi.program_file import to_bytes

CHECK_SECONDS = 60.0


@lru_cache(maxsize=2)
def _program(graph: Graph, chip: str | None) -> Program:
    """The program of a graph; `verify` and `run` ask for it once per batch of samples. A graph
    that was compiled for the chip of another target runs on the default one."""
    return lower(graph, Loihi().limits(chip if chip in Loihi.chips else None))


def run_loihi(
    graph: Graph,
    inputs: Inputs,
    record: Ports | None,
    progress: Progress,
    chip: str | None = None,
) -> Trace:
    """Stage `loihi`: our numpy model of Lava's fixed-point rules, on a chip (None: the default).

    Raises:
        RefusedError, InputError, OptionError: see `lower` and `run_model`.
    """
    return run_model(_program(graph, chip), graph, inputs, record, progress)


def run_in_lava(
    graph: Graph,
    inputs: Inputs,
    record: Ports | None,
    progress: Progress,
    chip: str | None = None,
) -> Trace:
    """Stage `lava`: Lava's own processes under `Loihi2SimCfg(select_tag="fixed_pt")`.

    Raises:
        ToolError: Lava is missing, failed or ran into its time limit.
        RefusedError, InputError, OptionError: see `lower` and `run_lava`.
    """
    require_lava()
    return run_lava(_program(graph, chip), graph, inputs, record, progress)


class Loihi(Target):
    """Intel's Loihi, as open software defines it: Lava's fixed-point process models."""

    name: ClassVar[str] = "loihi"
    summary: ClassVar[str] = "Intel Loihi 1 and 2: program, lava-dl .net file, Lava simulation"
    chips: ClassVar[tuple[str, ...]] = ("loihi2", "loihi1")
    data: ClassVar[Path] = CHIPS
    must_fit: ClassVar[bool] = True

    def program(self, graph: Graph, limits: Limits) -> Program:
        return _program(graph, limits.chip)

    def emit(self, graph: Graph, limits: Limits) -> Emitted:
        program = _program(graph, limits.chip)
        files = {"program.npz": to_bytes(program)}
        reasons = net_reasons(program)
        if reasons:
            report = [f"no .net file: {reason}" for reason in reasons]
        else:
            files["model.net"] = net_bytes(program)
            report = net_hints(program)
        populations = program.populations
        programmed = [n for n, item in populations.items() if isinstance(item, Canonical)]
        built = [
            layer
            for layer, parts in program.layers.items()
            if any(isinstance(populations[n], Compartment | MultiCompartment) for n in parts)
        ]
        return Emitted(
            files,
            {name: program.lag(name) for name in graph.neurons},
            (*program.notes, *report),
            {
                "chip": limits.chip,
                "neuron_programs": programmed,
                "compartments": built,
                "split": {name: len(split.parts) for name, split in program.splits.items()},
                "cleared": program.cleared,
                "net_file": not reasons,
                "synapses": sum(synapse.count for synapse in program.synapses),
            },
        )

    def unsupported(self, node: Node) -> str:
        return product_reason(node) if isinstance(node, MatMul) else ""

    def refusal(self, graph: Graph, chip: str | None) -> str:
        try:
            _program(graph, chip)
        except RefusedError as error:
            return f"{error.where}: {error.cause}"
        return ""

    @property
    def engines(self) -> Mapping[str, Engine]:
        return {"loihi": run_loihi, "lava": run_in_lava}

    def ready_engines(self) -> list[str]:
        try:
            require_lava()
        except ToolError:
            return ["loihi"]
        return ["loihi", "lava"]

    def checks(self) -> list[Check]:
        return [_check_h5py(), _check_lava()]


def _check_h5py() -> Check:
    return Check("h5py", True, f"{metadata.version('h5py')}: reads and writes .net files")


def _check_lava() -> Check:
    try:
        require_lava()
        found = json.loads(run_child([*WORKER, "--check"], CHECK_SECONDS).splitlines()[-1])
    except ToolError as error:
        return Check("Lava", False, error.cause, error.fix)
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    return Check("Lava", True, f"{versions}: stage lava works")


__all__ = ["INSTALL", "Loihi", "lower", "run_in_lava", "run_loihi"]
