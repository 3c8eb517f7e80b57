"""Counting operations: snnc's meter and three other counters on one spiking ResNet-18.

Images of 32×32, 4 steps, the same weights, threads and batches for all; each tool takes its turn in
every round, beside a bare forward of the same module. syops runs in an environment of its own,
named by `--syops PYTHON` or `SNNC_SYOPS_PYTHON`; without it the table says so.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deep import STEPS, spiking_resnet18

VARIABLE = "SNNC_SYOPS_PYTHON"
SETTINGS = ((100, 20), (20, 1))
"""(images, images at a time)."""
THREADS, ROUNDS = 1, 3
ROOT = Path(__file__).resolve().parent.parent
Times = dict[str, list[float]]


def _images(count: int) -> Any:
    import torch

    torch.manual_seed(1)
    return torch.rand(count, 3, 32, 32)


def _network() -> Any:
    """The module over sequences (step, image, …), and the same over images."""
    import torch
    from spikingjelly.activation_based import functional
    from torch import nn

    torch.set_num_threads(THREADS)
    net, _, _ = spiking_resnet18()

    class Repeated(nn.Module):
        """Starts anew with every batch and shows the images at every step."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, images: Any) -> Any:
            functional.reset_net(self.net)
            return self.net(images.expand(STEPS, *images.shape))

    class Stepwise(nn.Module):
        """The same with a call of every layer per step, as NeuroBench's models of snnTorch do."""

        def __init__(self) -> None:
            super().__init__()
            self.net = copy.deepcopy(net)
            functional.set_step_mode(self.net, "s")

        def forward(self, images: Any) -> Any:
            functional.reset_net(self.net)
            return torch.stack([self.net(images) for _ in range(STEPS)])

    return net, Repeated(), Stepwise()


def _bare(module: Any, batches: Any) -> Any:
    import torch

    with torch.no_grad():
        return torch.cat([module(part).mean(0) for part in batches])


def _snnc(net: Any, images: Any, batch: int) -> dict[str, float]:
    """Per-image operations by the meter."""
    from snnc.energy.counts import Op
    from snnc.energy.meter import measure

    counts = measure(net, images.expand(STEPS, *images.shape), time_axis=0, batch=batch)
    totals = dict.fromkeys((Op.MAC, Op.AC), 0)
    for layer in counts.synapses:
        totals[layer.op] += int(layer.products.sum())
    return {"mac": totals[Op.MAC] / counts.samples, "ac": totals[Op.AC] / counts.samples}


def _neurobench(module: Any, images: Any, batch: int, gradients: bool) -> dict[str, float]:
    """Per-image operations by NeuroBench's own benchmark loop, which records gradients unless one
    switches them off around it."""
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    data = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=batch)
    with torch.set_grad_enabled(gradients):
        run = Benchmark(TorchModel(module), data, [], [], [[], [SynapticOperations]])
        found = run.run(quiet=True)["SynapticOperations"]
        run.model.cleanup_hooks()
    return {"mac": found["Effective_MACs"], "ac": found["Effective_ACs"]}


def _op_counter(module: Any, batches: Any) -> dict[str, float]:
    """Per-image operations by SpikingJelly's own counters; its MACs have those of batch norm."""
    from spikingjelly.activation_based import op_counter

    mac, synop = op_counter.MACCounter(), op_counter.SynOpCounter()
    with op_counter.DispatchCounterMode([mac, synop]):
        _bare(module, batches)
    images = sum(len(part) for part in batches)
    return {"mac": mac.get_total() / images, "ac": synop.get_total() / images}


def _seconds(work: Callable[[Any], Any], images: Any) -> tuple[float, Any]:
    """Processor time, which neighbours on the machine disturb least; one thread."""
    start = time.process_time()
    result = work(images)
    return time.process_time() - start, result


def _syops(python: str, net: Any, images: Any, batch: int, rounds: int) -> dict[str, Any]:
    """What the other environment measured; the reason where there is none."""
    if not python or not Path(python).is_file():
        return {"skipped": f"no interpreter that has it: give --syops PYTHON or set {VARIABLE}"}
    with tempfile.TemporaryDirectory() as folder:
        path, spec = Path(folder) / "data.npz", Path(folder) / "spec.json"
        weights = {f"{i:04d}": v.numpy() for i, v in enumerate(net.state_dict().values())}
        np.savez(path, images=images.numpy(), **weights)
        settings = {"data": str(path), "steps": STEPS, "batch": batch, "threads": THREADS}
        spec.write_text(json.dumps({**settings, "rounds": rounds}), encoding="utf-8")
        done = subprocess.run(  # noqa: S603  (the interpreter that the user named)
            [python, "-m", "benchmarks.energy_syops", str(spec)],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
    if done.returncode:
        return {"skipped": f"syops failed: {done.stderr.strip().splitlines()[-1]}"}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def run(quick: bool = False, python: str = "") -> list[dict[str, Any]]:
    """Seconds over all images, by tool and round, and what each tool counted per image."""
    python = python or os.environ.get(VARIABLE, "")
    net, repeated, stepwise = _network()
    settings = SETTINGS[:1] if quick else SETTINGS
    return [
        _measured(net, repeated, stepwise, images // 5 if quick else images, batch, quick, python)
        for images, batch in settings
    ]


def _measured(
    net: Any, repeated: Any, stepwise: Any, count: int, batch: int, quick: bool, python: str
) -> dict[str, Any]:
    images, rounds = _images(count), 1 if quick else ROUNDS
    tools: dict[str, Callable[[Any], Any]] = {
        "forward": lambda x: _bare(repeated, x.split(batch)),
        "snnc": lambda x: _snnc(net, x, batch),
        "SpikingJelly": lambda x: _op_counter(repeated, x.split(batch)),
    }
    skipped = {}
    if importlib.util.find_spec("neurobench"):
        tools["NeuroBench"] = lambda x: _neurobench(repeated, x, batch, True)
        tools["NeuroBench, call per step"] = lambda x: _neurobench(stepwise, x, batch, True)
        tools["NeuroBench, no gradients"] = lambda x: _neurobench(repeated, x, batch, False)
    else:
        skipped["NeuroBench"] = "NeuroBench is not installed"
    times: Times = {name: [] for name in tools}
    counted: dict[str, Any] = {}
    for work in tools.values():
        work(images[:batch])
    for _ in range(rounds):
        for name, work in tools.items():
            seconds, counted[name] = _seconds(work, images)
            times[name].append(seconds)
    logits = counted.pop("forward").numpy()
    other = _syops(python, net, images, batch, rounds)
    if "skipped" in other:
        skipped["syops"] = other["skipped"]
    else:
        times["forward of syops"], times["syops"] = other["forward_s"], other["syops_s"]
        counted["syops"] = {key: other[key] for key in ("mac", "ac")}
        counted["syops"]["logits_differ"] = float(np.abs(logits - other["logits"]).max())
    sizes = {"images": count, "steps": STEPS, "batch": batch, "threads": THREADS}
    return {**sizes, "seconds": times, "per_image": counted, "skipped": skipped}


def _ratio(times: Times, tool: str, to: str) -> float:
    """Median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(times[tool], times[to], strict=True))


def _beyond(times: Times, tool: str, forward: str) -> float:
    """Median of what counting adds within a round."""
    pairs = zip(times[tool], times[forward], strict=True)
    return statistics.median(counted - bare for counted, bare in pairs)


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    rows = [
        "| images, at a time | tool | seconds | to its forward | beyond its forward | to snnc"
        " | MACs per image | ACs per image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        times, size = result["seconds"], f"{result['images']}, {result['batch']}"
        for tool in times:
            forward = "forward of syops" if "syops" in tool else "forward"
            found = result["per_image"].get(tool, {})
            numbers = [f"{found[key]:,.0f}" if key in found else "" for key in ("mac", "ac")]
            rows.append(
                f"| {size} | {tool} | {statistics.median(times[tool]):.2f}"
                f" | {_ratio(times, tool, forward):.2f} | {_beyond(times, tool, forward):.2f}"
                f" | {_ratio(times, tool, 'snnc'):.2f}"
                f" | {' | '.join(numbers)} |"
            )
    reasons = {f"{tool}: {why}" for r in results for tool, why in r["skipped"].items()}
    return "\n".join([*rows, *(f"\n{reason}" for reason in sorted(reasons))])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick look, not for publication")
    parser.add_argument("--syops", default="", metavar="PYTHON", help="interpreter that has syops")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder")
    options = parser.parse_args()
    results = run(options.quick, options.syops)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (options.out / "energy.json").write_text(text, encoding="utf-8")
    (options.out / "energy.md").write_text(table(results) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
