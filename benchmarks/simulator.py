"""The timed simulator against SANA-FE: steps per second, and what both count.

Both run the same networks on Loihi 1, mapped to the same cores, with the same input spikes, times
and energies on. SANA-FE (GPL) runs as a program of its own, in an environment of its own (`pip
install sanafe numpy`) that `--sanafe PYTHON` or `SNNC_SANAFE` names; without it the table says so.
Its neurons are floats, but truncate as Loihi's do, so spikes, packets, hops and synaptic operations
must be equal, number by number. `python -m benchmarks.simulator [--quick] [--sanafe PYTHON]`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from scipy import sparse

from snnc import ir
from snnc.passes.limits import read_limits
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Architecture, read_architecture
from snnc.targets.cores.layout import Layout, lay_out
from snnc.targets.cores.mapping import Mapping
from snnc.targets.cores.program import Conv, Dense, Lif, Program, Source, Sparse, Synapse
from snnc.targets.cores.timing import timer as timer_module
from snnc.targets.cores.timing.timer import BLOCK_PACKETS
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.matrices import Window, window_matrix
from snnc.targets.sim import run as run_sim
from snnc.targets.sim.simulate import Simulator
from snnc.targets.sim.simulation import PICO

VARIABLE = "SNNC_SANAFE"
CHIP = CHIPS / "loihi1.toml"
CHILD = Path(__file__).resolve().parent / "sanafe_child.py"
CHILD_SECONDS = 600
DECAY, RATE = 410, 0.1
ROUNDS = 3
BATCH = 64
THREADS = ((1, 0), (1, 1), (2, 0))
"""SANA-FE's (processing, scheduler) threads; of each mode the fastest counts, round by round."""
COUNTS = ("messages", "packets", "operations", "hops")


@dataclass(frozen=True)
class Case:
    """A network; the steps of a sample in batches; and how many of all T steps SANA-FE runs: by
    mode, (warm-up, timed).

    The mode `cycle` takes seconds a step, so it sees the first steps only; the others see all
    T + L, with L the largest lag.
    """

    name: str
    graph: ir.Graph
    part: int
    warm: int
    cycle: tuple[int, int]


def cases() -> list[Case]:
    """784-128-64-10, a convolutional network of 9,418 neurons on 28 × 28 pixels, and that for
    DVS gestures that NxTF and SANA-FE map (1024-3600-5408-7744-891-11), with random weights."""
    rng = np.random.default_rng(0)
    dense = {
        "fc1": ir.Linear(_weights(rng, 128, 784)), "lif1": _lif(3000),
        "fc2": ir.Linear(_weights(rng, 64, 128)), "lif2": _lif(1200),
        "fc3": ir.Linear(_weights(rng, 10, 64)), "lif3": _lif(900),
    }  # fmt: skip
    convolutions = {
        "conv1": ir.Conv(_weights(rng, 8, 1, 3, 3), padding=(1, 1)), "lif1": _lif(60),
        "conv2": ir.Conv(_weights(rng, 16, 8, 3, 3), stride=(2, 2), padding=(1, 1)),
        "lif2": _lif(500), "flatten": ir.Flatten(),
        "fc": ir.Linear(_weights(rng, 10, 3136)), "lif3": _lif(8000),
    }  # fmt: skip
    gesture = {
        "conv1": ir.Conv(_weights(rng, 16, 1, 3, 3), stride=(2, 2)), "lif1": _lif(60),
        "conv2": ir.Conv(_weights(rng, 32, 16, 3, 3)), "lif2": _lif(500),
        "conv3": ir.Conv(_weights(rng, 64, 32, 3, 3)), "lif3": _lif(800),
        "conv4": ir.Conv(_weights(rng, 11, 64, 3, 3)), "lif4": _lif(1800),
        "flatten": ir.Flatten(), "fc": ir.Linear(_weights(rng, 11, 891)), "lif5": _lif(900),
    }  # fmt: skip
    return [
        Case("784-128-64-10", _chain((784,), dense, 1000), 200, 100, (1, 4)),
        Case("CNN, 28×28", _chain((1, 28, 28), convolutions, 200), 40, 20, (1, 4)),
        Case("DVS gesture, 32×32", _chain((1, 32, 32), gesture, 60), 20, 6, (1, 2)),
    ]


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Even, as mixed signs are on Loihi, and never 0: what is stored is what is not 0."""
    found = 2 * np.clip(np.rint(rng.normal(3, 25, shape)), -128, 127).astype(np.int32)
    return np.where(found == 0, 2, found)


def _lif(theta: int) -> ir.IntNeuron:
    return ir.IntNeuron(np.asarray(4096), np.asarray(DECAY), np.asarray(theta * 64, np.int64))


def _chain(shape: tuple[int, ...], nodes: dict[str, ir.Node], steps: int) -> ir.Graph:
    table = {"in": ir.Input(shape, ir.Kind.SPIKE), **nodes, "out": ir.Output("s", "sum")}
    return ir.Graph(table, tuple(itertools.pairwise(table)), steps).check()


def inputs(case: Case) -> np.ndarray:
    """One sample of noise, (1, T, *shape): every pixel spikes in a tenth of the steps."""
    rng = np.random.default_rng(7)
    shape = case.graph.signals["in"].shape
    return (rng.random((1, case.graph.steps or 1, *shape)) < RATE).view(np.uint8)


@dataclass(frozen=True, eq=False)
class Flat:
    """A mapped program as plain arrays; neurons on cores are numbered core by core.

    Attributes:
        numbers: by population, the number of each of its neurons (of the host's: among those).
        places: int64 (core, 3): x, y and slot. core: (neuron,) where it lies.
        unit: (neuron,) `dense` or `conv`, which synapses it has in SANA-FE.
        threshold, keep: (neuron,) it spikes above that sum; share of the membrane that stays.
        edges: from the `host` and from the `chip`: (source, target, weight), one per synapse.
    """

    numbers: dict[str, np.ndarray]
    places: np.ndarray
    core: np.ndarray
    unit: np.ndarray
    threshold: np.ndarray
    keep: np.ndarray
    edges: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def flatten(program: Program, mapping: Mapping) -> Flat:
    """The arrays of a program of plain LIF neurons: without synaptic current, bias or delay."""
    populations = program.populations
    numbers = {name: np.zeros(item.size, np.int64) for name, item in populations.items()}
    core: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {"unit": [], "threshold": [], "keep": []}
    many = 0
    for number, item in enumerate(mapping.cores):
        for part in item.slices:
            node = populations[part.population]
            assert isinstance(node, Lif)
            assert node.du == 4095
            assert not node.bias_mant.any()
            conv = any(isinstance(s, Conv) for s in program.synapses if s.target == part.population)
            numbers[part.population][part.index(node.shape)] = np.arange(many, many + part.size)
            many += part.size
            core.append(np.full(part.size, number))
            parts["unit"].append(np.full(part.size, "conv" if conv else "dense"))
            parts["threshold"].append(np.full(part.size, float(node.vth)))
            parts["keep"].append(np.full(part.size, 1 - node.dv / 4096))
    many = 0
    for name, population in populations.items():
        if isinstance(population, Source):
            numbers[name] = np.arange(many, many + population.size)
            many += population.size
    edges = {
        side: _edges(numbers, [s for s in program.synapses
                               if isinstance(populations[s.source], Source) == (side == "host")])
        for side in ("host", "chip")
    }  # fmt: skip
    return Flat(
        numbers, np.array([(*item.tile, item.slot) for item in mapping.cores]),
        np.concatenate(core), np.concatenate(parts["unit"]), np.concatenate(parts["threshold"]),
        np.concatenate(parts["keep"]), edges,
    )  # fmt: skip


def _edges(
    numbers: dict[str, np.ndarray], synapses: Sequence[Synapse]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = [np.zeros((3, 0), np.int64)]
    for synapse in synapses:
        assert synapse.delay == 0
        matrix = _matrix(synapse).tocoo()
        source, target = numbers[synapse.source], numbers[synapse.target]
        weight = matrix.data.astype(np.int64) << synapse.exp
        found.append(np.stack([source[matrix.col], target[matrix.row], weight]))
    source, target, weight = np.concatenate(found, 1)
    return source, target, weight


def _matrix(synapse: Synapse) -> Any:
    """The synapse's weights as a sparse matrix (out, in)."""
    if isinstance(synapse, Dense):
        return sparse.csr_array(synapse.weight)
    if isinstance(synapse, Sparse):
        return sparse.csr_array(
            (synapse.data, synapse.indices, synapse.indptr), shape=synapse.matrix_shape
        )
    assert isinstance(synapse, Conv)
    node = ir.Conv(
        synapse.weight, None, synapse.stride, synapse.padding, synapse.dilation, synapse.groups
    )
    return window_matrix(f"{synapse.source} → {synapse.target}", Window(node, synapse.in_shape))


def expected(case: Case, program: Program, flat: Flat, chip: Architecture) -> dict[str, int]:
    """Messages, packets, hops and synaptic operations, from the spikes of the sim engine and the
    network's arrays alone."""
    x = inputs(case)
    layers = [name for name in program.populations if name != "in"]
    trace = run_sim(case.graph, {"in": x}, dict.fromkeys(layers, ("s",)))
    sent = {"host": x.reshape(-1, len(flat.numbers["in"])).sum(0, dtype=np.int64)}
    sent["chip"] = np.zeros(len(flat.core), np.int64)
    for name in layers:
        spikes = trace.records[name, "s"]
        sent["chip"][flat.numbers[name]] = spikes.reshape(-1, len(flat.numbers[name])).sum(
            0, dtype=np.int64
        )
    total = dict.fromkeys(COUNTS, 0)
    host = np.asarray(chip.mesh.host)
    for side, (source, target, _) in flat.edges.items():
        total["messages"] += int(sent[side].sum())
        total["operations"] += int(sent[side][source].sum())
        leading = np.unique(np.stack([source, flat.core[target]]), axis=1)
        packets = sent[side][leading[0]]
        start = host if side == "host" else flat.places[flat.core[leading[0]], :2]
        way = np.abs(flat.places[leading[1], :2] - start).sum(1)
        total["packets"] += int(packets.sum())
        total["hops"] += int((packets * way).sum())
    return total


def sanafe(
    python: str, case: Case, program: Program, flat: Flat, chip: Architecture,
    modes: dict[str, tuple[int, int]], threads: tuple[int, int] = (1, 0),
) -> dict[str, Any]:  # fmt: skip
    """What SANA-FE measured and counted; the reason where it could not.

    Args:
        modes: by timing mode, its steps: (warm-up, timed).
        threads: its processing and scheduler threads.
    """
    x = inputs(case)[0]
    trains = x.reshape(len(x), -1).astype(bool)
    mesh = chip.mesh
    layout = {
        "columns": mesh.columns, "rows": mesh.rows, "cores_per_tile": mesh.cores_per_tile,
        "host_tile": mesh.host[0] * mesh.rows + mesh.host[1],
        "host_cores": -(-trains.shape[1] // 1024),
    }  # fmt: skip
    edges: dict[str, Any] = {
        f"{side}_{name}": values
        for side, arrays in flat.edges.items()
        for name, values in zip(("source", "target", "weight"), arrays, strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        path, spec = Path(folder) / "network.npz", Path(folder) / "spec.json"
        np.savez(
            path, trains=trains, places=flat.places, core=flat.core, unit=flat.unit,
            threshold=flat.threshold, keep=flat.keep, **edges,
        )  # fmt: skip
        settings: dict[str, Any] = {
            "processing_threads": threads[0],
            "scheduler_threads": threads[1],
        }
        settings |= {"data": str(path), "mesh": layout, "modes": modes}
        spec.write_text(json.dumps(settings), encoding="utf-8")
        done = subprocess.run(  # noqa: S603  (the interpreter that the user named)
            [python, str(CHILD), str(spec)],
            capture_output=True, text=True, check=False, timeout=CHILD_SECONDS,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        return {"skipped": f"SANA-FE failed: {lines[-1]}"}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def snnc(case: Case, layout: Layout) -> list[dict[str, Any]]:
    """What snnc measured and counted: one sample, then `BATCH` of them cut to `case.part` steps;
    for each the time of the functional engine alone as well."""
    x = inputs(case)
    parts = {1: x, BATCH: np.repeat(x[:, : case.part], BATCH, axis=0)}
    return [_snnc(case, layout, size, part) for size, part in parts.items()]


def _snnc(case: Case, layout: Layout, size: int, x: np.ndarray) -> dict[str, Any]:
    simulator = Simulator(case.graph, layout)
    simulator.add({"in": x[:, :2]})
    simulator = Simulator(case.graph, layout)
    start = time.perf_counter()
    simulator.add({"in": x})
    timed = time.perf_counter() - start
    start = time.perf_counter()
    run_sim(case.graph, {"in": x})
    untimed = time.perf_counter() - start
    found = simulator.result()
    counts = {name: int(values.sum()) for name, values in found.counts.items()}
    energy = sum(float(values.sum()) for values in found.energy.values()) * PICO
    return {
        "batch": size, "steps": found.counts["cycles"].size,
        "steps_per_second": found.counts["cycles"].size / timed, "times_untimed": timed / untimed,
        "seconds": float(found.seconds.sum()), "energy": {"total": energy},
        "messages": counts["messages"] + int(np.count_nonzero(x)),
        "packets": counts["packets"], "operations": counts["operations"],
        "hops": counts["hops_x"] + counts["hops_y"],
    }  # fmt: skip


def measure(case: Case, python: str, rounds: int, costs: Primitives) -> dict[str, Any]:
    """One network, the contestants in turns; of SANA-FE's threads the fastest in each round.

    Raises:
        ValueError: counts differ, or the mapping takes more than the one chip that SANA-FE has.
    """
    chip = read_architecture(CHIP)
    layout = lay_out(lower(case.graph, read_limits(CHIP)), CHIP)
    program, mapping = layout.program, layout.mapping
    if mapping.chips(chip) != {(0, 0)}:
        raise ValueError(f"{case.name} takes more than one chip")
    flat = flatten(program, mapping)
    steps = (case.graph.steps or 1) + program.max_lag
    whole = dict.fromkeys(("simple", "detailed"), (case.warm, steps - case.warm))
    found: dict[str, Any] = {
        "network": case.name, "cores": len(mapping.cores), "neurons": len(flat.core),
        "synapses": sum(len(arrays[0]) for arrays in flat.edges.values()), "steps": steps,
        "expected": expected(case, program, flat, chip), "rounds": [], "skipped": "",
        "primitives": asdict(costs), "roofline": roofline(case, layout, costs),
    }  # fmt: skip
    for number in range(rounds):
        runs: dict[str, dict[str, Any]] = {}
        found["rounds"].append(runs)
        for own in snnc(case, layout):
            if own["batch"] == 1:
                _compare(found, "snnc", own)
            runs[f"snnc, batch {own['batch']}"] = own
        for threads in THREADS if python else ():
            cycle = {"cycle": case.cycle} if number == 0 and threads == THREADS[0] else {}
            other = sanafe(python, case, program, flat, chip, whole | cycle, threads)
            if "skipped" in other:
                found["skipped"] = other["skipped"]
                break
            found |= {key: other[key] for key in ("version", "build_s", "peak_mb")}
            for run in other["modes"]:
                name = f"SANA-FE, {run['mode']}"
                if run["mode"] != "cycle":
                    _compare(found, name, run)
                best = runs.get(name, run)["steps_per_second"]
                if run["steps_per_second"] >= best:
                    runs[name] = run | {"threads": threads}
    return found


@dataclass(frozen=True)
class Primitives:
    """ns per item of what numpy does for a packet, on arrays of a block's size, one thread."""

    look: float
    sort: float
    running: float
    gather: float
    plain: float


def primitives() -> Primitives:
    """Measured on this machine: bools looked at (a tenth are set), int64 sorted, running maxima
    and sums, gathers, and additions."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 50, BLOCK_PACKETS)
    index, spikes = rng.integers(0, BLOCK_PACKETS, BLOCK_PACKETS), rng.random(1 << 19) < RATE
    return Primitives(
        look=_ns(lambda: np.flatnonzero(spikes), len(spikes)),
        sort=_ns(lambda: np.sort(values), len(values)),
        running=_ns(lambda: np.maximum.accumulate(values), len(values)),
        gather=_ns(lambda: values.take(index), len(values)),
        plain=_ns(lambda: values + index, len(values)),
    )


def _ns(work: Callable[[], object], items: int) -> float:
    return min(timeit.repeat(work, number=20, repeat=15)) / 20 / items * 1e9


def roofline(case: Case, layout: Layout, costs: Primitives) -> dict[str, float]:
    """What a batch's packets cost in the timing engine on one thread, and what they must cost with
    the primitives that it is made of (docs: benchmarks/README.md)."""
    simulator = Simulator(case.graph, layout)
    x = {"in": np.repeat(inputs(case)[:, : case.part], BATCH, axis=0)}
    trace = run_sim(case.graph, x, simulator.record)
    sent = [sender.table for sender in simulator._sent(x, trace, case.part)]
    timer = simulator.timer
    with mock.patch.object(timer_module, "processors", return_value=1):
        timing = timer.run(sent)
        seconds = min(timeit.repeat(lambda: timer.run(sent), number=1, repeat=5))
    packets, by_flow = int(timing.packets.sum()), timing.packets.sum(0)
    queued = sum(int(by_flow[stage.flows].sum()) for stage in timer.routes.stages[:-1])
    messages = sum(int(table.sum()) for table in sent)
    bools = sum(table.size for table in sent)
    least = bools * costs.look + messages * (2 * costs.running + 4 * costs.gather)
    least += packets * (costs.sort + 2 * costs.running + 2 * costs.gather)
    least += queued * (costs.sort + costs.running + costs.gather)
    return {
        "packets": packets, "messages": messages, "queued": queued, "bools": bools,
        "operations": int(timing.operations.sum()), "ns_per_packet": seconds / packets * 1e9,
        "least_ns_per_packet": least / packets,
    }  # fmt: skip


def _compare(found: dict[str, Any], name: str, run: dict[str, Any]) -> None:
    counted = {key: run[key] for key in COUNTS}
    if counted != found["expected"]:
        raise ValueError(f"{found['network']}: {name} counts {counted}, not {found['expected']}")


def run(quick: bool = False, python: str = "") -> list[dict[str, Any]]:
    """All networks; SANA-FE only where an interpreter that has it is named."""
    python = python or os.environ.get(VARIABLE, "")
    there = bool(python) and Path(python).is_file()
    costs, rounds = primitives(), 1 if quick else ROUNDS
    results = [measure(case, python if there else "", rounds, costs) for case in cases()]
    if not there:
        reason = f"no interpreter that has it: give --sanafe PYTHON or set {VARIABLE}"
        results = [{**result, "skipped": reason} for result in results]
    return results


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown; ratios are snnc's rate to the tool's, medians over the rounds."""
    rows = [
        "| network | cores | neurons | synapses | operations per step | packets per step | tool"
        f" | steps/s | snnc is faster, batch 1 | batch {BATCH} | timed : untimed"
        " | µs a step on the chip | nJ a step |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        steps, counts = result["steps"], result["expected"]
        size = (
            f"| {result['network']} | {result['cores']} | {result['neurons']:,}"
            f" | {result['synapses']:,} | {counts['operations'] / steps:,.0f}"
            f" | {counts['packets'] / steps:,.0f}"
        )
        for tool in dict.fromkeys(name for runs in result["rounds"] for name in runs):
            runs = [turn for turn in result["rounds"] if tool in turn]
            rate = statistics.median(turn[tool]["steps_per_second"] for turn in runs)
            ratios = (
                []
                if tool.startswith("snnc")
                else [
                    statistics.median(
                        turn[f"snnc, batch {size}"]["steps_per_second"]
                        / turn[tool]["steps_per_second"]
                        for turn in runs
                    )
                    for size in (1, BATCH)
                ]
            )
            slower = [turn[tool]["times_untimed"] for turn in runs if "batch" in turn[tool]]
            last = runs[-1][tool]
            whole = last["steps"] == steps or "batch" in last
            rows.append(
                f"{size} | {tool} | {rate:,.1f}"
                f" | {' | '.join(f'{ratio:,.1f}×' for ratio in ratios) or ' | '}"
                f" | {f'{statistics.median(slower):.2f}' if slower else ''}"
                f" | {_per_step(last['seconds'], last, 1e6) if whole else ''}"
                f" | {_per_step(last['energy']['total'], last, 1e9) if whole else ''} |"
            )
    skipped = {result["skipped"]: None for result in results if result["skipped"]}
    bounds = [
        "\n| network | neurons looked at per packet | messages | waits at inner ports"
        " | operations | ns per packet, one thread | by its primitives at least"
        " | ns per operation |",
        "|---|---|---|---|---|---|---|---|",
        *(_bound(result["network"], result["roofline"]) for result in results),
    ]
    return "\n".join([*rows, *bounds, *(f"\nSANA-FE: {why}" for why in skipped)])


def _bound(network: str, line: dict[str, float]) -> str:
    each = (line[key] / line["packets"] for key in ("bools", "messages", "queued", "operations"))
    return (
        f"| {network} | {' | '.join(f'{value:,.1f}' for value in each)}"
        f" | {line['ns_per_packet']:.0f} | {line['least_ns_per_packet']:.0f}"
        f" | {line['ns_per_packet'] * line['packets'] / line['operations']:.2f} |"
    )


def _per_step(value: float, run: dict[str, Any], unit: float) -> str:
    return f"{value / run['steps'] * unit:,.2f}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick look, not for publication")
    parser.add_argument("--sanafe", default="", metavar="PYTHON", help="interpreter that has it")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder")
    options = parser.parse_args()
    results = run(options.quick, options.sanafe)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (options.out / "simulator.json").write_text(text, encoding="utf-8")
    (options.out / "simulator.md").write_text(table(results) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
