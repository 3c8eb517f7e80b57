"""The command line: one file per command.

Exit codes: 0 done; 1 a verification failed; 2 wrong options or input data; 3 a model,
graph or artefact that can't be read or written; 4 refused by the target; 5 a tool is missing or
failed; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from snnc import __version__
from snnc.cli.circuit import circuit_command
from snnc.cli.common import show_error
from snnc.cli.compile import compile_command
from snnc.cli.doctor import doctor_command
from snnc.cli.energy import energy_command
from snnc.cli.map import map_command
from snnc.cli.run import run_command
from snnc.cli.show import show_command
from snnc.cli.simulate import simulate_command
from snnc.cli.targets import targets_command
from snnc.cli.verify import verify_command
from snnc.errors import OptionError


class Commands(click.Group):
    """The commands; with `--json`, what is wrong with their options is JSON, too."""

    def invoke(self, ctx: click.Context) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not as_json or error.ctx is None:
                raise
            where = error.ctx.command_path
            show_error(OptionError(where, error.format_message(), f"see {where} --help"), True)
            sys.exit(OptionError.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="snnc")
def main() -> None:
    """Trained spiking networks on neuromorphic hardware, spike for spike.

    Exit codes: 0 done, 1 a verification failed, 2 wrong options or input data, 3 a model or
    artefact that can't be read or written, 4 refused by the target, 5 a tool is missing or failed.
    """


for command in (
    compile_command,
    run_command,
    verify_command,
    map_command,
    simulate_command,
    energy_command,
    circuit_command,
    show_command,
    targets_command,
    doctor_command,
):
    main.add_command(command)
