"""The spiking ResNet-18 of `benchmarks.energy` counted by syops, in syops' own environment.

syops 0.0.5 wants SpikingJelly 0.0.0.0.14 and recognises layers by their exact class, so the network
is built of torch's own layers in `SeqToANNContainer`s, as its authors write theirs. Nothing of
snnc is imported. `python -m benchmarks.energy_syops SPEC.json` reads the weights and images that
the spec names and prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikingjelly.clock_driven import functional, layer, neuron
from syops import get_model_complexity_info
from torch import Tensor, nn


def _stage(channels: int, out: int, stride: int, kernel: int) -> nn.Module:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return layer.SeqToANNContainer(conv, nn.BatchNorm2d(out))


class Block(nn.Module):
    """Two 3×3 convolutions and a skip; attributes are named as in `benchmarks.deep`."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_stage(channels, out, stride, 3), neuron.MultiStepIFNode())
        self.second, self.lif = _stage(out, out, 1, 3), neuron.MultiStepIFNode()
        shorter = stride > 1 or channels != out
        self.skip = _stage(channels, out, stride, 1) if shorter else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.second(self.first(x)) + self.skip(x))


class ResNet18(nn.Sequential):
    """Sees images and repeats them at every step."""

    def __init__(self, steps: int) -> None:
        blocks: list[nn.Module] = [_stage(3, 64, 1, 3), neuron.MultiStepIFNode()]
        channels = 64
        for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Block(channels, out, stride), Block(out, out, 1)]
            channels = out
        self.steps = steps
        head = layer.SeqToANNContainer(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
        super().__init__(*blocks, head)
        self.steps = steps

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.expand(self.steps, *images.shape))


def _load(net: nn.Module, arrays: Any) -> None:
    """Weights by position: only the names of the head differ."""
    state = net.state_dict()
    values = [arrays[f"{i:04d}"] for i in range(len(state))]
    net.load_state_dict(
        {key: torch.from_numpy(value) for key, value in zip(state, values, strict=True)}
    )


def _seconds(work: Any) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Times a bare forward and syops over all images, in turns."""
    torch.set_num_threads(spec["threads"])
    with np.load(spec["data"], allow_pickle=False) as arrays:
        net = ResNet18(spec["steps"])
        _load(net, arrays)
        images = torch.from_numpy(arrays["images"])
    net.eval()
    batches = [(part, torch.zeros(len(part))) for part in images.split(spec["batch"])]
    logits = []

    def bare() -> None:
        logits.clear()
        for part, _ in batches:
            with torch.no_grad():
                logits.append(net(part).mean(0))
            functional.reset_net(net)

    result: dict[str, Any] = {"forward_s": [], "syops_s": []}

    def counted() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            ops, _ = get_model_complexity_info(
                net, (3, 32, 32), batches, print_per_layer_stat=False, as_strings=False
            )
        result.update(ac=float(ops[1]), mac=float(ops[2]))

    bare()
    for _ in range(spec["rounds"]):
        result["forward_s"].append(_seconds(bare))
        result["syops_s"].append(_seconds(counted))
    return {**result, "logits": torch.cat(logits).tolist()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
