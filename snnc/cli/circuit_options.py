"""Options that describe an encoder circuit, shared by the commands of `snnc circuit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from snnc.circuits.switching import SCHEMES
from snnc.errors import OptionError

if TYPE_CHECKING:
    from snnc.circuits.design import Design
    from snnc.circuits.yields import Parameter

Command = TypeVar("Command", bound=Callable[..., Any])

DACS = (*SCHEMES, "ladder")
PARAMETERS: dict[str, Parameter] = {
    "mismatch": "mismatch",
    "offset": "offset",
    "gain": "gain",
    "noise": "comparator_noise",
    "sampling-noise": "sampling_noise",
    "reference-noise": "reference_noise",
    "settling": "tau",
    "droop": "droop",
    "metastability": "metastable_window",
}
"""What can be swept, and what the model calls it."""
MOST_VALUES = 10_000


class Share(click.ParamType[float]):
    """A relative number: 0.01 or 1%."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number itself; what isn't one is a usage error."""
        try:
            return as_number(str(value))
        except ValueError:
            self.fail(f"{value!r} is no number; give one like 0.01 or 1%", param, ctx)


def as_number(text: str) -> float:
    """0.01 of "0.01" or "1%"; a ValueError for anything else."""
    bare = text.strip()
    return float(bare[:-1]) / 100 if bare.endswith("%") else float(bare)


def part_options(command: Command) -> Command:
    """What every circuit has: resolution, mismatch, reference, the switches of a ladder."""
    return _with(
        command,
        click.option("--bits", type=int, default=8, show_default=True, help="Resolution, 1 to 16."),
        click.option("--mismatch", type=Share(), default=0.0,
                     help="Relative spread of a unit capacitor, or of every resistor: 1% or 0.01."),
        click.option("--v-ref", type=float, default=1.0, show_default=True, help="Reference, V."),
        click.option("--r-up", type=float, default=0.0,
                     help="Ladder: resistance of the switches to the reference, ohm."),
        click.option("--r-down", type=float, default=0.0,
                     help="Ladder: resistance of the switches to ground, ohm."),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
                     help="Of mismatch and noise."),
    )  # fmt: skip


def design_options(command: Command) -> Command:
    """All of a converter: its parts, and what it suffers from."""
    return _with(
        part_options(command),
        click.option("--dac", type=click.Choice(DACS), default="single-ended", show_default=True,
                     help="R-2R ladder, or how the capacitor array is switched."),
        click.option("--offset", type=float, default=0.0, help="Of the comparator, V."),
        click.option("--gain", type=Share(), default=0.0, help="Relative error of the input's."),
        click.option("--noise", "comparator_noise", type=float, default=0.0,
                     help="Of the comparator in every decision, V rms."),
        click.option("--sampling-noise", type=float, default=0.0,
                     help="Once per conversion (kT/C), V rms."),
        click.option("--reference-noise", type=float, default=0.0,
                     help="Of the reference in every decision, V rms."),
        click.option("--tau", type=float, default=0.0, help="With which the DAC settles, s."),
        click.option("--droop", type=float, default=0.0, help="Of the held voltage, V/s."),
        click.option("--metastable-window", type=float, default=0.0,
                     help="Overdrive below which a decision is a coin's, V."),
        click.option("--slot", type=float, default=100e-9, show_default=True,
                     help="Time of one decision, s."),
        click.option("--no-hold", is_flag=True, help="The input moves while it is converted."),
    )  # fmt: skip


def make_design(
    *,
    bits: int,
    dac: Any,
    mismatch: float,
    slot: float,
    no_hold: bool,
    v_ref: float,
    r_up: float,
    r_down: float,
    **impairments: float,
) -> Design:
    """The design that the options of `design_options` describe.

    Raises:
        OptionError: as `Design` and `Impairments`.
    """
    from snnc.circuits.design import Design
    from snnc.circuits.impairments import Impairments

    suffers = Impairments(**impairments)
    return Design(bits, dac, mismatch, suffers, not no_hold, slot, v_ref, r_up, r_down)


def parse_values(text: str) -> list[float]:
    """The values of "A,B,C", or COUNT of them evenly from FROM to TO of "FROM:TO:COUNT".

    Raises:
        OptionError: neither, a value that isn't finite, or more than 10,000 values.
    """
    fix = "give A,B,C or FROM:TO:COUNT with 2 or more values, such as 0:2%:9"
    words = text.split(":" if ":" in text else ",")
    try:
        steps = int(words.pop()) if ":" in text else 0
        ends = [as_number(word) for word in words]
    except ValueError:
        raise OptionError("--values", f"{text[:40]!r} aren't numbers", fix) from None
    if ":" in text and (len(ends) != 2 or steps < 2):
        raise OptionError("--values", f"{text[:40]!r} aren't from, to and how many", fix)
    if not all(map(math.isfinite, ends)):
        raise OptionError("--values", f"{text[:40]!r} aren't finite", "give finite numbers")
    count = steps or len(ends)
    if count > MOST_VALUES:
        raise OptionError("--values", f"are {count:,}, above {MOST_VALUES:,}", fix)
    return np.linspace(ends[0], ends[1], steps).tolist() if steps else ends


def check_file(path: str, suffix: str | None = None) -> None:
    """Refuses, before a long run, a file that can't come about behind it.

    Raises:
        OptionError: another suffix, or a folder that doesn't exist.
    """
    file = Path(path)
    if suffix is not None and file.suffix != suffix:
        cause = f"lines are written to {suffix} files"
        raise OptionError(path, cause, f"{file.stem or 'sweep'}{suffix}")
    if not file.absolute().parent.is_dir():
        raise OptionError(path, "its folder does not exist", "make it, or name another place")


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
