"""S3 in the pipeline: networks laid out on the cores of their target's chip."""

from __future__ import annotations

from dataclasses import replace

from snnc.artefact import Artefact
from snnc.errors import ArtefactError, RefusedError
from snnc.ir import Graph
from snnc.passes.limits import Limits, limits_of
from snnc.targets.base import Emitted, Target
from snnc.targets.cores.layout import Layout, lay_out, read_layout, stored_chip
from snnc.targets.registry import target as find_target

NOT_LAID_OUT = "not laid out on cores: "
"""Start of the line that says why an artefact has no layout, though its target has cores."""


def with_layout(backend: Target, graph: Graph, limits: Limits, chip: str | None) -> Emitted:
    """What a target writes for an integer graph, and where on its cores the network lies.

    Raises:
        RefusedError: the target can't say a node, or the network doesn't fit and has to.
    """
    emitted = backend.emit(graph, limits)
    try:
        program = backend.program(graph, limits)
        if program is None:
            return emitted
        layout = lay_out(program, backend.chip_file(chip))
    except RefusedError as error:
        if backend.must_fit:
            raise
        why = f"{NOT_LAID_OUT}{error.where}: {error.cause}"
        return replace(emitted, report=(*emitted.report, why))
    return replace(
        emitted,
        files={**emitted.files, **layout.files()},
        facts={**emitted.facts, "layout": layout.facts()},
    )


def layout_of(artefact: Artefact) -> Layout:
    """The layout that an artefact was compiled with.

    Raises:
        RefusedError: its network did not fit. ArtefactError: its target has no cores, it was
            compiled by a version that laid nothing out, or its layout breaks a rule.
    """
    for line in artefact.manifest["report"]:
        if line.startswith(NOT_LAID_OUT):
            raise RefusedError(
                artefact.origin,
                line,
                "compile for a chip that it fits on: `snnc targets` lists them",
            )
    chip = stored_chip(artefact.files, artefact.origin)
    limits = limits_of(chip, artefact.origin)
    program = find_target(artefact.manifest["target"]).program(artefact.int_graph, limits)
    if program is None:
        raise ArtefactError(artefact.origin, "its target has no cores", "compile again")
    return read_layout(program, chip, artefact.files, artefact.origin)


__all__ = ["layout_of", "with_layout"]
