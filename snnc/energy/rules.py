"""What the operations between the synapses cost: one rule per operation, in one evaluation.

A rule gives the number of operations by kind for one sample and one step. Every path to `Counts`
takes its rules from here, so that a batch norm is the same number wherever it was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.energy.counts import Op
from snnc.ir import IntNeuron, Neuron

A = NDArray[Any]
Shape = tuple[int, ...]
Work = dict[Op, int]

UNITY = 4096
"""A decay of 1 in the integers of `IntNeuron`."""

CHEAP = ("relu", "leaky_relu", "clip", "abs")
"""Functions that one comparison does, with at most a multiplication."""


def affine(values: int, factor: bool, shift: bool) -> Work:
    """w·x + b value by value: batch norm with the statistics of training, and the like."""
    if factor:
        return {Op.MAC if shift else Op.MUL: values}
    return {Op.AC: values} if shift else {}


def layer_norm(values: int, rows: int, factor: bool, shift: bool) -> Work:
    """(x − mean) / √(variance + eps) in each of `rows` equal parts, then an affine map.

    Mean, difference and scale cost an addition, an addition and a multiplication a value, the
    square one MAC; a row takes one division (by its length, a constant, it is a multiplication for
    mean and variance: 2) and one root with its reciprocal.
    """
    work = {Op.AC: 2 * values, Op.MAC: values, Op.MUL: values + 2 * rows, Op.FUNCTION: 2 * rows}
    for op, count in affine(values, factor, shift).items():
        work[op] += count
    return work


def l2_norm(values: int, rows: int) -> Work:
    """x / ‖x‖ in each row: a MAC and a multiplication a value, a root and a division a row."""
    return {Op.MAC: values, Op.MUL: values, Op.FUNCTION: 2 * rows}


def softmax(values: int, rows: int, log: bool = False) -> Work:
    """exp(x − max) / Σ: a comparison, two additions and an exponential a value; then a division a
    row and a multiplication a value, or a logarithm a row and an addition a value."""
    last = {Op.AC: 3 * values} if log else {Op.AC: 2 * values, Op.MUL: values}
    return {Op.COMPARE: values, Op.FUNCTION: values + rows, **last}


def function(name: str, values: int) -> Work:
    """A function value by value."""
    if name == "leaky_relu":
        return {Op.COMPARE: values, Op.MUL: values}
    if name == "square":
        return {Op.MUL: values}
    return {Op.COMPARE if name in CHEAP else Op.FUNCTION: values}


def window_taps(
    extents: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    out: Sequence[int],
) -> A:
    """(*out) inputs inside the frame that each window has."""
    taps = np.ones((1,) * len(out), np.int64)
    for axis, (n, k, s, p, d, m) in enumerate(
        zip(extents, kernel, stride, padding, dilation, out, strict=True)
    ):
        at = s * np.arange(m)[:, None] - p + d * np.arange(k)[None, :]
        count = ((at >= 0) & (at < n)).sum(1, dtype=np.int64)
        taps = taps * count.reshape(-1, *(1,) * (len(out) - axis - 1))
    return taps


def pool(taps: A, channels: int, mode: str) -> Work:
    """Windows of `taps` inputs: `sum` and `avg` add, `max` compares; `avg` scales the result."""
    pairs = channels * int(np.maximum(taps - 1, 0).sum())
    if mode == "max":
        return {Op.COMPARE: pairs}
    return {Op.AC: pairs, Op.MUL: channels * taps.size} if mode == "avg" else {Op.AC: pairs}


def reduction(values: int, results: int, mean: bool) -> Work:
    """A sum or a mean of `values` values to `results` ones."""
    adds: Work = {Op.AC: values - results}
    return {**adds, Op.MUL: results} if mean else adds


def update(node: Neuron | IntNeuron, shape: Shape) -> Work:
    """One step of all neurons of a population, without its bias and its resets.

    u takes a MAC where it decays; v a MAC where it decays, an addition where it only adds up,
    nothing where it forgets; a gain is a multiplication; the threshold is a comparison.
    """
    size = math.prod(shape)
    if isinstance(node, Neuron):
        current, empty, keeps = node.a_u != 0, node.a_v == 0, node.a_v == 1
        gained = np.asarray(node.g != 1)
    else:
        current, empty, keeps = node.du != UNITY, node.dv == UNITY, node.dv == 0
        gained = np.asarray(False)
    decays = ~(np.asarray(empty) | np.asarray(keeps))
    work = {
        Op.MAC: _number(current, shape) + _number(decays, shape),
        Op.AC: _number(keeps, shape),
        Op.MUL: _number(gained, shape),
        Op.COMPARE: size if fires(node) else 0,
    }
    return {op: count for op, count in work.items() if count}


def leaks(node: Neuron | IntNeuron) -> bool:
    """Whether a state of the population decays without vanishing at once."""
    if isinstance(node, Neuron):
        return bool(np.any(node.a_u != 0) or np.any((node.a_v != 0) & (node.a_v != 1)))
    inside = (node.dv != 0) & (node.dv != UNITY)
    return bool(np.any(node.du != UNITY) or np.any(inside))


def forgets(node: Neuron | IntNeuron) -> bool:
    """Whether nothing of a step reaches the next: a threshold, no neuron."""
    if isinstance(node, Neuron):
        return bool(np.all(node.a_u == 0) and np.all(node.a_v == 0))
    return bool(np.all(node.du == UNITY) and np.all(node.dv == UNITY))


def fires(node: Neuron | IntNeuron) -> bool:
    """Whether the population spikes; otherwise its membrane is read out."""
    return node.fires if isinstance(node, IntNeuron) else node.compare != "never"


def reset_adds(node: Neuron | IntNeuron) -> int:
    """Additions per spike: a soft reset subtracts the threshold, a hard one only writes."""
    return 1 if node.reset == "soft" else 0


def biased(node: Neuron | IntNeuron, shape: Shape) -> int:
    """Neurons that add a bias of their own at every step."""
    if isinstance(node, Neuron):
        return _number(node.b != 0, shape)
    return _number(node.bias_v != 0, shape) + _number(node.bias_u != 0, shape)


def _number(mask: Any, shape: Shape) -> int:
    return int(np.count_nonzero(np.broadcast_to(np.asarray(mask), shape)))
