"""`snnc simulate`."""

from __future__ import annotations

from typing import Any

import click

from snnc.artefact import Artefact, load
from snnc.cli.common import check_folders, guarded, out, print_json, print_parts, progress_bar
from snnc.energy.report import check_report_name
from snnc.report.pictures import check_picture
from snnc.report.simulation_facts import SimulationFacts
from snnc.report.simulation_plots import plot_simulation
from snnc.report.simulation_tables import simulation_tables
from snnc.samples import read_samples, split_labels
from snnc.simulation import simulate


@click.command("simulate")
@click.argument("artefact")
@click.option("--input", "input_file", help="Samples (.npz/.npy); the model's own example if none.")
@click.option("--samples", type=click.IntRange(1), help="Only the first samples.")
@click.option("--steps", is_flag=True, help="Add a table with a line for every step.")
@click.option("--cores", is_flag=True, help="Add a table with a line for every core.")
@click.option("--links", is_flag=True, help="Add a table with a line for every link.")
@click.option("-o", "--output", help="Where the report goes (.json).")
@click.option("--plot", help="Where the picture goes (.svg or .png).")
@guarded
def simulate_command(
    artefact: str,
    input_file: str | None,
    samples: int | None,
    output: str | None,
    plot: str | None,
    as_json: bool,
    **tables: bool,
) -> None:
    """Run ARTEFACT on the cores of its chip, and say how long that takes and what it costs.

    Cycle by cycle as docs/machine.md defines it, with the spikes that stage `sim` has. An array
    `labels` in the input file adds the accuracy.
    """
    _check_outputs(output, plot)
    compiled = load(artefact)
    data, labels = _data(compiled, input_file, samples)
    with progress_bar(as_json) as advance:
        result, accuracy = simulate(
            compiled, data, labels, lambda done, count: advance("simulating", done, count)
        )
    facts = SimulationFacts(result, accuracy)
    if output is not None:
        facts.save(output)
    if plot is not None:
        plot_simulation(facts, plot)
    if as_json:
        print_json(facts.to_dict())
        return
    print_parts(simulation_tables(facts, **tables))
    for file in (output, plot):
        if file is not None:
            out.print(f"wrote {file}")


def _check_outputs(output: str | None, plot: str | None) -> None:
    """Before a long run, not behind it."""
    if output is not None:
        check_report_name(output)
    if plot is not None:
        check_picture(plot)
    check_folders(output, plot)


def _data(artefact: Artefact, input_file: str | None, samples: int | None) -> tuple[Any, Any]:
    """The first samples and their labels; None for what there is none of."""
    if input_file is not None:
        data, labels, _ = split_labels(read_samples(input_file), artefact.network.inputs)
    elif artefact.example is not None:
        data, labels = dict(artefact.example.inputs), None
    else:
        return None, None
    first = slice(samples)
    # What has no axis of samples is refused where all is checked.
    data = {name: value[first] if value.ndim else value for name, value in data.items()}
    return data, labels[first] if labels is not None and labels.ndim else labels
