"""Counts of a torch module's own forward: against hand counts and against those of its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from benchmarks import deep
from snnc.energy.counts import Cause, Counts, Op
from snnc.energy.graph_counts import count_float
from snnc.energy.meter import measure
from snnc.errors import GraphError, InputError, OptionError, TraceError
from snnc.frontends.trace import trace
from snnc.ir import Kind
from tests.frontends.nets import Loop

torch.set_num_threads(1)
QUANTITIES = (
    "events", "value", "products", "operations", "products_nonzero", "operations_nonzero",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def equal(ours: Counts, theirs: Counts, kinds: bool = True, columns: bool = True) -> None:
    """Every synaptic count of two paths."""
    assert [s.name for s in ours.synapses] == [s.name for s in theirs.synapses]
    assert ours.synapses
    for a, b in zip(ours.synapses, theirs.synapses, strict=True):
        for what in QUANTITIES:
            x, y = getattr(a, what), getattr(b, what)
            if not columns:
                x, y = x.sum(1), y.sum(1)
            np.testing.assert_array_equal(x, y, err_msg=f"{a.name} {what}")
        wanted = ("dense", "taps", "weights", "bias", "direct", "static", "kernel", "groups", "op")
        for what in (*wanted, *(("kind",) if kinds else ())):
            assert getattr(a, what) == getattr(b, what), (a.name, what)
    assert ours.samples == theirs.samples


def both(module: nn.Module, x: Tensor, **options: Any) -> tuple[Counts, Counts]:
    """Counts of a module and of its traced graph."""
    model = trace(module.eval(), x, **options)
    assert model.example is not None
    return measure(module, x, **options), count_float(model.graph, model.example.inputs)


def totals(counts: Counts) -> dict[tuple[Cause, Op], int]:
    """Operations that are no synaptic ones."""
    found: dict[tuple[Cause, Op], int] = {}
    for line in counts.lines:
        for op, n in line.operations.items():
            found[line.cause, op] = found.get((line.cause, op), 0) + int(n.sum())
    return {key: n for key, n in found.items() if n}


def spiking_cnn(forward: Callable[[Any, Tensor], Any], **conv: Any) -> nn.Module:
    settings = {"kernel_size": 3, "padding": 1, "stride": 2, **conv}
    return Loop(
        forward,
        conv=nn.Conv2d(2, 4, **settings),
        lif=snn.Leaky(beta=0.9, threshold=0.3),
        up=nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1),
        lif2=snn.Leaky(beta=0.8, threshold=0.2),
        fc=nn.Linear(3 * 7 * 7, 5),
        out=snn.Leaky(beta=0.9, threshold=0.3),
    )


def one_step(net: Any, x: Tensor, states: list[Tensor]) -> Tensor:
    spikes, states[0] = net.lif(net.conv(x), states[0])
    spikes, states[1] = net.lif2(net.up(spikes), states[1])
    spikes, states[2] = net.out(net.fc(spikes.flatten(1)), states[2])
    return spikes


def fresh(net: Any) -> list[Tensor]:
    return [net.lif.reset_mem(), net.lif2.reset_mem(), net.out.reset_mem()]


def looped(net: Any, x: Tensor) -> Tensor:
    states = fresh(net)
    return torch.stack([one_step(net, x_t, states) for x_t in x])


def static(net: Any, x: Tensor) -> Tensor:
    states = fresh(net)
    return torch.stack([one_step(net, x, states) for _ in range(5)])


def outside(net: Any, x: Tensor) -> Tensor:
    """The first layer once, before the loop."""
    mem, mem2 = net.lif.reset_mem(), net.lif2.reset_mem()
    current, record = net.conv(x), []
    for _ in range(5):
        spikes, mem = net.lif(current, mem)
        spikes, mem2 = net.lif2(net.up(spikes), mem2)
        record.append(spikes)
    return torch.stack(record)


@pytest.mark.parametrize("conv", [{}, {"dilation": 2, "stride": 1, "padding": 2}, {"groups": 2}])
def test_a_loop_over_a_sequence(conv: dict[str, Any]) -> None:
    # (7 + 2 − 3)//2 + 1 = 4, (4 − 1)·2 − 2 + 3 = 7: the sizes fit the linear layer.
    net = spiking_cnn(looped, **conv)
    if conv.get("dilation"):
        net.up = nn.ConvTranspose2d(4, 3, 3, padding=1)
    x = torch.rand(4, 3, 2, 7, 7)
    ours, theirs = both(net, x, time_axis=0)
    equal(ours, theirs)
    assert totals(ours) == totals(theirs)
    assert ours.steps == 4
    assert not ours.uncounted


@pytest.mark.parametrize("forward", [static, outside])
def test_a_static_input(forward: Callable[[Any, Tensor], Any]) -> None:
    # Evaluated at every step or once before the loop: `static` says it, the columns are the same.
    ours, theirs = both(spiking_cnn(forward), torch.rand(3, 2, 7, 7))
    equal(ours, theirs)
    assert ours.synapses[0].static
    assert ours.synapses[0].direct
    assert totals(ours) == totals(theirs)


def test_a_forward_that_is_one_step() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = (
                nn.Linear(6, 4),
                snn.Leaky(beta=0.9, threshold=0.2, init_hidden=True),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x))

    for x, options in (
        (torch.rand(2, 6), {"steps": 4}),
        (torch.rand(4, 2, 6), {"time_axis": 0}),
        (torch.rand(2, 4, 6), {"time_axis": 1}),
    ):
        ours, theirs = both(Net(), x, **options)
        equal(ours, theirs)
        assert totals(ours) == totals(theirs)


def small_deep(*parts: nn.Module) -> nn.Module:
    net = nn.Sequential(*parts)
    functional.set_step_mode(net, "m")
    return net


def test_multi_step_with_residual_sums_and_average_pooling() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif = layer.Conv2d(4, 4, 3, padding=1, bias=False), neuron.IFNode()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.conv(x)) + x

    net = small_deep(
        layer.Conv2d(2, 4, 3, padding=1), layer.BatchNorm2d(4), neuron.LIFNode(v_threshold=0.2),
        Block(), layer.AvgPool2d(2), layer.Flatten(), layer.Linear(36, 5), neuron.IFNode(),
    )  # fmt: skip
    ours, theirs = both(net, torch.rand(4, 2, 2, 7, 7))
    equal(ours, theirs)
    assert totals(ours) == totals(theirs)
    assert ours.notes == tuple(note.replace("4.avg", "4.avg") for note in ours.notes) != ()


def test_max_pooling() -> None:
    # By design: max-pool of spikes is a gate neuron in the graph (ORs of spikes), and comparisons
    # here; what the layers behind it read is the same.
    net = small_deep(
        layer.Conv2d(2, 4, 3), neuron.IFNode(v_threshold=0.1), layer.MaxPool2d(2),
        layer.Conv2d(4, 3, 2, bias=False), neuron.IFNode(v_threshold=0.1),
    )  # fmt: skip
    ours, theirs = both(net, torch.rand(3, 2, 2, 8, 8))
    equal(ours, theirs)
    # 4 channels of 3×3 windows of 4 taps: 3 comparisons each, 3 steps, 2 samples.
    assert totals(ours)[Cause.POOL, Op.COMPARE] == 4 * 9 * 3 * 3 * 2
    assert len(theirs.populations) == len(ours.populations) + 1


@pytest.mark.parametrize("name", ["unet", "recurrent"])
def test_networks_of_papers(name: str) -> None:
    module, x, options = getattr(deep, name)()
    ours, theirs = both(module, x[:12], **options)
    # By design: parts placed side by side sum in a graph, and a sum of spikes is typed as integers;
    # here a concatenation of spikes stays spikes. Both are ACs. A recurrent layer first runs at its
    # second step here (it reads zeros before that), so it stands behind, and a step earlier.
    order = {s.name: s for s in ours.synapses}
    assert set(order) == {s.name for s in theirs.synapses}
    same = tuple(order[s.name] for s in theirs.synapses)
    equal(Counts("", ours.samples, 0, same, (), ()), theirs, kinds=False, columns=name == "unet")
    assert totals(ours).get((Cause.ADD, Op.AC)) == totals(theirs).get((Cause.ADD, Op.AC))


def test_attention() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        q, k, v = (net.lif(x.flatten(0, 1)).unflatten(0, x.shape[:2]) for _ in range(3))
        return net.out((q @ k.transpose(-1, -2)) @ v)

    net = Loop(forward, lif=snn.Leaky(beta=0.5, threshold=0.5), out=neuron.IFNode(step_mode="m"))
    del net.lif
    net.lif = nn.Identity()
    net.double()
    spikes = (torch.rand(3, 2, 5, 4) < 0.4).double()
    counts = measure(net, spikes, time_axis=0, input_kind="spike")
    first, second = counts.synapses
    a = spikes.permute(1, 0, 2, 3)
    np.testing.assert_array_equal(
        first.products, torch.einsum("btik,btjk->bt", a, a).numpy().astype(int)
    )
    scores = a @ a.mT
    np.testing.assert_array_equal(
        second.operations, torch.einsum("btij,btjk->bt", scores, a).numpy().astype(int)
    )
    assert (first.kind, second.kind) == (Kind.SPIKE, Kind.GRADED)
    assert first.dense == 5 * 4 * 5
    assert second.second_size == 20
    np.testing.assert_array_equal(second.second_events, a.sum((2, 3)).numpy().astype(int))


def test_hand_written_neurons_and_zero_weights() -> None:
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, v: Tensor) -> Tensor:
            return (v > 0).to(v)

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)
            nn.init.constant_(self.fc1.weight, 0.5)
            self.fc2.weight.data[0, 0] = 0

        def forward(self, x: Tensor) -> Tensor:
            mem, record = torch.zeros(len(x), 4), []
            for _ in range(3):
                mem = 0.5 * mem + self.fc1(x)
                spikes = Spike.apply(mem - 1)
                mem = mem - spikes
                record.append(self.fc2(spikes))
            return torch.stack(record).sum(0)

    net = Own()
    nn.init.zeros_(net.fc1.bias)
    # Σ 0.5·x = 1.5: v = 1.5, 0.25 + 1.5, 0.375 + 1.5 all spike. Second sample: never.
    x = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.5]])
    counts = measure(net, x)
    first, second = counts.synapses
    assert first.kind is Kind.ANALOG
    assert first.static
    assert first.steps == 3
    assert first.operations.tolist() == [[12] * 3, [4] * 3]
    assert second.kind is Kind.SPIKE
    assert not second.static
    assert second.operations.tolist() == [[8] * 3, [0] * 3]
    assert second.operations_nonzero.tolist() == [[7] * 3, [0] * 3]
    found = totals(counts)
    assert found[Cause.FUNCTION, Op.COMPARE] == 2 * 3 * 4
    assert not counts.uncounted
    assert not counts.populations


def test_a_user_class_named_as_a_neuron() -> None:
    class Mine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.bernoulli(torch.sigmoid(x) * 0 + 1)

    net = nn.Sequential(nn.Linear(3, 4), Mine(), nn.Linear(4, 2))
    counts = measure(net, torch.rand(5, 2, 3), time_axis=0, neurons=(Mine,))
    assert counts.populations[0].spikes.tolist() == [[4] * 5] * 2
    assert counts.synapses[1].operations.tolist() == [[8] * 5] * 2
    assert "Mine" in counts.uncounted["1"]


def test_values_of_a_signal_decide_nothing() -> None:
    # An image of zeros and ones is analog all the same; spikes averaged over windows are too.
    net = nn.Sequential(nn.Linear(3, 4), neuron.IFNode())
    counts = measure(net, torch.ones(2, 1, 3), time_axis=0)
    assert counts.synapses[0].op is Op.MAC
    counts = measure(net, torch.ones(2, 1, 3), time_axis=0, input_kind="spike")
    assert counts.synapses[0].op is Op.AC


def test_layers_that_no_graph_has() -> None:
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1), neuron.IFNode(v_threshold=0.1), nn.MaxPool3d(2),
        nn.Flatten(), nn.Linear(2 * 8, 3), nn.GroupNorm(1, 3), nn.PReLU(),
    )  # fmt: skip
    counts = measure(net, torch.rand(2, 1, 4, 4, 4), steps=3)
    # Taps of one axis: 2 + 3 + 3 + 2 of 4·3.
    assert counts.synapses[0].taps == 2 * 10**3
    assert counts.synapses[0].dense == 2 * 12**3
    assert counts.synapses[0].operations.tolist() == [[2000] * 3] * 2
    assert not counts.uncounted


def test_an_operation_without_a_rule_is_named() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.lif(torch.special.erfcx(net.fc(x)))

    net = Loop(forward, fc=nn.Linear(3, 4), lif=neuron.IFNode())
    counts = measure(net, torch.rand(2, 3), steps=2)
    assert counts.uncounted == {"special_erfcx": "special_erfcx"}


def test_counts_do_not_depend_on_the_batch() -> None:
    net = spiking_cnn(looped)
    x = torch.rand(4, 5, 2, 7, 7)
    x[:, 1] = 0
    whole = measure(net, x, time_axis=0, batch=5)
    seen: list[tuple[int, int]] = []
    parts = measure(net, x, time_axis=0, batch=2, progress=lambda *done: seen.append(done))
    single = Counts.joined([measure(net, x[:, i : i + 1], time_axis=0) for i in range(5)])
    for other in (parts, single):
        equal(whole, other)
        for a, b in zip(whole.lines, other.lines, strict=True):
            assert {op: n.tolist() for op, n in a.operations.items()} == {
                op: n.tolist() for op, n in b.operations.items()
            }
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_the_module_is_left_as_found() -> None:
    net = small_deep(layer.Linear(3, 4), neuron.IFNode(), layer.Linear(4, 2)).train()
    before = {name: tuple(vars(m)) for name, m in net.named_modules()}
    weights = [p.clone() for p in net.parameters()]
    measure(net, torch.rand(3, 2, 3))
    assert net.training
    assert before == {name: tuple(vars(m)) for name, m in net.named_modules()}
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert net[1].v == 0.0


NET: Callable[[], nn.Module] = lambda: nn.Sequential(nn.Linear(3, 4), neuron.IFNode())  # noqa: E731


def bad_weights() -> nn.Module:
    net = NET()
    net[0].weight.data[0, 0] = float("nan")
    return net


def overflowing(net: Any, x: Tensor) -> Tensor:
    return net.lif(net.fc2(net.fc(x) * 1e38 * 1e38))


def mixing(net: Any, x: Tensor) -> Tensor:
    return net.lif(net.fc2(net.fc(x).sum(0, keepdim=True).expand(len(x), -1)))


class Half(nn.Module):
    """Puts out what is no spike."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 0.5)


def two_layers(forward: Callable[[Any, Tensor], Any]) -> Callable[[], nn.Module]:
    return lambda: Loop(forward, fc=nn.Linear(3, 3), fc2=nn.Linear(3, 3), lif=neuron.IFNode())


@pytest.mark.parametrize(
    ("make", "x", "options", "error", "words"),
    [
        (NET, torch.empty(0, 3), {"steps": 2}, InputError, "shape"),
        (NET, torch.rand(3), {"steps": 2}, InputError, "batch axis"),
        (NET, torch.rand(2, 5), {"steps": 2}, TraceError, "own forward fails"),
        (NET, torch.full((2, 3), torch.nan), {"steps": 2}, InputError, "NaN"),
        (NET, torch.rand(2, 3), {"steps": 2, "input_kind": "spike"}, InputError, "0 and 1"),
        (NET, torch.rand(2, 3), {"steps": 2, "input_kind": "graded"}, InputError, "integers"),
        (NET, torch.rand(2, 3), {}, TraceError, "nothing says how many"),
        (NET, torch.rand(2, 3), {"steps": 2, "batch": 0}, OptionError, "at least 1"),
        (NET, torch.rand(2, 3), {"time_axis": 4}, OptionError, "time_axis|sequence"),
        (bad_weights, torch.rand(2, 3), {"steps": 2}, GraphError, "0.weight"),
        (two_layers(overflowing), torch.rand(2, 3), {"steps": 2}, InputError, "fc2.*NaN"),
        (two_layers(mixing), torch.rand(2, 3), {"steps": 2}, InputError, "fc2.*several samples"),
        (lambda: nn.Linear(3, 4), torch.rand(2, 3), {"steps": 2}, TraceError, "no spiking neuron"),
        (lambda: nn.Sequential(Half()), torch.rand(2, 3), {"steps": 2, "neurons": (Half,)},
         InputError, "not 0 or 1"),
    ],
)  # fmt: skip
def test_bad_input(
    make: Callable[[], nn.Module],
    x: Tensor,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        measure(make(), x, **options)


class Attention(nn.Module):
    """Q·Kᵀ·V of spikes, with `einsum` or with `@`."""

    def __init__(self, einsum: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.nodes = nn.ModuleList(neuron.IFNode(0.3, step_mode="m") for _ in range(3))
        self.out, self.einsum = neuron.IFNode(0.3, step_mode="m"), einsum

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.layers, self.nodes, strict=True)
        q, k, v = (node(layer(x)).unflatten(-1, (2, 4)) for layer, node in pairs)
        if self.einsum:
            met = torch.einsum("tbnhc, tbmhc -> tbhnm", q, k)
            return self.out(torch.einsum("tbhnm,tbmhc->tbnhc", met, v).flatten(-2))
        q, k, v = (z.transpose(2, 3) for z in (q, k, v))
        return self.out((q @ k.mT @ v).transpose(2, 3).flatten(-2))


def test_einsum_counts_as_the_product_that_it_is() -> None:
    torch.manual_seed(0)
    first, second = Attention(True), Attention(False)
    second.load_state_dict(first.state_dict())
    x = torch.rand(3, 2, 5, 8)
    found, wanted = measure(first, x), measure(second, x)
    assert not found.uncounted
    assert [item.operation for item in found.synapses][-2:] == ["attention"] * 2
    for one, other in zip(found.synapses, wanted.synapses, strict=True):
        assert one.in_shape == other.in_shape
        assert one.operations.tolist() == other.operations.tolist()
        assert one.products.tolist() == other.products.tolist()
    assert found.synapses[-1].operations.any()


@pytest.mark.parametrize("equation", ["tbnhc,tbmhd->tbnm", "tbnhh,tbmhc->tbnhm", "tbnhc,...->t"])
def test_einsum_without_a_rule_is_named(equation: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.node = neuron.IFNode(step_mode="m")

        def forward(self, x: Tensor) -> Tensor:
            s = self.node(x)
            other = s if equation.count(".") == 0 else torch.ones(())
            return torch.einsum(equation, s, other)

    assert list(measure(Odd(), torch.rand(2, 2, 3, 4, 4)).uncounted.values()) == ["einsum"]


# Nothing is lost in silence


class Layers(nn.Module):
    """fc, spikes, `middle`, fc2, spikes, over sequences (step, sample, 6)."""

    def __init__(self, middle: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.fc, self.fc2, self.middle = nn.Linear(6, 8), nn.Linear(8, 4), middle
        self.n1, self.n2 = (neuron.IFNode(0.1, step_mode="m") for _ in range(2))
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.n2(self.fc2(self.middle(self, self.n1(self.fc(x)))))


@torch.jit.script
def halved(x: Tensor) -> Tensor:
    return x * 0.5


def unseen(net: Any, x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return net.other(x)


def assigned(net: Any, x: Tensor) -> Tensor:
    y = torch.zeros(x.shape)
    y.data = x * 0.5
    return y


@pytest.mark.parametrize(
    "branch",
    [
        lambda net, x: halved(x),
        lambda net, x: torch.from_numpy(x.numpy() * 0.5),
        lambda net, x: torch.as_tensor(x.tolist()) * 0.5,
        lambda net, x: torch.full(x.shape, x.mean().item()),
        lambda net, x: torch.vmap(lambda row: row * 0.5)(x),
        lambda net, x: nn.functional.one_hot(x.argmax(-1), 8),
        unseen,
        assigned,
    ],
)
def test_a_branch_out_of_sight_is_named(branch: Callable[[Any, Tensor], Tensor]) -> None:
    net = Layers(lambda net, x: x + branch(net, x), other=nn.Linear(8, 8))
    assert "no function of torch" in measure(net, torch.rand(3, 2, 6)).uncounted["add"]


FACTOR = torch.rand(8)


class Holder:
    """An object of a user that holds a constant."""

    factor = torch.rand(8)

    def __init__(self) -> None:
        self.own = [torch.rand(8)]


def test_constants_of_the_program_are_no_signals() -> None:
    around = torch.rand(8)

    def middle(net: Any, x: Tensor) -> Tensor:
        y = (x * FACTOR + around) * net.holder.own[0] + net.table[0] + torch.eye(8)[0]
        return y * torch.zeros(8).add_(net.weights["a"]) + torch.rand_like(y) * y.new_ones(8)

    net = Layers(middle)
    net.holder, net.table, net.weights = Holder(), torch.rand(2, 8), {"a": torch.rand(8)}  # type: ignore[assignment]
    assert measure(net, torch.rand(3, 2, 6)).uncounted == {}


def _set(x: Tensor, index: Any, value: Any) -> Tensor:
    x[index] = value
    return x


def _data(x: Tensor) -> Tensor:
    x.data[..., :2] = 0.5
    return x


def _by_mask(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape)
    y[x > 0] = 0.7
    return y


def _viewed(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape)
    y[0].copy_(x[0] * 0.5)
    return y + x


@pytest.mark.parametrize(
    ("middle", "kind"),
    [
        # Two halves are a whole: sums alone would not tell.
        (lambda x: _set(x, (..., slice(0, 2)), 0.5), Kind.ANALOG),
        (lambda x: x[..., :2].fill_(0.5) is x or x, Kind.ANALOG),
        (_data, Kind.ANALOG),
        (lambda x: _set(x, (..., 0), 1.0), Kind.SPIKE),
        (lambda x: _set(x, (..., 0), 3), Kind.GRADED),
        (lambda x: _set(x, x > 0, 0.5), Kind.ANALOG),
        (lambda x: torch.empty(x.shape).copy_(x), Kind.SPIKE),
        (lambda x: x.zero_(), Kind.SPIKE),
        (_by_mask, Kind.ANALOG),
        (_viewed, Kind.ANALOG),
    ],
)
def test_changes_in_place(middle: Callable[[Tensor], Tensor], kind: Kind) -> None:
    net = Layers(lambda net, x: middle(x))
    counts = measure(net, torch.rand(3, 2, 6))
    entered: list[Tensor] = []
    net.fc2.register_forward_hook(lambda module, args, out: entered.append(args[0].clone()))
    functional.reset_net(net)
    with torch.no_grad():
        torch.manual_seed(0)
        measured = measure(net, torch.rand(3, 2, 6)).synapses[1]
    assert counts.synapses[1].kind is measured.kind is kind
    assert not counts.uncounted
    found = (entered[-1] != 0).sum(-1).T
    np.testing.assert_array_equal(measured.events, found.numpy())


def test_an_index_of_integers_that_depends_on_signals_is_named() -> None:
    def middle(net: Any, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape)
        y[x > 0] = x[x > 0] * 0.5
        return y

    assert "__setitem__" in measure(Layers(middle), torch.rand(3, 1, 6)).uncounted


def test_complex_values_are_named() -> None:
    net = Layers(lambda net, x: torch.view_as_real(torch.complex(x, x) * 2).sum(-1))
    assert measure(net, torch.rand(3, 2, 6)).uncounted


class InPlace(nn.Module):
    """A neuron that keeps its state in a buffer, and records in a list what it did."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 8), nn.Linear(8, 3)
        self.register_buffer("v", torch.zeros(1, 8))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.v.mul_(0.5).add_(self.fc(x).abs())
        spikes = (self.v > 0.7).float()
        self.v.sub_(spikes)
        self.seen.append(spikes)
        return self.out(spikes)


def test_states_that_change_in_place() -> None:
    net, x = InPlace(), torch.rand(4, 3, 6)
    counts = measure(net, x, time_axis=0, batch=1)
    assert not net.v.any()
    assert net.seen == []
    for i in range(3):
        with torch.no_grad():
            spikes = torch.stack([(net(row), net.seen[-1].sum())[1] for row in x[:, i : i + 1]])
            net.v.zero_()
        assert counts.synapses[1].events[i].tolist() == spikes.int().tolist()


def test_one_step_is_a_sequence_too() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        mem, record = net.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spikes, mem = net.lif(net.fc(x[t]), mem)
            record.append(net.out(spikes))
        return torch.stack(record)

    net = Loop(forward, fc=nn.Linear(6, 4), lif=snn.Leaky(0.9, threshold=0.1), out=nn.Linear(4, 2))
    counts = measure(net, torch.ones(1, 2, 6), time_axis=0)
    assert [s.name for s in counts.synapses] == ["fc", "out"]
    assert counts.synapses[0].operations.tolist() == [[24], [24]]


def test_weights_that_are_computed_anew_are_not_kept() -> None:
    from snnc.energy.meter import Measurement

    made = torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))
    net = nn.Sequential(made, neuron.IFNode())
    run = Measurement(net, time_axis=0)
    for _ in range(3):
        run.counts(run.checked(torch.rand(5, 2, 6)))
    assert len(run.plans) == 2  # tried on the whole sequence, then step by step


def test_a_cumulative_sum_over_samples_mixes_them() -> None:
    net = Layers(lambda net, x: x.cumsum(1))
    with pytest.raises(InputError, match="several samples"):
        measure(net, torch.rand(3, 2, 6))
    assert measure(Layers(lambda net, x: x.cumsum(0)), torch.rand(3, 2, 6)).steps == 3


@pytest.mark.parametrize(
    ("make", "x", "error", "words"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(4), neuron.IFNode()), torch.rand(2, 3), GraphError,
         "no shape yet"),
        (lambda: NET().to("meta"), torch.rand(2, 3), GraphError, "device meta"),
        (NET, torch.rand(2, 3, device="meta"), InputError, "device meta"),
        (NET, torch.rand(2, 3).to(torch.complex64), InputError, "complex"),
    ],
)  # fmt: skip
def test_tensors_that_can_not_be_counted(
    make: Callable[[], nn.Module], x: Tensor, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        measure(make(), x, steps=2)


def test_upsampled_spikes_stay_spikes_in_both_paths() -> None:
    # Nearest upsampling is a transposed convolution in the graph; it moves values all the same.
    net = small_deep(
        layer.Conv2d(2, 4, 3), neuron.IFNode(v_threshold=0.1),
        layer.SeqToANNContainer(nn.Upsample(scale_factor=2)), layer.Conv2d(4, 3, 2),
        neuron.IFNode(v_threshold=0.1),
    )  # fmt: skip
    ours, theirs = both(net, torch.rand(3, 2, 2, 6, 6))
    equal(ours, theirs)
    assert ours.synapses[1].op is Op.AC
    net.insert(3, layer.AvgPool2d(2, step_mode="m"))
    ours, theirs = both(net, torch.rand(3, 2, 2, 6, 6))
    equal(ours, theirs)
    assert totals(ours) == totals(theirs)


# Other frameworks


def _events(net: nn.Module, x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """What enters some layers, by plain hooks."""
    found: list[Tensor] = []
    hooks = [m.register_forward_pre_hook(lambda _, args: found.append(args[0])) for m in layers]
    with torch.no_grad():
        net.eval()(x)
    for hook in hooks:
        hook.remove()
    return [(entered != 0).double() for entered in found]


@pytest.mark.parametrize(
    ("spike_fn", "kind"), [("MultiSpike", Kind.GRADED), ("SingleSpike", Kind.SPIKE)]
)
def test_sinabs(spike_fn: str, kind: Kind) -> None:
    sinabs = pytest.importorskip("sinabs")
    from sinabs import layers as sl

    function = getattr(sinabs.activation, spike_fn)
    net = nn.Sequential(
        nn.Linear(4, 5),
        sl.LIF(10.0, norm_input=False, spike_threshold=torch.tensor(0.1), spike_fn=function),
        nn.Linear(5, 3), sl.IAF(),
    )  # fmt: skip
    x = torch.rand(2, 6, 4)
    counts = measure(net, x, time_axis=1)
    for part in (net[1], net[3]):
        part.reset_states()
    (entered,) = _events(net, x, [net[2]])
    assert counts.steps == 6
    assert counts.synapses[1].kind is kind
    np.testing.assert_array_equal(counts.synapses[1].products, 3 * entered.sum(-1).numpy())
    assert entered.any()
    assert counts.uncounted == {
        "1": "the update of LIF neurons", "3": "the update of IAF neurons"
    }  # fmt: skip


def test_sinabs_over_images() -> None:
    pytest.importorskip("sinabs")
    from sinabs import layers as sl

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(2, 3, 3), sl.IAFSqueeze(batch_size=2, spike_threshold=torch.tensor(0.1)),
                sl.SumPool2d(2), nn.Flatten(), nn.Linear(12, 3), sl.IAFSqueeze(batch_size=2),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    net, x = Net(), torch.rand(2, 4, 2, 6, 6)
    counts = measure(net, x, time_axis=1)
    for index in (1, 5):
        net.net[index].reset_states()
    (entered,) = _events(net, x, [net.net[4]])
    last = counts.synapses[1]
    assert last.kind is Kind.GRADED
    np.testing.assert_array_equal(last.products, 3 * entered.sum(-1).reshape(2, 4).numpy())
    # 12 windows of 4 taps, 4 steps, 2 samples.
    assert totals(counts)[Cause.POOL, Op.AC] == 12 * 3 * 4 * 2


def test_slayer() -> None:
    """Time is last, and every layer gets its spikes a step later."""
    pytest.importorskip("lava.lib.dl")
    from snnc.targets.loihi.lava_worker import apply_shim

    apply_shim()
    from lava.lib.dl import slayer

    settings = {"threshold": 0.1, "current_decay": 0.5, "voltage_decay": 0.3}
    cuba = slayer.block.cuba
    net = nn.Sequential(
        cuba.Conv(settings, 2, 3, 3, padding=1), cuba.Pool(settings, 2), cuba.Flatten(),
        cuba.Dense(settings, 27, 3),
    )  # fmt: skip
    net.requires_grad_(False)
    x = torch.rand(2, 2, 6, 6, 7)
    counts = measure(net, x, time_axis=-1)
    assert counts.steps == 7
    assert [s.steps for s in counts.synapses] == [p.steps for p in counts.populations] == [7] * 3
    entered = _events(net, x, [net[1], net[3]])
    np.testing.assert_array_equal(counts.synapses[1].products, entered[0].sum((1, 2, 3)).numpy())
    np.testing.assert_array_equal(counts.synapses[2].products, 3 * entered[1].sum(1).numpy())
    assert entered[1].any()
    assert counts.uncounted == {f"{i}.neuron": "the update of Neuron neurons" for i in (0, 1, 3)}


def test_slayer_with_feedback() -> None:
    pytest.importorskip("lava.lib.dl")
    from snnc.targets.loihi.lava_worker import apply_shim

    apply_shim()
    from lava.lib.dl import slayer

    settings = {"threshold": 0.1, "current_decay": 0.5, "voltage_decay": 0.3}
    net = nn.Sequential(slayer.block.cuba.Recurrent(settings, 4, 5))
    counts = measure(net, torch.rand(2, 4, 7), time_axis=-1)
    spikes = counts.populations[0].spikes
    # Each spike reaches 5 neurons at the next step; those of the last are read by nobody.
    np.testing.assert_array_equal(counts.synapses[1].products.sum(1), 5 * spikes[:, :-1].sum(1))


def test_a_cell_that_returns_spikes_and_state() -> None:
    """Norse's convention."""

    class Cell(nn.Module):
        def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
            v = x if state is None else state * 0.5 + x
            spikes = (v > 0.3).to(x)
            return spikes, v * (1 - spikes)

    def forward(net: Any, x: Tensor) -> Tensor:
        state, record = None, []
        for x_t in x:
            spikes, state = net.cell(net.a(x_t), state)
            record.append(net.b(spikes))
        return torch.stack(record)

    net, x = Loop(forward, a=nn.Linear(4, 5), cell=Cell(), b=nn.Linear(5, 3)), torch.rand(6, 2, 4)
    entered = torch.stack(_events(net, x, [net.b]))
    for options, named in (({}, []), ({"neurons": (Cell,)}, ["cell"])):
        counts = measure(net, x, time_axis=0, **options)
        np.testing.assert_array_equal(counts.synapses[1].products, 3 * entered.sum(-1).T.numpy())
        assert counts.synapses[1].kind is Kind.SPIKE
        assert list(counts.uncounted) == named


# Random networks, against convolutions of ones


class Threshold(nn.Module):
    """A hand-written neuron, of several spellings."""

    def __init__(self, style: int) -> None:
        super().__init__()
        self.style = style

    def forward(self, x: Tensor, v: Tensor | float) -> tuple[Tensor, Tensor]:
        v = v * 0.5 + x
        spikes = (
            (v > 0.1).float(), torch.heaviside(v - 0.1, torch.zeros(())),
            torch.where(v >= 0.1, 1.0, 0.0), v.gt(0.1).to(x.dtype),
        )[self.style]  # fmt: skip
        return spikes, v - spikes * 0.1 if self.style % 2 else v.masked_fill(spikes > 0, 0.0)


class Random(nn.Module):
    """Two convolutions of 1 to 3 axes, perhaps with a sum or a concatenation; sequences may have
    their steps anywhere, static inputs are shown several times."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        self.rank, self.steps, self.axis = int(draw.integers(1, 4)), 3, int(draw.integers(-1, 2))
        self.static, self.join = bool(draw.random() < 0.3), str(draw.choice(["add", "cat", ""]))
        conv, up = (getattr(nn, f"{kind}{self.rank}d") for kind in ("Conv", "ConvTranspose"))
        groups = int(draw.choice([1, 2]))
        k, s, p, d = (int(draw.integers(a, b)) for a, b in ((1, 4), (1, 3), (0, 2), (1, 3)))
        self.first = conv(2, 4, k, s, p, d, groups) if draw.random() < 0.6 else up(2, 4, k, s, 0)
        self.side = conv(4, 4, 3, padding=1)
        self.second = conv(8 if self.join == "cat" else 4, 3, 2, padding=1, stride=s)
        self.nodes = nn.ModuleList(Threshold(int(i)) for i in draw.integers(0, 4, 2))
        with torch.no_grad():
            self.second.weight[torch.rand(self.second.weight.shape) < 0.3] = 0
        shape = (3, *(() if self.static else (self.steps,)), 2, *(5,) * self.rank)
        x = torch.rand(shape)
        self.example = x if self.static else x.movedim(1, self.axis)

    def forward(self, x: Tensor) -> Tensor:
        rows = [x] * self.steps if self.static else x.unbind(self.axis)
        states: list[Any] = [0.0, 0.0]
        record = []
        for row in rows:
            spikes, states[0] = self.nodes[0](self.first(row), states[0])
            if self.join:
                more, states[1] = self.nodes[1](self.side(spikes), states[1])
                spikes = spikes + more if self.join == "add" else torch.cat([spikes, more], 1)
            record.append(self.second(spikes))
        return torch.stack(record)


def _reached(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """(sample,) products of what is not 0, by a convolution of ones."""
    ones = type(layer)(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
        groups=layer.groups, dilation=layer.dilation, bias=False,
    ).double()  # fmt: skip
    ones.weight.data = weight.double()
    with torch.no_grad():
        found: Tensor = ones(x.double())
    return found.flatten(1).sum(1)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed: int) -> None:
    torch.manual_seed(seed)
    net = Random(seed)
    entered: dict[str, list[Tensor]] = {}
    hooks = [
        part.register_forward_pre_hook(
            lambda _, args, name=name: entered.setdefault(name, []).append(args[0])
        )
        for name, part in net.named_children()
    ]
    with torch.no_grad():
        net(net.example)
    for hook in hooks:
        hook.remove()
    options = {} if net.static else {"time_axis": net.axis}
    generator = torch.get_rng_state()
    counts = measure(net, net.example, batch=2, **options)
    assert torch.equal(generator, torch.get_rng_state())
    assert counts.steps == net.steps
    assert not counts.uncounted
    for found in counts.synapses:
        part, given = getattr(net, found.name), entered[found.name]
        for weight, name in (
            (torch.ones_like(part.weight), "products"), (part.weight != 0, "products_nonzero"),
        ):  # fmt: skip
            wanted = torch.stack([_reached(part, x != 0, weight) for x in given], 1)
            np.testing.assert_array_equal(getattr(found, name), wanted.numpy(), err_msg=name)
        if found.kind is not Kind.ANALOG:
            ones = torch.ones_like(part.weight)
            wanted = torch.stack([_reached(part, x.abs(), ones) for x in given], 1)
            np.testing.assert_array_equal(found.operations, wanted.numpy())
    assert len(counts.synapses) == (3 if net.join else 2)
