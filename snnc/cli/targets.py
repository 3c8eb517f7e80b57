"""`snnc targets`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from snnc.cli.common import guarded, out, print_json, print_parts
from snnc.errors import OptionError
from snnc.report.chip_tables import chip_tables, read_figures
from snnc.report.tables import limits_table, targets_table
from snnc.targets.registry import target as find_target
from snnc.targets.registry import targets


@click.command("targets")
@click.argument("name", required=False)
@click.option("--chip", help="Chip whose limits are shown.")
@click.option("--show", help="All figures of a chip: its name, or a .toml file of one's own.")
@guarded
def targets_command(name: str | None, chip: str | None, show: str | None, as_json: bool) -> None:
    """List the installed targets, the number formats of one, or with --show all of a chip."""
    if show is not None:
        if name is not None or chip is not None:
            raise OptionError("--show", "names a chip by itself", "give --show and nothing else")
        _show(show, as_json)
        return
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


def _show(chip: str, as_json: bool) -> None:
    found = read_figures(_chip_file(chip))
    if as_json:
        print_json(found.to_dict())
        return
    print_parts(chip_tables(found))


def _chip_file(chip: str) -> Path:
    """The file of a chip that some target has, or a file of one's own."""
    having = {name: item for item in targets().values() for name in item.chips}
    if chip in having:
        return having[chip].chip_file(chip)
    if Path(chip).suffix != ".toml":
        raise OptionError(
            "--show",
            f"no chip {chip!r}",
            f"one of {', '.join(having)}, or a chip's file, NAME.toml",
        )
    return Path(chip)
