"""What changed between two reports, per layer and cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from snnc.energy.counts import Cause
from snnc.energy.report import Report
from snnc.energy.results import FigureResult, Reading

Key = tuple[str, Cause, str]


@dataclass(frozen=True)
class Change:
    """One kind of operation of a layer, done for one cause, in both reports.

    Attributes:
        layer, cause, op: which operations.
        count: per sample, first and second report; None where only the other one has them.
        energy: pJ per sample; None also where there is no price.
    """

    layer: str
    cause: Cause
    op: str
    count: tuple[float | None, float | None]
    energy: tuple[float | None, float | None]

    @property
    def changed(self) -> bool:
        """Whether count or energy differ."""
        return self.count[0] != self.count[1] or self.energy[0] != self.energy[1]

    @property
    def ratio(self) -> float | None:
        """Second energy by the first; None where one is missing or the first is 0."""
        return ratio(*self.energy)


@dataclass(frozen=True)
class Comparison:
    """One convention in both reports, in the reading of the first layer that each has chosen.

    Attributes:
        convention: its name.
        energy: mean pJ per sample, first and second report.
        changes: everything that either has, in the order of the first report.
    """

    convention: str
    energy: tuple[float, float]
    changes: tuple[Change, ...]

    @property
    def ratio(self) -> float | None:
        """Second energy by the first; None where the first is 0."""
        return ratio(*self.energy)


@dataclass(frozen=True)
class Difference:
    """Two reports side by side.

    Attributes:
        models: their names.
        comparisons: of the conventions that both have.
        only_first, only_second: layers that the other one lacks.
        warnings: why the figures can't be compared as they stand.
    """

    models: tuple[str, str]
    comparisons: tuple[Comparison, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, ratios included."""
        plain: dict[str, Any] = json.loads(msgspec.json.encode(self))
        for data, found in zip(plain["comparisons"], self.comparisons, strict=True):
            data["ratio"] = found.ratio
            for row, change in zip(data["changes"], found.changes, strict=True):
                row["ratio"] = change.ratio
        return plain


def difference(first: Report, second: Report) -> Difference:
    """What changed from one report to another.

    Layers match by name. Counts and energies are those of the first-layer reading that each report
    chose; a warning says so where they differ.
    """
    others = {figure.convention: figure for figure in second.figures}
    both = [
        (figure, others[figure.convention])
        for figure in first.figures
        if figure.convention in others
    ]
    names = _layers(first), _layers(second)
    return Difference(
        models=(first.model, second.model),
        comparisons=tuple(_compare(*pair, first, second) for pair in both),
        only_first=tuple(name for name in names[0] if name not in names[1]),
        only_second=tuple(name for name in names[1] if name not in names[0]),
        warnings=(*_warnings(first, second), *_price_warnings(both)),
    )


def ratio(first: float | None, second: float | None) -> float | None:
    """Second by first, where there is such a number."""
    return second / first if first and second is not None else None


def _layers(report: Report) -> dict[str, None]:
    """Names of layers, in order: of the counts and of all figures."""
    counted = [item.name for item in report.layers] + [item.name for item in report.lines]
    priced = [
        item.layer
        for figure in report.figures
        for reading in figure.readings
        for item in reading.items
    ]
    return dict.fromkeys([*counted, *priced])


def _compare(a: FigureResult, b: FigureResult, first: Report, second: Report) -> Comparison:
    readings = a.reading(first.settings.first_layer), b.reading(second.settings.first_layer)
    sums = _sums(readings[0]), _sums(readings[1])
    changes = []
    for key in dict.fromkeys([*sums[0], *sums[1]]):
        counts, energies = zip(*(side.get(key, (None, None)) for side in sums), strict=True)
        changes.append(Change(*key, count=counts, energy=energies))
    return Comparison(
        convention=a.convention,
        energy=(readings[0].energy.mean, readings[1].energy.mean),
        changes=tuple(changes),
    )


def _sums(reading: Reading) -> dict[Key, tuple[float, float | None]]:
    """Count and energy by layer, cause and operation; no energy where a part has no price."""
    found: dict[Key, tuple[float, float | None]] = {}
    for item in reading.items:
        key = item.layer, item.cause, item.op
        count, energy = found.get(key, (0.0, 0.0))
        priced = None if energy is None or item.energy is None else energy + item.energy
        found[key] = count + item.count, priced
    return found


def _warnings(first: Report, second: Report) -> list[str]:
    """What makes the two no fair comparison, apart from the prices."""
    said: tuple[tuple[str, Callable[[Report], Any]], ...] = (
        ("the stages differ", lambda report: report.stage),
        ("T differs", lambda report: report.steps),
        ("the numbers of samples differ", lambda report: report.samples),
        ("static layers are counted differently", lambda report: report.settings.first_layer),
        ("weights of 0 are counted differently", lambda report: report.settings.zero_weights),
        (
            "the conventions differ",
            lambda report: ", ".join(item.convention for item in report.figures) or "none",
        ),
    )
    found = [
        f"{words}: {value(first)} / {value(second)}"
        for words, value in said
        if value(first) != value(second)
    ]
    incomplete = [
        f"the {which} report is incomplete"
        for which, report in (("first", first), ("second", second))
        if not report.complete
    ]
    return found + incomplete


def _price_warnings(pairs: list[tuple[FigureResult, FigureResult]]) -> list[str]:
    found = []
    for a, b in pairs:
        numbers = [(item.bits, item.operations, item.memory) for item in (a.prices, b.prices)]
        if a.prices.name != b.prices.name or numbers[0] != numbers[1]:
            names = [item.priced_with for item in (a, b)]
            same = " (the same name, other numbers)" if names[0] == names[1] else ""
            found.append(f"{a.convention}: prices differ: {names[0]} / {names[1]}{same}")
        if a.rule != b.rule:
            found.append(f"{a.convention}: the rule differs: {a.rule} / {b.rule}")
    return found
