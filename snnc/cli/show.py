"""`snnc show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snnc.artefact import load
from snnc.cli.common import guarded, make_source_options, out, print_json, source_options
from snnc.errors import OptionError
from snnc.frontends.load import load_source
from snnc.ir.files import to_tree
from snnc.ir.text import to_text


@click.command("show")
@click.argument("source")
@click.option("--stage", type=click.Choice(["s1", "s2"]), help="Graph of an artefact to show.")
@click.option("--steps", type=click.IntRange(1), help="Steps T of a factory's module.")
@source_options
@guarded
def show_command(
    source: str,
    stage: str | None,
    steps: int | None,
    weights: str | None,
    example: str | None,
    time_axis: int | None,
    as_json: bool,
    **nir: Any,
) -> None:
    """Print the graph of SOURCE: an artefact folder or any model that `compile` takes."""
    if Path(source).is_dir():
        compiled = load(source)
        chosen = compiled.int_graph if stage != "s1" else compiled.float_graph
        if chosen is None:
            raise OptionError("--stage", "this artefact has no float graph", "--stage s2")
        graph = chosen
    elif stage is not None:
        raise OptionError("--stage", "chooses a graph of an artefact", "leave it away for a model")
    else:
        sources = make_source_options(steps, weights, example, time_axis, **nir)
        graph = load_source(source, sources).graph
    if as_json:
        print_json(to_tree(graph)[0])
        return
    out.print(to_text(graph), soft_wrap=True)
