"""Torch networks with parts that only a host computes: traced, cut, compiled, verified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F  # noqa: N812
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.frontends.trace import trace
from snnc.ir import Kind, Neuron
from snnc.verify import check_inputs, run_stage, verify
from tests.frontends.test_networks import awake, zoo  # noqa: F401 (a fixture)

torch.set_num_threads(1)
T, SAMPLES = 8, 6
CHIPS = ("loihi1", "loihi2")


class Loop(nn.Module):
    """snnTorch: a stem with ReLU and max pooling, a loop over the steps, softmax of the rates."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.conv, self.fc = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6 * 16, 5)
        self.a = snn.Leaky(0.9, threshold=0.4)
        self.b = snn.Leaky(0.8, threshold=0.1, reset_mechanism="zero")

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.stem(x), 0
        m1, m2 = self.a.init_leaky(), self.b.init_leaky()
        for _ in range(T):
            spikes, m1 = self.a(self.conv(x), m1)
            spikes, m2 = self.b(self.fc(spikes.flatten(1)), m2)
            total = total + spikes
        return F.softmax(total / T * 4, -1)


def multi_step() -> nn.Module:
    """SpikingJelly in multi-step mode: GELU and max pooling, then softmax of every step."""
    net = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1), nn.GELU(), layer.MaxPool2d(2),
        layer.Conv2d(4, 6, 3, padding=1), neuron.LIFNode(v_threshold=0.1), layer.Flatten(),
        layer.Linear(6 * 16, 5), neuron.IFNode(v_threshold=0.2), layer.Linear(5, 4),
        nn.LogSoftmax(-1),
    )  # fmt: skip
    functional.set_step_mode(net, "m")
    return net


class Cosine(nn.Module):
    """Rates divided by their length, then weights of length 1: logits that are cosines (L13)."""

    def __init__(self, spiking: bool) -> None:
        super().__init__()
        self.spiking = spiking
        self.fc1, self.fc2 = nn.Linear(10, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, 4, bias=False)
        self.a = neuron.LIFNode(v_threshold=0.3, step_mode="m")
        self.b = neuron.IFNode(v_threshold=0.5, v_reset=None, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc2(self.a(self.fc1(x)))
        z = (self.b(z) if self.spiking else z).mean(0)
        return F.linear(F.normalize(z), F.normalize(self.head.weight))


IMAGE, FRAMES, VECTORS = (SAMPLES, 1, 8, 8), (T, SAMPLES, 1, 8, 8), (T, SAMPLES, 10)
NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "snnTorch loop": (Loop, IMAGE),
    "SpikingJelly multi-step": (multi_step, FRAMES),
    "cosines of rates": (lambda: Cosine(True), VECTORS),
    "cosines of currents": (lambda: Cosine(False), VECTORS),
}


def agrees(artefact: Artefact, stages: list[str]) -> None:
    """All stages agree in spikes, and what leaves the host in value: integers to the last bit."""
    report = verify(artefact, stages=stages)
    assert report.ok, report.to_dict()
    x = check_inputs(artefact, artefact.example.inputs)
    outputs = {s: run_stage(artefact, s, x).outputs["output"] for s in stages if s != "s0"}
    module, real, integer = artefact.example.outputs["output"], outputs["s1"], outputs["s2"]
    assert np.abs(module - real).max() < 1e-4
    assert np.ptp(real) > 0.1
    assert np.abs(integer - real).mean() < 0.05 * np.ptp(real)
    for stage in stages[3:]:
        np.testing.assert_array_equal(outputs[stage], integer, err_msg=stage)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("what", NETS)
def test_networks_with_host_parts(what: str, chip: str) -> None:
    build, shape = NETS[what]
    torch.manual_seed(3)
    model = trace(build().eval(), torch.rand(shape))
    encoding = "host" if chip == "loihi1" and shape == VECTORS else None
    artefact = compile_model(model, Options(chip=chip, encoding=encoding))
    agrees(artefact, ["s0", "s1", "s2", "sim", "loihi"])
    if chip == "loihi1":
        assert {node.kind for node in artefact.int_graph.nodes.values() if hasattr(node, "kind")} \
            == {Kind.SPIKE}  # fmt: skip


@pytest.mark.parametrize("what", NETS)
def test_networks_with_host_parts_on_sim(what: str) -> None:
    build, shape = NETS[what]
    torch.manual_seed(4)
    model = trace(build().eval(), torch.rand(shape))
    agrees(compile_model(model, Options(target="sim")), ["s0", "s1", "s2", "sim"])


def test_rates_are_counted_by_the_cores_and_normalised_by_the_host() -> None:
    torch.manual_seed(3)
    model = trace(Cosine(True).eval(), torch.rand(VECTORS))
    artefact = compile_model(model, Options(chip="loihi2"))
    host = artefact.manifest["host"]
    assert [(c["node"], c["into"]) for c in host["crossings"]] == [("normalize.total", "host")]
    assert host["head"] == ["normalize.total", "normalize", "linear", "output"]
    counter = model.graph.nodes["normalize.total"]
    assert isinstance(counter, Neuron)
    assert (float(counter.a_v), float(counter.g), counter.compare) == (1.0, 1 / T, "never")


def test_spikformer_with_its_stem_on_the_host(zoo: Any) -> None:  # noqa: F811
    net = zoo.spikformer.Spikformer(
        T=4, img_size_h=32, img_size_w=32, patch_size=4, num_classes=10, embed_dims=32,
        num_heads=4, depths=1,
    )  # fmt: skip
    model = trace(awake(net), torch.rand(3, 3, 32, 32), steps=4)
    last = "patch_embed.stages.3.conv_bn.block.2"
    artefact = compile_model(model, Options(target="sim", host=(last,)))
    assert [(c["node"], c["into"]) for c in artefact.manifest["host"]["crossings"]] == [
        (last, "cores")
    ]
    assert len(artefact.int_graph.neurons) == 8  # 10 neurons, 3 of them in the stem, 1 readout
    report = verify(artefact, stages=["s0", "s1", "s2", "sim"])
    assert report.ok, report.to_dict()
    float_and_integer = report.pairs[1]
    assert float_and_integer.differing < 0.02 * float_and_integer.compared
