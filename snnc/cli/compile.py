"""`snnc compile`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from snnc.artefact import check_free
from snnc.cli.common import (
    guarded,
    make_source_options,
    out,
    print_json,
    progress_bar,
    source_options,
)
from snnc.compiler import Options, compile_model
from snnc.encoding import SCHEMES
from snnc.frontends.load import load_source
from snnc.report.tables import compiled_table
from snnc.samples import read_samples, split_labels


@click.command("compile")
@click.argument("model")
@click.option("--target", default="loihi", show_default=True, help="See `snnc targets`.")
@click.option("--chip", help="Chip of the target; the target's default without it.")
@click.option("-o", "--output", required=True, help="Folder of the artefact.")
@click.option("--force", is_flag=True, help="Replace an existing artefact.")
@click.option("--encoding", type=click.Choice(SCHEMES), help="How samples become spikes.")
@click.option("--steps", type=click.IntRange(1), help="Steps T per sample.")
@click.option("--calibrate", help="Samples (.npz/.npy) that choose the scales.")
@click.option("--input-bits", type=int, help="Largest width of directly encoded inputs.  [8]")
@click.option("--input-range", type=float, nargs=2, help="Lowest and highest input value.")
@click.option("--seed", type=int, help="Of the rate encoder.  [0]")
@click.option("--host", multiple=True, help="NODE to run on the host; may be repeated.")
@source_options
@guarded
def compile_command(
    model: str,
    target: str,
    chip: str | None,
    output: str,
    force: bool,
    encoding: str | None,
    steps: int | None,
    calibrate: str | None,
    input_bits: int | None,
    input_range: tuple[float, float] | None,
    seed: int | None,
    host: tuple[str, ...],
    weights: str | None,
    example: str | None,
    time_axis: int | None,
    as_json: bool,
    **nir: Any,
) -> None:
    """Compile MODEL (.pt, .nir, .net or package.module:factory) into an artefact folder."""
    check_free(output, force)
    sources = make_source_options(steps, weights, example, time_axis, **nir)
    loaded = load_source(model, sources)
    chosen: Any = encoding
    options = Options(target, chip, chosen, steps, input_bits, input_range, seed, host)
    data = None
    if calibrate is not None:
        data = split_labels(read_samples(calibrate), loaded.graph.inputs)[0]
    with progress_bar(as_json) as advance:
        artefact = compile_model(loaded, options, data, partial(advance, "calibrating"))
    artefact.save(output, force)
    if as_json:
        print_json({"artefact": output, **artefact.manifest})
        return
    out.print(compiled_table(artefact))
    out.print(f"wrote {output}")
