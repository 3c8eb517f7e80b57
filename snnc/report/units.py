"""Numbers for people."""

from __future__ import annotations

_ENERGIES = ((1.0, "pJ"), (1e3, "nJ"), (1e6, "µJ"), (1e9, "mJ"), (1e12, "J"))
_LARGE = 1e9
_WHOLE = 1e4
"""From here on a mean is shown as an integer."""


def energy(picojoules: float) -> str:
    """With four digits in the unit that gives 1 to 1000."""
    factor, unit = energy_unit(picojoules)
    return f"{digits(picojoules / factor)} {unit}"


def energy_unit(picojoules: float) -> tuple[float, str]:
    """pJ per unit, and its name."""
    # Four digits round 999.96 up to 1000, which belongs to the next unit.
    fitting = [item for item in _ENERGIES if abs(picojoules) >= 0.99995 * item[0]]
    return fitting[-1] if fitting else _ENERGIES[0]


def digits(number: float) -> str:
    """Four of them, without an exponent where the number is no extreme."""
    return f"{number:.4g}"


def count(number: float | None) -> str:
    """An integer with separators; a mean that is none with a decimal; from 10⁹ on four digits."""
    if number is None:
        return ""
    if abs(number) >= _LARGE:
        return f"{number / _LARGE:,.3f} G"
    return f"{number:,.0f}" if number == round(number) or number >= _WHOLE else f"{number:,.1f}"


def factor(number: float | None) -> str:
    """How many times; empty where there is no such number."""
    if number is None:
        return ""
    return f"{number:,.0f}×" if number >= _WHOLE else f"{digits(number)}×"
