"""`snnc energy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from snnc.atomic import write_whole
from snnc.cli.common import (
    check_folders,
    guarded,
    make_source_options,
    out,
    print_json,
    print_parts,
    progress_bar,
    source_options,
)
from snnc.encoding import SCHEMES
from snnc.energy.conventions import conventions as known_conventions
from snnc.energy.conventions.base import Settings
from snnc.energy.difference import difference
from snnc.energy.encoder import encoder_bits
from snnc.energy.prices import load_prices, price_tables
from snnc.energy.report import Report, check_report_name, read_report
from snnc.errors import InputError, OptionError
from snnc.report.difference_tables import difference_tables
from snnc.report.energy_tables import convention_tables, energy_tables
from snnc.report.pictures import check_picture

DEFAULT_PRICES = "45nm-fp32"
DEFAULT_CONVENTION = "effective"
_NEED_NO_RUN = {"model", "listed", "output", "csv", "plot", "diff", "as_json", "debug"}


@click.command("energy")
@click.argument("model", required=False)
@click.option("--input", "inputs", multiple=True, help="Samples (.npz/.npy); may be repeated.")
@click.option("--prices", default=DEFAULT_PRICES, show_default=True,
              help="Price table: a name or a .toml file.")  # fmt: skip
@click.option("--convention", "conventions", multiple=True,
              help=f"How to count: {', '.join(known_conventions())}, or all; may be repeated, the"
              f" first one is the main one.  [{DEFAULT_CONVENTION}]")  # fmt: skip
@click.option("--conventions", "listed", is_flag=True,
              help="List conventions and price tables with their sources.")  # fmt: skip
@click.option(
    "--first-layer",
    type=click.Choice(["per_step", "once"]),
    default="per_step",
    show_default=True,
    help="How often layers whose input never changes are evaluated.",
)
@click.option("--skip-zero-weights", is_flag=True, help="Leave out products with weights of 0.")
@click.option("--encoder", help="Circuit that turns pixels into spikes: sar:BITS.")
@click.option("--stage", type=click.Choice(["s1", "s2", "sim"]), help="Stage of an artefact.")
@click.option(
    "--encoding", type=click.Choice(SCHEMES), help="How samples of a model file become spikes."
)
@click.option("--steps", type=click.IntRange(1), help="Steps T per sample.")
@click.option("--samples", type=click.IntRange(1), help="Only the first samples.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True,
              help="Processes that share the samples.")  # fmt: skip
@click.option("-o", "--output", help="Where the report goes (.json).")
@click.option("--csv", help="Where the lines of every figure go (.csv).")
@click.option("--plot", help="Where the picture goes (.svg or .png).")
@click.option("--diff", help="Saved report (.json) that this one is compared with.")
@source_options
@guarded
@click.pass_context
def energy_command(
    context: click.Context,
    /,
    model: str | None,
    listed: bool,
    output: str | None,
    csv: str | None,
    plot: str | None,
    diff: str | None,
    as_json: bool,
    **of_a_run: Any,
) -> None:
    """Count what MODEL does on samples, and price it.

    MODEL is a .pt, .nir or .net file, package.module:factory, an artefact folder, or a saved report
    (.json), which is shown, converted or compared.
    """
    if listed:
        _list(context, as_json)
        return
    if model is None:
        raise OptionError("MODEL", "is missing", "name a model, an artefact or a saved report")
    _check_outputs(output, csv, plot)
    before = None if diff is None else read_report(diff)
    if Path(model).suffix == ".json" and not Path(model).is_dir():
        _refuse(context, "a saved report")
        report = read_report(model)
    else:
        report = _run(model, as_json, **of_a_run)
    _write(report, output, csv, plot)
    _show(report, before, as_json)
    if as_json:
        return
    for file in (output, csv, plot):
        if file is not None:
            out.print(f"wrote {file}")


def _run(
    model: str,
    as_json: bool,
    *,
    inputs: tuple[str, ...],
    prices: str,
    conventions: tuple[str, ...],
    first_layer: Any,
    skip_zero_weights: bool,
    encoder: str | None,
    stage: str | None,
    encoding: Any,
    steps: int | None,
    samples: int | None,
    workers: int,
    **source: Any,
) -> Report:
    # The executors and frontends, which a saved report does not need.
    from snnc.energy.run import run_energy

    if not inputs:
        raise InputError("--input", "no data: energy depends on what the network sees",
                         "give samples (.npz or .npy)")  # fmt: skip
    if encoder is not None:
        encoder_bits(encoder)
    load_prices(prices)
    with progress_bar(as_json) as advance:
        return run_energy(
            model,
            inputs,
            conventions=conventions or (DEFAULT_CONVENTION,),
            prices=prices,
            settings=Settings(first_layer, not skip_zero_weights),
            encoder=encoder,
            stage=stage,
            encoding=encoding,
            samples=samples,
            workers=workers,
            source=make_source_options(steps, **source),
            progress=advance,
        )


def _refuse(context: click.Context, what: str) -> None:
    """No option is ignored: those of a run need a run."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _NEED_NO_RUN:
            raise OptionError(
                parameter.opts[0], f"needs a run, and there is none for {what}", "leave it away"
            )


def _check_outputs(output: str | None, csv: str | None, plot: str | None) -> None:
    """Before a long run, not behind it."""
    if output is not None:
        check_report_name(output)
    if csv is not None and Path(csv).suffix != ".csv":
        raise OptionError(csv, "lines are written to .csv files", f"{Path(csv).stem or 'r'}.csv")
    if plot is not None:
        check_picture(plot)
    check_folders(output, csv, plot)


def _write(report: Report, output: str | None, csv: str | None, plot: str | None) -> None:
    if output is not None:
        report.save(output)
    if csv is not None:
        write_whole(Path(csv), report.csv().encode(), OptionError)
    if plot is not None:
        report.plot(plot)


def _show(report: Report, before: Report | None, as_json: bool) -> None:
    found = None if before is None else difference(before, report)
    if as_json:
        data = report.to_dict()
        print_json(data if found is None else {"report": data, "difference": found.to_dict()})
        return
    print_parts(energy_tables(report) if found is None else difference_tables(found))


def _list(context: click.Context, as_json: bool) -> None:
    _refuse(context, "a list")
    found = known_conventions()
    tables = [load_prices(name) for name in price_tables()]
    if as_json:
        print_json({
            "conventions": {
                name: {"paper": item.paper, "rule": item.rule} for name, item in found.items()
            },
            "prices": {item.name: vars(item) for item in tables},
        })  # fmt: skip
        return
    print_parts(convention_tables(found.values(), tables))
