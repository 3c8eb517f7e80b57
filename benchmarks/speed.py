"""Steps per second of the sim engine, against Lava and the training framework's CPU forward.

All figures of a row come from one run on one machine: the contestants take turns, round by round;
rates are medians over the rounds, ratios medians of the ratios within a round, so that a clock
that changes its speed touches both sides. A sample-step is one step of one sample; Lava runs one
sample at a time, so its steps are sample-steps too. Lava is timed between two of its own progress
marks, without its start and its end. `python -m benchmarks.speed [--quick] [--out FOLDER]`.
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
from snnc.processors import processors
from snnc.targets.sim import run
from snnc.targets.sim.blas import single_threaded

BATCHES = (1, 256)
ROUNDS, SECONDS = 7, 0.4
"""Rounds, and seconds per contestant, batch size and round."""
QUICK = (2, 0.1)
"""The same for a quick look."""
LAVA_STEPS = {25: 1500, 100: 2500, 8: 96}
"""Steps that Lava runs per round, by the network's own steps per sample: a few seconds."""
Work = Callable[[], Any]


@dataclass
class Row:
    """One network at one batch size; all rates in sample-steps per second."""

    network: str
    batch: int
    activity: float
    sim: float
    framework: float | None
    framework_ratio: float | None
    sim_lif: float
    lava: float | None
    lava_ratio: float | None
    macs: int
    neurons: int

    @property
    def gemm_share(self) -> float:
        """Multiply-adds per second, as if every synapse were computed at every step, in G/s."""
        return self.sim * self.macs / 1e9

    @property
    def per_neuron(self) -> float:
        """Nanoseconds per neuron and step, all work of the network included."""
        return 1e9 / (self.sim_lif * self.neurons)


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


def repeated(work: Work, budget: float) -> float:
    """Median seconds of the calls that fit into `budget` seconds, one at least."""
    end, times = time.perf_counter() + budget, [timed(work)]
    while time.perf_counter() < end:
        times.append(timed(work))
    return statistics.median(times)


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


Rates = dict[str, float | None]


def measure(network: Network, rounds: int, budget: float) -> list[Row]:
    """The rows of a network, one per batch size."""
    works: dict[int, dict[str, Work]] = {}
    for batch in BATCHES:
        x = network.inputs(batch)
        works[batch] = {
            "sim": _simulate(network, "leaky", x),
            "sim_lif": _simulate(network, "lif", x),
        }
        framework = forward(network, x)
        if framework is not None:
            works[batch]["framework"] = framework
        for work in works[batch].values():
            work()
    found: dict[int, list[Rates]] = {batch: [] for batch in BATCHES}
    lava: float | None = 0.0
    for _ in range(rounds):
        if lava is not None:
            lava = lava_rate(network, LAVA_STEPS[network.steps])
        for batch, contestants in works.items():
            rates: Rates = {"lava": lava}
            for name, work in contestants.items():
                rates[name] = batch * network.steps / repeated(work, budget)
            found[batch].append(rates)
    active = activity(network)
    return [_row(network, batch, active, found[batch]) for batch in BATCHES]


def _row(network: Network, batch: int, active: float, rounds: list[Rates]) -> Row:
    sim, sim_lif = _median(rounds, "sim"), _median(rounds, "sim_lif")
    assert sim is not None
    assert sim_lif is not None
    return Row(
        network.name, batch, active, sim,
        _median(rounds, "framework"), _median(rounds, "sim", "framework"), sim_lif,
        _median(rounds, "lava"), _median(rounds, "sim_lif", "lava"),
        network.macs, network.neurons,
    )  # fmt: skip


def _median(rounds: list[Rates], name: str, over: str | None = None) -> float | None:
    """Median of a rate, or of its ratio to another one in the same round."""
    values: list[float] = []
    for rates in rounds:
        value, divisor = rates.get(name), 1.0 if over is None else rates.get(over)
        if value is not None and divisor is not None:
            values.append(value / divisor)
    return statistics.median(values) if values else None


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
    return Machine(_cpu(), processors(), one, every, copy, element)


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def measure_all(quick: bool = False) -> dict[str, Any]:
    """Everything, as plain data."""
    rounds, budget = QUICK if quick else (ROUNDS, SECONDS)
    load, peaks, rows = os.getloadavg()[0], [machine(budget)], []
    for network in networks():
        rows += measure(network, rounds, budget)
        print(*map(_line, rows[-len(BATCHES) :]), sep="\n", file=sys.stderr, flush=True)
        peaks.append(machine(budget))
    plain = [
        asdict(row) | {"dense_gmac_per_s": row.gemm_share, "ns_per_neuron_step": row.per_neuron}
        for row in rows
    ]
    return {"machine": asdict(_best(peaks)), "rows": plain, "load": load, "rounds": rounds}


def _best(peaks: list[Machine]) -> Machine:
    """The highest rates seen between the networks."""
    rates = ("sgemm_one", "sgemm_all", "copy", "element")
    highest = {name: max(getattr(peak, name) for peak in peaks) for name in rates}
    return Machine(peaks[0].cpu, peaks[0].cores, **highest)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}×" if value < 100 else f"{value:,.0f}×"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


HEADER = """\
| network | batch | activity | sim, leaky | snnTorch | ratio | sim, LIF | Lava | ratio |
|---|---|---|---|---|---|---|---|---|"""


def _line(row: Row) -> str:
    return (
        f"| {row.network} | {row.batch} | {100 * row.activity:.0f} % | {_rate(row.sim)}"
        f" | {_rate(row.framework)} | {_ratio(row.framework_ratio)} | {_rate(row.sim_lif)}"
        f" | {_rate(row.lava)} | {_ratio(row.lava_ratio)} |"
    )


def table(results: dict[str, Any]) -> str:
    """The results as markdown."""
    peaks = Machine(**results["machine"])
    fields = Row.__dataclass_fields__
    rows = [Row(**{key: row[key] for key in fields}) for row in results["rows"]]
    limits = [
        f"| {row.network} | {row.batch} | {row.per_neuron:.1f} ns | {row.gemm_share:,.1f} G MAC/s"
        f" | {100 * 2 * row.gemm_share / max(peaks.sgemm_one, peaks.sgemm_all):.0f} % |"
        for row in rows
    ]
    return "\n".join([
        f"Sample-steps per second, medians of {results['rounds']} rounds:", "",
        HEADER, *map(_line, rows), "",
        f"Machine: {peaks.cpu}, {peaks.cores} cores; sgemm 2048³ {peaks.sgemm_one:.0f} GFLOP/s on"
        f" one, {peaks.sgemm_all:.0f} on all; copy {peaks.copy:.0f} GB/s; float64 multiply in the"
        f" cache {peaks.element:.1f} G/s on one; load {results['load']:.1f} before.", "",
        "| network | batch | per neuron and step | synapses, as if all were computed"
        " | of the sgemm peak |",
        "|---|---|---|---|---|", *limits,
    ])  # fmt: skip


def save(results: dict[str, Any], folder: Path) -> None:
    """Writes `speed.md` and `speed.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.md").write_text(table(results) + "\n", encoding="utf-8")
    (folder / "speed.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute instead of four")
    parser.add_argument("--out", type=Path, help="folder for speed.md and speed.json")
    options = parser.parse_args()
    results = measure_all(options.quick)
    print(table(results))
    if options.out is not None:
        save(results, options.out)


if __name__ == "__main__":
    main()
