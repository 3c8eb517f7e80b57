"""Styles of stepping through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from snnc.errors import InputError, OptionError, TraceError
from snnc.frontends.model import Model
from snnc.frontends.trace import run_module, trace
from snnc.ir import Kind, Rate
from tests.frontends.nets import Loop, assert_graph_is_module

T, B, N = 6, 3, 4
SEED = 11


def parts() -> dict[str, nn.Module]:
    torch.manual_seed(SEED)
    fc1, fc2 = nn.Linear(N, 8), nn.Linear(8, 2)
    nn.init.normal_(fc1.weight, std=1.0)
    nn.init.normal_(fc2.weight, std=1.5)
    nn.init.constant_(fc2.bias, 0.0)
    return {
        "fc1": fc1, "lif1": snn.Leaky(0.9), "fc2": fc2,
        "lif2": snn.Leaky(0.8, reset_mechanism="zero"),
    }  # fmt: skip


def net(body: Any, **extra: nn.Module) -> nn.Module:
    return Loop(body, **parts(), **extra).double()


def both(m: Any, x: Tensor, mem1: Any, mem2: Any) -> Any:
    spk1, mem1 = m.lif1(m.fc1(x), mem1)
    spk2, mem2 = m.lif2(m.fc2(spk1.double()), mem2)
    return spk2, mem1, mem2


def loop(m: Any, steps: Any) -> list[tuple[Tensor, Tensor]]:
    mem1, mem2 = m.lif1.init_leaky(), m.lif2.init_leaky()
    out = []
    for x in steps:
        spk, mem1, mem2 = both(m, x, mem1, mem2)
        out.append((spk, mem2))
    return out


def spikes(m: Any, steps: Any) -> list[Tensor]:
    return [spk for spk, _ in loop(m, steps)]


def checked(model: Model) -> Model:
    assert [type(model.graph.nodes[n]).__name__ for n in model.graph.order][:5] == [
        "Input", "Linear", "Neuron", "Linear", "Neuron",
    ]  # fmt: skip
    assert model.graph.steps == T
    assert model.example is not None
    for spikes in model.example.spikes.values():
        assert 0.05 < spikes.mean() < 0.95
        assert spikes[:, 0].any()
    assert_graph_is_module(model)
    return model


def fresh(m: Any, x: Tensor) -> Any:
    mem1 = torch.zeros(x.shape[0], 8)
    mem2 = torch.zeros(x.shape[0], 2)
    out = []
    for _ in range(T):
        spk, mem1, mem2 = both(m, x, mem1, mem2)
        out.append(spk)
    return torch.stack(out)


def accumulate(m: Any, x: Tensor) -> Tensor:
    total = 0
    for s in spikes(m, [x] * T):
        total = total + s
    return total


def accumulate_in_place(m: Any, x: Tensor) -> Tensor:
    total = torch.zeros(x.size(0), 2)
    for s in spikes(m, [x] * T):
        total += s
    return total


def record(m: Any, x: Tensor) -> Tensor:
    kept = torch.zeros(T, len(x), 2)
    for t, s in enumerate(spikes(m, [x] * T)):
        kept[t] = s
    return kept


STATIC = {
    "stack": (lambda m, x: torch.stack(spikes(m, [x] * T)), ("none",)),
    "fresh zeros": (fresh, ("none",)),
    "stack dim 1": (lambda m, x: torch.stack(spikes(m, [x] * T), dim=1), ("none",)),
    "stack last": (lambda m, x: torch.stack(spikes(m, [x] * T), dim=-1), ("none",)),
    "cat": (lambda m, x: torch.cat([s.unsqueeze(0) for s in spikes(m, [x] * T)]), ("none",)),
    "list": (lambda m, x: spikes(m, [x] * T)[-1], ("last",)),
    "last of stack": (lambda m, x: torch.stack(spikes(m, [x] * T))[-1], ("last",)),
    "sum of stack": (lambda m, x: torch.stack(spikes(m, [x] * T)).sum(0), ("sum",)),
    "sum by axis": (lambda m, x: torch.stack(spikes(m, [x] * T), 2).sum(axis=-1), ("sum",)),
    "mean": (lambda m, x: torch.stack(spikes(m, [x] * T)).mean(dim=0), ("mean",)),
    "sum(list)": (lambda m, x: sum(spikes(m, [x] * T)), ("sum",)),
    "rate": (lambda m, x: sum(spikes(m, [x] * T)) / T, ("mean",)),
    "total": (accumulate, ("sum",)),
    "total +=": (accumulate_in_place, ("sum",)),
    "record[t]": (record, ("none",)),
    "repeat": (lambda m, x: torch.stack(spikes(m, x.unsqueeze(0).repeat(T, 1, 1))), ("none",)),
    "expand": (lambda m, x: torch.stack(spikes(m, x.expand(T, *x.shape))), ("none",)),
    "with membrane": (
        lambda m, x: [torch.stack(p) for p in zip(*loop(m, [x] * T), strict=True)],
        ("none", "none"),
    ),
    "dict": (lambda m, x: {"spk/a": sum(spikes(m, [x] * T))}, ("sum",)),
}  # fmt: skip


@pytest.mark.parametrize("style", STATIC)
def test_static_input(style: str) -> None:
    body, reduces = STATIC[style]
    model = checked(trace(net(body), torch.randn(B, N).double()))
    assert model.graph.signals["input"].rate is Rate.SAMPLE
    assert tuple(model.graph.nodes[n].reduce for n in model.graph.outputs) == reduces
    if style == "with membrane":
        assert [model.graph.nodes[n].port for n in model.graph.outputs] == ["s", "v"]
    if style == "dict":
        assert model.graph.outputs == ["spk_a"]


SEQUENCE = {
    "iterate": (lambda m, x: torch.stack(spikes(m, x)), 0),
    "x[t]": (lambda m, x: torch.stack(spikes(m, [x[t] for t in range(x.size(0))])), 0),
    "x[t, ...]": (lambda m, x: torch.stack(spikes(m, [x[t, ...] for t in range(T)])), 0),
    "x[:, t]": (lambda m, x: torch.stack(spikes(m, [x[:, t] for t in range(x.shape[1])]), 1), 1),
    "x[:, :, t]": (lambda m, x: torch.stack(spikes(m, [x[:, :, t] for t in range(T)]), 1), 2),
    "select": (lambda m, x: torch.stack(spikes(m, [x.select(1, t) for t in range(T)])), 1),
    "unbind": (lambda m, x: torch.stack(spikes(m, x.unbind(1))), 1),
    "transpose": (lambda m, x: torch.stack(spikes(m, x.transpose(0, 1))), 1),
    "permute": (lambda m, x: torch.stack(spikes(m, x.permute(2, 0, 1))), 2),
    "movedim": (lambda m, x: torch.stack(spikes(m, torch.movedim(x, 1, 0))), 1),
    "x[t:t+1]": (
        lambda m, x: torch.stack(spikes(m, [x[t : t + 1].squeeze(0) for t in range(T)])), 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("style", SEQUENCE)
def test_sequence_input(style: str) -> None:
    body, axis = SEQUENCE[style]
    x = torch.randn(T, B, N).double()
    model = checked(trace(net(body), x.movedim(0, axis), time_axis=axis))
    assert model.graph.signals["input"].rate is Rate.STEP
    np.testing.assert_array_equal(model.example.inputs["input"], x.transpose(0, 1).numpy())


def hidden() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(N, 8), snn.Leaky(0.9, init_hidden=True), nn.Dropout(),
        nn.Linear(8, 2), snn.Leaky(0.8, init_hidden=True, output=True),
    )  # fmt: skip


def test_one_step_module_on_a_static_input() -> None:
    model = trace(hidden(), torch.randn(B, N), steps=T)
    assert model.graph.outputs == ["output_0", "output_1"]
    assert [model.graph.nodes[n].port for n in model.graph.outputs] == ["s", "v"]
    assert model.example.outputs["output_0"].shape == (B, T, 2)
    assert model.graph.steps == T


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_step_module_on_a_sequence(axis: int) -> None:
    x = torch.randn(T, B, N)
    net = hidden()
    model = trace(net, x.movedim(0, axis), time_axis=axis)
    snn.Leaky.reset_hidden()
    net.eval()
    own = torch.stack([net(x_t)[0] for x_t in x], 1)
    np.testing.assert_array_equal(model.example.outputs["output_0"], own.detach().numpy())


def test_states_kept_by_the_neuron_itself() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        m.lif1.reset_mem()
        m.lif2.reset_mem()
        return torch.stack([m.lif2(m.fc2(m.lif1(m.fc1(x))[0].double()))[0] for _ in range(T)])

    checked(trace(net(body), torch.randn(B, N).double()))


def test_stale_states_are_not_used() -> None:
    module = net(lambda m, x: torch.stack(spikes(m, [x] * T)))
    x = torch.randn(B, N).double()
    module(x)
    before = module.lif1.mem
    assert before.any()
    checked(trace(module, x))
    assert module.lif1.mem is before


def test_static_layers_stay_static() -> None:
    model = trace(net(STATIC["stack"][0]), torch.randn(B, N).double())
    assert model.graph.signals["fc1"].rate is Rate.SAMPLE
    assert model.graph.signals["fc2"].rate is Rate.STEP


def test_a_shared_pool_gives_a_node_per_place() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        m1, m2 = m.a.init_leaky(), m.b.init_leaky()
        out = []
        for _ in range(T):
            s, m1 = m.a(m.pool(x), m1)
            s, m2 = m.b(m.pool(s.double()), m2)
            out.append(s)
        return torch.stack(out)

    module = Loop(body, pool=nn.AvgPool2d(2), a=snn.Leaky(0.5), b=snn.Leaky(0.5)).double()
    model = trace(module, torch.rand(B, 2, 8, 8).double() * 4)
    assert [n for n in model.graph.order if n.startswith("pool")] == ["pool", "pool_1"]
    assert_graph_is_module(model)


def test_layers_in_lists_and_nested_modules() -> None:
    class Block(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.fc, self.node = nn.Linear(n, n), neuron.LIFNode()

        def forward(self, x: Tensor) -> Tensor:
            return self.node(self.fc(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Block(N), Block(N)])

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return x

    model = trace(Net().double(), torch.randn(B, N).double(), steps=T)
    assert [n for n in model.graph.order if "." in n] == [
        "blocks.0.fc", "blocks.0.node", "blocks.1.fc", "blocks.1.node",
    ]  # fmt: skip
    assert_graph_is_module(model)


def test_unused_branches_are_left_out() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        m.side(x)
        return torch.stack(spikes(m, [x] * T))

    model = checked(trace(net(body, side=nn.Linear(N, 3)), torch.randn(B, N).double()))
    assert "side" not in model.graph.nodes


def test_analog_readout_after_the_last_neuron() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        return torch.stack([m.read(s.double()) for s in spikes(m, [x] * T)]).sum(0)

    model = trace(net(body, read=nn.Linear(2, 3)), torch.randn(B, N).double())
    assert model.graph.sources("output") == ["read"]
    assert_graph_is_module(model)


def test_several_inputs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = neuron.IFNode(), neuron.IFNode()

        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x), self.b(y)

    model = trace(Net(), (torch.rand(B, 3), torch.rand(B, 2, 2)), steps=T)
    assert model.graph.inputs == ["input_0", "input_1"]
    assert model.example.spikes["b"].shape == (B, T, 2, 2)


def test_run_module_gives_the_modules_spikes_for_other_samples() -> None:
    module = net(STATIC["stack"][0])
    x = torch.randn(7, N).double()
    run = run_module(module, x)
    np.testing.assert_array_equal(
        run.outputs["output"], module.eval()(x).transpose(0, 1).detach().numpy()
    )
    assert run.spikes["lif1"].shape == (7, T, 8)
    assert run.spikes["lif1"].dtype == np.uint8


def test_input_kinds() -> None:
    module = net(STATIC["stack"][0]).float()
    module.body = lambda m, x: torch.stack([m.lif1(m.fc1(x.float()))[0] for _ in range(T)])
    ones = torch.ones(B, N, dtype=torch.uint8)
    for kind in ("analog", "spike", "graded"):
        model = trace(module, ones, input_kind=kind)
        assert model.graph.signals["input"].kind is Kind(kind)
    assert trace(module, ones).graph.signals["input"].kind is Kind.ANALOG
    with pytest.raises(InputError, match="0 and 1"):
        trace(module, 2 * ones, input_kind="spike")
    with pytest.raises(InputError, match="no integers"):
        trace(module, 0.5 * ones, input_kind="graded")


def test_weights_are_a_snapshot() -> None:
    module = net(STATIC["stack"][0])
    model = trace(module, torch.randn(B, N).double())
    before = model.graph.nodes["fc1"].weight.copy()
    module.fc1.weight.data.zero_()
    np.testing.assert_array_equal(model.graph.nodes["fc1"].weight, before)


def once(m: Any, x: Tensor) -> Tensor:
    return m.lif1(m.fc1(x))[0]


def edited(m: Any, x: Tensor) -> Tensor:
    mem = m.lif1.init_leaky()
    for _ in range(T):
        spk, mem = m.lif1(m.fc1(x), mem)
        mem = mem * 0.5
    return spk


def edited_in_place(m: Any, x: Tensor) -> Tensor:
    mem = m.lif1.init_leaky()
    for _ in range(T):
        spk, mem = m.lif1(m.fc1(x), mem)
        mem += 1
    return spk


def total_from_ones(m: Any, x: Tensor) -> Tensor:
    total = torch.ones(len(x), 8)
    for s in stepped(m, x):
        total += s
    return total


def nonzero(m: Any, x: Tensor) -> Tensor:
    mem = torch.ones(len(x), 8)
    for _ in range(T):
        spk, mem = m.lif1(m.fc1(x), mem)
    return spk


def starts_late(m: Any, x: Tensor) -> Tensor:
    out, old = [], None
    for x_t in x:
        s, _ = m.lif1(m.fc1(x_t))
        if old is not None:
            out.append(m.lif2(m.fc2(old))[0])
        old = s
    return torch.stack(out)


def twice(m: Any, x: Tensor) -> Tensor:
    for _ in range(T):
        s, _ = m.same(m.fc3(x))
        s, _ = m.same(m.fc3(s.double()))
    return s


def other_state(m: Any, x: Tensor) -> Tensor:
    mem = None
    for _ in range(T):
        _, mem = m.lif1(m.fc1(x), mem)
        s, _ = m.lif1b(m.fc1(x), mem)
    return s


def reset_in_the_middle(m: Any, x: Tensor) -> Tensor:
    for t in range(T):
        if t == 3:
            m.lif1.reset_mem()
        s, _ = m.lif1(m.fc1(x))
    return s


def uneven(m: Any, x: Tensor) -> Tensor:
    for t in range(T):
        s, _ = m.lif1(m.fc1(x))
        if t % 2:
            m.lif1b(m.fc1(x))
    return s


def on_values(m: Any, x: Tensor) -> Tensor:
    for _ in range(T):
        s, _ = m.lif1(m.fc1(x))
        if s.sum() > 0:
            break
    return s


def membrane_feeds_layer(m: Any, x: Tensor) -> Tensor:
    for _ in range(T):
        _, mem = m.lif1(m.fc1(x))
        s, _ = m.lif2(m.fc2(mem))
    return s


def stepped(m: Any, x: Tensor) -> list[Tensor]:
    return [m.lif1(m.fc1(x))[0] for _ in range(T)]


REFUSED = {
    "one step": (once, "pass steps=T"),
    "no neuron": (lambda m, x: m.fc1(x), "no spiking neuron"),
    "edited state": (edited, "changes the state v"),
    "edited in place": (edited_in_place, "changes the state v"),
    "total from ones": (total_from_ones, "which no neuron keeps"),
    "initial state": (nonzero, "state v at step 0"),
    "used twice": (twice, "comes from"),
    "state of another": (other_state, "state v at step 0"),
    "reset in the middle": (reset_in_the_middle, "its own of the step before"),
    "uneven": (uneven, "different numbers of steps"),
    "control flow on values": (on_values, "reduces|values of a traced"),
    "bool": (lambda m, x: stepped(m, x) if x[0, 0] > 0 else x, "batch axis"),
    "item": (lambda m, x: m.fc1(x)[0, 0].item(), "batch axis"),
    "numpy": (lambda m, x: m.fc1(x).numpy(), "values of a traced"),
    "membrane feeds a layer": (membrane_feeds_layer, "reads the state v"),
    "middle step": (lambda m, x: stepped(m, x)[2], "holds the steps 2..2 of 6"),
    "part of the steps": (lambda m, x: torch.stack(stepped(m, x)[1:]), "holds the steps 1..5"),
    "reversed": (lambda m, x: torch.stack(stepped(m, x)[::-1]), "stacks step 5"),
    "constant output": (lambda m, x: (stepped(m, x)[-1], torch.ones(2)), "depend on the input"),
    "no output": (lambda m, x: stepped(m, x) and None, "returns no tensor"),
    "mask": (lambda m, x: x[x > 0], "values of a traced"),
    "sample picked": (lambda m, x: m.fc1(x)[0], "batch axis"),
    "own error": (lambda m, x: m.fc1(x[:, :2]), "cannot be multiplied"),
    "crash": (lambda m, x: 1 / 0, "ZeroDivisionError"),
    "random dropout": (
        lambda m, x: m.lif1(nn.functional.dropout(m.fc1(x))), "at random even in evaluation"
    ),
    "rounding": (lambda m, x: m.lif1(m.fc1(x).double().float()), "rounds torch.float64"),
    "constant input of a neuron": (lambda m, x: m.lif1(torch.ones(3, 8)), "does not depend"),
    "swapped features": (lambda m, x: m.lif1(m.fc1(x).T), "feature, batch"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    body, match = REFUSED[what]
    extra = {
        "same": snn.Leaky(0.5), "back": nn.Linear(N, N), "fc3": nn.Linear(N, N),
        "fc1b": nn.Linear(N, 8), "lif1b": snn.Leaky(0.5),
    }  # fmt: skip
    module = Loop(body, **parts(), **extra)
    if what in ("rounding", "used twice"):
        module = module.double()
    x = torch.rand(B, N, dtype=module.fc1.weight.dtype)
    with pytest.raises(TraceError, match=match) as caught:
        trace(module, x)
    assert caught.value.fix


def test_a_neuron_that_starts_a_step_late_is_refused() -> None:
    with pytest.raises(TraceError, match="different numbers of steps"):
        trace(Loop(starts_late, **parts()), torch.rand(T, B, N), time_axis=0)


def test_a_step_behind_is_refused() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        old, out = None, []
        for x_t in x:
            s, _ = m.lif1(m.fc1(x_t))
            out.append(m.lif2(m.fc2(s if old is None else old))[0])
            old = s
        return torch.stack(out)

    with pytest.raises(TraceError, match=r"step 1 reads step 0 of fc2"):
        trace(Loop(body, **parts()), torch.rand(T, B, N), time_axis=0)


def test_errors_name_the_users_line() -> None:
    with pytest.raises(TraceError) as caught:
        trace(Loop(edited, **parts()), torch.rand(B, N))
    source = Path(__file__).read_text().splitlines()
    line = next(i for i, text in enumerate(source, 1) if text.strip() == "mem = mem * 0.5")
    assert f"test_loops.py:{line}" in caught.value.cause


def test_a_neuron_alone() -> None:
    model = trace(neuron.IFNode(), torch.rand(B, N), steps=T)
    assert model.graph.order == ("input", "ifnode", "output")


def test_wrong_options() -> None:
    module = hidden()
    with pytest.raises(OptionError, match="steps"):
        trace(module, torch.rand(B, N), steps=0)
    with pytest.raises(OptionError, match="time_axis"):
        trace(module, torch.rand(B, N), time_axis=1)
    with pytest.raises(OptionError, match="time_axis"):
        trace(module, torch.rand(T, B, N), time_axis=3)
    with pytest.raises(InputError, match="batch axis"):
        trace(module, torch.rand(N), steps=T)
    with pytest.raises(InputError, match="not a tensor"):
        trace(module, np.zeros((B, N)), steps=T)
    with pytest.raises(TraceError, match="steps= 4"):
        trace(net(STATIC["stack"][0]), torch.rand(B, N).double(), steps=4)


def test_multi_step_neuron_on_a_static_value_says_what_to_do() -> None:
    module = nn.Sequential(nn.Linear(N, 3), neuron.IFNode(step_mode="m"))
    with pytest.raises(TraceError, match="time_axis=0"):
        trace(module, torch.rand(B, N), steps=T)


def test_multi_step_module_that_repeats_its_static_input() -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        return m.node(m.fc(x.unsqueeze(0).repeat(T, 1, 1))).mean(0)

    module = Loop(body, fc=nn.Linear(N, 3), node=neuron.LIFNode(step_mode="m")).double()
    model = trace(module, torch.randn(B, N).double(), steps=T)
    assert model.graph.signals["fc"].rate is Rate.SAMPLE
    assert model.graph.nodes["output"].reduce == "mean"
    assert_graph_is_module(model)


def test_a_module_is_left_as_it_was_after_an_error() -> None:
    module = Loop(edited, **parts()).train()
    before = {name: dict(vars(m)) for name, m in module.named_modules()}
    with pytest.raises(TraceError):
        trace(module, torch.rand(B, N))
    for name, m in module.named_modules():
        assert vars(m) == before[name] or set(vars(m)) == set(before[name])
        assert "forward" not in vars(m)
        assert m.training
