"""Compile time, memory and agreement of the networks that papers are made of.

Each network is built by its framework with random weights, traced, compiled for the simulator and
run: the simulator against the int64 reference, bit by bit. Each one has a process of its own;
memory is that process's peak above what it held before the compilation, per 4-byte weight.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compile_time import _peak_kb

Built = tuple[Any, Any, dict[str, Any]]
"""(module, example, options of the trace)."""

STEPS = 4
CLASSES = 10


def _seeded() -> Any:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch


def _lively(module: Any, example: Any) -> Any:
    """Batch norm with the statistics of the example, so that neurons spike as after training."""
    from spikingjelly.activation_based import functional
    from torch import nn

    torch = _seeded()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.uniform_(part.bias, 0.1, 0.5)
    with torch.no_grad():
        module.train()(example)
    functional.reset_net(module)
    return module.eval()


def _images(steps: int = STEPS) -> Any:
    torch = _seeded()
    return torch.rand(1, 3, 32, 32).round(decimals=2).repeat(steps, 1, 1, 1, 1)


def _resnet18(sew: bool) -> Built:
    """A ResNet-18 with the stem that is usual for 32×32 images: 3×3, no pooling."""
    from spikingjelly.activation_based import functional, layer, neuron
    from torch import nn

    _seeded()

    def stage(channels: int, out: int, stride: int, kernel: int) -> nn.Sequential:
        conv = layer.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(conv, layer.BatchNorm2d(out))

    class Block(nn.Module):
        """Two 3×3 convolutions; spikes are added behind the neurons (SEW), currents before."""

        def __init__(self, channels: int, out: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Sequential(stage(channels, out, stride, 3), neuron.IFNode())
            self.second, self.lif = stage(out, out, 1, 3), neuron.IFNode()
            self.skip: nn.Module = nn.Identity()
            if stride > 1 or channels != out:
                shorter = stage(channels, out, stride, 1)
                self.skip = nn.Sequential(shorter, neuron.IFNode()) if sew else shorter

        def forward(self, x: Any) -> Any:
            y = self.second(self.first(x))
            return self.lif(y) + self.skip(x) if sew else self.lif(y + self.skip(x))

    blocks: list[nn.Module] = [stage(3, 64, 1, 3), neuron.IFNode()]
    channels = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(channels, out, stride), Block(out, out, 1)]
        channels = out
    head = [layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(512, CLASSES)]
    net = nn.Sequential(*blocks, *head)
    functional.set_step_mode(net, "m")
    images = _images()
    return _lively(net, images), images, {"time_axis": 0}


def sew_resnet18() -> Built:
    """SEW-ResNet-18 (Fang et al., NeurIPS 2021): spikes are added behind the neurons."""
    return _resnet18(sew=True)


def spiking_resnet18() -> Built:
    """ResNet-18 with currents added in front of the neurons."""
    return _resnet18(sew=False)


def spiking_vgg11() -> Built:
    """VGG-11 with batch norm, max pooling of spikes and one linear layer on top."""
    from spikingjelly.activation_based import functional, layer, neuron
    from torch import nn

    _seeded()
    layers: list[nn.Module] = []
    channels = 3
    for out in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if isinstance(out, str):
            layers.append(layer.MaxPool2d(2))
            continue
        layers.append(layer.Conv2d(channels, out, 3, padding=1, bias=False))
        layers += [layer.BatchNorm2d(out), neuron.LIFNode(tau=2.0, v_threshold=0.6)]
        channels = out
    net = nn.Sequential(*layers, layer.Flatten(), layer.Linear(512, CLASSES))
    functional.set_step_mode(net, "m")
    images = _images()
    return _lively(net, images), images, {"time_axis": 0}


def unet() -> Built:
    """The U-Net of VTSNN: max pooling, transposed convolutions, concatenations; 8 steps."""
    import snntorch as snn
    import torch
    from torch import nn

    _seeded()

    class Block(nn.Module):
        """Convolution and neuron, twice."""

        def __init__(self, channels: int, out: int) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(n, out, 3, padding=1) for n in (channels, out))
            self.neurons = nn.ModuleList(
                snn.Leaky(beta=1.0, threshold=0.4, reset_delay=False) for _ in range(2)
            )

        def forward(self, x: Any, states: list[Any]) -> Any:
            for index, (conv, lif) in enumerate(zip(self.convs, self.neurons, strict=True)):
                x, states[index] = lif(conv(x), states[index])
            return x

    class UNet(nn.Module):
        """One step per bit plane."""

        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([Block(1, 16), Block(16, 32)])
            self.bottom = Block(32, 64)
            self.ups = nn.ModuleList(nn.ConvTranspose2d(n, n // 2, 2, stride=2) for n in (64, 32))
            self.lifs = nn.ModuleList(snn.Leaky(beta=1.0, threshold=0.3) for _ in range(2))
            self.up = nn.ModuleList([Block(64, 32), Block(32, 16)])
            self.last = nn.Conv2d(16, 1, 1)
            self.out = snn.Leaky(beta=1.0, threshold=0.077)

        def forward(self, sequence: Any) -> Any:
            def start(block: Block) -> list[Any]:
                return [lif.reset_mem() for lif in block.neurons]

            states = [start(block) for block in (*self.down, self.bottom, *self.up)]
            mems = [lif.reset_mem() for lif in self.lifs]
            mem = self.out.reset_mem()
            record = []
            for x in sequence:
                skips = []
                for block, state in zip(self.down, states, strict=False):
                    skips.append(block(x, state))
                    x = nn.functional.max_pool2d(skips[-1], 2)
                x = self.bottom(x, states[2])
                for index, (up, block) in enumerate(zip(self.ups, self.up, strict=True)):
                    x, mems[index] = self.lifs[index](up(x), mems[index])
                    x = block(torch.cat([x, skips[-1 - index]], 1), states[3 + index])
                spikes, mem = self.out(self.last(x), mem)
                record.append(spikes)
            return torch.stack(record)

    planes = (torch.rand(8, 2, 1, 28, 28) < 0.4).float()
    return UNet().eval(), planes, {"time_axis": 0, "input_kind": "spike"}


def spikformer_block() -> Built:
    """One block of Spikformer: attention of 64 tokens, 384 channels, 12 heads, and its MLP."""
    from spikingjelly.activation_based.model.spikformer import SpikformerBlock

    torch = _seeded()
    block = SpikformerBlock(dim=384, num_heads=12)
    spikes = (torch.rand(STEPS, 1, 384, 8, 8) < 0.2).float()
    return _lively(block, spikes), spikes, {"time_axis": 0, "input_kind": "spike"}


def recurrent() -> Built:
    """A network for SHD: 700 channels, 256 recurrent neurons with synaptic currents, 20 classes."""
    import snntorch as snn
    import torch
    from torch import nn

    _seeded()

    class Recurrent(nn.Module):
        """700-256R-20."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(700, 256)
            self.hidden = snn.RSynaptic(alpha=0.8, beta=0.9, linear_features=256, threshold=2.0)
            self.fc2 = nn.Linear(256, 20)
            self.out = snn.Leaky(beta=0.9, reset_mechanism="none")

        def forward(self, sequence: Any) -> Any:
            spk, syn, mem = self.hidden.reset_mem()
            mem2 = self.out.reset_mem()
            record = []
            for x in sequence:
                spk, syn, mem = self.hidden(self.fc1(x), spk, syn, mem)
                _, mem2 = self.out(self.fc2(spk), mem2)
                record.append(mem2)
            return torch.stack(record)

    spikes = (torch.rand(100, 2, 700) < 0.02).float()
    return Recurrent().eval(), spikes, {"time_axis": 0, "input_kind": "spike"}


NETWORKS: dict[str, Callable[[], Built]] = {
    "SEW-ResNet-18, 32×32": sew_resnet18,
    "spiking ResNet-18, 32×32": spiking_resnet18,
    "spiking VGG-11, 32×32": spiking_vgg11,
    "U-Net, 28×28": unet,
    "Spikformer block, 64×384": spikformer_block,
    "recurrent 700-256-20": recurrent,
}


def measure(name: str) -> dict[str, float]:
    """Seconds and peak memory of tracing, compiling and writing, in this process; then the run."""
    from snnc.compiler import Options, compile_model
    from snnc.frontends.trace import trace
    from snnc.ir import Weighted
    from snnc.reference import run_int
    from snnc.verify import check_inputs, run_stage

    module, example, options = NETWORKS[name]()
    weights = sum(p.numel() for p in module.parameters() if p.dim() > 1)
    start = time.perf_counter()
    model = trace(module, example, **options)
    traced = time.perf_counter()
    before = _peak_kb()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        artefact = compile_model(model, Options("sim"))
        compiled = time.perf_counter()
        artefact.save(Path(folder) / "out")
        written = time.perf_counter()
    peak = _peak_kb()
    assert artefact.example is not None
    samples = check_inputs(artefact, artefact.example.inputs)
    graph = artefact.int_graph
    record = dict.fromkeys(graph.neurons, ("s", "v"))
    started = time.perf_counter()
    fast = run_stage(artefact, "sim", samples, record)
    simulated = time.perf_counter()
    front = artefact.host.front(samples)
    slow = run_int(graph, artefact.encoding.int_inputs(graph, front), record)
    referred = time.perf_counter()
    differing = sum(int(np.count_nonzero(fast.records[k] != v)) for k, v in slow.records.items())
    states = sum(v.size for v in slow.records.values())
    spikes = [np.mean(v) for (n, port), v in slow.records.items()
              if port == "s" and graph.signals[n].kind == "spike"]  # fmt: skip
    return {
        "weights": weights,
        "stored": sum(n.weight.size for n in graph.nodes.values() if isinstance(n, Weighted)),
        "trace_s": traced - start,
        "compile_s": compiled - begin,
        "write_s": written - compiled,
        "peak_mb": (peak - before) / 1024,
        "times_weights": (peak - before) * 1024 / (4 * weights),
        "sim_s": simulated - started,
        "reference_s": referred - simulated,
        "states": states,
        "differing": differing,
        "rate": float(np.mean(spikes)),
    }


def run() -> dict[str, dict[str, float]]:
    """Every network in a fresh process."""
    results = {}
    for name in NETWORKS:
        done = subprocess.run(  # noqa: S603  (this interpreter on this module)
            [sys.executable, "-m", "benchmarks.deep", name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.strip()}")
        results[name] = json.loads(done.stdout.strip().splitlines()[-1])
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    rows = [
        "| network | weights | trace | compile | write | peak memory / weights | sim | reference |"
        " spikes per neuron and step | states compared | differing |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        rows.append(
            f"| {name} | {r['weights'] / 1e6:.2f} M | {r['trace_s']:.1f} s | {r['compile_s']:.1f} s"
            f" | {r['write_s']:.1f} s | {r['times_weights']:.1f} | {r['sim_s']:.2f} s"
            f" | {r['reference_s']:.1f} s | {r['rate']:.3f} | {r['states']:,} | {r['differing']} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
