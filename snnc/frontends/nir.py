"""Reading `.nir` files: our own give back the very graph, others get stated defaults."""

from __future__ import annotations

import graphlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, ModelFileError, OptionError
from snnc.frontends.delays import Delays, delays_apart, whole_steps
from snnc.ir import (
    Conv,
    Flatten,
    Graph,
    Input,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Scale,
    Sum,
)
from snnc.ir.files import from_tree
from snnc.ir.graph import Edge
from snnc.ir.nir_file import DEFAULT_DT, KEY, plain_graph, read_tree
from snnc.ir.nir_nodes import Plain
from snnc.ir.ops import Compare, Order, Reset, ResetAt

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class NirOptions:
    """What plain NIR leaves open.

    Attributes:
        dt: seconds per step; the differential equations take one forward Euler step of it.
        reset: NIR's equations say hard (v ← v_reset); soft subtracts the threshold.
        reset_at: when; snnTorch's own networks reset `after`.
        compare: NIR's equations say v > threshold; SpikingJelly fires on `>=`.
        order: for CubaLIF and CubaLI, whether v sees the current of the same step (`uv`: Lava,
            snnTorch and SpikingJelly, in whose files a CubaLIF means that) or that of the step
            before (`vu`: the textbook Euler step, Norse).

    Raises:
        OptionError: a value makes no sense.
    """

    dt: float = DEFAULT_DT
    reset: Reset = "hard"
    reset_at: ResetAt = "now"
    compare: Compare = ">"
    order: Order = "uv"

    def __post_init__(self) -> None:
        if not 0 < self.dt < math.inf:
            raise OptionError("--dt", f"{self.dt} is no positive number of seconds", "e.g. 1e-3")
        for label, kinds in (
            ("reset", Reset), ("reset_at", ResetAt), ("compare", Compare), ("order", Order),
        ):  # fmt: skip
            value = getattr(self, label)
            if value not in get_args(kinds) or value == "never":
                option = f"--{label.replace('_', '-')}"
                chosen = [kind for kind in get_args(kinds) if kind != "never"]
                raise OptionError(option, f"no setting {value!r}", f"one of {', '.join(chosen)}")
        if self.reset_at == "guarded" and self.reset != "soft":
            raise OptionError(
                "--reset-at", "a guarded reset must be a soft reset", "add --reset soft"
            )


def read_nir(path: Path, options: NirOptions | None = None) -> Graph:
    """Reads a `.nir` file.

    A file that `write_nir` wrote gives the same graph, bit for bit. Any other gets `options` for
    what NIR leaves open, and the notes of the graph say which.

    Raises:
        ModelFileError: missing, truncated, no NIR, unknown node types, values of wrong types.
        GraphError: the graph is malformed or holds what snnc has no node for.
        OptionError: options other than the defaults for a file that says all of it itself.
    """
    node = read_tree(path).get("node")
    kind = node.get("type") if isinstance(node, dict) else None
    if not isinstance(node, dict) or not isinstance(kind, str) or kind != "NIRGraph":
        raise ModelFileError(str(path), "holds no NIR graph", "write a nir.NIRGraph with nir.write")
    ours = isinstance(node.get("metadata"), dict) and KEY in node["metadata"]
    if ours and options not in (None, NirOptions()):
        raise OptionError(
            str(path),
            "snnc wrote this file; it says dt, reset and comparison itself",
            "leave out --dt, --reset, --reset-at, --compare and --order",
        )
    try:
        return _own(node, str(path)) if ours else _foreign(node, str(path), options or NirOptions())
    except GraphError as error:
        raise GraphError(f"{path}: {error.where}", error.cause, error.fix) from error


def _are_pairs(edges: Any) -> bool:
    return isinstance(edges, list) and all(
        isinstance(edge, list | tuple) and len(edge) == 2 and all(isinstance(e, str) for e in edge)
        for edge in edges
    )


def _own(node: Plain, where: str) -> Graph:
    header = _json(node["metadata"][KEY], where)
    entries: Plain = {}
    arrays: Plain = {}
    keys, nodes = header.get("nodes"), node.get("nodes")
    if not isinstance(keys, dict) or not isinstance(nodes, dict):
        raise ModelFileError(where, "its snnc metadata doesn't list the nodes")
    for name, key in keys.items():
        if key is None:  # edges stand for it
            entries[name] = {"op": Sum.__name__}
            continue
        found = nodes.get(str(key))
        stored: Plain = found if isinstance(found, dict) else {}
        metadata = stored.get("metadata")
        if not isinstance(metadata, dict):
            raise ModelFileError(where, f"node {name} has no snnc metadata")
        entries[name] = _json(metadata.get(KEY), where)
        wrong = [k for k, v in metadata.items() if k != KEY and not isinstance(v, np.ndarray)]
        if wrong:
            raise ModelFileError(where, f"node {name}: {wrong[0]} is no array of numbers")
        known = {**stored, **{k.removeprefix(f"{KEY}_"): v for k, v in metadata.items()}}
        arrays |= {
            f"{name}/{field}": value
            for field, value in known.items()
            if isinstance(value, np.ndarray) and field not in entries[name]
        }
    graph = from_tree({**header, "nodes": entries}, arrays, where)
    _check_unaltered(plain_graph(graph)[0], node, where)
    return graph


def _json(text: Any, where: str) -> Plain:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(where, f"its snnc metadata is not readable ({error})") from error
    if not isinstance(value, dict):
        raise ModelFileError(where, "its snnc metadata is not readable")
    return value


def _check_unaltered(expected: Plain, found: Plain, where: str) -> None:
    """Metadata and plain NIR say the same unless another program changed one of them."""
    mine, theirs = expected["nodes"], found["nodes"]
    for name in sorted({*mine, *theirs}):
        a, b = mine.get(name, {}), theirs.get(name, {})
        fields = {*a, *b} - {"metadata"}
        wrong = sorted(field for field in fields if not _same(a.get(field), b.get(field)))
        if wrong:
            raise _altered(where, f"{name}.{wrong[0]}")
    if not _are_pairs(found.get("edges")):
        raise _altered(where, "edges")
    if sorted(map(tuple, expected["edges"])) != sorted(map(tuple, found["edges"])):
        raise _altered(where, "edges")


def _altered(where: str, what: str) -> ModelFileError:
    return ModelFileError(
        where,
        f"{what} was changed after snnc wrote the file; its snnc metadata says something else",
        "write the changed graph with nir without the metadata, and read it with --dt and so on",
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)


def _foreign(tree: Plain, where: str, options: NirOptions) -> Graph:
    flat = _Flat(where)
    flat.add(tree, "")
    names = sorted(flat.nodes, key=_natural)
    nodes: dict[str, Node] = {}
    notes: list[str] = []
    for name in names:
        fields = Fields(flat.nodes[name], f"{where}: node {name}")
        reader = _READERS.get(fields.type)
        if reader is None:
            raise ModelFileError(
                fields.where,
                f"has the type {fields.type!r}, which snnc doesn't know",
                f"known are {', '.join(_READERS)}",
            )
        nodes[name] = reader(fields, options)
        notes += [f"{name}: {text}" for text in fields.notes]
    graph = Graph(nodes, tuple(sorted(flat.edges)), None, options.dt, ())
    graph = delays_apart(graph.joined(flat.through))
    graph = graph.with_(nodes={name: graph.nodes[name] for name in _arranged(graph)})
    return graph.noting(*_assumed(flat, options), *notes).check()


def _arranged(graph: Graph) -> Sequence[str]:
    """Node names with every node after its sources, where no loop forbids it."""
    before = {name: graph.sources(name) for name in graph.nodes}
    try:
        return list(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError:
        return graph.order


def _assumed(flat: _Flat, options: NirOptions) -> list[str]:
    types = {str(node.get("type")) for node in flat.nodes.values()}
    fires = types & {"IF", "LIF", "CubaLIF", "Threshold"}
    notes = [
        "inputs: a number at every step, real unless --encoding says otherwise (not in the file)"
    ]
    if types - {"Input", "Output", "Linear", "Affine", "Conv1d", "Conv2d", "Flatten", "Threshold"}:
        notes.append(f"dt = {options.dt:g} s, forward Euler (not in the file; --dt)")
    if fires - {"Threshold"}:
        when = "" if options.reset_at == "now" else f", {options.reset_at}"
        notes.append(f"reset = {options.reset}{when} (not in the file; --reset, --reset-at)")
    if fires:
        notes.append(f"spike where v {options.compare} threshold (not in the file; --compare)")
    if types & {"CubaLIF", "CubaLI"}:
        what = "the same step" if options.order == "uv" else "the step before"
        notes.append(f"v takes the current of {what} (not in the file; --order)")
    return notes


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts `2` before `10`."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


class _Flat:
    """Nested graphs inlined, with dotted names; `through` are their inner Inputs and Outputs."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes: dict[str, Plain] = {}
        self.edges: list[Edge] = []
        self.through: list[str] = []

    def add(self, graph: Plain, prefix: str) -> None:
        """Adds the nodes and edges of a graph; its edges to inner graphs go to their ports."""
        nodes, edges = graph.get("nodes"), graph.get("edges", [])
        if not isinstance(nodes, dict) or not all(isinstance(n, dict) for n in nodes.values()):
            raise ModelFileError(self.where, f"graph {prefix or 'node'} has no nodes")
        ports = {}
        for name, node in nodes.items():
            if node.get("type") == "NIRGraph":
                ports[name] = self._ports(node, f"{prefix}{name}")
                self.add(node, f"{prefix}{name}.")
                self.through += ports[name]
            elif prefix + name in self.nodes:
                raise ModelFileError(self.where, f"has two nodes of the name {prefix}{name}")
            else:
                self.nodes[prefix + name] = node
        for source, target in self._pairs(edges):
            for end in (source, target):
                if end not in nodes:
                    raise GraphError(prefix + end, "an edge names this node, which is not there")
            start = ports[source][1] if source in ports else prefix + source
            self.edges.append((start, ports[target][0] if target in ports else prefix + target))

    def _ports(self, graph: Plain, name: str) -> tuple[str, str]:
        inner = graph.get("nodes")
        found = inner.items() if isinstance(inner, dict) else ()
        ports = [
            [f"{name}.{key}" for key, node in found if isinstance(node, dict) and _is(node, kind)]
            for kind in ("Input", "Output")
        ]
        if any(len(names) != 1 for names in ports):
            raise GraphError(
                name, f"an inner graph with {len(ports[0])} inputs and {len(ports[1])} outputs",
                "give it one of each",
            )  # fmt: skip
        return ports[0][0], ports[1][0]

    def _pairs(self, edges: Any) -> list[Edge]:
        if isinstance(edges, np.ndarray) and edges.size == 0:
            return []
        if not isinstance(edges, list) or not all(
            isinstance(pair, list) and [type(end) for end in pair] == [str, str] for pair in edges
        ):
            raise ModelFileError(self.where, "its edges are not pairs of names")
        return [(a, b) for a, b in edges]


def _is(node: Plain, kind: str) -> bool:
    return bool(node.get("type") == kind)


class Fields:
    """The datasets of one node, checked as they are read."""

    def __init__(self, node: Plain, where: str) -> None:
        self.node, self.where = node, where
        self.type = str(node.get("type"))
        self.notes: list[str] = []

    def array(self, key: str) -> NDArray[Any]:
        """A dataset of finite numbers.

        Raises:
            ModelFileError: missing, or no numbers, or NaN or infinite.
        """
        value = self.node.get(key)
        if not isinstance(value, np.ndarray):
            raise ModelFileError(self.where, f"its {key} is missing or holds no numbers")
        bad = value.size - np.count_nonzero(np.isfinite(value))
        if bad or not value.size:
            raise ModelFileError(
                self.where,
                f"its {key} holds {bad} values that are NaN or infinite" if bad
                else f"its {key} is empty",
            )  # fmt: skip
        return value

    def real(self, key: str, default: float | None = None) -> F64:
        """A dataset as float64, or `default` where it is missing."""
        if default is not None and key not in self.node:
            return np.asarray(default)
        return self.array(key).astype(np.float64)

    def decay(self, key: str, dt: float) -> F64:
        """dt/τ; notes where an Euler step of dt is longer than τ."""
        tau = self.real(key)
        if np.any(tau == 0):
            raise ModelFileError(self.where, f"its {key} holds zeros; a time constant can't be 0")
        decay = dt / tau
        if np.any((decay > 1 + 1e-9) | (decay < 0)):
            self.notes.append(
                f"{key} is as small as {tau.min():g} s, a step is {dt:g} s: the decay overshoots"
            )
        return decay

    def check_common_shape(self) -> None:
        """All datasets of a neuron must have one shape, or be one value.

        Raises:
            ModelFileError: they don't.
        """
        shapes = {k: v.shape for k, v in self.node.items() if isinstance(v, np.ndarray)}
        if len({shape for key, shape in shapes.items() if self.node[key].size != 1}) > 1:
            raise ModelFileError(self.where, f"its parameters have different shapes: {shapes}")

    def weight(self, *ranks: int) -> NDArray[Any]:
        """The weights, of one of the given ranks."""
        weight = self.array("weight")
        if weight.ndim not in ranks:
            raise ModelFileError(
                self.where, f"its weight has shape {weight.shape}, not {ranks[0]} axes"
            )
        return weight

    def bias(self, out: int) -> NDArray[Any]:
        """The biases, one for each output."""
        bias = self.array("bias")
        if bias.shape != (out,):
            raise ModelFileError(self.where, f"its bias has shape {bias.shape}, not ({out},)")
        return bias

    def ints(self, key: str, rank: int, default: int | None = None) -> tuple[int, ...]:
        """`rank` integers; one in the file stands for all."""
        if default is not None and key not in self.node:
            return (default,) * rank
        value = self.array(key).reshape(-1)
        if np.any(value != np.floor(value)) or value.size not in (1, rank):
            raise ModelFileError(self.where, f"its {key} is {value.tolist()}, not {rank} integers")
        return tuple(int(item) for item in np.broadcast_to(value, (rank,)))


def _input(fields: Fields, options: NirOptions) -> Node:
    shape = fields.array("shape")
    return Input(fields.ints("shape", shape.size))


def _output(fields: Fields, options: NirOptions) -> Node:
    return Output()


def _linear(fields: Fields, options: NirOptions) -> Node:
    weight = fields.weight(2)
    return Linear(weight, fields.bias(len(weight)) if fields.type == "Affine" else None)


def _conv(fields: Fields, options: NirOptions) -> Node:
    weight = fields.weight(3 if fields.type == "Conv1d" else 4)
    rank = weight.ndim - 2
    stride, dilation = fields.ints("stride", rank), fields.ints("dilation", rank)
    bias = fields.bias(len(weight))
    return Conv(
        weight,
        bias if np.any(bias) else None,
        stride,
        _padding(fields, weight.shape[2:], stride, dilation),
        dilation,
        fields.ints("groups", 1)[0],
    )


def _padding(
    fields: Fields, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Padding in numbers; `same` pads d·(k − 1) in all, as torch does."""
    given = fields.node.get("padding")
    if not isinstance(given, str):
        return fields.ints("padding", len(kernel))
    if given == "valid":
        return (0,) * len(kernel)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if given != "same" or any(t % 2 for t in total) or any(s != 1 for s in stride):
        raise ModelFileError(
            fields.where,
            f"its padding {given!r} with kernel {kernel}, stride {stride} and dilation {dilation}"
            " is not the same on both sides",
            "use odd kernels and stride 1, or padding in numbers",
        )
    return tuple(t // 2 for t in total)


def _pool(fields: Fields, options: NirOptions) -> Node:
    kernel, stride, padding = (fields.ints(k, 2) for k in ("kernel_size", "stride", "padding"))
    return Pool(kernel, stride, padding, "avg" if fields.type == "AvgPool2d" else "sum")


def _flatten(fields: Fields, options: NirOptions) -> Node:
    return Flatten(fields.ints("start_dim", 1, 1)[0], fields.ints("end_dim", 1, -1)[0])


def _scale(fields: Fields, options: NirOptions) -> Node:
    scale = fields.array("scale")
    channels = scale.reshape(len(scale), -1) if scale.ndim else scale.reshape(1, 1)
    if np.any(channels != channels[:, :1]):
        return Scale(scale)
    return Scale(np.ascontiguousarray(channels[:, 0]))


def _delay(fields: Fields, options: NirOptions) -> Node:
    return Delays(whole_steps(fields.real("delay"), options.dt, fields.where))


def _neuron(fields: Fields, options: NirOptions) -> Node:
    """One forward Euler step of dt, as the canonical neuron; sources: nir/ir/neuron.py.

    LIF: τ·v' = v_leak − v + r·I: a_v = 1 − dt/τ, g = r·dt/τ, b = v_leak·dt/τ.
    CubaLIF: also τ_syn·I' = −I + w_in·S. With u = I / (w_in·dt/τ_syn): a_u = 1 − dt/τ_syn and
    g = r·dt/τ_mem · w_in·dt/τ_syn. IF: v' = r·I: a_v = 1, g = r·dt. LI, CubaLI and I are the same
    without a threshold. NIR doesn't say where v starts: at v_reset, as in SpikingJelly, the one
    tool that exports another v_reset than 0; else at 0.
    """
    fields.check_common_shape()
    values = _threshold(fields) if fields.type == "Threshold" else _leaky(fields, options.dt)
    if fields.type in ("LI", "CubaLI", "I"):
        return Neuron(
            **_single(values), reset="none", compare="never", order=_order(fields, options)
        )
    key = "threshold" if fields.type == "Threshold" else "v_threshold"
    values |= {"theta": fields.real(key), "v_reset": fields.real("v_reset", 0.0)}
    if options.reset == "soft" and np.any(values["v_reset"]):
        fields.notes.append("its v_reset is not 0; --reset soft has no use for it")
    elif np.any(values["v_reset"]):
        values["v_init"] = values["v_reset"]
        fields.notes.append("v starts at v_reset (not in the file)")
    return Neuron(
        **_single(values),
        reset="none" if fields.type == "Threshold" else options.reset,
        reset_at="now" if fields.type == "Threshold" else options.reset_at,
        compare=options.compare,
        order=_order(fields, options),
    )


def _order(fields: Fields, options: NirOptions) -> Order:
    return options.order if fields.type.startswith("Cuba") else "uv"


def _threshold(fields: Fields) -> dict[str, F64]:
    return {"a_v": np.asarray(0.0)}


def _leaky(fields: Fields, dt: float) -> dict[str, F64]:
    theta = {"theta": np.asarray(0.0)}
    if fields.type in ("I", "IF"):
        return theta | {"a_v": np.asarray(1.0), "g": fields.real("r") * dt}
    cuba = fields.type.startswith("Cuba")
    leak = fields.decay("tau_mem" if cuba else "tau", dt)
    values = {"a_v": 1 - leak, "g": fields.real("r") * leak, "b": fields.real("v_leak") * leak}
    if cuba:
        leak_u = fields.decay("tau_syn", dt)
        values |= {"a_u": 1 - leak_u, "g": values["g"] * (fields.real("w_in", 1.0) * leak_u)}
    return theta | values


def _single(values: dict[str, F64]) -> dict[str, Any]:
    """Arrays of one value as that value."""
    return {
        key: value.reshape(-1)[0].reshape(()) if np.all(value == value.flat[0]) else value
        for key, value in values.items()
    }


_READERS: dict[str, Callable[[Fields, NirOptions], Node]] = {
    "Input": _input,
    "Output": _output,
    "Linear": _linear,
    "Affine": _linear,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "AvgPool2d": _pool,
    "SumPool2d": _pool,
    "Flatten": _flatten,
    "Scale": _scale,
    "Delay": _delay,
    **dict.fromkeys(("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold"), _neuron),
}

__all__ = ["NirOptions", "read_nir"]
