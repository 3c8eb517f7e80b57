"""Steps per second of the sim engine, against Lava and the training framework's CPU forward.

All figures of a row come from one run on one machine, taken in turns, as medians. A sample-step is
one step of one sample; Lava runs one sample at a time, so its steps are sample-steps too. Lava is
timed between two of its own progress marks, without its start and its end. `python -m
benchmarks.speed [--quick] [--out FOLDER]`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import Network, Style, networks
from snnc.errors import SnncError
from snnc.targets.sim import run
from snnc.targets.sim.blas import single_threaded
from snnc.targets.sim.plan import cores

BATCHES = (1, 256)
LAVA_STEPS = {100: 3000, 8: 240}
"""Steps that Lava runs, by the network's own steps per sample: a few seconds."""
Work = Callable[[], Any]


@dataclass
class Row:
    """One network at one batch size; all rates in sample-steps per second."""

    network: str
    batch: int
    activity: float
    sim: float
    framework: float | None
    sim_lif: float
    lava: float | None
    macs: int

    @property
    def gemm_share(self) -> float:
        """Multiply-adds per second, as if every synapse were computed at every step, in G/s."""
        return self.sim * self.macs / 1e9


@dataclass
class Machine:
    """What the machine can do at most, measured in the same run."""

    cpu: str
    cores: int
    sgemm_one: float
    sgemm_all: float
    copy: float
    element: float


def timed(work: Work) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works: dict[str, Work], repeats: int, budget: float) -> dict[str, float]:
    """Median seconds of each work, taken in turns, after one call of each that isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    end = time.perf_counter() + budget
    while len(next(iter(seconds.values()))) < repeats or time.perf_counter() < end:
        for name, work in works.items():
            seconds[name].append(timed(work))
    return {name: statistics.median(values) for name, values in seconds.items()}


def forward(network: Network, x: np.ndarray) -> Work | None:
    """The framework's forward with its own number of threads, or None where it isn't installed."""
    try:
        import torch

        module, tensor = network.module(), network.tensor(x)
    except ImportError as error:
        print(f"framework skipped: {error}", file=sys.stderr)
        return None

    def work() -> None:
        with torch.no_grad():
            module(tensor)

    return work


def lava_rate(network: Network, steps: int) -> float | None:
    """Steps per second of Lava's fixed-point run of about `steps` steps, or None without Lava."""
    from snnc.targets.loihi import run_in_lava

    x = network.inputs(max(2, steps // network.steps))
    marks: list[tuple[float, float]] = []

    def progress(share: float) -> None:
        if not marks or share > marks[-1][1]:
            marks.append((time.perf_counter(), share))

    try:
        run_in_lava(network.graph("lif"), {"in": x}, None, progress)
    except SnncError as error:
        print(f"Lava skipped: {error}", file=sys.stderr)
        return None
    marks = [mark for mark in marks if mark[1] > 0]
    (start, first), (end, last) = marks[0], marks[-1]
    return (last - first) * len(x) * network.steps / (end - start)


def activity(network: Network) -> float:
    """Share of the neurons that spike in a step, over all layers."""
    graph = network.graph("leaky")
    trace = run(graph, {"in": network.inputs(4)}, dict.fromkeys(graph.neurons, ("s",)))
    spikes = sum(int(record.sum()) for record in trace.records.values())
    return spikes / sum(record.size for record in trace.records.values())


def measure(network: Network, batch: int, lava: float | None, budget: float) -> Row:
    """One row of the table."""
    x = network.inputs(batch)
    graphs: dict[str, Style] = {"sim": "leaky", "sim_lif": "lif"}
    works: dict[str, Work] = {name: _simulate(network, style, x) for name, style in graphs.items()}
    framework = forward(network, x)
    if framework is not None:
        works["framework"] = framework
    seconds = in_turns(works, 5, budget)
    rates = {name: batch * network.steps / value for name, value in seconds.items()}
    return Row(
        network.name, batch, activity(network), rates["sim"], rates.get("framework"),
        rates["sim_lif"], lava, network.macs,
    )  # fmt: skip


def _simulate(network: Network, style: Style, x: np.ndarray) -> Work:
    graph = network.graph(style)
    return lambda: run(graph, {"in": x})


def machine(budget: float) -> Machine:
    """Peak rates: one large sgemm on one core and on all, a large copy, float64 in the L2 cache."""
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    b, out = a.copy(), np.empty_like(a)
    big, small = np.zeros(1 << 26, np.uint8), np.zeros(1 << 16)
    target, other = big.copy(), small.copy()

    def repeat() -> None:
        for _ in range(100):
            np.multiply(small, other, out=other)

    def best(work: Work) -> float:
        work()
        end, times = time.perf_counter() + budget, [timed(work)]
        while time.perf_counter() < end:
            times.append(timed(work))
        return min(times)

    flop = 2 * 2048**3
    with single_threaded():
        one = flop / best(lambda: np.matmul(a, b, out=out)) / 1e9
    every = flop / best(lambda: np.matmul(a, b, out=out)) / 1e9
    copy = 2 * big.nbytes / best(lambda: np.copyto(target, big)) / 1e9
    element = 100 * small.size / best(repeat) / 1e9
    return Machine(_cpu(), cores(), one, every, copy, element)


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def measure_all(quick: bool = False) -> dict[str, Any]:
    """Everything, as plain data."""
    budget = 1.0 if quick else 6.0
    rows: list[Row] = []
    for network in networks():
        lava = lava_rate(network, LAVA_STEPS[network.steps] // (6 if quick else 1))
        for batch in BATCHES:
            rows.append(measure(network, batch, lava, budget))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    peaks = machine(budget / 4)
    plain = [asdict(row) | {"dense_gmac_per_s": row.gemm_share} for row in rows]
    return {"machine": asdict(peaks), "rows": plain, "load": os.getloadavg()[0]}


def _ratio(a: float, b: float | None) -> str:
    return "–" if b is None else f"{a / b:,.1f}×" if a < 100 * b else f"{a / b:,.0f}×"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


HEADER = """\
| network | batch | activity | sim, leaky | snnTorch | ratio | sim, LIF | Lava | ratio |
|---|---|---|---|---|---|---|---|---|"""


def _line(row: Row) -> str:
    return (
        f"| {row.network} | {row.batch} | {100 * row.activity:.0f} % | {_rate(row.sim)}"
        f" | {_rate(row.framework)} | {_ratio(row.sim, row.framework)} | {_rate(row.sim_lif)}"
        f" | {_rate(row.lava)} | {_ratio(row.sim_lif, row.lava)} |"
    )


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""
    peaks = Machine(**results["machine"])
    fields = Row.__dataclass_fields__
    rows = [Row(**{key: row[key] for key in fields}) for row in results["rows"]]
    limits = [
        f"| {row.network} | {row.batch} | {row.gemm_share:,.1f} G MAC/s"
        f" | {100 * 2 * row.gemm_share / max(peaks.sgemm_one, peaks.sgemm_all):.0f} % |"
        for row in rows
    ]
    return "\n".join([
        "Sample-steps per second, medians:", "", HEADER, *map(_line, rows), "",
        f"Machine: {peaks.cpu}, {peaks.cores} cores; sgemm 2048³ {peaks.sgemm_one:.0f} GFLOP/s on"
        f" one, {peaks.sgemm_all:.0f} on all; copy {peaks.copy:.0f} GB/s; float64 multiply in the"
        f" cache {peaks.element:.1f} G/s on one; load {results['load']:.1f}.", "",
        "| network | batch | synapses, as if all were computed | of the sgemm peak |",
        "|---|---|---|---|", *limits,
    ])  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute")
    parser.add_argument("--out", type=Path, help="folder for speed.md and speed.json")
    options = parser.parse_args()
    results = measure_all(options.quick)
    print(table(results))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "speed.md").write_text(table(results) + "\n", encoding="utf-8")
        (options.out / "speed.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
