"""What no rule merges, written out: a chain of linear operations as one matrix, exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Conv, ConvTranspose, Gather, Linear, Node, Place, Pool, Scale, Sparse
from snnc.passes.hop_rules import Gain, Shape, as_conv, per_value, real, ungrouped
from snnc.reference.windows import tap

A = NDArray[Any]

MATRIX_LIMIT = 1 << 24
"""Most synapses that a chain of operations is written out as."""

DENSE = 0.5
"""Share of synapses from which a matrix between vectors is kept dense."""


@dataclass(frozen=True)
class Step:
    """One operation of a chain, with the shapes before and after it."""

    name: str
    node: Node
    shape: Shape
    out: Shape


def written_out(steps: Sequence[Step], shape: Shape, out: Shape) -> Linear | Sparse:
    """The product of the matrices of `steps`, from inputs of `shape` to outputs of `out`: a Linear
    of the flattened input if it is dense and its output has one axis.

    Raises:
        RefusedError: more than `MATRIX_LIMIT` synapses.
    """
    total = sparse.eye_array(math.prod(shape), format="csr")
    for step in steps:
        _check_size(step.name, _entries(step))
        total = sparse.csr_array(_matrix(step) @ total)
        _check_size(step.name, total.nnz)
    total.eliminate_zeros()
    total.sort_indices()
    if not total.nnz:  # one synapse of weight 0 keeps the population fed
        total = sparse.csr_array(([0.0], ([0], [0])), shape=total.shape)
    if len(out) == 1 and total.nnz > DENSE * math.prod(total.shape):
        return Linear(total.toarray())
    indices, starts = total.indices.astype(np.int32), total.indptr.astype(np.int64)
    return Sparse(total.data, indices, starts, shape, out)


def _check_size(name: str, synapses: int) -> None:
    if synapses > MATRIX_LIMIT:
        raise RefusedError(
            name,
            f"the linear operations around it don't merge into one kernel, and written out they"
            f" are {synapses:,} synapses, more than {MATRIX_LIMIT:,}",
            "put a neuron between them, or drop the padding of the later one",
        )


def _entries(step: Step) -> int:
    """Most entries of the step's own matrix."""
    match node := step.node:
        case Conv() | Pool():
            node = as_conv(node, step.shape[0])
            return node.weight.size * math.prod(step.out[1:])
        case ConvTranspose():
            return node.weight.size * math.prod(step.shape[1:])
        case Linear() | Sparse():
            return int(np.count_nonzero(node.weight))
        case _:
            return 0


def _matrix(step: Step) -> Any:
    """The operation between flattened signals, last axis fastest."""
    rows, columns = math.prod(step.out), math.prod(step.shape)
    match node := step.node:
        case Gain():
            return sparse.eye_array(columns) * node.factor
        case Scale():
            return sparse.diags_array(per_value(real(node.weight), step.shape).ravel())
        case Linear():
            return sparse.csr_array(real(node.weight))
        case Sparse():
            rows_of = (real(node.weight), node.indices, node.indptr)
            return sparse.csr_array(rows_of, shape=(rows, columns))
        case Place():
            return sparse.eye_array(rows, columns, k=-node.start * (rows // node.extent))
        case Gather():
            kept = np.flatnonzero(node.index.ravel() >= 0)
            entries = (np.ones(len(kept)), (kept, node.index.ravel()[kept]))
            return sparse.csr_array(entries, shape=(rows, columns))
        case Conv() | Pool() | ConvTranspose():
            return _windows(node, step)
        case _:
            return sparse.eye_array(rows)


def _windows(node: Conv | Pool | ConvTranspose, step: Step) -> Any:
    """Σ over the taps of (channels × channels) ⊗ (positions × positions)."""
    adjoint = isinstance(node, ConvTranspose)
    kernel = as_conv(node, step.shape[0]) if not isinstance(node, ConvTranspose) else node
    weight = real(ungrouped(kernel))
    small, large = (step.shape[1:], step.out[1:]) if adjoint else (step.out[1:], step.shape[1:])
    total: Any = 0
    for k in itertools.product(*map(range, kernel.kernel)):
        axes = zip(small, large, kernel.stride, kernel.padding, kernel.dilation, k, strict=True)
        positions = reduce(sparse.kron, (_shift(*axis) for axis in axes))
        met = positions.T if adjoint else positions
        total = total + sparse.kron(sparse.csr_array(weight[tap(k)]), met, format="csr")
    return total


def _shift(small: int, large: int, stride: int, padding: int, dilation: int, k: int) -> Any:
    """Entry (o, s·o − p + d·k) where that lies inside: what one tap connects along one axis."""
    met = stride * np.arange(small) - padding + dilation * k
    inside = np.flatnonzero((met >= 0) & (met < large))
    entries = (np.ones(len(inside)), (inside, met[inside]))
    return sparse.csr_array(entries, shape=(small, large))
