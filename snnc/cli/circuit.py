"""`snnc circuit`: the circuits that turn pixels into weighted spikes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from snnc.atomic import write_whole
from snnc.circuits.switching import SCHEMES
from snnc.cli.circuit_options import (
    PARAMETERS,
    check_file,
    design_options,
    make_design,
    parse_values,
    part_options,
)
from snnc.cli.common import guarded, out, print_json, print_parts, progress_bar
from snnc.errors import OptionError, ToolError
from snnc.report.pictures import check_picture

if TYPE_CHECKING:
    from snnc.circuits.design import Design
    from snnc.circuits.spice.crosscheck import Simulator
    from snnc.circuits.spice.deck import Netlist
    from snnc.circuits.yields import SweepPoint

Share = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.group("circuit")
def circuit_command() -> None:
    """Verify, sweep and draw the circuit that turns pixels into weighted spikes.

    A successive-approximation (SAR) converter decides one bit of a pixel per cycle, MSB first: its
    decisions are the spikes of VTSNN's undistorted weighted encoding.
    """


@circuit_command.command("verify")
@design_options
@click.option("--instances", type=int, default=1000, show_default=True, help="For the yield.")
@click.option("--confidence", type=Share, default=0.95, show_default=True, help="Of its interval.")
@click.option("--spice", is_flag=True, help="Compare with ngspice, too.")
@guarded
def verify_circuit(
    seed: int, instances: int, confidence: float, spice: bool, as_json: bool, **options: Any
) -> None:
    """Check that a converter does what the encoding says; exit 1 if it doesn't.

    On the ideal converter: every pixel's mid-bin voltage, both neighbours of every threshold, the
    way back, where each impairment first does harm and how often noise does, beside closed forms.
    On converters with the mismatch and impairments given: the yield, which is measured, not judged.
    """
    from snnc.circuits.verify import verify_encoding
    from snnc.report.circuit_tables import design_data, verify_tables

    design = make_design(**options)
    simulator = _simulator() if spice else None
    with progress_bar(as_json) as advance:
        report = verify_encoding(
            design, instances, seed, confidence, simulator,
            lambda done, whole: advance("instances", done, whole),
        )  # fmt: skip
    if as_json:
        print_json({"design": design_data(design), "seed": seed, **report.to_dict()})
    else:
        print_parts(verify_tables(design, report))
    if not report.passed:
        sys.exit(1)


@circuit_command.command("sweep")
@click.option("--parameter", type=click.Choice(list(PARAMETERS)), required=True,
              help="What changes: relative, in V, s (settling) or V/s (droop).")  # fmt: skip
@click.option("--values", required=True, help="A,B,C or FROM:TO:COUNT.")
@design_options
@click.option("--instances", type=int, default=1000, show_default=True, help="At every value.")
@click.option("--confidence", type=Share, default=0.95, show_default=True, help="Of the interval.")
@click.option("--plot", help="Where the picture goes (.svg or .png).")
@click.option("--csv", help="Where the points go (.csv).")
@guarded
def sweep_circuit(
    parameter: str,
    values: str,
    seed: int,
    instances: int,
    confidence: float,
    plot: str | None,
    csv: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """The yield of a converter against one of its parameters.

    An instance is good if it converts the mid-bin voltage of every pixel code to that code.
    """
    from snnc.report.circuit_tables import design_data, point_data, sweep_csv, sweep_tables

    if plot is not None:
        _check_picture(plot)
    if csv is not None:
        check_file(csv, ".csv")
    name, numbers = PARAMETERS[parameter], parse_values(values)
    if options[name]:
        cause = f"is swept, and fixed at {options[name]:g}, too"
        raise OptionError(f"--parameter {parameter}", cause, "give it one way only")
    design = make_design(**options)
    points = _sweep(design, name, numbers, instances, seed, confidence, as_json)
    if csv is not None:
        write_whole(Path(csv), sweep_csv(parameter, points).encode(), OptionError)
    if plot is not None:
        from snnc.report.circuit_plots import plot_sweep

        plot_sweep(design, parameter, points, plot)
    if as_json:
        found = [point_data(point) for point in points]
        said = {"design": design_data(design), "seed": seed, "parameter": parameter}
        print_json({**said, "points": found})
        return
    print_parts(sweep_tables(design, parameter, points))
    _wrote(csv, plot)


@circuit_command.command("netlist")
@click.argument("what", type=click.Choice(["ladder", "array", "sar"]))
@part_options
@click.option("--dac", type=click.Choice([*SCHEMES, "ladder"]),
              help="Of a sar single-ended or ladder; of an array its switching."
              "  [single-ended]")  # fmt: skip
@click.option("--code", "codes", type=int, multiple=True,
              help="Pixel code that is converted; may be repeated for a sar."
              "  [sar: all]")  # fmt: skip
@click.option("--side", type=click.Choice(["up", "down"]),
              help="Of a differential array.  [up]")  # fmt: skip
@click.option("--offset", type=float, help="Of a sar's comparator, V.")
@click.option("-o", "--output", help="Where the netlist goes; left out, to standard output.")
@guarded
def netlist_circuit(
    what: str, seed: int, output: str | None, as_json: bool, **options: Any
) -> None:
    """SPICE text for ngspice: a ladder at DC for every code, the switching of a capacitor array on
    the way to one code, or the whole SAR loop on the mid-bin voltages of pixels.
    """
    from snnc.cli.circuit_netlists import make_netlist

    if output is not None:
        check_file(output)
    found: Netlist = make_netlist(what, np.random.default_rng(seed), **options)
    if output is not None:
        write_whole(Path(output), found.text.encode("ascii"), OptionError)
    if as_json:
        print_json({"netlist": found.text, "stop": found.stop})
    elif output is None:
        click.echo(found.text, nl=False)
    else:
        _wrote(output)


@circuit_command.command("plot")
@click.option("-o", "--output", required=True, help="Where the picture goes (.svg or .png).")
@design_options
@guarded
def plot_circuit(output: str, seed: int, as_json: bool, **options: Any) -> None:
    """Draw one instance: transfer curve, DNL and INL, energy per code, spikes of a ramp."""
    _check_picture(output)
    from snnc.report.circuit_plots import plot_design

    plot_design(make_design(**options), output, seed)
    if as_json:
        print_json({"output": output})
    else:
        _wrote(output)


def _simulator() -> Simulator:
    """ngspice, looked for before the long run."""
    from snnc.circuits.spice.crosscheck import Simulator
    from snnc.circuits.spice.ngspice import available

    if not available():
        raise ToolError(
            "ngspice", "isn't installed", "apt-get install ngspice, or leave --spice away"
        )
    return Simulator()


def _sweep(
    design: Design,
    parameter: Any,
    values: list[float],
    instances: int,
    seed: int,
    confidence: float,
    quiet: bool,
) -> tuple[SweepPoint, ...]:
    from snnc.circuits.yields import sweep

    # One instance of each shows a bad value before the good ones have taken their time.
    sweep(design, parameter, values, 1, seed, confidence)
    with progress_bar(quiet) as advance:
        return sweep(
            design, parameter, values, instances, seed, confidence,
            lambda done, whole: advance("instances", done, whole),
        )  # fmt: skip


def _check_picture(path: str) -> None:
    check_picture(path)
    check_file(path)


def _wrote(*files: str | None) -> None:
    for file in files:
        if file is not None:
            out.print(f"wrote {file}")
