"""Synapses of the numpy model: sums of weights over many lanes at once, exact.

Float arithmetic on integers is exact while every partial sum stays below 2^24 (float32) or 2^53
(float64); the bound of each synapse is known from its weights and the largest message.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import sparse

from snnc.targets.cores.program import Conv, Dense, Sparse, Synapse

A = NDArray[Any]


def magnitude(synapse: Synapse) -> int:
    """Largest magnitude of a message."""
    return 1 << synapse.message_bits


def exact_dtype(weight: A, fan_in: A | int, largest: int) -> Any:
    """The narrowest float dtype in which sums of `fan_in` weights are exact."""
    bound = int(np.abs(weight.astype(np.int64)).max(initial=0)) * int(fan_in) * largest
    if bound < 1 << 24:
        return np.float32
    return np.float64 if bound < 1 << 53 else np.int64


class Running:
    """A synapse with its buffers: `delay` + 1 sums wait before they are delivered."""

    def __init__(self, synapse: Synapse, lanes: int) -> None:
        self.synapse = synapse
        self.weighted = _kernel(synapse)
        out = _out_size(synapse)
        empty = np.zeros((lanes, out), np.int64)
        self.waiting: deque[A] = deque([empty] * (synapse.delay + 1))

    def deliver(self) -> A:
        """The sums (lane, out) that arrive at this step."""
        return self.waiting.popleft()

    def take(self, messages: A) -> None:
        """Takes this step's messages (lane, in)."""
        total = self.weighted(messages)
        exp = self.synapse.exp
        self.waiting.append(total << exp if exp >= 0 else total >> -exp)


def _out_size(synapse: Synapse) -> int:
    match synapse:
        case Conv():
            return int(np.prod(synapse.out_shape))
        case Sparse():
            return synapse.matrix_shape[0]
        case _:
            assert isinstance(synapse, Dense)
            return len(synapse.weight)


def _kernel(synapse: Synapse) -> Any:
    """A function from messages (lane, in) to unshifted sums (lane, out) in int64."""
    largest = magnitude(synapse)
    match synapse:
        case Conv():
            return _ConvKernel(synapse)
        case Sparse():
            rows = sparse.csr_array(
                (synapse.data.astype(np.int64), synapse.indices, synapse.indptr),
                shape=synapse.matrix_shape,
            )
            return lambda messages: np.ascontiguousarray((rows @ messages.T.astype(np.int64)).T)
        case _:
            assert isinstance(synapse, Dense)
            dtype = exact_dtype(synapse.weight, synapse.weight.shape[1], largest)
            weight = synapse.weight.T.astype(dtype)
            return lambda messages: (messages.astype(dtype) @ weight).astype(np.int64)


class _ConvKernel:
    """Cross-correlation as one matrix product per group over unfolded windows."""

    def __init__(self, synapse: Conv) -> None:
        self.synapse = synapse
        out, self.per_group = synapse.weight.shape[:2]
        taps = int(np.prod(synapse.weight.shape[1:]))
        self.dtype = exact_dtype(synapse.weight, taps, magnitude(synapse))
        share = out // synapse.groups
        self.weights = synapse.weight.reshape(synapse.groups, share, taps).astype(self.dtype)

    def __call__(self, messages: A) -> A:
        synapse = self.synapse
        lanes = len(messages)
        x: A = messages.reshape(lanes, *synapse.in_shape).astype(self.dtype)
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in synapse.padding)])
        (dy, dx), (sy, sx) = synapse.dilation, synapse.stride
        height, width = synapse.weight.shape[2:]
        span = (dy * (height - 1) + 1, dx * (width - 1) + 1)
        windows: A = sliding_window_view(x, span, (2, 3))[  # type: ignore[call-overload]
            :, :, ::sy, ::sx, ::dy, ::dx
        ]
        _, rows, columns = synapse.out_shape
        parts = []
        for group, weight in enumerate(self.weights):
            first = group * self.per_group
            met = windows[:, first : first + self.per_group].transpose(0, 2, 3, 1, 4, 5)
            product = met.reshape(lanes * rows * columns, -1) @ weight.T
            parts.append(product.reshape(lanes, rows * columns, -1).transpose(0, 2, 1))
        return np.concatenate(parts, 1).reshape(lanes, -1).astype(np.int64)


__all__ = ["Running", "magnitude"]
