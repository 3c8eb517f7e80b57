"""Layers of several settings as populations of one setting each, and their synapses in pieces.

Loihi's built-in neurons share decays, threshold and bias exponent within a population. A layer in
which they differ is held by one population per setting. Nothing is computed differently: a piece
of a synapse has some rows (neurons of the target) and columns (neurons of the source) of the
whole, and the sums of the pieces add up at each target neuron. Parts that are whole channels
keep a convolution a convolution: rows and input channels of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Conv as ConvNode
from snnc.ir import IntNeuron
from snnc.passes.limits import Limits
from snnc.targets.cores.program import Conv, Dense, Sparse, Split, Synapse
from snnc.targets.loihi.matrices import Window, window_matrix
from snnc.targets.loihi.numbers import bias_exponents, split_bias

A = NDArray[Any]
PARTS_MAX = 256
"""Most populations of a layer. A core of Loihi 1 holds 32 compartment configurations and 16
thresholds (nengo-loihi's validator), so more would fill the chip with nearly empty cores."""


def parts_of(name: str, node: IntNeuron, shape: tuple[int, ...], limits: Limits) -> list[A]:
    """Indices of the flattened neurons of every setting; one array where all are equal.

    Raises:
        RefusedError: more than `PARTS_MAX` settings.
    """
    labels = ["du", "dv", *(["theta"] if node.fires else ())]
    labels += ["v_sub"] if node.fires and node.reset == "soft" else []
    wide = [np.broadcast_to(getattr(node, label), shape).reshape(-1) for label in labels]
    if split_bias(node.bias_v, limits) is None:
        bias = np.broadcast_to(node.bias_v.astype(np.int64), shape).reshape(-1)
        wide.append(bias_exponents(bias, limits))
        labels.append("bias exponent")
    settings = np.stack(wide, 1)
    found, part_of = np.unique(settings, axis=0, return_inverse=True)
    if len(found) > PARTS_MAX:
        counts = ", ".join(
            f"{len(np.unique(column))} of {label}"
            for label, column in zip(labels, settings.T, strict=True)
        )
        raise RefusedError(
            name,
            f"has {len(found)} settings of its neurons ({counts}); on {limits.chip} each needs a"
            f" population of its own, {PARTS_MAX} at most",
            "round decays and thresholds to fewer values, share them per channel, or compile for"
            " --chip loihi2",
        )
    return [np.flatnonzero(part_of.reshape(-1) == index) for index in range(len(found))]


def channels_of(index: A, shape: tuple[int, ...]) -> A | None:
    """The channels that ascending flat indices of a (C, …) array make up, None if not whole."""
    inner = math.prod(shape[1:])
    if len(index) % inner:
        return None
    rows = index.reshape(-1, inner)
    whole = np.array_equal(rows - rows[:, :1], np.broadcast_to(np.arange(inner), rows.shape))
    return rows[:, 0] // inner if whole and not (rows[:, 0] % inner).any() else None


def part_shape(index: A, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a part: channels keep their other axes, loose neurons have one axis."""
    channels = channels_of(index, shape)
    return (len(index),) if channels is None else (len(channels), *shape[1:])


def part_node(node: IntNeuron, index: A, shape: tuple[int, ...]) -> IntNeuron:
    """The neurons of a part on their own, equal parameters as one value."""
    taken: dict[str, Any] = {}
    for label in node.PARAMETERS:
        values = np.broadcast_to(getattr(node, label), shape).reshape(-1)[index]
        same = bool((values == values[0]).all())
        taken[label] = values[0] if same else values.reshape(part_shape(index, shape))
    return replace(node, **taken)


def split_synapses(synapses: Sequence[Synapse], splits: Mapping[str, Split]) -> list[Synapse]:
    """The synapses between layers as synapses between the populations that hold them.

    A piece without weights is left out, unless nothing else would reach its target.

    Raises:
        RefusedError: a right shift of sums over a split layer, which its pieces would round apart.
    """
    found: list[Synapse] = []
    reached: set[str] = set()
    spare: dict[str, Synapse] = {}
    for synapse in synapses:
        if synapse.source not in splits and synapse.target not in splits:
            found.append(synapse)
            reached.add(synapse.target)
            continue
        _check_shift(synapse, splits)
        for piece in _pieces(synapse, splits):
            if isinstance(piece, Sparse) and not piece.data.size:
                spare.setdefault(piece.target, piece)
            else:
                reached.add(piece.target)
                found.append(piece)
    return found + [_silent(piece) for name, piece in spare.items() if name not in reached]


def _check_shift(synapse: Synapse, splits: Mapping[str, Split]) -> None:
    if synapse.source not in splits or synapse.exp >= 0:
        return
    assert isinstance(synapse, Dense | Sparse | Conv)
    weights = synapse.data if isinstance(synapse, Sparse) else synapse.weight
    if (weights & ((1 << -synapse.exp) - 1)).any():
        raise RefusedError(
            synapse.source,
            f"its neurons differ, so {len(splits[synapse.source].parts)} populations hold them,"
            f" but their sum into {synapse.target} is shifted right by {-synapse.exp}; each"
            " population's share would be shifted on its own",
            f"give the weights into {synapse.target} an exponent of 0 or more, share decays and"
            " thresholds within the layer, or compile for --chip loihi2",
        )


def _silent(piece: Synapse) -> Synapse:
    """A synapse of one weight of 0 in place of one without weights."""
    assert isinstance(piece, Sparse)
    starts = np.minimum(np.arange(piece.matrix_shape[0] + 1), 1).astype(np.int32)
    return replace(piece, data=np.zeros(1, np.int16), indices=np.zeros(1, np.int32), indptr=starts)


def _pieces(synapse: Synapse, splits: Mapping[str, Split]) -> list[Synapse]:
    rows = splits[synapse.target].parts if synapse.target in splits else {synapse.target: None}
    columns = splits[synapse.source].parts if synapse.source in splits else {synapse.source: None}

    @cache
    def written_out() -> sparse.csr_array:
        return as_rows(synapse)

    pieces: list[Synapse] = []
    for target, row in rows.items():
        for source, column in columns.items():
            ends = replace(synapse, source=source, target=target)
            match ends:
                case Dense():
                    piece: Synapse | None = replace(ends, weight=_taken(ends.weight, row, column))
                case Conv():
                    piece = _conv_piece(ends, row, column)
                case _:
                    piece = None
            pieces.append(piece or _sparse_piece(ends, written_out(), row, column))
    return pieces


def _taken(weight: A, row: A | None, column: A | None) -> A:
    weight = weight if row is None else weight[row]
    return np.ascontiguousarray(weight if column is None else weight[:, column])


def _conv_piece(synapse: Conv, row: A | None, column: A | None) -> Conv | None:
    """Rows and input channels of a kernel, None where the parts are no whole channels."""
    out = None if row is None else channels_of(row, synapse.out_shape)
    into = None if column is None else channels_of(column, synapse.in_shape)
    loose = (row is not None and out is None) or (column is not None and into is None)
    if synapse.groups > 1 or loose:
        return None
    weight = _taken(synapse.weight, out, into)
    return replace(synapse, weight=weight, in_shape=(weight.shape[1], *synapse.in_shape[1:]))


def _sparse_piece(
    synapse: Synapse, rows: sparse.csr_array, row: A | None, column: A | None
) -> Sparse:
    piece = rows if row is None else rows[row]
    piece = piece if column is None else piece[:, column]
    return Sparse(
        synapse.source,
        synapse.target,
        synapse.delay,
        synapse.gate,
        synapse.message_bits,
        synapse.exp,
        piece.data.astype(np.int16),
        piece.indices.astype(np.int32),
        piece.indptr.astype(np.int32),
        (int(piece.shape[0]), int(piece.shape[1])),
    )


def as_rows(synapse: Synapse) -> sparse.csr_array:
    """A sparse or convolutional synapse as a matrix (out, in).

    Raises:
        RefusedError: more synapses than can be written out.
    """
    if isinstance(synapse, Sparse):
        entries = (synapse.data, synapse.indices, synapse.indptr)
        return sparse.csr_array(entries, shape=synapse.matrix_shape)
    assert isinstance(synapse, Conv)
    node = ConvNode(
        synapse.weight, None, synapse.stride, synapse.padding, synapse.dilation, synapse.groups
    )
    return window_matrix(synapse.target, Window(node, synapse.in_shape))


__all__ = [
    "PARTS_MAX",
    "as_rows",
    "channels_of",
    "part_node",
    "part_shape",
    "parts_of",
    "split_synapses",
]
