"""Each node of a float graph as plain NIR nodes, in a form that every reader of NIR accepts.

nir 1.0.8 infers the shape of a convolution from the first kernel axis and the second axis of the
weight alone, so its type check rejects files with non-square kernels or groups. They are written
as the equal ungrouped square convolution, filled up with zeros. Time constants are those for
which a forward Euler step of dt is the canonical neuron. A bias per value is a leaky integrator
with τ = dt, which keeps nothing from step to step: v = r·x + v_leak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir.nir_wiring import DENSE_MAX, ELSEWHERE, as_conv, dense, wired
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
    Neuron,
    Node,
    Output,
    Place,
    Pool,
    Scale,
    Sparse,
    Sum,
    Weighted,
)
from snnc.ir.signals import Rate, Signal

Plain = dict[str, Any]
"""A NIR node as in its file: `type` and datasets by name."""

NO_LEAK = 2.0**-60
"""dt/τ of a state that doesn't leak: 1 − 2^−60 is 1 in float64, and τ stays finite."""


def plain_nodes(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    """The chain of NIR nodes that equals `node`, with input type `x` and output type `y`.

    Raises:
        GraphError: NIR has no node for it: integer nodes, products of two signals, what only a
            host computes, more than two spatial axes, and what `nir_wiring` refuses.
    """
    if isinstance(node, IntNeuron) or (isinstance(node, Weighted) and node.exp):
        raise GraphError(
            name, "an integer node can't be written to NIR", "write the float graph instead"
        )
    writer = _WRITERS.get(type(node))
    if writer is None:
        raise GraphError(name, f"NIR has no node for a {type(node).__name__}", ELSEWHERE)
    return writer(name, node, x, y, dt)


def unsaid(name: str, node: Node) -> list[str]:
    """What plain NIR can't say of `node`, in words: other tools won't see it."""
    lost: list[str] = []
    if isinstance(node, Input) and node.rate is Rate.SAMPLE:
        lost.append("one value per sample, repeated at every step")
    if isinstance(node, Output):
        lost += [f"reads the state {node.port}"] if node.port != "s" else []
        lost += [f"{node.reduce} over the steps"] if node.reduce != "none" else []
    if isinstance(node, Neuron):
        lost += _unsaid_of(node)
    return [f"{name}: {text}" for text in lost]


def _unsaid_of(node: Neuron) -> list[str]:
    fires = node.compare != "never"
    late = node.reset != "none" and node.reset_at in ("after", "guarded")
    facts = {
        f"{node.reset} reset": fires and node.reset != "hard",
        f"reset {node.reset_at}": fires and late,
        "v >= threshold": node.compare == ">=",
        "v is updated before u": node.order == "vu",
        "v starts away from 0": bool(np.any(node.v_init)),
    }
    return [text for text, true in facts.items() if true]


def _input(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    return [{"type": type(node).__name__, "shape": np.asarray(y.shape, np.int64)}]


def _linear(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Linear)
    if node.bias is None:
        return [{"type": "Linear", "weight": node.weight}]
    return [{"type": "Affine", "weight": node.weight, "bias": node.bias}]


def _sum(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    return [{"type": "Scale", "scale": np.ones(x.shape)}]


def _shifted(factor: Array, bias: Array, shape: tuple[int, ...], dt: float) -> Plain:
    """y = factor·x + bias, value by value; `factor` and `bias` per channel or per value."""
    values = {"tau": np.asarray(dt), "r": factor, "v_leak": bias}
    return {"type": "LI", **{key: _per_value(value, shape) for key, value in values.items()}}


def _conv_transpose(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, ConvTranspose)
    return _conv(name, as_conv(name, node, x), x, y, dt)


def _sparse(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Sparse)
    return [*_flat(x), *_linear(name, dense(name, node), x, y, dt)]


def _wiring(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Place | Gather)
    index = node.index if isinstance(node, Gather) else None
    if index is not None and np.array_equal(index, np.arange(x.size)) and len(x.shape) > 1:
        return _flat(x)
    match wired(name, node, x):
        case Scale() as mask:
            return _scale(name, mask, x, y, dt)
        case Conv() as conv:
            return _conv(name, conv, x, y, dt)
        case Linear() as matrix:
            return [*_flat(x), *_linear(name, matrix, x, y, dt)]


def _flat(x: Signal) -> list[Plain]:
    return [] if len(x.shape) == 1 else _flatten("", Flatten(), x, x, 1.0)


def _conv(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Conv)
    if node.bias is not None and node.bias.ndim > 1:
        without = _conv(name, replace(node, bias=None), x, y, dt)
        return [*without, _shifted(np.asarray(1.0), node.bias, y.shape, dt)]
    weight = _ungrouped(node.weight, node.groups)
    bias = np.zeros(len(weight), weight.dtype) if node.bias is None else node.bias
    if len(node.kernel) == 1:
        return [_conv_node("Conv1d", weight, bias, node, x.shape[1:], node.padding)]
    weight, padding, appended = _squared(weight, node.padding, node.dilation)
    extents = tuple(n + extra for n, extra in zip(x.shape[1:], appended, strict=True))
    conv = _conv_node("Conv2d", weight, bias, node, extents, padding)
    return [_append(x, appended), conv] if any(appended) else [conv]


def _conv_node(
    kind: str,
    weight: Array,
    bias: Array,
    node: Conv,
    extents: tuple[int, ...],
    padding: tuple[int, ...],
) -> Plain:
    settings = {
        "input_shape": extents,
        "stride": node.stride,
        "padding": padding,
        "dilation": node.dilation,
    }
    sizes = {key: np.asarray(value, np.int64) for key, value in settings.items()}
    if kind == "Conv1d":
        sizes = {key: value.reshape(()) for key, value in sizes.items()}
    groups = np.asarray(1, np.int64)
    return {"type": kind, "weight": weight, "bias": bias, "groups": groups, **sizes}


def _ungrouped(weight: Array, groups: int) -> Array:
    if groups == 1:
        return weight
    out, per_group, *kernel = weight.shape
    share = out // groups
    dense = np.zeros((out, per_group * groups, *kernel), weight.dtype)
    for g in range(groups):
        rows = slice(g * share, (g + 1) * share)
        dense[rows, g * per_group : (g + 1) * per_group] = weight[rows]
    return dense


def _squared(
    weight: Array, padding: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Array, tuple[int, ...], tuple[int, int]]:
    """The same convolution with a square kernel: (weight, padding, zeros to append per axis).

    A kernel of k taps within K, with m zero taps before it and padding grown by d·m, has the same
    outputs at the same places; the extent is the same if K − k = 2·m. Kernels of even by odd taps
    can't reach one K so; then K is one more than the larger extent, and each axis takes the zeros
    at the end of its input that make up for the difference.
    """
    kernel = weight.shape[2:]
    large = max(kernel)
    mixed = (kernel[0] - kernel[1]) % 2
    size = large + mixed
    before = [0 if k == large else (size - k) // 2 - mixed for k in kernel]
    spare = [size - k - 2 * m for k, m in zip(kernel, before, strict=True)]
    square = np.zeros((*weight.shape[:2], size, size), weight.dtype)
    rows, columns = (slice(m, m + k) for m, k in zip(before, kernel, strict=True))
    square[:, :, rows, columns] = weight
    grown = tuple(p + d * m for p, d, m in zip(padding, dilation, before, strict=True))
    return square, grown, (spare[0] * dilation[0], spare[1] * dilation[1])


def _append(x: Signal, zeros: tuple[int, ...]) -> Plain:
    """Appends rows and columns of zeros: the identity as a convolution of two by two taps."""
    channels = x.shape[0]
    weight = np.zeros((channels, channels, 2, 2))
    weight[np.arange(channels), np.arange(channels), 1, 1] = 1
    node = Conv(weight, dilation=zeros)
    return _conv_node("Conv2d", weight, np.zeros(channels), node, x.shape[1:], zeros)


def _pool(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Pool)
    if len(node.kernel) == 1:
        tap = 1 / node.window if node.mode == "avg" else 1.0
        weight = np.full((x.shape[0], 1, *node.kernel), tap)
        conv = Conv(weight, None, node.stride, node.padding, (1,), groups=x.shape[0])
        return _conv(name, conv, x, y, dt)
    if len(node.kernel) > 2:
        raise GraphError(name, f"NIR has no pooling over {len(node.kernel)} axes")
    sizes = {"kernel_size": node.kernel, "stride": node.stride, "padding": node.padding}
    kind = "AvgPool2d" if node.mode == "avg" else "SumPool2d"
    return [{"type": kind, **{k: np.asarray(v, np.int64) for k, v in sizes.items()}}]


def _flatten(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Flatten)
    rank = len(x.shape)
    sizes = {"input_type": x.shape, "start_dim": node.start % rank, "end_dim": node.end % rank}
    return [{"type": "Flatten", **{k: np.asarray(v, np.int64) for k, v in sizes.items()}}]


def _scale(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Scale)
    rank = len(x.shape)
    if node.bias is None:
        return [{"type": "Scale", "scale": _per_value(node.weight, x.shape)}]
    if rank == 1 and x.size**2 <= DENSE_MAX:
        return [{"type": "Affine", "weight": np.diag(node.weight), "bias": node.bias}]
    if rank in (2, 3) and node.weight.ndim == node.bias.ndim == 1:
        ones, zeros = (1,) * (rank - 1), (0,) * (rank - 1)
        weight = node.weight.reshape(-1, *(1,) * rank)
        conv = Conv(weight, node.bias, ones, zeros, ones, groups=len(weight))
        return _conv(name, conv, x, y, dt)
    return [_shifted(node.weight, node.bias, x.shape, dt)]


def _delay(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    assert isinstance(node, Delay)
    return [{"type": "Delay", "delay": np.full(x.shape, node.steps * dt)}]


def _neuron(name: str, node: Node, x: Signal, y: Signal, dt: float) -> list[Plain]:
    """The NIR neuron of which an Euler step of dt is the canonical neuron.

    LIF: τ·v' = v_leak − v + r·I gives a_v = 1 − dt/τ, g = r·dt/τ and b = v_leak·dt/τ; CubaLIF adds
    τ_syn·I' = −I + w_in·S, that is a_u = 1 − dt/τ_syn with w_in·dt/τ_syn = 1 here; IF: v' = r·I
    gives g = r·dt.
    """
    assert isinstance(node, Neuron)
    p = {key: np.asarray(getattr(node, key), np.float64) for key in node.PARAMETERS}
    fires = node.compare != "never"
    kind, values = _dynamics(node, p, dt)
    if kind == "Threshold":
        return [{"type": kind, "threshold": _full(p["theta"], x)}]
    if fires:
        values |= {"v_threshold": p["theta"], "v_reset": p["v_reset"]}
    full = {key: _full(value, x) for key, value in values.items()}
    return [{"type": kind if fires else kind.removesuffix("F"), **full}]


def _dynamics(node: Neuron, p: dict[str, NDArray[np.float64]], dt: float) -> tuple[str, Plain]:
    leak = np.where(p["a_v"] == 1, NO_LEAK, 1 - p["a_v"])
    mem = {"r": p["g"] / leak, "v_leak": p["b"] / leak}
    if np.any(p["a_u"]) or node.order == "vu":
        leak_u = np.where(p["a_u"] == 1, NO_LEAK, 1 - p["a_u"])
        syn = {"tau_syn": dt / leak_u, "w_in": 1 / leak_u}
        return "CubaLIF", {"tau_mem": dt / leak, **mem, **syn}
    if _is_threshold(node, p):
        return "Threshold", {}
    if np.all(p["a_v"] == 1) and not np.any(p["b"]):
        return "IF", {"r": p["g"] / dt}
    return "LIF", {"tau": dt / leak, **mem}


def _is_threshold(node: Neuron, p: dict[str, NDArray[np.float64]]) -> bool:
    """Whether the neuron keeps nothing from step to step: its spikes are x > θ."""
    memoryless = node.reset == "none" or node.reset_at in ("now", "before")
    same = np.all(p["g"] == 1) and not np.any(p["b"]) and not np.any(p["a_v"])
    return node.compare != "never" and memoryless and bool(same)


def _full(value: Array, x: Signal) -> Array:
    return np.ascontiguousarray(np.broadcast_to(value, x.shape))


def _per_value(value: Array, shape: tuple[int, ...]) -> Array:
    """`value`, one for all, per channel or per value, for every value of the signal."""
    if value.ndim == 1:
        value = value.reshape(-1, *(1,) * (len(shape) - 1))
    return np.ascontiguousarray(np.broadcast_to(value, shape))


_Writer = Callable[[str, Node, Signal, Signal, float], list[Plain]]

_WRITERS: dict[type[Node], _Writer] = {
    Input: _input,
    Output: _input,
    Sum: _sum,
    Linear: _linear,
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Sparse: _sparse,
    Pool: _pool,
    Flatten: _flatten,
    Place: _wiring,
    Gather: _wiring,
    Scale: _scale,
    Delay: _delay,
    Neuron: _neuron,
}

__all__ = ["Plain", "plain_nodes", "unsaid"]
