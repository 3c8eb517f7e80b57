"""The text form of a graph: what `snnc show` prints, and what golden tests compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from snnc.ir.graph import Graph
from snnc.ir.ops import (
    Array,
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Input,
    IntNeuron,
    Linear,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Place,
    Pool,
    Scale,
    Sparse,
    Sum,
    Weighted,
)

_REDUCE = {
    "none": "every step",
    "sum": "summed over steps",
    "mean": "mean over steps",
    "last": "last step",
}

_WIRING = ("indices", "indptr", "index")
"""Arrays that say which values meet: no parameters."""

_FUNCTION = {
    "leaky_relu": "leaky_relu(x), slope {low} below 0",
    "elu": "elu(x), alpha {low}",
    "softplus": "softplus(x), beta {low}, x itself where beta x > {high}",
    "clip": "x clipped to {low}..{high}",
}
"""The functions that have parameters."""


def to_text(graph: Graph) -> str:
    """One line per node, every node after its sources: name, operation(sources), type of the
    output, parameters. A neuron is its equation, in the order in which it is computed; arrays
    are shape, dtype and min..max, rounded to four digits. The header counts as parameters all
    weights, biases and those constants of neurons that aren't one number for the whole layer.

    Raises:
        GraphError: the graph is malformed.
    """
    rows = [_row(graph, name) for name in graph.order]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(n) for cell, n in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    notes = ["", "notes", *(f"  {note}" for note in graph.notes)] if graph.notes else []
    return "\n".join([_header(graph), "", *lines, *notes]) + "\n"


def _header(graph: Graph) -> str:
    nodes = graph.nodes.values()
    named = [(item.name, getattr(node, item.name)) for node in nodes for item in fields(node)]
    arrays = [value for name, value in named if name not in _WIRING]
    sizes = [value.size for value in arrays if isinstance(value, np.ndarray) and value.ndim]
    neurons = sum(graph.signals[name].size for name in graph.neurons)
    weights = sum(node.weight.size for node in nodes if isinstance(node, Weighted))
    return " · ".join(
        (
            "steps as the input has" if graph.steps is None else f"{graph.steps} steps",
            "dt not said" if graph.dt is None else f"dt {_number(graph.dt)} s",
            f"{len(nodes):,} nodes",
            f"{neurons:,} neurons",
            f"{sum(sizes):,} parameters",
            f"{weights:,} synapse weights",
        )
    )


def _row(graph: Graph, name: str) -> tuple[str, str, str, str]:
    node = graph.nodes[name]
    sources = ", ".join(graph.sources(name))
    call = f"{type(node).__name__}({sources})" if node.has_input else type(node).__name__
    details = _DETAILS[type(node)](node)
    return name, call, str(graph.signals[name]), "; ".join(part for part in details if part)


def _input(node: Node) -> list[str]:
    assert isinstance(node, Input)
    if not node.bits:
        return []
    low, high = node.range
    return [f"round(x / {_number(node.scale)}) within {low}..{high} ({node.bits} bits)"]


def _output(node: Node) -> list[str]:
    assert isinstance(node, Output)
    return [_REDUCE[node.reduce], "" if node.port == "s" else f"reads {node.port}"]


def _linear(node: Node) -> list[str]:
    assert isinstance(node, Weighted | Scale)
    bias = None if node.bias is None else _array("b", node.bias)
    return [_array("W", node.weight), bias or ""]


def _exponent(node: Weighted) -> str:
    return f"times 2^{node.exp}" if node.exp else ""


def _dense(node: Node) -> list[str]:
    assert isinstance(node, Linear)
    return [*_linear(node), _exponent(node)]


def _conv(node: Node) -> list[str]:
    assert isinstance(node, Conv | ConvTranspose)
    grown = node.output_padding if isinstance(node, ConvTranspose) else ()
    return [
        *_linear(node),
        _unless("stride", node.stride, 1),
        _unless("padding", node.padding, 0),
        _unless("output padding", grown, 0),
        _unless("dilation", node.dilation, 1),
        "" if node.groups == 1 else f"groups {node.groups}",
        _exponent(node),
    ]


def _sparse(node: Node) -> list[str]:
    assert isinstance(node, Sparse)
    fan_in = np.diff(np.asarray(node.indptr).astype(np.int64))
    return [*_linear(node), f"{_range(fan_in)} inputs per row", _exponent(node)]


def _matmul(node: Node) -> list[str]:
    assert isinstance(node, MatMul)
    heads = "" if node.heads == 1 else f"{node.heads} × "
    return [f"{heads}({node.rows}×{node.inner})·({node.inner}×{node.columns})"]


def _place(node: Node) -> list[str]:
    assert isinstance(node, Place)
    return [f"from channel {node.start} of {node.extent}"]


def _gather(node: Node) -> list[str]:
    assert isinstance(node, Gather)
    kept = node.index[node.index >= 0]
    zeros = node.index.size - kept.size
    return [
        f"inputs {_range(kept)}" if kept.size else "",
        f"{zeros:,} of {node.index.size:,} values are 0" if zeros else "",
    ]


def _map(node: Node) -> list[str]:
    assert isinstance(node, Map)
    text = _FUNCTION.get(node.function, f"{node.function}(x)")
    return [text.format(low=_number(node.low), high=_number(node.high))]


def _max_pool(node: Node) -> list[str]:
    assert isinstance(node, MaxPool)
    return [
        f"maximum of {_by(node.kernel)}",
        "" if node.stride == node.kernel else f"stride {_by(node.stride)}",
        _unless("padding", node.padding, 0),
        _unless("dilation", node.dilation, 1),
    ]


def _normalise(node: Node) -> list[str]:
    assert isinstance(node, Normalise)
    eps = f"eps {_number(node.eps)}" if node.eps else ""
    return [node.kind, f"{node.rows} row{'s' if node.rows > 1 else ''}", eps]


def _nothing(node: Node) -> list[str]:
    return []


def _pool(node: Node) -> list[str]:
    assert isinstance(node, Pool)
    return [
        f"{'mean' if node.mode == 'avg' else 'sum'} of {_by(node.kernel)}",
        "" if node.stride == node.kernel else f"stride {_by(node.stride)}",
        _unless("padding", node.padding, 0),
    ]


def _flatten(node: Node) -> list[str]:
    assert isinstance(node, Flatten)
    return [] if (node.start, node.end) == (0, -1) else [f"axes {node.start}..{node.end}"]


def _delay(node: Node) -> list[str]:
    assert isinstance(node, Delay)
    return [f"{node.steps} step{'s' if node.steps > 1 else ''}"]


def _neuron(node: Node) -> list[str]:
    assert isinstance(node, Neuron)
    current = _any(node.a_u) or node.order == "vu"
    u = "u = " + _sum(_times(node.a_u, "u"), "x") if current else ""
    terms = (_times(node.a_v, "v"), _times(node.g, "u" if current else "x"), _plus(node.b))
    v = "v = " + _sum(*terms)
    theta = _range(node.theta)
    fire = "out = v" if node.compare == "never" else f"s = v {node.compare} {theta}"
    if node.reset_at == "guarded":
        late = f"where v was left {node.compare} {theta}"
        fire += f" (v - {theta} {node.compare} {theta} {late})"
    start = f"v starts at {_range(node.v_init)}" if _any(node.v_init) else ""
    reset = "" if node.compare == "never" else _reset(node, theta, _range(node.v_reset))
    return [*_ordered(node.order, u, v), fire, reset, start]


def _int_neuron(node: Node) -> list[str]:
    assert isinstance(node, IntNeuron)
    x = f"(x<<{node.shift})" if node.shift else "x"
    u = "u = " + _sum(_kept(node.du, "u"), x, _plus(node.bias_u))
    v = "v = " + _sum(_kept(node.dv, "v"), "u", _plus(node.bias_v))
    theta, sub = _range(node.theta), _range(node.v_sub)
    fire = f"s = v > {theta}{_mantissa(node)}" if node.fires else "out = v"
    if node.reset_at == "guarded":
        fire += f" (v - {sub} > {theta} where v was left > {theta})"
    start = f"v starts at {_range(node.v_init)}" if _any(node.v_init) else ""
    reset = _reset(node, sub, "0") if node.fires else ""
    widths = f"du={_range(node.du)} dv={_range(node.dv)}, {node.state_bits} bits"
    return [*_ordered(node.order, u, v), fire, reset, start, widths]


def _ordered(order: str, u: str, v: str) -> tuple[str, str]:
    return (u, v) if order == "uv" else (v, u)


def _reset(node: Neuron | IntNeuron, amount: str, target: str) -> str:
    if node.reset == "none":
        return "no reset"
    what = f"v -= {amount}" if node.reset == "soft" else f"v = {target}"
    lost = ", whose input is lost" if node.reset == "hard" else ""
    when = {"before": "before the next step", "after": f"one step later{lost}"}
    return f"{what} {when.get(node.reset_at, 'where s')}"


def _mantissa(node: IntNeuron) -> str:
    unit = 1 << node.shift
    whole = node.shift and not np.any(np.asarray(node.theta) % unit)
    return f" ({_range(np.asarray(node.theta) // unit)}<<{node.shift})" if whole else ""


def _kept(decay: Array, state: str) -> str:
    """The share of a state that a decay leaves: (4096 − d) / 4096."""
    kept = 4096 - np.asarray(decay).astype(np.int64)
    if np.all(kept == 4096):
        return state
    return f"{_range(kept)}/4096·{state}" if _any(kept) else ""


def _times(factor: Array, state: str) -> str:
    if np.all(np.asarray(factor) == 1):
        return state
    return f"{_range(factor)}·{state}" if _any(factor) else ""


def _plus(constant: Array) -> str:
    text = _range(constant)
    return (f"({text})" if ".." in text else text) if _any(constant) else ""


def _sum(*terms: str) -> str:
    text = ""
    for term in filter(None, terms):
        negative = term.startswith("-") and ".." not in term  # a range keeps its own signs
        sign = " - " if negative else " + "
        text += f"{sign}{term.removeprefix('-') if negative else term}" if text else term
    return text or "0"


def _any(value: Array) -> bool:
    return bool(np.any(value))


def _array(label: str, value: Array) -> str:
    return f"{label} {_by(value.shape)} {value.dtype} {_range(value, 4)}"


def _range(value: Array, digits: int = 6) -> str:
    low, high = _number(value.min(), digits), _number(value.max(), digits)
    return low if low == high else f"{low}..{high}"


def _number(value: float | np.generic, digits: int = 6) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)


def _by(extents: Sequence[int]) -> str:
    return "×".join(map(str, extents))


def _unless(label: str, values: tuple[int, ...], default: int) -> str:
    if all(value == default for value in values):
        return ""
    same = len(set(values)) == 1
    return f"{label} {values[0] if same else _by(values)}"


_DETAILS: dict[type[Node], Callable[[Node], list[str]]] = {
    Input: _input,
    Output: _output,
    Sum: _nothing,
    Linear: _dense,
    Conv: _conv,
    ConvTranspose: _conv,
    Sparse: _sparse,
    MatMul: _matmul,
    Pool: _pool,
    Flatten: _flatten,
    Place: _place,
    Gather: _gather,
    Scale: _linear,
    Map: _map,
    MaxPool: _max_pool,
    Normalise: _normalise,
    Multiply: _nothing,
    Delay: _delay,
    Neuron: _neuron,
    IntNeuron: _int_neuron,
}
