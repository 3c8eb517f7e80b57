"""The text of netlists for ngspice, and what a simulation gives back.

Lessons that they hold (measured with ngspice 39): numpy's scalars print their type and have to be
floats; a resistance of 0 is silently raised to 1 mΩ, so it is left out; trapezoidal integration
can hang for minutes where gear doesn't; charges of femtocoulombs need tolerances far below the
defaults; constants within the expressions of behavioural sources are cut to 11 digits, so every
value that matters stands on an element of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from snnc.circuits.dac import FloatArray

EDGE = 1e-9  # s, of every source's edges


@dataclass(frozen=True)
class Netlist:
    """A circuit with its analysis.

    Attributes:
        text: the deck, ASCII.
        stop: where the analysis ends: seconds, or the last value of the swept source.
    """

    text: str
    stop: float


@dataclass(frozen=True)
class Traces:
    """What a simulation saved.

    Attributes:
        axis: (point,) seconds of a transient, or the swept source's values.
        values: by vector ("v(x)"), (point,) in V or A.
    """

    axis: FloatArray
    values: Mapping[str, FloatArray]

    def at(self, vector: str, times: ArrayLike) -> FloatArray:
        """A vector at these times, linear between the simulator's own points."""
        return np.interp(np.asarray(times, np.float64), self.axis, self.values[vector])


def switch(name: str, ohm: float, off: str) -> str:
    """A switch, closed above 0.6 V with `ohm`, open below 0.4 V with `off` ohm."""
    return f".model {name} SW(VT=0.5 VH=0.1 RON={number(ohm)} ROFF={off})"


def deck(title: str, lines: Iterable[str], stop: float) -> Netlist:
    """The netlist of these lines."""
    return Netlist("\n".join([f"* {title}", *lines, ".end", ""]), stop)


def number(value: float) -> str:
    """A number with all its digits."""
    return repr(float(value))


def staircase(values: FloatArray, period: float) -> str:
    """A source that takes one value (V) per period (s)."""
    points = [(0.0, values[0])]
    for j in np.flatnonzero(np.diff(values)) + 1:
        points += [(j * period, values[j - 1]), (j * period + EDGE, values[j])]
    return pwl(points)


def pwl(points: Sequence[tuple[float, float]]) -> str:
    """One time and value per line, since the simulator's lines are of limited length."""
    return "PWL(" + "\n+ ".join(f"{number(t)} {number(v)}" for t, v in points) + ")"


def pulse(delay: float, width: float, period: float) -> str:
    """A source that pulses from 0 to 1 V; times in seconds, width of the flat top."""
    times = " ".join(number(value) for value in (delay, EDGE, EDGE, width, period))
    return f"PULSE(0 1 {times})"
