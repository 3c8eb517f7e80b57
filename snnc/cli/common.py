"""What the commands share: error blocks, JSON, progress bars and the options of a model source."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from snnc.errors import OptionError, SnncError
from snnc.frontends.load import SourceOptions
from snnc.frontends.nir import NirOptions
from snnc.report.tables import rendered
from snnc.samples import read_samples, split_labels

Command = TypeVar("Command", bound=Callable[..., Any])

out = Console(highlight=False, markup=False)
err = Console(stderr=True, highlight=False, markup=False)

INTERRUPTED = 130

NARROWEST = 80
"""Columns; below that lines go on in the next one."""


def print_json(data: object) -> None:
    """Data for scripts, on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_parts(parts: Iterable[RenderableType]) -> None:
    """As wide as the terminal, but for very narrow ones, where tables would fall to pieces; files
    and pipes get the width that the tables are made for."""
    if not out.is_terminal:
        click.echo(rendered(parts), nl=False)
        return
    console = Console(width=max(NARROWEST, out.width), highlight=False, markup=False)
    for part in parts:
        console.print(part)


def show_error(error: SnncError, as_json: bool) -> None:
    """One block on standard error: place, cause, fix."""
    if as_json:
        print_json(error.to_dict())
        return
    body = Text(error.cause)
    if error.fix:
        body.append("\n\nfix: ", style="bold green").append(error.fix)
    title = Text(f"{type(error).__name__}: {error.where}")
    err.print(Panel(body, title=title, title_align="left", border_style="red", padding=(0, 1)))


def guarded(command: Command) -> Command:
    """Turns documented errors into one block and their exit code; `--debug` lets them through."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    @functools.wraps(command)
    def wrapper(*args: Any, as_json: bool, debug: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, as_json=as_json, **kwargs)
        except SnncError as error:
            if debug:
                raise
            show_error(error, as_json)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            if debug:
                raise
            err.print("interrupted; nothing was changed")
            sys.exit(INTERRUPTED)

    return wrapper  # type: ignore[return-value]


@contextmanager
def progress_bar(hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error that is told (what, done, all); it goes away when all is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    disable = hidden or not err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=disable) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def check_folders(*files: str | None) -> None:
    """Whether the folders of files that will be written exist; None is no file.

    Raises:
        OptionError: one doesn't.
    """
    for file in files:
        if file is not None and not Path(file).absolute().parent.is_dir():
            raise OptionError(file, "its folder does not exist", "make it, or name another place")


def source_options(command: Command) -> Command:
    """The options that say what a model source leaves open."""
    for option in reversed(
        (
            click.option("--weights", help="State dict for package.module:factory."),
            click.option("--example", help="Example input (.npz/.npy) for a factory."),
            click.option("--time-axis", type=int, help="Axis of the steps in a factory's example."),
            click.option("--dt", type=float, default=NirOptions().dt, show_default=True,
                         help="Seconds per step of a .nir file."),
            click.option("--reset", type=click.Choice(["hard", "soft"]), default="hard",
                         show_default=True, help="Reset of a plain .nir file's neurons."),
            click.option("--reset-at", type=click.Choice(["now", "before", "after"]), default="now",
                         show_default=True, help="When a plain .nir file's neurons reset."),
            click.option("--order", type=click.Choice(["uv", "vu"]), default="uv",
                         show_default=True, help="Update order of a plain .nir file's CubaLIF."),
            click.option("--compare", type=click.Choice([">", ">="]), default=">",
                         show_default=True, help="Comparison of a plain .nir file's neurons."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def make_source_options(
    steps: int | None,
    weights: str | None,
    example: str | None,
    time_axis: int | None,
    **nir: Any,
) -> SourceOptions:
    """Bundles the options of `source_options`."""
    arrays = None if example is None else split_labels(read_samples(example))[0]
    return SourceOptions(NirOptions(**nir), weights, arrays, steps, time_axis)
