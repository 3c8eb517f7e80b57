"""`snnc map`."""

from __future__ import annotations

import click

from snnc.artefact import load
from snnc.cli.common import check_folders, guarded, out, print_json, print_parts
from snnc.layouts import layout_of
from snnc.report.layout_facts import LayoutFacts
from snnc.report.layout_plots import plot_layout
from snnc.report.layout_tables import layout_tables
from snnc.report.pictures import check_picture


@click.command("map")
@click.argument("artefact")
@click.option("--cores", is_flag=True, help="Add a table with a line for every core.")
@click.option("--plot", help="Where the picture goes (.svg or .png).")
@guarded
def map_command(artefact: str, cores: bool, plot: str | None, as_json: bool) -> None:
    """Show where on its chip's cores the network of ARTEFACT lies.

    What a core holds is counted in shares of the chip's limits; docs/mapping.md has the rules. With
    --json all of it is printed, core by core and link by link.
    """
    if plot is not None:
        check_picture(plot)
        check_folders(plot)
    layout = layout_of(load(artefact))
    if plot is not None:
        plot_layout(layout, plot)
    if as_json:
        print_json(LayoutFacts(layout).to_dict())
        return
    print_parts(layout_tables(layout, cores))
    if plot is not None:
        out.print(f"wrote {plot}")
