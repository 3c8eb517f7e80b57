"""`snnc targets`."""

from __future__ import annotations

from dataclasses import asdict

import click

from snnc.cli.common import guarded, out, print_json
from snnc.errors import OptionError
from snnc.report.tables import limits_table, targets_table
from snnc.targets.registry import target as find_target
from snnc.targets.registry import targets


@click.command("targets")
@click.argument("name", required=False)
@click.option("--chip", help="Chip whose limits are shown.")
@guarded
def targets_command(name: str | None, chip: str | None, as_json: bool) -> None:
    """List the installed targets, or the limits of one with their sources."""
    if name is None and chip is not None:
        raise OptionError("--chip", "is a chip of one target", "name the target: snnc targets NAME")
    if name is None:
        found = targets()
        if as_json:
            print_json({
                key: {"summary": t.summary, "chips": t.chips, "engines": list(t.engines)}
                for key, t in found.items()
            })  # fmt: skip
            return
        out.print(targets_table(found))
        return
    limits = find_target(name).limits(chip)
    if as_json:
        print_json(asdict(limits))
        return
    out.print(limits_table(limits))
