"""The operations that only a host computes, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from snnc.ir import HostOnly, Map, MaxPool, Multiply, Normalise
from snnc.ir.ops import Function
from snnc.reference.windows import taps

A = NDArray[Any]

FUNCTIONS: dict[Function, Callable[[A, float, float], A]] = {
    "relu": lambda x, low, high: np.maximum(x, 0),
    "leaky_relu": lambda x, low, high: np.where(x > 0, x, low * x),
    "elu": lambda x, low, high: np.where(x > 0, x, low * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x, low, high: x * special.ndtr(x),
    "gelu_tanh": lambda x, low, high: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "sigmoid": lambda x, low, high: special.expit(x),
    "tanh": lambda x, low, high: np.tanh(x),
    "silu": lambda x, low, high: x * special.expit(x),
    "softplus": lambda x, low, high: np.where(low * x > high, x, np.logaddexp(0, low * x) / low),
    "clip": lambda x, low, high: np.clip(x, low, high),
    "abs": lambda x, low, high: np.abs(x),
    "exp": lambda x, low, high: np.exp(x),
    "log": lambda x, low, high: np.log(x),
    "sqrt": lambda x, low, high: np.sqrt(x),
    "square": lambda x, low, high: x * x,
    "reciprocal": lambda x, low, high: 1 / x,
}


def apply_host(name: str, node: HostOnly, x: A) -> A:
    """Output of a host node for the summed input `x`, (sample, …)."""
    match node:
        case Map():
            with np.errstate(all="ignore"):  # log(−1) is NaN and 1/0 infinite, without a word
                return FUNCTIONS[node.function](x.astype(np.float64), node.low, node.high)
        case MaxPool():
            return _maximum(name, node, x)
        case Normalise():
            rows = x.reshape(len(x), node.rows, -1).astype(np.float64)
            return _normalised(node, rows).reshape(x.shape)
        case Multiply():
            half = x.shape[1] // 2
            return x[:, :half] * x[:, half:]


def _maximum(name: str, node: MaxPool, x: A) -> A:
    edges = [(0, 0), (0, 0), *((p, p) for p in node.padding)]
    padded = np.pad(x.astype(np.float64), edges, constant_values=-np.inf)
    none = (0,) * len(node.kernel)
    windows = taps(name, padded, node.kernel, node.stride, none, node.dilation)
    return np.asarray(np.max(np.stack([view for _, view in windows]), axis=0))


def _normalised(node: Normalise, rows: A) -> A:
    match node.kind:
        case "layer":
            spread = rows.var(-1, keepdims=True) + node.eps
            return np.asarray((rows - rows.mean(-1, keepdims=True)) / np.sqrt(spread))
        case "l2":
            length = np.sqrt((rows * rows).sum(-1, keepdims=True))
            return np.asarray(rows / np.maximum(length, node.eps))
        case "softmax":
            return np.asarray(special.softmax(rows, axis=-1))
        case "log_softmax":
            return np.asarray(special.log_softmax(rows, axis=-1))
