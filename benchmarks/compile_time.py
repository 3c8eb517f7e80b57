"""Compile time and memory for networks of 0.1, 1 and 10 million weights.

Each size is compiled in a process of its own, from a graph in memory to a written artefact, with
8 example samples to calibrate on. Memory is the process's peak above what it held before.
"""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = {"0.1 M": 110, "1 M": 690, "10 M": 2790}
"""Width of both hidden layers of 784-h-h-10."""

STEPS = 8


def network(hidden: int):
    """A float MLP 784-h-h-10 with leaky neurons, and 8 random samples with its input."""
    from snnc.frontends.model import Example, Model
    from snnc.ir import Graph, Input, Linear, Neuron, Output, Rate

    rng = np.random.default_rng(0)
    widths = [784, hidden, hidden, 10]
    nodes = {"input": Input((784,), rate=Rate.SAMPLE)}
    for index, (fan_in, out) in enumerate(itertools.pairwise(widths)):
        weight = rng.normal(0.02, 1.5 / fan_in**0.5, (out, fan_in)).astype(np.float32)
        nodes[f"fc{index}"] = Linear(weight)
        nodes[f"lif{index}"] = Neuron(np.asarray(0.9), np.asarray(1.0))
    nodes["output"] = Output(reduce="sum")
    graph = Graph.chain(nodes, STEPS)
    weights = sum(n.weight.size for n in nodes.values() if isinstance(n, Linear))
    example = Example({"input": rng.random((8, 784), np.float32)}, {}, {})
    return Model(graph, example), weights


def _peak_kb() -> int:
    """Peak memory of this process; on Linux `ru_maxrss` starts at that of the parent instead."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(hidden: int) -> dict[str, float]:
    """Seconds and peak bytes of one compilation in this process."""
    from snnc.compiler import Options, compile_model

    model, weights = network(hidden)
    compile_model(network(8)[0], Options())
    before = _peak_kb()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        artefact = compile_model(model, Options())
        compiled = time.perf_counter()
        artefact.save(Path(folder) / "out")
    end = time.perf_counter()
    peak = _peak_kb()
    return {
        "weights": weights,
        "compile_s": compiled - start,
        "write_s": end - compiled,
        "peak_mb": (peak - before) / 1024,
        "bytes_per_weight": (peak - before) * 1024 / weights,
    }


def run(repeats: int = 3) -> dict[str, dict[str, float]]:
    """Medians over `repeats` fresh processes per size."""
    results = {}
    for label, hidden in SIZES.items():
        rows = []
        for _ in range(repeats):
            command = [sys.executable, "-m", "benchmarks.compile_time", str(hidden)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
            rows.append(json.loads(done.stdout))
        results[label] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as a markdown table."""
    lines = [
        "| weights | compile | write | peak memory | bytes per weight |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['weights'] / 1e6:.2f} M | {r['compile_s']:.2f} s | {r['write_s']:.2f} s"
        f" | {r['peak_mb']:.0f} MB | {r['bytes_per_weight']:.0f} |"
        for r in results.values()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        print(table(run()))
