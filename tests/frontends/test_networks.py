"""Whole networks as people write them: residual, U-shaped, attention; normalised weights."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F  # noqa: N812
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from snnc.frontends.trace import trace
from snnc.ir import Graph, MatMul, MaxPool
from tests.frontends.nets import Loop, assert_graph_is_module

T = 4


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """SpikingJelly's models, which import torchvision for its pretrained weights only."""
    empty = types.ModuleType("torchvision.models.utils")
    empty.load_state_dict_from_url = None  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.models", "torchvision.models.utils"):
        monkeypatch.setitem(sys.modules, name, empty)
    from spikingjelly.activation_based.model import (
        sew_resnet,
        spike_driven_transformer,
        spikformer,
        spiking_resnet,
        spiking_vgg,
    )

    return types.SimpleNamespace(
        sew_resnet=sew_resnet,
        spike_driven_transformer=spike_driven_transformer,
        spikformer=spikformer,
        spiking_resnet=spiking_resnet,
        spiking_vgg=spiking_vgg,
    )


def awake(net: nn.Module) -> nn.Module:
    """Statistics of batch norm under which about a third of the neurons fire."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 0.8)
            module.weight.data.fill_(2.0)
            module.bias.data.fill_(0.4)
    return net.eval()


def checked(net: nn.Module, x: Tensor, **how: Any) -> Graph:
    """Traces (and so compares with the module's own run); most layers must fire."""
    model = trace(awake(net), x, **how)
    rates = [spikes.mean() for spikes in model.example.spikes.values()]
    assert np.mean([0 < rate < 1 for rate in rates]) > 0.7
    return model.graph


def small(zoo: Any, connect: str) -> nn.Module:
    """A SEW network of four blocks and few channels."""
    return zoo.sew_resnet.SEWResNet(
        zoo.sew_resnet.BasicBlock, [1, 1, 1, 1], 10, cnf=connect, spiking_neuron=neuron.IFNode
    )


@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize(("connect", "gates"), [("ADD", 0), ("AND", 4), ("IAND", 4)])
def test_spike_element_wise_residuals(zoo: Any, connect: str, gates: int, step_mode: str) -> None:
    net = small(zoo, connect)
    functional.set_step_mode(net, step_mode)
    graph = checked(net, torch.rand(T, 1, 3, 32, 32), time_axis=0)
    modules = [m for m in net.modules() if isinstance(m, neuron.IFNode)]
    assert len(graph.neurons) == len(modules) + 1 + gates


@pytest.mark.slow
@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize("name", ["sew ADD", "sew AND", "sew IAND", "resnet18", "vgg11"])
def test_models_of_spikingjelly(zoo: Any, name: str, step_mode: str) -> None:
    options = {"num_classes": 10, "spiking_neuron": neuron.IFNode}
    if name.startswith("sew"):
        net = zoo.sew_resnet.sew_resnet18(cnf=name[4:], **options)
    elif name == "resnet18":
        net = zoo.spiking_resnet.spiking_resnet18(**options)
    else:
        net = zoo.spiking_vgg.spiking_vgg11_bn(**options)
    functional.set_step_mode(net, step_mode)
    checked(net, torch.rand(T, 1, 3, 32, 32), time_axis=0)


def test_spikformer_block(zoo: Any) -> None:
    block = zoo.spikformer.SpikformerBlock(16, 4)
    functional.set_step_mode(block, "m")
    graph = checked(block, torch.rand(T, 2, 16, 4, 4), time_axis=0)
    assert sum(isinstance(node, MatMul) for node in graph.nodes.values()) == 2


def test_spike_driven_transformer(zoo: Any) -> None:
    net = zoo.spike_driven_transformer.SpikeDrivenTransformer(
        T=T, num_classes=10, embed_dims=32, num_heads=4, depths=1, pooling_stat="0000"
    )
    checked(net, torch.rand(1, 3, 16, 16), steps=T)


def test_max_pools_of_currents_in_a_model_are_nodes_of_their_own(zoo: Any) -> None:
    net = zoo.spikformer.Spikformer(
        T=T, img_size_h=32, img_size_w=32, patch_size=4, num_classes=10, embed_dims=32,
        num_heads=4, depths=1,
    )  # fmt: skip
    graph = trace(net, torch.rand(1, 3, 32, 32), steps=T).graph
    pools = [name for name, node in graph.nodes.items() if isinstance(node, MaxPool)]
    assert pools == [f"patch_embed.stages.{stage}.conv_bn.block.2" for stage in (2, 3)]


class UNet(nn.Module):
    """Two scales with a skip connection by concatenation, stepped by snnTorch neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 1, 1)
        self.a, self.b, self.c, self.d = (
            snn.Leaky(0.8, threshold=0.1, init_hidden=True) for _ in range(4)
        )
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.a(self.down(x)).double()
        coarse = self.b(self.deep(F.max_pool2d(fine, 2))).double()
        back = self.c(self.bn(self.up(coarse)) + fine).double()
        return self.d(self.out(torch.cat((fine, back), dim=1)))


def test_u_net_of_snntorch() -> None:
    torch.manual_seed(1)
    net = awake(UNet().double())
    model = trace(net, torch.rand(2, 1, 8, 8).double(), steps=T)
    assert_graph_is_module(model, 1e-12)
    assert all(0 < spikes.mean() < 1 for spikes in model.example.spikes.values())


def test_snntorch_loop_with_a_residual_and_a_rate_head() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        mem1, mem2, total = m.lif1.init_leaky(), m.lif2.init_leaky(), 0
        for x_t in x:
            hidden = m.bn(m.fc1(x_t))
            spk1, mem1 = m.lif1(hidden, mem1)
            spk1 = spk1.double()
            spk2, mem2 = m.lif2(m.fc2(spk1) + 0.5 * hidden, mem2)
            total = total + torch.cat([spk1, spk2], dim=-1).double()
        return m.head(total / len(x))

    torch.manual_seed(0)
    net = Loop(
        body, fc1=nn.Linear(5, 6), bn=nn.BatchNorm1d(6), fc2=nn.Linear(6, 6),
        head=nn.Linear(12, 3), lif1=snn.Leaky(0.9), lif2=snn.Leaky(0.8),
    ).double()  # fmt: skip
    model = trace(awake(net), torch.rand(T, 3, 5).double(), time_axis=0)
    assert_graph_is_module(model, 1e-12)
    assert model.graph.nodes["output"].reduce == "mean"


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_layers_of_spikingjelly(step_mode: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), layer.MaxPool2d(2),
        layer.Conv2d(4, 4, 2, padding="same"), layer.BatchNorm2d(4), neuron.LIFNode(),
        layer.Upsample(scale_factor=2), layer.ConvTranspose2d(4, 2, 3), neuron.IFNode(),
        layer.AdaptiveAvgPool2d(4), layer.Flatten(1), layer.Linear(32, 3),
    ).double()  # fmt: skip
    functional.set_step_mode(net, step_mode)
    model = trace(awake(net), torch.rand(T, 2, 2, 4, 4).double(), time_axis=0)
    assert_graph_is_module(model, 1e-12)


@pytest.mark.parametrize("container", ["SeqToANNContainer", "MultiStepContainer"])
def test_containers_with_branches(container: str) -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.conv(x) + x, x], 1).transpose(1, 2).flatten(1)

    inner = getattr(layer, container)(Skip(), nn.Linear(20, 4))
    net = nn.Sequential(inner, neuron.IFNode(step_mode="m")).double()
    assert_graph_is_module(trace(net, torch.randn(T, 2, 2, 5).double()), 1e-12)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    "norm",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
    ],
)
def test_normalised_weights_are_constants(norm: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(norm(nn.Linear(5, 6)), neuron.IFNode()).double()
    net.train()(torch.rand(2, 5).double())
    model = trace(net, torch.rand(3, 5).double(), steps=T)
    assert_graph_is_module(model, 1e-12)
    assert model.graph.order == ("input", "0", "1", "output")


def test_weights_normalised_in_forward() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        weight = F.normalize(m.fc.weight, dim=1)
        return torch.stack([m.node(F.linear(x, weight, m.fc.bias) * 2) for _ in range(T)])

    net = Loop(body, fc=nn.Linear(5, 6), node=neuron.IFNode()).double()
    assert_graph_is_module(trace(net, torch.rand(3, 5).double()), 1e-12)
