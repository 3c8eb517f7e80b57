"""Verification of the encoding at circuit level: does this converter do what UWE and UWD say?"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from snnc.circuits.dac import IntArray, lsb, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.encodings import Order, uwd, uwe
from snnc.circuits.failures import ErrorRate, FirstFailure, error_rates, first_failures
from snnc.circuits.spice.crosscheck import CrossCheck, Simulator, cross_check
from snnc.circuits.yields import Progress, Share, measure_yield


@dataclass(frozen=True)
class Check:
    """A property that was tried on every case there is.

    Attributes:
        name: of the property.
        checked, failed: cases.
        first: the first case that failed, in words; empty if none did.
    """

    name: str
    checked: int
    failed: int
    first: str = ""

    @property
    def passed(self) -> bool:
        """Whether no case failed."""
        return self.failed == 0


@dataclass(frozen=True)
class Report:
    """What `verify_encoding` found.

    Attributes:
        bits, dac, v_ref: of the design.
        checks: of the encoding on the ideal converter.
        first_failures: limits of single impairments beside their closed forms.
        error_rates: under noise, beside their closed forms.
        good: instances, with the design's mismatch and impairments, that convert every mid-bin
            input to its code. It is measured, not judged.
        spice: comparisons with ngspice; empty if none was asked for.
    """

    bits: int
    dac: str
    v_ref: float
    checks: tuple[Check, ...]
    first_failures: tuple[FirstFailure, ...]
    error_rates: tuple[ErrorRate, ...]
    good: Share
    spice: tuple[CrossCheck, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that has a right answer has it."""
        parts = (self.checks, self.first_failures, self.error_rates, self.spice)
        return all(entry.passed for part in parts for entry in part)

    def to_dict(self) -> dict[str, object]:
        """The report as plain data, for `--json`."""
        parts = ("checks", "first_failures", "error_rates", "spice")
        plain = asdict(self)
        for name in parts:
            entries = zip(plain[name], getattr(self, name), strict=True)
            plain[name] = [entry | {"passed": own.passed} for entry, own in entries]
        plain["good"] |= {"yield": self.good.value, "interval": list(self.good.interval)}
        return plain | {"passed": self.passed}


def verify_encoding(
    design: Design,
    instances: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    simulator: Simulator | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Verifies a converter design as an encoder.

    Args:
        design: bits, DAC, mismatch and impairments.
        instances: of the Monte-Carlo yield.
        seed: of mismatch and noise.
        confidence: of the yield's Clopper-Pearson interval.
        simulator: how to run ngspice; None leaves ngspice out.
        progress: told the instances of the yield done, and all.

    Raises:
        OptionError: no instances, a confidence outside 0 to 1, or impairments for another number
            of instances.
        InputError: a spread so large that an element isn't positive.
        ToolError: ngspice was asked for and is missing, fails, hangs, or stops early.
    """
    good = measure_yield(design, instances, seed, confidence, progress)
    return Report(
        design.bits,
        design.dac,
        design.v_ref,
        exact_checks(design),
        first_failures(design),
        error_rates(design, seed),
        good,
        cross_check(design, seed, simulator) if simulator else (),
    )


def exact_checks(design: Design) -> tuple[Check, ...]:
    """The encoding on the ideal converter of a design, in every case there is.

    A decision is v_in ≥ level and ties go to 1, so the threshold k·LSB itself and the next float
    above it give k, the next float below it k − 1.
    """
    adc, codes = design.ideal(), np.arange(2**design.bits)
    mids, above = mid_bins(design.bits, design.v_ref), codes[1:]
    thresholds = above * lsb(adc.dac)
    cases = (
        ("mid-bin inputs", mids, codes),
        ("floats just below a threshold", np.nextafter(thresholds, -np.inf), above - 1),
        ("thresholds themselves", thresholds, above),
        ("floats just above a threshold", np.nextafter(thresholds, np.inf), above),
    )
    checks = [
        compare(name, volts, " V", adc.convert(volts)[0], expected)
        for name, volts, expected in cases
    ]
    decoded = uwd(adc.planes(mids)[0])
    checks.append(compare("UWD of the converter's spikes", mids, " V", decoded, codes))
    orders: tuple[Order, ...] = ("msb", "lsb")
    for order in orders:
        back = uwd(uwe(codes, design.bits, order), order)
        checks.append(compare(f"UWD inverts UWE, {order.upper()} first", codes, "", back, codes))
    return tuple(checks)


def compare(name: str, inputs: ArrayLike, unit: str, found: IntArray, expected: IntArray) -> Check:
    """The check that each input gives its expected code; all (case,)."""
    wrong = np.flatnonzero(found != expected)
    if not wrong.size:
        return Check(name, expected.size, 0)
    first = wrong[0]
    value = np.asarray(inputs)[first].item()
    story = f"{value!r}{unit} gives {found[first]}, not {expected[first]}"
    return Check(name, expected.size, wrong.size, story)
