"""What runs on the chip: populations and the synapses between them, as plain data.

Time is hardware time, h = 1, 2, …; a sample takes T steps and samples follow each other without a
gap. A population of lag L runs step t of sample n at h = n·T + t + 1 + L. At each h it takes the
sums that its synapses deliver, and its synapses take its messages in the same step and deliver
the sum `delay` + 1 steps later. At every h with h mod T = (1 + L) mod T a population first resets
its states, so that the first step of a sample starts anew; what it did before its own first step
is erased by that, and reaches no other population's valid steps, since lags differ by exactly
what a synapse takes. Only a synapse that carries a delay of the graph would carry the last
`gate` steps of one sample into the next: its source sends nothing to it at those steps, which are
the steps t ≥ T − gate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ModelFileError
from snnc.ir.files import npz_bytes

A = NDArray[Any]
SCHEMA = 1
_TREE = "program.json"


@dataclass(frozen=True, eq=False)
class Population:
    """Base of what sends messages; `shape` without sample and step axes, last axis fastest."""

    shape: tuple[int, ...]
    lag: int

    @property
    def size(self) -> int:
        """Number of neurons or inputs."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Source(Population):
    """The host's data: spikes where `bits` = 0, else integers of `bits` bits."""

    bits: int
    signed: bool


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
class Program:
    """Populations by name, in an order that follows the signal, and their synapses.

    Attributes:
        steps: T, None where the input decides.
        reads: by output name, (population, port, reduce); several sum.
        notes: what a user should know of the lowering, in words.
    """

    populations: Mapping[str, Population]
    synapses: tuple[Synapse, ...]
    steps: int | None = None
    reads: tuple[tuple[str, str, str, str], ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

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


KINDS: dict[str, type[Population] | type[Synapse]] = {
    cls.__name__: cls for cls in (Source, Lif, Canonical, Dense, Sparse, Conv)
}


def to_bytes(program: Program) -> bytes:
    """The program as the bytes of an `.npz` file; equal programs give equal bytes."""
    arrays: dict[str, A] = {}
    tree = {
        "schema": SCHEMA,
        "steps": program.steps,
        "reads": [list(read) for read in program.reads],
        "notes": list(program.notes),
        "populations": {
            name: _entry(f"populations/{name}", item, arrays)
            for name, item in program.populations.items()
        },
        "synapses": [
            _entry(f"synapses/{index}", item, arrays) for index, item in enumerate(program.synapses)
        ],
    }
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    return npz_bytes({_TREE: np.frombuffer(text.encode(), np.uint8), **arrays})


def _entry(prefix: str, item: Population | Synapse, arrays: dict[str, A]) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": type(item).__name__}
    for slot in fields(item):
        value = getattr(item, slot.name)
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}/{slot.name}"] = value
        else:
            entry[slot.name] = value
    return entry


def from_arrays(arrays: Mapping[str, A], where: str) -> Program:
    """Rebuilds what `to_bytes` wrote from the arrays of its `.npz` file.

    Raises:
        ModelFileError: `where` doesn't hold a program.
    """
    try:
        tree = json.loads(arrays[_TREE].tobytes().decode())
        if tree["schema"] != SCHEMA:
            raise ModelFileError(where, f"program schema {tree['schema']}, not {SCHEMA}")
        return Program(
            {
                name: _item(Population, f"populations/{name}", entry, arrays)
                for name, entry in tree["populations"].items()
            },
            tuple(
                _item(Synapse, f"synapses/{index}", entry, arrays)
                for index, entry in enumerate(tree["synapses"])
            ),
            tree["steps"],
            tuple((str(a), str(b), str(c), str(d)) for a, b, c, d in tree["reads"]),
            tuple(tree["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(where, f"not a program of snnc ({error})", "compile again") from error


def _item(base: type[Any], prefix: str, entry: dict[str, Any], arrays: Mapping[str, A]) -> Any:
    cls = KINDS[entry["kind"]]
    if not issubclass(cls, base):
        raise ValueError(f"{prefix} is a {cls.__name__}")
    values: dict[str, Any] = {}
    for slot in fields(cls):
        value = arrays.get(f"{prefix}/{slot.name}", entry.get(slot.name))
        values[slot.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)


__all__ = [
    "Canonical",
    "Conv",
    "Dense",
    "Lif",
    "Population",
    "Program",
    "Source",
    "Sparse",
    "Synapse",
    "from_arrays",
    "to_bytes",
]
