"""How time grows: mapping, the plain run and the timed run against all that makes a network large.

One convolutional network is made larger in one way at a time, all else equal, on a chip like the
snnc array that only limits the neurons of a core. Slopes are those of straight lines through the
upper half of the points, on log axes: 1 is linear. `--million` also maps a network of a million
neurons on the snnc array itself and runs it, in a process of its own.
`python -m benchmarks.growth [--quick] [--million] [--out FOLDER]`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.compile_time import _peak_kb
from snnc import ir
from snnc.passes.limits import read_limits
from snnc.report.pictures import BLUE, GREEN, ORANGE, PURPLE, save_picture
from snnc.targets.cores import CHIPS
from snnc.targets.cores.layout import Layout, lay_out
from snnc.targets.loihi.lower import lower
from snnc.targets.sim import run as run_sim
from snnc.targets.sim.simulate import Simulator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHIP = CHIPS / "array.toml"
TIMES = {"map": "mapping", "run": "plain run", "tables": "tables", "timed": "timed run"}
FLAT = 2.0
"""Times that differ by less than this factor have no slope, only noise."""
ROUNDS = 3
LEAST_SECONDS = 0.2
"""A measurement is repeated for at least that long, and the fastest counts."""


@dataclass(frozen=True)
class Case:
    """Two layers of `channels` × `side` × `side` neurons: 3×3, then `kernel`×`kernel`.

    Attributes:
        rate: share of the inputs that spike in a step.
        compartments: most neurons of a core.
    """

    side: int = 64
    channels: int = 8
    kernel: int = 3
    rate: float = 0.05
    steps: int = 16
    compartments: int = 1024

    @property
    def neurons(self) -> int:
        """On cores."""
        return 2 * self.channels * self.side**2


BASE = Case()
SERIES: dict[str, list[Case]] = {
    "neurons": [replace(BASE, side=side) for side in (8, 16, 32, 64, 128, 256)],
    "synapses": [replace(BASE, kernel=kernel) for kernel in (1, 3, 5, 7, 11, 15, 21)],
    "spikes": [replace(BASE, rate=rate) for rate in (0.01, 0.03, 0.1, 0.2, 0.4, 0.8)],
    "cores": [replace(BASE, compartments=most) for most in (1024, 512, 256, 128, 64, 32)],
    "steps": [replace(BASE, steps=steps) for steps in (2, 4, 8, 16, 32, 64, 128, 256)],
}
MILLION = Case(side=256, channels=8, rate=0.2, steps=16)


def network(case: Case) -> ir.Graph:
    """The integer graph; thresholds are such that layers spike about as much as their inputs."""
    rng = np.random.default_rng(0)

    def conv(inputs: int, size: int) -> ir.Conv:
        weight = rng.integers(1, 32, (case.channels, inputs, size, size)).astype(np.int32)
        return ir.Conv(weight, padding=(size // 2, size // 2))

    def lif(inputs: int, size: int) -> ir.IntNeuron:
        theta = 16 * inputs * size**2 * 64
        return ir.IntNeuron(np.asarray(4096), np.asarray(0), np.asarray(theta, np.int64))

    nodes: dict[str, ir.Node] = {
        "in": ir.Input((1, case.side, case.side), ir.Kind.SPIKE),
        "conv1": conv(1, 3), "lif1": lif(1, 3),
        "conv2": conv(case.channels, case.kernel), "lif2": lif(case.channels, case.kernel),
        "out": ir.Output("s", "sum"),
    }  # fmt: skip
    return ir.Graph(nodes, tuple(itertools.pairwise(nodes)), case.steps).check()


def spikes(case: Case) -> dict[str, np.ndarray]:
    """One sample of noise."""
    rng = np.random.default_rng(1)
    return {"in": (rng.random((1, case.steps, 1, case.side, case.side)) < case.rate).view(np.uint8)}


def chip_text(compartments: int) -> str:
    """The snnc array with that many neurons to a core, and no other limit of the core."""
    text = CHIP.read_text(encoding="utf-8")
    none = dict.fromkeys(("words", "in_axons", "out_axons", "delay_slots"), 0)
    limits = none | {"compartments": compartments}
    for key, value in limits.items():
        text, count = re.subn(rf"(\[core\.{key}\]\nvalue = )\d+", rf"\g<1>{value}", text)
        assert count == 1
    return text


def measure(case: Case, chip: Path) -> dict[str, float]:
    """Sizes, and seconds of mapping (checks included), the plain run, the tables that the timed run
    makes of a layout, and the timed run (the plain one included)."""
    graph, inputs = network(case), spikes(case)
    program = lower(graph, read_limits(chip))
    layout = lay_out(program, chip)
    simulator = Simulator(graph, layout)
    simulator.add(inputs)
    found = simulator.result()
    return {
        **_sizes(case, layout), "packets": float(found.counts["packets"].sum()),
        "spikes": float(found.counts["messages"].sum() + inputs["in"].sum()),
        "operations": float(found.counts["operations"].sum()),
        "map": _fastest(lambda: lay_out(program, chip)),
        "run": _fastest(lambda: run_sim(graph, inputs)),
        "tables": _fastest(lambda: Simulator(graph, layout)),
        "timed": _fastest(lambda: simulator.add(inputs)),
    }  # fmt: skip


def _sizes(case: Case, layout: Layout) -> dict[str, float]:
    return {
        "neurons": case.neurons, "synapses": int(layout.usage.synapses.sum()),
        "cores": len(layout.mapping.cores), "steps": case.steps,
    }  # fmt: skip


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of at least `ROUNDS` runs."""
    found: list[float] = []
    while len(found) < ROUNDS or sum(found) < LEAST_SECONDS:
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


Results = dict[str, Any]
"""`series`: points by name; `million`: what that network took, or nothing."""


def measure_all(quick: bool, million: bool) -> Results:
    """All series, quick ones end early; and the million neurons."""
    with tempfile.TemporaryDirectory() as folder:
        series = {
            name: list(_series(cases[: 3 if quick else None], Path(folder)))
            for name, cases in SERIES.items()
        }
    return {"series": series, "million": _million_apart() if million else {}}


def _series(cases: list[Case], folder: Path) -> Iterator[dict[str, float]]:
    for case in cases:
        chip = folder / f"{case.compartments}.toml"
        chip.write_text(chip_text(case.compartments), encoding="utf-8")
        yield measure(case, chip)


def slope(rows: list[dict[str, float]], by: str, what: str) -> str:
    """d log(time) / d log(size), over the upper half of the points; "flat" without growth."""
    if max(row[what] for row in rows) < FLAT * min(row[what] for row in rows):
        return "flat"
    upper = rows[len(rows) // 2 :] if len(rows) > 3 else rows
    x, y = (np.log([row[key] for row in upper]) for key in (by, what))
    return f"{float(np.polyfit(x, y, 1)[0]):.2f}"


def run_million() -> dict[str, float]:
    """A million neurons on the snnc array, as it is: mapped and run, in this process."""
    case, start = MILLION, time.perf_counter()
    graph, inputs = network(case), spikes(case)
    program = lower(graph, read_limits(CHIP))
    began = time.perf_counter()
    layout = lay_out(program, CHIP)
    mapped = time.perf_counter()
    simulator = Simulator(graph, layout)
    prepared = time.perf_counter()
    simulator.add(inputs)
    ended = time.perf_counter()
    found = simulator.result()
    return {
        **_sizes(case, layout), "packets": float(found.counts["packets"].sum()),
        "operations": float(found.counts["operations"].sum()), "lower": began - start,
        "map": mapped - began, "tables": prepared - mapped, "timed": ended - prepared,
        "peak_mb": _peak_kb() / 1024,
    }  # fmt: skip


def _million_apart() -> dict[str, float]:
    """The same in a process of its own, whose memory is its alone."""
    code = "import json; from benchmarks import growth; print(json.dumps(growth.run_million()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(results: Results) -> str:
    """The results as Markdown."""
    series, large = results["series"], results["million"]
    rows = [
        "| grown | from … to | neurons | synapses | cores | packets | mapping | plain run | tables"
        " | timed run | slopes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, points in series.items():
        ends = points[0], points[-1]
        spans = " | ".join(_span(ends, key) for key in ("neurons", "synapses", "cores", "packets"))
        times = " | ".join(_span(ends, key, 1e3, " ms") for key in TIMES)
        slopes = ", ".join(slope(points, name, key) for key in TIMES)
        rows.append(f"| {name} | {_span(ends, name)} | {spans} | {times} | {slopes} |")
    if large:
        rows.append(
            f"\n{large['neurons']:,.0f} neurons, {large['synapses']:,.0f} synapses on the snnc"
            f" array: {large['cores']:,.0f} cores, mapped in {large['map']:.1f} s; tables in"
            f" {large['tables']:.1f} s;"
            f" {large['steps']:.0f} timed steps with {large['packets']:,.0f} packets and"
            f" {large['operations']:,.0f} operations in {large['timed']:.1f} s;"
            f" {large['peak_mb']:,.0f} MB at most."
        )
    return "\n".join(rows)


def _span(
    ends: tuple[dict[str, float], dict[str, float]], key: str, unit: float = 1, name: str = ""
) -> str:
    low, high = (f"{end[key] * unit:,.{1 if name else 0}f}" for end in ends)
    return f"{low}{name}" if low == high else f"{low} … {high}{name}"


def draw(series: dict[str, list[dict[str, float]]]) -> Figure:
    """Seconds against what grows, one panel each, on log axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = figure.subplots(1, len(series), sharey=True)
    colours = (ORANGE, GREEN, PURPLE, BLUE)
    for axes, (name, points) in zip(panels, series.items(), strict=True):
        for key, colour in zip(TIMES, colours, strict=True):
            label = f"{TIMES[key]}, {slope(points, name, key)}"
            axes.loglog(
                [row[name] for row in points], [row[key] for row in points],
                "o-", color=colour, markersize=3, label=label,
            )  # fmt: skip
        axes.set_xlabel(name)
        axes.legend(fontsize=6.5, loc="upper left")
        axes.grid(True, alpha=0.3)
    panels[0].set_ylabel("seconds")
    return figure


def save(results: Results, folder: Path) -> None:
    """Table, data and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "growth.md").write_text(table(results) + "\n", encoding="utf-8")
    (folder / "growth.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    save_picture(lambda: draw(results["series"]), folder / "growth.png")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, not for publication")
    parser.add_argument("--million", action="store_true", help="a million neurons as well")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder")
    options = parser.parse_args()
    results = measure_all(options.quick, options.million)
    save(results, options.out)
    print(table(results))


if __name__ == "__main__":
    main()
