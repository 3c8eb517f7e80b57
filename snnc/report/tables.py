"""Tables for the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from snnc.artefact import Artefact
from snnc.passes.limits import Limits
from snnc.targets.base import Check, Target
from snnc.verify import PairResult, Report

WIDTH = 100
"""Columns that the tables are made for."""

STAGES = {
    "s0": "S0 framework",
    "s1": "S1 float",
    "s2": "S2 integer",
    "sim": "S4 sim",
    "loihi": "S4 loihi model",
    "lava": "S4 Lava",
    "uwe": "S4 SAR + sim",
}


def new_table(title: str, *columns: str, numbers: bool = True) -> Table:
    """A table whose columns after the first hold numbers (right-aligned) or words."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if numbers and index else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def paragraph(text: str, mark: str = "·", style: str = "") -> Table:
    """A paragraph behind a mark."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(mark, style), Text(text, style))
    return grid


def compiled_table(artefact: Artefact) -> RenderableType:
    """Layer by layer: shape, bits, scale errors, head room, lag; then what a user must know."""
    manifest = artefact.manifest
    table = new_table(
        f"{manifest['target']} ({manifest['chip']}), T = {manifest['steps'] or 'from the data'}",
        "layer", "neurons", "weight bits", "weight error", "decay error", "θ error",
        "states reach", "lag",
    )  # fmt: skip
    for name, layer in manifest["layers"].items():
        scale = layer.get("quantisation")
        shape = "×".join(map(str, layer["shape"]))
        if scale is None:
            table.add_row(name, shape, "", "", "", "", "", str(layer["lag"]))
            continue
        table.add_row(
            name,
            shape,
            str(scale["weight_bits"]),
            f"{scale['weight_error']:.3%}",
            f"{scale['decay_error']:.1e}",
            f"{scale['theta_error']:.3%}",
            f"{scale['reached'] / scale['range']:.1%}"
            + ("" if scale["calibrated"] else " (assumed)"),
            str(layer["lag"]),
        )
    said = collapsed([*manifest["notes"], *manifest["report"]], artefact.int_graph.nodes)
    lines = [Text(f"· {line}") for line in said]
    return Group(table, *_cut(manifest), *lines)


def collapsed(lines: Sequence[str], names: Container[str]) -> list[str]:
    """Lines that say the same of several nodes, said once, where the first of them stands.

    Args:
        names: the nodes' names; the first word of a line that is one of them is its node.
    """
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for line in lines:
        words = re.finditer(r"[^ :,]+", line)
        first, last = next((w.span() for w in words if w.group() in names), (len(line), len(line)))
        groups.setdefault((line[:first], line[last:]), {})[line[first:last]] = None
    return [f"{before}{_all_of(list(found))}{after}" for (before, after), found in groups.items()]


def _all_of(names: list[str]) -> str:
    if not names[0] or len(names) == 1:
        return names[0]
    if len(names) == 2:
        return f"each of {names[0]} and {names[1]}"
    return f"each of {names[0]}, {names[1]} … {names[-1]} ({len(names)} nodes)"


def _cut(manifest: Mapping[str, Any]) -> list[RenderableType]:
    """What runs on the host, and what passes between it and the cores."""
    if "host" not in manifest:
        return []
    host = manifest["host"]
    table = new_table("host and cores", "signal", "into", "values", "kind", "sent", numbers=False)
    for item in host["crossings"]:
        shape = "×".join(map(str, item["shape"]))
        sent = "once per sample" if item["rate"] == "sample" else "every step"
        table.add_row(item["node"], item["into"], shape, item["kind"], sent)
    reasons = [Text(f"· {name} runs on the host: {why}") for name, why in host["why"].items()]
    parts = [
        Text(f"· {len(host[part])} nodes run on the host {where} the cores")
        for part, where in (("stem", "before"), ("head", "behind"))
        if host[part]
    ]
    return [table, *parts, *reasons]


def verify_tables(report: Report) -> list[RenderableType]:
    """One table of pairs, one of stages, and the first difference of each pair."""
    pairs = new_table("agreement", "pair", "samples", "compared", "differing", "verdict")
    for pair in report.pairs:
        pairs.add_row(
            f"{STAGES.get(pair.first, pair.first)} – {STAGES.get(pair.second, pair.second)}",
            str(pair.samples),
            f"{pair.compared:,}",
            _differing(pair),
            _verdict(pair),
        )
    scores = {
        "accuracy": {stage: f"{share:.2%}" for stage, share in report.accuracy.items()},
        "PSNR, dB": {stage: found.figure for stage, found in report.psnr.items()},
    }
    scores = {title: column for title, column in scores.items() if column}
    stages = new_table("stages", "stage", "samples", *scores, "wraps", "clips", "disputed")
    for stage, samples in report.samples.items():
        events = report.events.get(stage, {})
        stages.add_row(
            STAGES.get(stage, stage),
            str(samples),
            *(column.get(stage, "") for column in scores.values()),
            *(str(events[key]) if key in events else "" for key in ("wrap", "clip", "disputed")),
        )
    return [pairs, *_differences(report.pairs), *_output_errors(report.pairs), stages]


def _differing(pair: PairResult) -> str:
    if pair.kind == "ties":
        ties = sum(layer.ties for layer in pair.layers.values())
        return f"{pair.differing} (+{ties} ties)"
    if not pair.compared:
        return ""
    return f"{pair.differing:,} ({pair.differing / pair.compared:.3%})"


def _verdict(pair: PairResult) -> Text:
    if pair.kind == "quantised":
        return Text("quantised", style="yellow" if pair.differing else "green")
    return Text("exact", style="green") if pair.ok else Text("DIFFERS", style="bold red")


def _differences(pairs: Iterable[PairResult]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for pair in pairs:
        found = pair.difference
        if found is None:
            continue
        lines.append(
            Text(
                f"{pair.first}–{pair.second} first differ at layer {found.layer},"
                f" step {found.step}, neuron {found.neuron}, sample {found.sample}:"
                f" s {found.s[0]:g} / {found.s[1]:g}, v {found.v[0]:g} / {found.v[1]:g}"
            )
        )
    return lines


def _output_errors(pairs: Iterable[PairResult]) -> list[RenderableType]:
    return [
        Text(f"{pair.first}–{pair.second} output {name}: within {error:.2%} of its largest value")
        for pair in pairs
        for name, error in pair.outputs.items()
    ]


def targets_table(targets: Mapping[str, Target]) -> Table:
    """The installed targets."""
    table = new_table("targets", "target", "chips", "stages", "what it is", numbers=False)
    for name, item in targets.items():
        table.add_row(name, ", ".join(item.chips), ", ".join(item.engines), item.summary)
    return table


def limits_table(limits: Limits) -> Table:
    """The figures of a chip with their sources."""
    table = new_table(limits.chip, "figure", "value", "source", numbers=False)
    for item in fields(limits):
        if item.name in limits.sources:
            table.add_row(item.name, str(getattr(limits, item.name)), limits.sources[item.name])
    return table


def doctor_table(checks: Iterable[Check]) -> Table:
    """What is installed and works."""
    table = new_table("doctor", "what", "state", "detail", "how to get it", numbers=False)
    for check in checks:
        state = Text("ok", style="green") if check.ok else Text("missing", style="yellow")
        table.add_row(check.name, state, check.detail, "" if check.ok else check.fix)
    return table


def rendered(parts: Iterable[RenderableType], width: int = WIDTH) -> str:
    """As plain text, without the spaces that fill up lines."""
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False, markup=False, no_color=True)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
