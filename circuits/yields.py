"""Yield of a design over Monte-Carlo instances, with its confidence interval, and sweeps of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from scipy.stats import beta

from snnc.circuits.dac import mid_bins
from snnc.circuits.design import Design
from snnc.circuits.impairments import Impairments
from snnc.errors import OptionError

_BLOCK = 1 << 22  # codes at a time, so that 16 bits × 10,000 instances fit into memory

Parameter = Literal[
    "mismatch",
    "offset",
    "gain",
    "comparator_noise",
    "sampling_noise",
    "reference_noise",
    "tau",
    "droop",
    "metastable_window",
]
Progress = Callable[[int, int], None]
"""Told the instances done and all of them."""

_IMPAIRMENTS = tuple(field.name for field in fields(Impairments))


@dataclass(frozen=True)
class Share:
    """A share that was counted, with its Clopper-Pearson interval.

    Attributes:
        count, total: how many of how many.
        confidence: coverage of the interval, at least.
    """

    count: int
    total: int
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total or self.total < 1:
            raise OptionError("share", f"{self.count} of {self.total}", "count at least one")
        if not 0 < self.confidence < 1:
            raise OptionError("confidence", f"is {self.confidence}", "give one between 0 and 1")

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson, Biometrika 26 (1934): quantiles of beta distributions.

        Low is B(α/2; k, n−k+1), high B(1−α/2; k+1, n−k), and 0 and 1 at the ends.
        """
        k, n, tail = self.count, self.total, (1 - self.confidence) / 2
        low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
        return low, high


@dataclass(frozen=True)
class SweepPoint:
    """The yield at one value of the swept parameter, in the parameter's unit."""

    value: float
    share: Share


def measure_yield(
    design: Design,
    instances: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    progress: Progress = lambda _done, _all: None,
) -> Share:
    """How many instances convert all 2^bits mid-bin inputs to their codes, each input once.

    Args:
        design: mismatch is drawn per instance, noise per decision.
        seed: of both; the same seed gives the same yield.

    Raises:
        OptionError: no instances, a confidence outside 0 to 1, or impairments for another number
            of instances.
        InputError: a spread so large that an element isn't positive.
    """
    _check_instances(design, instances)
    rng = np.random.default_rng(seed)
    inputs, codes = mid_bins(design.bits, design.v_ref), np.arange(2**design.bits)
    height, perfect = max(1, _BLOCK >> design.bits), 0
    for top in range(0, instances, height):
        rows = slice(top, min(top + height, instances))
        found = design.make(rows.stop - top, rng, rows).convert(inputs, rng)
        perfect += int((found == codes).all(axis=1).sum())
        progress(rows.stop, instances)
    return Share(perfect, instances, confidence)


def sweep(
    design: Design,
    parameter: Parameter,
    values: Sequence[float],
    instances: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    progress: Progress = lambda _done, _all: None,
) -> tuple[SweepPoint, ...]:
    """The yield against one parameter; every value sees the same random numbers.

    Args:
        parameter: "mismatch" or the name of an impairment ("tau" is the settling).
        values: in the parameter's own unit (relative, V, s or V/s).

    Raises:
        OptionError: an unknown parameter, no values, or what `measure_yield` refuses.
        InputError: as `measure_yield`.
    """
    if not len(values):
        raise OptionError("values", "are none", "give at least one value to sweep")
    designs = [_with(design, parameter, float(value)) for value in values]

    def point(index: int) -> SweepPoint:
        def within(done: int, _all: int) -> None:
            progress(index * instances + done, len(designs) * instances)

        share = measure_yield(designs[index], instances, seed, confidence, within)
        return SweepPoint(float(values[index]), share)

    return tuple(map(point, range(len(designs))))


def _with(design: Design, parameter: Parameter, value: float) -> Design:
    if parameter == "mismatch":
        return replace(design, mismatch=value)
    if parameter in _IMPAIRMENTS:
        changed: dict[str, float] = {parameter: value}
        return replace(design, impairments=replace(design.impairments, **changed))
    fix = f"choose mismatch, {', '.join(_IMPAIRMENTS)}"
    raise OptionError("parameter", f"{parameter!r} is unknown", fix)


def _check_instances(design: Design, instances: int) -> None:
    if instances < 1:
        raise OptionError("instances", f"is {instances}", "draw at least one")
    for name, size in design.impairments.sizes().items():
        if size != instances:
            cause = f"has {size} values for {instances} instances"
            raise OptionError(f"Impairments.{name}", cause, "give one number or one each")
