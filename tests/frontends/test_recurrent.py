"""Recurrent networks: snnTorch's and SpikingJelly's own, and links that users write themselves.

Every network runs in float64; the reference must give the module's spikes and outputs.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.frontends.model import Model
from snnc.frontends.nir import read_nir
from snnc.frontends.trace import run_module, trace
from snnc.ir import Conv, Delay, Graph, Linear, Neuron, Scale
from snnc.ir.nir_file import write_nir
from snnc.reference import run_float
from snnc.reference.agreement import compare_with_framework
from tests.frontends.nets import Loop, assert_graph_is_module

T, B, N, H = 12, 3, 5, 8


def lively(*layers: nn.Module) -> None:
    """Weights and biases with which about every fourth neuron spikes."""
    for part in layers:
        for weight in part.parameters():
            nn.init.normal_(weight, 0.1, 0.7)


def traced(module: nn.Module, x: Tensor, **options: Any) -> Model:
    """Float64: the free-running graph equals the module, every neuron population is lively."""
    module = module.double()
    model = trace(module, x.double(), **options)
    assert_graph_is_module(model, 1e-12)
    assert model.example is not None
    for name, spikes in model.example.spikes.items():
        assert 0.03 < spikes.mean() < 0.97, name
    return model


def kinds(graph: Graph, kind: type) -> list[str]:
    return [name for name, node in graph.nodes.items() if isinstance(node, kind)]


def link(graph: Graph, site: str) -> list[Any]:
    """The nodes on the way from `site` to itself."""
    ways = [[target] for target in graph.targets(site)]
    while ways:
        way = ways.pop(0)
        if way[-1] == site:
            return [graph.nodes[name] for name in way[:-1]]
        if not isinstance(graph.nodes[way[-1]], Neuron):
            ways += [[*way, target] for target in graph.targets(way[-1])]
    raise AssertionError("no way back")


# ---- snnTorch ------------------------------------------------------------------------------


class Explicit(nn.Module):
    """fc and a recurrent neuron, its states passed on; returns all ports of all steps."""

    def __init__(self, fc: nn.Module, hidden: nn.Module) -> None:
        super().__init__()
        self.fc, self.hidden = fc, hidden

    def forward(self, sequence: Tensor) -> tuple[Tensor, ...]:
        states, steps = self.hidden.reset_mem(), []
        for x in sequence:
            current = self.fc(x)
            if not steps and not self.hidden.reset_delay:  # RSynaptic subtracts them as they are
                states = [torch.zeros_like(current) for _ in states]
            states = self.hidden(current, *states)
            steps.append(states)
        return tuple(torch.stack(port) for port in zip(*steps, strict=True))


class Held(nn.Module):
    """The same with init_hidden."""

    def __init__(self, fc: nn.Module, hidden: nn.Module) -> None:
        super().__init__()
        self.fc, self.hidden = fc, hidden

    def forward(self, sequence: Tensor) -> Tensor:
        return torch.stack([self.hidden(self.fc(x)) for x in sequence])


LINKS: dict[str, tuple[dict[str, Any], type]] = {
    "all to all": ({"linear_features": H}, Linear),
    "one to one": ({"all_to_all": False, "V": -0.6}, Scale),
    "one to one, each its own": ({"all_to_all": False, "V": torch.linspace(-1, 1, H)}, Scale),
}
KINDS: dict[str, dict[str, Any]] = {"RLeaky": {}, "RSynaptic": {"alpha": 0.6}}


def fire(x: Tensor) -> Tensor:
    """snnTorch's own surrogates give float32 whatever they get, which a float64 layer refuses."""
    return (x > 0).to(x.dtype)


def cell_of(kind: str, **options: Any) -> nn.Module:
    """RLeaky or RSynaptic with lively recurrent weights."""
    cell = getattr(snn, kind)(**{"beta": 0.7, "spike_grad": fire, **KINDS[kind], **options})
    if cell.all_to_all:
        lively(cell.recurrent)
    return cell


def first_layer() -> nn.Module:
    fc = nn.Linear(N, H)
    lively(fc)
    return fc


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("how", LINKS)
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_snntorch(kind: str, reset: str, how: str, hidden: bool) -> None:
    options, wanted = LINKS[how]
    cell = cell_of(kind, reset_mechanism=reset, init_hidden=hidden, threshold=0.8, **options)
    net = (Held if hidden else Explicit)(first_layer(), cell)
    graph = traced(net, torch.randn(T, B, N), time_axis=0).graph
    before, back, _ = link(graph, "hidden")
    assert isinstance(before, Delay)
    assert before.steps == 1
    assert isinstance(back, wanted)
    assert "hidden.recurrent" in graph.nodes
    assert kinds(graph, Neuron) == ["hidden"]


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_snntorch_without_reset_delay(kind: str, reset: str) -> None:
    cell = cell_of(kind, reset_mechanism=reset, linear_features=H, reset_delay=False, threshold=0.8)
    graph = traced(Explicit(first_layer(), cell), torch.randn(T, B, N), time_axis=0).graph
    node = graph.nodes["hidden"]
    assert isinstance(node, Neuron)
    if reset != "none":
        ignored = kind == "RSynaptic"
        wanted = "after" if ignored else "guarded" if reset == "subtract" else "now"
        assert node.reset_at == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_snntorch_convolutional(kind: str) -> None:
    cell = cell_of(kind, conv2d_channels=4, kernel_size=3)
    fc = nn.Conv2d(2, 4, 3, padding=1)
    lively(fc)
    graph = traced(Explicit(fc, cell), torch.randn(T, 2, 2, 6, 5), time_axis=0).graph
    before, back, _ = link(graph, "hidden")
    assert isinstance(before, Delay)
    assert isinstance(back, Conv)
    assert back.bias is not None


def test_snntorch_channel_factors_in_a_convolutional_net() -> None:
    cell = snn.RLeaky(beta=0.7, all_to_all=False, V=torch.linspace(-1, 1, 4).reshape(4, 1, 1))
    fc = nn.Conv2d(2, 4, 3, padding=1)
    lively(fc)
    graph = traced(Explicit(fc, cell), torch.randn(T, 2, 2, 6, 5), time_axis=0).graph
    assert link(graph, "hidden")[1].weight.shape == (4,)


@pytest.mark.parametrize("hidden", [False, True])
def test_snntorch_on_a_static_input(hidden: bool) -> None:
    cell = cell_of("RLeaky", linear_features=H, init_hidden=hidden)
    net = (Held if hidden else Explicit)(first_layer(), cell).double()

    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Any:
            return self.net([x] * T)

    graph = traced(Repeated(), torch.randn(B, N)).graph
    assert isinstance(link(graph, "net.hidden")[0], Delay)


def test_one_step_module_called_for_every_step() -> None:
    cell = cell_of("RLeaky", linear_features=H, init_hidden=True)
    for x, options in ((torch.randn(B, N), {"steps": T}), (torch.randn(T, B, N), {"time_axis": 0})):
        graph = traced(nn.Sequential(first_layer(), cell), x, **options).graph
        assert graph.steps == T
        assert isinstance(link(graph, "1")[0], Delay)


def test_snntorch_stale_spikes_are_not_used() -> None:
    cell = cell_of("RLeaky", linear_features=H, init_hidden=True)
    net, x = Held(first_layer(), cell).double(), torch.randn(T, B, N).double()
    first = run_module(net, x, time_axis=0)
    net(x)
    again = run_module(net, x, time_axis=0)
    np.testing.assert_array_equal(first.spikes["hidden"], again.spikes["hidden"])
    assert cell.spk.shape == (B, H)  # left as the call before had left it


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_snntorch_in_float32_with_its_own_surrogate(kind: str, reset: str) -> None:
    cell = cell_of(
        kind, linear_features=H, init_hidden=True, reset_mechanism=reset, spike_grad=None
    )
    model = trace(Held(first_layer(), cell), torch.randn(T, B, N), time_axis=0)
    assert isinstance(link(model.graph, "hidden")[0], Delay)
    assert model.example is not None
    for agreement in compare_with_framework(model.graph, model.example).values():
        assert not agreement.beyond


def test_one_step_shows_no_link() -> None:
    cell = cell_of("RLeaky", linear_features=H, threshold=0.5)
    graph = traced(Explicit(first_layer(), cell), torch.randn(1, B, N), time_axis=0).graph
    assert not kinds(graph, Delay)
    (offset,) = kinds(graph, Scale)
    np.testing.assert_array_equal(
        graph.nodes[offset].bias, cell.recurrent.bias.detach().double().numpy()
    )


# ---- written by users ----------------------------------------------------------------------


def parts() -> dict[str, nn.Module]:
    torch.manual_seed(5)
    layers = {
        "fc": nn.Linear(N, H), "rec": nn.Linear(H, H), "fc2": nn.Linear(H, 4),
        "back": nn.Linear(4, H), "rec2": nn.Linear(4, 4, bias=False), "both": nn.Linear(N + H, H),
        "deep": nn.Linear(H, H),
    }  # fmt: skip
    lively(*layers.values())
    return {**layers, "a": neuron.LIFNode(), "b": neuron.LIFNode(tau=3.0)}


def zeros(m: Any, sequence: Any) -> Tensor:
    spk, out = torch.zeros(B, H).double(), []
    for x in sequence:
        spk = m.a(m.fc(x) + m.rec(spk))
        out.append(spk)
    return torch.stack(out)


def from_none(m: Any, sequence: Any) -> Tensor:
    spk, out = None, []
    for x in sequence:
        current = m.fc(x)
        if spk is not None:
            current = current + m.rec(spk)
        spk = m.a(current)
        out.append(spk)
    return torch.stack(out)


def from_the_output(m: Any, sequence: Any) -> Tensor:
    fed: Any = 0
    out = []
    for x in sequence:
        out.append(m.a(m.fc(x) + fed))
        fed = m.deep(m.rec(out[-1]))
    return torch.stack(out)


def begun_differently(m: Any, sequence: Any) -> tuple[Tensor, ...]:
    spk, top, out = torch.zeros(B, H).double(), None, []
    for x in sequence:
        current = m.fc(x) + m.rec(spk)
        spk = m.a(current if top is None else current + m.back(top))
        top = m.b(m.fc2(spk))
        out.append((spk, top))
    return tuple(torch.stack(port) for port in zip(*out, strict=True))


def kept_current(m: Any, sequence: Any) -> Tensor:
    kept, out = torch.zeros(B, H).double(), []
    for x in sequence:
        out.append(m.a(m.fc(x) + m.deep(kept)))
        kept = m.rec(out[-1])
    return torch.stack(out)


def bare(m: Any, sequence: Any) -> Tensor:
    spk, out = torch.zeros(B, H), []
    for x in sequence:
        spk = m.a(m.fc(x) - 0.7 * spk)
        out.append(spk)
    return torch.stack(out)


def two_layers(m: Any, sequence: Any) -> tuple[Tensor, ...]:
    top, spk, out = torch.zeros(B, 4).double(), torch.zeros(B, H).double(), []
    for x in sequence:
        spk = m.a(m.fc(x) + m.back(top) + m.rec(spk))
        top = m.b(m.fc2(spk) + m.rec2(top))
        out.append((spk, top))
    return tuple(torch.stack(port) for port in zip(*out, strict=True))


def only_from_the_top(m: Any, sequence: Any) -> Tensor:
    top, out = torch.zeros(B, 4).double(), []
    for x in sequence:
        top = m.b(m.fc2(m.a(m.fc(x) + m.back(top))))
        out.append(top)
    return torch.stack(out)


def queue(m: Any, sequence: Any) -> Tensor:
    waiting: deque[Any] = deque([torch.zeros(B, H).double()] * 3)
    out = []
    for x in sequence:
        waiting.append(m.a(m.fc(x) + m.rec(waiting.popleft())))
        out.append(waiting[-1])
    return torch.stack(out)


def two_delays(m: Any, sequence: Any) -> Tensor:
    old, older, out = torch.zeros(B, H).double(), torch.zeros(B, H).double(), []
    for x in sequence:
        old, older = m.a(m.fc(x) + m.rec(old) + m.deep(older)), old
        out.append(old)
    return torch.stack(out)


def joined(m: Any, sequence: Any) -> Tensor:
    spk, out = torch.zeros(B, H).double(), []
    for x in sequence:
        spk = m.a(m.both(torch.cat([x, spk], 1)))
        out.append(spk)
    return torch.stack(out)


def joined_behind(m: Any, sequence: Any) -> Tensor:
    spk, out = torch.zeros(B, H).double(), []
    for x in sequence:
        spk = m.a(m.both(torch.cat([spk, x], 1)))
        out.append(spk)
    return torch.stack(out)


def inputs_before(m: Any, sequence: Any) -> Tensor:
    old, out = torch.zeros(B, N).double(), []
    for x in sequence:
        out.append(m.a(m.fc(x) - m.fc(old)))
        old = x
    return torch.stack(out)


def currents_too(m: Any, sequence: Any) -> tuple[Tensor, ...]:
    spk, out, record, total = torch.zeros(B, H).double(), [], torch.zeros(T, B, H).double(), 0
    for t, x in enumerate(sequence):
        current = m.fc(x) + m.rec(spk)
        record[t] = current
        total = total + current
        spk = m.a(current)
        out.append((spk, current))
    return (*(torch.stack(port) for port in zip(*out, strict=True)), record, total)


def now_and_before(m: Any, sequence: Any) -> Tensor:
    old, out = torch.zeros(B, N).double(), []
    for x in sequence:
        out.append(m.a(m.fc(x + old)))
        old = x
    return torch.stack(out)


def seen_twice(m: Any, sequence: Any) -> tuple[Tensor, ...]:
    spk, out = torch.zeros(B, H).double(), []
    for x in sequence:
        spk = m.a(m.fc(x) + m.rec(spk))
        out.append((spk, m.b(m.fc2(m.rec(spk)))))
    return tuple(torch.stack(port) for port in zip(*out, strict=True))


USERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "zeros at first": (zeros, (1,)),
    "no link at first": (from_none, (1,)),
    "through two layers": (from_the_output, (1,)),
    "one from zeros, one from none": (begun_differently, (1, 1)),
    "a current is kept": (kept_current, (1,)),
    "without a layer": (bare, (1,)),
    "two layers": (two_layers, (1, 1)),
    "from the top only": (only_from_the_top, (1,)),
    "queue of three": (queue, (3,)),
    "two delays": (two_delays, (1, 2)),
    "cat": (joined, (1,)),
    "cat, spikes first": (joined_behind, (1,)),
    "inputs of the step before": (inputs_before, (1,)),
    "inputs of two steps": (now_and_before, (1,)),
    "currents are returned": (currents_too, (1,)),
    "the layer is used twice": (seen_twice, (1,)),
}


CHANGING = ("inputs of the step before", "inputs of two steps", "currents are returned")
"""What a static input has no steps for."""


@pytest.mark.parametrize(
    ("what", "static"),
    [(what, False) for what in USERS] + [(what, True) for what in USERS if what not in CHANGING],
)
def test_users_links(what: str, static: bool) -> None:
    body, delays = USERS[what]
    if static:
        again = body

        def body(m: Any, x: Tensor) -> Any:
            return again(m, [x] * T)

    x = torch.randn(B, N) if static else torch.randn(T, B, N)
    model = traced(Loop(body, **parts()), x, time_axis=None if static else 0)
    graph = model.graph
    assert tuple(sorted(graph.nodes[n].steps for n in kinds(graph, Delay))) == delays
    assert graph.steps == T


def test_the_last_steps_side_by_side_are_a_line_of_delays() -> None:
    def body(m: Any, sequence: Tensor) -> Tensor:
        spikes = [m.a(m.fc(x)) for x in sequence]
        return m.both(torch.cat([spikes[-2][:, :N], spikes[-1]], 1))

    graph = traced(Loop(body, **parts()), torch.randn(T, B, N), time_axis=0).graph
    assert graph.nodes["output"].reduce == "last"
    assert [graph.nodes[name].steps for name in kinds(graph, Delay)] == [1]


def test_feedback_of_pooled_spikes() -> None:
    def body(m: Any, sequence: Tensor) -> Tensor:
        spk, out = torch.zeros(2, 4, 6, 6).double(), []
        for x in sequence:
            back = nn.functional.interpolate(nn.functional.max_pool2d(spk, 2), scale_factor=2)
            spk = m.lif(m.conv(x) + m.rec(back))
            out.append(spk)
        return torch.stack(out)

    layers = {"conv": nn.Conv2d(2, 4, 3, padding=1), "rec": nn.Conv2d(4, 4, 3, padding=1)}
    lively(*layers.values())
    module = Loop(body, **layers, lif=neuron.LIFNode())
    graph = traced(module, torch.randn(T, 2, 2, 6, 6), time_axis=0).graph
    assert graph.sources("max_pool2d.delay") == ["max_pool2d"]


def test_names_are_those_of_the_layers() -> None:
    graph = traced(Loop(zeros, **parts()), torch.randn(T, B, N), time_axis=0).graph
    assert {"fc", "rec", "a", "a.delay"} <= set(graph.nodes)
    assert not [name for name in graph.nodes if name[-2:] in ("_1", "_2")]
    assert graph.sources("rec") == ["a.delay"]
    twice = traced(Loop(seen_twice, **parts()), torch.randn(T, B, N), time_axis=0).graph
    assert len([name for name in twice.nodes if name.startswith("rec")]) == 2


def test_biases_start_with_the_link_where_the_module_leaves_it_out() -> None:
    """The layer stands before the Delay then: behind it, its bias would act at step 0."""
    graph = traced(Loop(from_none, **parts()), torch.randn(T, B, N), time_axis=0).graph
    assert graph.sources("rec") == ["a"]
    assert graph.sources("rec.delay") == ["rec"]


def test_the_graph_is_the_module_for_other_samples_and_steps() -> None:
    module = Loop(two_layers, **parts()).double()
    graph = traced(module, torch.randn(T, B, N), time_axis=0).graph
    other = torch.randn(40, B, N).double()
    wanted = run_module(module, other, time_axis=0).spikes
    longer = graph.with_(steps=40)
    run = run_float(longer, {"input": other.transpose(0, 1).numpy()}, dict.fromkeys(wanted, ("s",)))
    for name, spikes in wanted.items():
        np.testing.assert_array_equal(run.records[name, "s"], spikes)


# ---- SpikingJelly --------------------------------------------------------------------------


def element_wise(x: Tensor, y: Tensor) -> Tensor:
    return 0.8 * x + y


def container(kind: str, mode: str) -> nn.Module:
    if kind == "linear":
        inner = nn.Sequential(nn.Linear(N, H), neuron.LIFNode())
        net: nn.Module = layer.LinearRecurrentContainer(inner, N, H, step_mode=mode)
    elif kind == "linear, no bias":
        inner = nn.Sequential(nn.Linear(N, H, bias=False), neuron.LIFNode())
        net = layer.LinearRecurrentContainer(inner, N, H, bias=False, step_mode=mode)
    elif kind == "linear behind":
        inner = nn.Sequential(nn.Linear(N, H), neuron.LIFNode(), nn.Linear(H, 4))
        net = layer.LinearRecurrentContainer(inner, N, 4, step_mode=mode)
    else:
        net = layer.ElementWiseRecurrentContainer(neuron.IFNode(), element_wise, step_mode=mode)
    lively(net)
    return net


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("kind", ["linear", "linear, no bias", "linear behind", "element-wise"])
def test_spikingjelly_containers(kind: str, mode: str) -> None:
    net = container(kind, mode)
    model = traced(net, torch.randn(T, B, N), time_axis=0)
    assert [model.graph.nodes[n].steps for n in kinds(model.graph, Delay)] == [1]


def test_a_multi_step_container_takes_time_first_by_itself() -> None:
    assert traced(container("linear", "m"), torch.randn(T, B, N)).graph.steps == T


def test_a_container_starts_from_fresh_memory_and_keeps_its_own() -> None:
    net = container("linear", "m").double()
    x = torch.randn(T, B, N).double()
    fresh = run_module(net, x, time_axis=0)
    net(x)
    kept = net.y.clone()
    again = run_module(net, x, time_axis=0)
    for name, spikes in fresh.spikes.items():
        np.testing.assert_array_equal(again.spikes[name], spikes)
    assert torch.equal(net.y, kept)


# ---- refusals ------------------------------------------------------------------------------


def from_ones(m: Any, sequence: Tensor) -> Tensor:
    spk, out = torch.ones(B, H), []
    for x in sequence:
        spk = m.a(m.fc(x) + m.rec(spk))
        out.append(spk)
    return torch.stack(out)


def pause_in_the_middle(m: Any, sequence: Tensor) -> Tensor:
    spk, out = torch.zeros(B, H), []
    for t, x in enumerate(sequence):
        spk = m.a(m.fc(x) + m.rec(torch.zeros(B, H) if t == 6 else spk))
        out.append(spk)
    return torch.stack(out)


def link_appears_late(m: Any, sequence: Tensor) -> Tensor:
    spk, out = torch.zeros(B, H), []
    for t, x in enumerate(sequence):
        spk = m.a(m.fc(x) + (m.rec(spk) if t > 3 else 0))
        out.append(spk)
    return torch.stack(out)


def other_layer_at_first(m: Any, sequence: Tensor) -> Tensor:
    spk, out = torch.zeros(B, H), []
    for t, x in enumerate(sequence):
        spk = m.a(m.fc(x if t else 2 * x) + m.rec(spk))
        out.append(spk)
    return torch.stack(out)


def leaky_current(m: Any, sequence: Tensor) -> Tensor:
    current, out = torch.zeros(B, H), []
    for x in sequence:
        current = 0.8 * current + m.fc(x)
        out.append(m.a(current))
    return torch.stack(out)


def before_and_now(m: Any, sequence: Tensor) -> Tensor:
    old, out = torch.zeros(B, N), []
    for x in sequence:
        out.append(m.a(m.fc(old + x)))
        old = x
    return torch.stack(out)


def input_of_zeros(m: Any, sequence: Tensor) -> Tensor:
    spk, out = torch.zeros(B, H), []
    for x in sequence:
        out.append(m.b(m.fc2(spk)))
        spk = m.a(m.fc(x))
    return torch.stack(out)


def membrane_back(m: Any, sequence: Tensor) -> Tensor:
    fed, out = torch.zeros(B, H), []
    for x in sequence:
        spk = m.a(m.fc(x) + m.rec(fed))
        fed = m.a.v
        out.append(spk)
    return torch.stack(out)


REFUSED: dict[str, tuple[Any, str]] = {
    "ones at first": (from_ones, "at first and from"),
    "a pause": (pause_in_the_middle, "in call 7"),
    "a link that appears late": (link_appears_late, "in call 5"),
    "other layers at first": (other_layer_at_first, "at first and from"),
    "a leaky current": (leaky_current, "which no neuron keeps"),
    "a sum that looks like one over the steps": (before_and_now, "a sum over the steps"),
    "a neuron that only has a delayed input": (input_of_zeros, "does not depend on the input"),
    "membranes": (membrane_back, "reads the state v"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    body, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        trace(Loop(body, **parts()), torch.randn(T, B, N), time_axis=0)
    assert caught.value.fix
    assert "later release" not in str(caught.value)


def test_spikes_of_another_neuron_are_no_state() -> None:
    def body(m: Any, sequence: Tensor) -> Tensor:
        (spk, mem), other = m.cell.reset_mem(), None
        for x in sequence:
            spk, mem = m.cell(m.fc(x), spk if other is None else other, mem)
            other = m.a(m.rec(spk))
        return spk

    cell = snn.RLeaky(beta=0.7, linear_features=H)
    with pytest.raises(TraceError, match="state s at step 1 is not its own of the step before"):
        trace(Loop(body, **parts(), cell=cell), torch.randn(T, B, N), time_axis=0)


# ---- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["zeros at first", "no link at first", "two layers", "cat"])
def test_nir_round_trip(what: str, tmp_path: Path) -> None:
    model = traced(Loop(USERS[what][0], **parts()), torch.randn(T, B, N), time_axis=0)
    write_nir(model.graph, tmp_path / "net.nir")
    again = read_nir(tmp_path / "net.nir")
    assert list(again.nodes) == list(model.graph.nodes)
    assert set(again.edges) == set(model.graph.edges)
    assert model.example is not None
    assert_graph_is_module(Model(again, model.example, {}), 1e-12)
