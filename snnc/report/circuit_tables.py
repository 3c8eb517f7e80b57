"""What is found about encoder circuits, for the terminal and for scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from snnc.circuits.design import Design
from snnc.circuits.impairments import Impairments
from snnc.circuits.verify import Report
from snnc.circuits.yields import Share, SweepPoint
from snnc.report.tables import new_table, paragraph

UNITS = {
    "mismatch": "",
    "offset": "V",
    "gain": "",
    "noise": "V",
    "sampling-noise": "V",
    "reference-noise": "V",
    "settling": "s",
    "droop": "V/s",
    "metastability": "V",
}
"""By parameter of a sweep; relative ones have none."""
_IMPAIRMENT_UNITS = {
    "offset": "V",
    "comparator_noise": "V",
    "sampling_noise": "V",
    "reference_noise": "V",
    "tau": "s",
    "droop": "V/s",
    "metastable_window": "V",
}
_PREFIXES = "fpnµm kMGT"
_BAR = 30


def quantity(value: float, unit: str, digits: int = 5) -> str:
    """With an SI prefix; relative numbers (without a unit) as percentages."""
    if unit in ("", "relative"):
        return f"{100 * value:.{digits}g} %"
    if not value or not np.isfinite(value):
        return f"{value:g} {unit}"
    power = int(np.floor(np.log10(abs(value)) / 3 + 1e-12))
    power = min(max(power, -5), 4)
    prefix = _PREFIXES[power + 5].strip()
    return f"{value / 1000.0**power:.{digits}g} {prefix}{unit}"


def design_words(design: Design) -> str:
    """Bits, DAC and reference: the converter before anything goes wrong."""
    kind = "R-2R ladder" if design.dac == "ladder" else f"{design.dac} capacitor array"
    return f"{design.bits}-bit SAR encoder, {kind}, v_ref {design.v_ref:g} V"


def impairment_words(design: Design, none: str = "no mismatch and no impairments") -> str:
    """What its instances suffer from, or `none`."""
    words = [f"mismatch {quantity(design.mismatch, '')}"] if design.mismatch else []
    for field in fields(Impairments):
        value = getattr(design.impairments, field.name)
        if np.any(value):
            said = quantity(float(value), _IMPAIRMENT_UNITS.get(field.name, ""))
            words.append(f"{field.name.replace('_', ' ')} {said}")
    if design.r_up or design.r_down:
        words.append(f"switches of {design.r_up:g} and {design.r_down:g} ohm")
    if not design.sample_and_hold:
        words.append("no sample-and-hold")
    return ", ".join(words) or none


def verify_tables(design: Design, report: Report) -> list[RenderableType]:
    """The verdict, every check beside what it has to give, and the yield."""
    state = Text("all checks hold", "bold green")
    if not report.passed:
        state = Text("NOT ALL CHECKS HOLD", "bold red")
    head = Text(f"{design_words(design)}: ", "bold").append(state)
    tables = [_check_table(report), _failure_table(report), _rate_table(report)]
    if report.spice:
        tables.append(_spice_table(report))
    stories = [paragraph(f"{c.name}: {c.first}", "!", "red") for c in report.checks if c.first]
    notes = [_yield_line(design, report.good)]
    if not report.spice:
        notes.append(paragraph("not compared with ngspice (--spice)"))
    return [head, *tables, *stories, *notes]


def sweep_tables(
    design: Design, parameter: str, points: Sequence[SweepPoint]
) -> list[RenderableType]:
    """The yield at every value, with its interval."""
    share = points[0].share
    table = new_table(
        f"yield against {parameter}", parameter, "good", "yield", _confidence(share), ""
    )
    table.columns[-1].justify = "left"
    for point in points:
        good = point.share
        table.add_row(
            quantity(point.value, UNITS[parameter]),
            f"{good.count:,} of {good.total:,}",
            f"{good.value:.1%}",
            _interval(good),
            "█" * round(_BAR * good.value),
        )
    return [
        Text(design_words(design), "bold"),
        Text(f"besides {parameter}: {impairment_words(design, 'nothing else')}"),
        table,
    ]


def sweep_csv(parameter: str, points: Sequence[SweepPoint]) -> str:
    """One line per value, in units of the parameter."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("parameter", "unit", "value", "good", "instances", "yield")
    writer.writerow((*head, "low", "high", "confidence"))
    for point in points:
        share = point.share
        writer.writerow(
            (parameter, UNITS[parameter] or "relative", point.value, share.count, share.total,
             share.value, *share.interval, share.confidence)
        )  # fmt: skip
    return text.getvalue()


def point_data(point: SweepPoint) -> dict[str, Any]:
    """One value of a sweep as plain data."""
    share = point.share
    return {
        "value": point.value,
        "good": share.count,
        "instances": share.total,
        "yield": share.value,
        "interval": list(share.interval),
        "confidence": share.confidence,
    }


def design_data(design: Design) -> dict[str, Any]:
    """A design as plain data."""
    plain = {field.name: getattr(design, field.name) for field in fields(Design)}
    suffers = design.impairments
    plain["impairments"] = {f.name: getattr(suffers, f.name) for f in fields(Impairments)}
    return plain


def _check_table(report: Report) -> Table:
    table = new_table("encoding, ideal converter", "every one of the", "cases", "wrong", "verdict")
    for check in report.checks:
        table.add_row(check.name, f"{check.checked:,}", f"{check.failed:,}", _verdict(check.passed))
    return table


def _failure_table(report: Report) -> Table:
    table = new_table(
        "first failing values, one impairment at a time",
        "impairment", "found", "closed form", "apart, relative", "verdict",
    )  # fmt: skip
    for failure in report.first_failures:
        apart = abs(failure.found - failure.expected) / abs(failure.expected)
        table.add_row(
            failure.name,
            quantity(failure.found, failure.unit),
            quantity(failure.expected, failure.unit),
            f"{apart:.1e}",
            _verdict(failure.passed),
        )
    return table


def _rate_table(report: Report) -> Table:
    share = report.error_rates[0].share
    table = new_table(
        "wrong codes under noise, one kind at a time",
        "noise", "rms", "found", _confidence(share), "closed form", "verdict",
    )  # fmt: skip
    for rate in report.error_rates:
        table.add_row(
            rate.name,
            f"{rate.sigma:g} LSB",
            f"{rate.share.value:.3%}",
            _interval(rate.share, 3),
            f"{rate.expected:.3%}",
            _verdict(rate.passed),
        )
    return table


def _spice_table(report: Report) -> Table:
    table = new_table("ngspice", "quantity", "codes", "worst", "tolerance", "verdict")
    for item in report.spice:
        table.add_row(
            item.name,
            f"{item.checked:,} of {item.of:,}",
            f"{item.worst:.1e}",
            f"{item.tolerance:g}",
            _verdict(item.passed),
        )
    return table


def _yield_line(design: Design, good: Share) -> RenderableType:
    return paragraph(
        f"yield: {good.count:,} of {good.total:,} instances convert every pixel to its own code,"
        f" {good.value:.1%} ({_confidence(good)} {_interval(good)}), with"
        f" {impairment_words(design)}"
    )


def _confidence(share: Share) -> str:
    return f"{100 * share.confidence:g} % CI"


def _interval(share: Share, decimals: int = 1) -> str:
    low, high = share.interval
    return f"{100 * low:.{decimals}f} to {100 * high:.{decimals}f} %"


def _verdict(passed: bool) -> Text:
    return Text("holds", "green") if passed else Text("FAILS", "bold red")
