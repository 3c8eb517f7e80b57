"""What runs on the chip: populations and the synapses between them, as plain data.

Time is hardware time, h = 1, 2, …; a sample takes T steps and samples follow each other without a
gap. A population of lag L runs step t of sample n at h = n·T + t + 1 + L. At each h it takes the
sums that its synapses deliver, and its synapses take its messages in the same step and deliver
the sum `delay` + 1 steps later. At every h with h mod T = (1 + L) mod T a population first resets
its states, so that the first step of a sample starts anew; what it did before its own first step
is erased by that, and reaches no other population's valid steps, since lags differ by exactly
what a synapse takes. Only a synapse that carries a delay of the graph would carry the last
`gate` steps of one sample into the next: its source sends nothing to it at those steps, which are
the steps t ≥ T − gate. A chip whose neurons can't leave out a message (Loihi 1) is `cleared`
instead: every sample runs on its own, T + the largest lag steps from states and buffers that the
host has set to zero; there are no gates, and no population spikes before its own first step,
since biases start with it (see `compartments`).

A chip whose neurons share their decays and thresholds holds a layer of several settings as
several populations; `splits` says which neuron of the layer sits where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

A = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Population:
    """Base of what sends messages; `shape` without sample and step axes, last axis fastest."""

    shape: tuple[int, ...]
    lag: int

    @property
    def size(self) -> int:
        """Number of neurons or inputs."""
        return int(np.prod(self.shape))

    @property
    def compartments(self) -> int:
        """Compartments of each neuron."""
        return 1

    @property
    def ports(self) -> tuple[str, ...]:
        """What can be read: `s` the messages, `u` and `v` the states at the end of a step."""
        return ("s", "u", "v")

    @property
    def graded(self) -> bool:
        """Whether its messages are integers rather than spikes."""
        return False


@dataclass(frozen=True, eq=False)
class Source(Population):
    """The host's data: spikes where `bits` = 0, else integers of `bits` bits."""

    bits: int
    signed: bool

    @property
    def ports(self) -> tuple[str, ...]:
        return ("s",)

    @property
    def graded(self) -> bool:
        return self.bits > 0


@dataclass(frozen=True, eq=False)
class Lif(Population):
    """Lava's fixed-point LIFReset: u decays by `du` + 1, θ = `vth` << 6,
    b = `bias_mant` << `bias_exp`; hard reset, in the same step (PyLifResetModelBitAcc)."""

    du: int
    dv: int
    vth: int
    bias_mant: A
    bias_exp: int


@dataclass(frozen=True, eq=False)
class Canonical(Population):
    """Our neuron program for Loihi 2: the update of `snnc.ir.IntNeuron`, with its fields."""

    du: A
    dv: A
    theta: A
    bias_v: A
    bias_u: A
    v_sub: A
    v_init: A
    shift: int
    reset: str
    reset_at: str
    order: str
    fires: bool
    state_bits: int

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "du", "dv", "theta", "bias_v", "bias_u", "v_sub", "v_init",
    )  # fmt: skip

    @property
    def graded(self) -> bool:
        return not self.fires


@dataclass(frozen=True, eq=False)
class Compartment(Population):
    """One compartment of Loihi 1 with what Lava's LIF leaves out (see `compartments`).

    u[t] = wrap(t0(u[t−1], du) + (A << 6)); v[t] = clip(t0(v[t−1], dv) + u[t] + b), but 0 in the
    `hold` steps after a spike (the refractory period); s = v > `vth` << 6; v ← 0 where s. `du`
    and `dv` are the decays themselves, 0…4096; v starts each sample at `v_init`.
    """

    du: int
    dv: int
    vth: int
    bias_mant: A
    bias_exp: int
    v_init: A
    hold: int

    @property
    def ports(self) -> tuple[str, ...]:
        """Where it holds, the membrane of a spiking step is gone by the end of the step."""
        return ("s", "u") if self.hold else ("s", "u", "v")


@dataclass(frozen=True, eq=False)
class MultiCompartment(Population):
    """A neuron of up to three joined compartments of Loihi 1 (see `compartments`).

    The current C: u[t] = wrap(t0(u[t−1], du) + (A << 6)), joined into the membrane I, which never
    spikes: v[t] = clip(t0(v[t−1], dv) + f[t] + u[t] + b), joined into the soma S, which has no
    memory: s[t] = v[t] > `vth` << 6. Each of S's feedback synapses, of weight w and exponent e,
    brings (w·s[t−1]·2^e floored) << 6 to I; f is their sum. Where it does not fire there is no S.

    Attributes:
        weights, exps: w and e of the feedback synapses.
        read_less: the host reads the membrane as v − `read_less`·s.
    """

    du: int
    dv: int
    vth: int
    bias_mant: A
    bias_exp: int
    v_init: A
    weights: tuple[int, ...]
    exps: tuple[int, ...]
    fires: bool
    read_less: int

    @property
    def graded(self) -> bool:
        return not self.fires

    @property
    def compartments(self) -> int:
        """I, with S where it fires and C where S feeds something back."""
        return 1 + self.fires + bool(self.weights)

    @property
    def feedback(self) -> int:
        """What a spike adds to the membrane one step later."""
        return sum(
            w << e if e >= 0 else w >> -e for w, e in zip(self.weights, self.exps, strict=True)
        ) << 6  # fmt: skip


Neurons = Lif | Canonical | Compartment | MultiCompartment
"""The populations that the chip computes."""


@dataclass(frozen=True, eq=False)
class Synapse:
    """Base of what connects two populations.

    Attributes:
        source, target: names of the populations.
        delay: steps beyond the one that every synapse takes.
        gate: last steps of each sample that are not sent (see above).
        message_bits: payload of a message, 0 for spikes.
        exp: the sum is multiplied by 2^exp, floored.
    """

    source: str
    target: str
    delay: int
    gate: int
    message_bits: int
    exp: int

    @property
    def count(self) -> int:
        """Number of weights stored; those of a kernel count once."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Dense(Synapse):
    """All to all; `weight` has shape (out, in)."""

    weight: A

    @property
    def count(self) -> int:
        return int(self.weight.size)


@dataclass(frozen=True, eq=False)
class Sparse(Synapse):
    """A matrix of shape (out, in) in compressed rows."""

    data: A
    indices: A
    indptr: A
    matrix_shape: tuple[int, int]

    @property
    def count(self) -> int:
        return int(self.data.size)


@dataclass(frozen=True, eq=False)
class Conv(Synapse):
    """Cross-correlation over (C, H, W) as in torch; `weight` has shape (out, in / groups, H, W)."""

    weight: A
    in_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def count(self) -> int:
        return int(self.weight.size)

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the sum that it delivers."""
        window = (self.padding, self.dilation, self.weight.shape[2:], self.stride)
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(self.in_shape[1:], *window, strict=True)
        )
        return len(self.weight), height, width


@dataclass(frozen=True, eq=False)
class Split:
    """A layer that several populations hold.

    Attributes:
        shape: of the layer.
        parts: by population, which neurons of the layer it holds: ascending indices of the
            flattened layer, last axis fastest, in the order of the population's own neurons.
    """

    shape: tuple[int, ...]
    parts: Mapping[str, A]


@dataclass(frozen=True, eq=False)
class Program:
    """Populations by name, in an order that follows the signal, and their synapses.

    Attributes:
        steps: T, None where the input decides.
        reads: by output name, (layer, port, reduce); several sum.
        notes: what a user should know of the lowering, in words.
        splits: the layers that are no population of their own name, by name.
        cleared: whether each sample starts from a cleared chip (see above).
    """

    populations: Mapping[str, Population]
    synapses: tuple[Synapse, ...]
    steps: int | None = None
    reads: tuple[tuple[str, str, str, str], ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    splits: Mapping[str, Split] = field(default_factory=dict)
    cleared: bool = False

    @cached_property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The populations of every layer, by the layer's name in the graph."""
        part_of = {part: name for name, split in self.splits.items() for part in split.parts}
        table: dict[str, tuple[str, ...]] = {}
        for name in self.populations:
            layer = part_of.get(name, name)
            table[layer] = (*table.get(layer, ()), name)
        return table

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of a layer."""
        split = self.splits.get(layer)
        return self.populations[layer].shape if split is None else split.shape

    def lag(self, layer: str) -> int:
        """Steps that a layer lags behind the input."""
        return self.populations[self.layers[layer][0]].lag

    def ports(self, layer: str) -> set[str]:
        """What can be read of a layer."""
        parts = (self.populations[name].ports for name in self.layers[layer])
        return set.intersection(*map(set, parts))

    def together(self, layer: str, values: Mapping[str, A]) -> A:
        """A layer's values (…, neuron) from those of its populations."""
        split = self.splits.get(layer)
        if split is None:
            return values[layer]
        first = values[next(iter(split.parts))]
        whole = np.empty((*first.shape[:-1], int(np.prod(split.shape))), first.dtype)
        for name, index in split.parts.items():
            whole[..., index] = values[name]
        return whole

    @property
    def max_lag(self) -> int:
        """Steps that the last population lags behind the input."""
        return max(population.lag for population in self.populations.values())

    @property
    def gates(self) -> dict[str, tuple[int, ...]]:
        """By population, the distinct gates of its outgoing synapses, ascending."""
        return {
            name: tuple(sorted({s.gate for s in self.synapses if s.source == name}))
            for name in self.populations
        }


def all_synapses(program: Program) -> tuple[Synapse, ...]:
    """The synapse groups that take room and time: those of the program and, behind them, what
    joined compartments feed back to themselves, each soma to its own membrane."""
    return (*program.synapses, *_feedback(program))


def _feedback(program: Program) -> Iterator[Sparse]:
    for name, node in program.populations.items():
        if not isinstance(node, MultiCompartment) or not node.weights:
            continue
        size, count = node.size, len(node.weights)
        yield Sparse(
            name, name, 0, 0, 0, 0,
            data=np.tile(np.asarray(node.weights, np.int16), size),
            indices=np.repeat(np.arange(size, dtype=np.int32), count),
            indptr=np.arange(size + 1, dtype=np.int32) * count,
            matrix_shape=(size, size),
        )  # fmt: skip


__all__ = [
    "Canonical",
    "Compartment",
    "Conv",
    "Dense",
    "Lif",
    "MultiCompartment",
    "Neurons",
    "Population",
    "Program",
    "Source",
    "Sparse",
    "Split",
    "Synapse",
    "all_synapses",
]
