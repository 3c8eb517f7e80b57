"""Lowering: an integer graph (S2) as the program that the chip runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from snnc.errors import RefusedError
from snnc.ir import Graph, Input, IntNeuron, Kind, Output
from snnc.passes.limits import Limits
from snnc.targets.loihi.compose import Window, compose, fit_weights, window_matrix
from snnc.targets.loihi.hops import Hop, find_hops
from snnc.targets.loihi.program import (
    Canonical,
    Conv,
    Dense,
    Lif,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
)
from snnc.targets.loihi.retime import solve_lags, synapse_delay

A = NDArray[Any]


def lower(graph: Graph, limits: Limits) -> Program:
    """The program of an integer graph on a chip.

    Raises:
        RefusedError: a node, weight, delay or message that the chip can't say.
    """
    hops = find_hops(graph)
    populations = [*graph.inputs, *graph.neurons]
    lags = solve_lags(populations, hops)
    delayed = {hop.source for hop in hops if hop.delay}
    notes: list[str] = list(_gate_notes(graph, hops))
    table: dict[str, Population] = {}
    for name in sorted(populations, key=lambda item: lags[item]):
        table[name] = _population(graph, name, lags[name], limits, name in delayed, notes)
    synapses = [_synapse(graph, hop, lags, limits, notes) for hop in hops]
    return Program(table, tuple(synapses), graph.steps, tuple(_reads(graph)), tuple(notes))


def _gate_notes(graph: Graph, hops: list[Hop]) -> list[str]:
    return [
        f"{hop.source}: its last {hop.delay} steps of each sample are not sent to {hop.target},"
        " so that the graph's delay does not carry them into the next sample"
        for hop in hops
        if hop.delay
    ]


def _reads(graph: Graph) -> list[tuple[str, str, str, str]]:
    reads: list[tuple[str, str, str, str]] = []
    for name in graph.outputs:
        node = graph.nodes[name]
        assert isinstance(node, Output)
        for source in graph.sources(name):
            if not isinstance(graph.nodes[source], Input | IntNeuron):
                raise RefusedError(
                    name,
                    f"reads {source}, a {type(graph.nodes[source]).__name__}: only populations"
                    " can be read out on the chip",
                    "put a neuron that never fires behind it and read its membrane",
                )
            reads.append((name, source, node.port, node.reduce))
    return reads


def _population(
    graph: Graph, name: str, lag: int, limits: Limits, delayed: bool, notes: list[str]
) -> Population:
    node = graph.nodes[name]
    shape = graph.signals[name].shape
    if isinstance(node, Input):
        bits = 0 if node.kind is Kind.SPIKE else node.bits
        return Source(shape, lag, bits, node.signed)
    assert isinstance(node, IntNeuron)
    reasons = lif_reasons(node, limits)
    if delayed:
        reasons.append("it feeds a delay, which must not carry spikes into the next sample")
    if not reasons:
        return as_lif(node, shape, lag, limits)
    if not limits.neuron_programs:
        raise RefusedError(
            name,
            f"the built-in neuron of {limits.chip} can't say it: " + "; ".join(reasons),
            "compile for --chip loihi2, whose neurons can be programmed, or change the neuron",
        )
    # The first reason is the deepest; numbers off the LIF's grid follow from it.
    notes.append(f"{name}: runs as snnc's neuron program, since {reasons[0]}")
    values = {key: _in_32_bits(name, key, getattr(node, key)) for key in Canonical.ARRAYS}
    return Canonical(
        shape, lag, **values, shift=node.shift, reset=node.reset, reset_at=node.reset_at,
        order=node.order, fires=node.fires, state_bits=node.state_bits,
    )  # fmt: skip


def _in_32_bits(name: str, label: str, values: A) -> A:
    if np.abs(values.astype(np.int64)).max() >= 1 << 31:
        raise RefusedError(name, f"{label} needs more than 32 bits", "quantise it again")
    return np.asarray(values, np.int32)


def lif_reasons(node: IntNeuron, limits: Limits) -> list[str]:
    """Why the chip's built-in neuron can't say `node`; empty where it can."""
    decay = 1 << limits.decay_bits
    theta_max = (1 << limits.theta_bits) - 1
    unit = 1 << limits.shift
    theta = _uniform(node.theta)
    du, dv = _uniform(node.du), _uniform(node.dv)
    checks = {
        "it resets " + f"{node.reset}/{node.reset_at}, not hard/now": (
            (node.reset, node.reset_at) != ("hard", "now")
        ),
        "it never fires": not node.fires,
        "it updates v before u": node.order != "uv",
        f"it shifts sums by {node.shift}, not {limits.shift}": node.shift != limits.shift,
        "its threshold differs between neurons": theta is None,
        f"its threshold {theta} is no multiple of {unit} in 0…{theta_max * unit}": (
            theta is not None and not (0 <= theta <= theta_max * unit and theta % unit == 0)
        ),
        "its current decay differs between neurons": du is None,
        f"its current decay {du} is outside 0…{decay}": du is not None and not 0 <= du <= decay,
        "its membrane decay differs between neurons": dv is None,
        f"its membrane decay {dv} is outside 0…{decay - 1}": (
            dv is not None and not 0 <= dv < decay
        ),
        "it has a current bias": bool(node.bias_u.any()),
        "its membrane does not start at 0": bool(node.v_init.any()),
        f"its bias is no {limits.bias_mant_bits}-bit mantissa times 2^0…2^{limits.bias_exp_max}": (
            split_bias(node.bias_v, limits) is None
        ),
        f"its states have {node.state_bits} bits": node.state_bits != limits.state_bits,
    }
    return [reason for reason, holds in checks.items() if holds]


def _uniform(values: A) -> int | None:
    """The one value of an array, None if it holds several."""
    first = int(values.flat[0])
    return first if bool((values == first).all()) else None


def split_bias(bias: A, limits: Limits) -> tuple[A, int] | None:
    """(mantissa, exponent) with the smallest exponent, None where a population can't hold it."""
    bound = 1 << (limits.bias_mant_bits - 1)
    for exp in range(limits.bias_exp_max + 1):
        mantissa = bias >> exp
        if not (mantissa << exp == bias).all():
            return None
        if -bound <= mantissa.min() and mantissa.max() < bound:
            return np.asarray(mantissa, np.int16), exp
    return None


def as_lif(node: IntNeuron, shape: tuple[int, ...], lag: int, limits: Limits) -> Lif:
    """`node`, which `lif_reasons` has nothing against, as the built-in neuron."""
    split = split_bias(node.bias_v, limits)
    assert split is not None
    mantissa, exp = split
    theta, du, dv = (int(value.flat[0]) for value in (node.theta, node.du, node.dv))
    return Lif(shape, lag, du - 1, dv, theta >> limits.shift, mantissa, exp)


@dataclass(frozen=True)
class _Message:
    """What a population sends: payload bits (0: spikes) and the largest magnitude."""

    bits: int
    magnitude: int


def _message(graph: Graph, name: str, limits: Limits) -> _Message:
    node = graph.nodes[name]
    if graph.signals[name].kind is Kind.SPIKE:
        return _Message(0, 1)
    if isinstance(node, Input):
        bits, magnitude = node.bits, max(abs(bound) for bound in node.range)
    else:
        assert isinstance(node, IntNeuron)
        bits, magnitude = node.state_bits, 1 << (node.state_bits - 1)
    if bits > limits.message_bits:
        remedy = (
            "use --encoding rate or latency, or --chip loihi2"
            if isinstance(node, Input)
            else "let the neuron fire, or use --chip loihi2"
        )
        raise RefusedError(
            name,
            f"sends integers of {bits} bits, {limits.chip} carries"
            f" {limits.message_bits or 'no'} bits",
            remedy,
        )
    return _Message(bits, magnitude)


def _synapse(
    graph: Graph, hop: Hop, lags: Mapping[str, int], limits: Limits, notes: list[str]
) -> Synapse:
    message = _message(graph, hop.source, limits)
    delay = synapse_delay(hop, lags, limits.delay_max)
    composed = compose(graph, hop)
    common = (hop.source, hop.target, delay, hop.delay, message.bits)
    if isinstance(composed.weights, Window):
        return _window(hop, composed.weights, composed.exp, common, message, limits, notes)
    if isinstance(composed.weights, np.ndarray):
        weight, exp = fit_weights(hop.label, composed.weights, composed.exp, limits)
        return Dense(*common, exp, weight.astype(np.int16))
    return _sparse(hop, composed.weights, composed.exp, common, limits)


Common = tuple[str, str, int, int, int]


def _sparse(hop: Hop, rows: sparse.csr_array, exp: int, common: Common, limits: Limits) -> Sparse:
    data, exp = fit_weights(hop.label, rows.data, exp, limits)
    shape = (int(rows.shape[0]), int(rows.shape[1]))
    return Sparse(
        *common, exp, data.astype(np.int16), rows.indices.astype(np.int32),
        rows.indptr.astype(np.int32), shape,
    )  # fmt: skip


def _window(
    hop: Hop, window: Window, exp: int, common: Common, message: _Message, limits: Limits,
    notes: list[str],
) -> Synapse:  # fmt: skip
    weight, fitted = fit_weights(hop.label, window.node.weight, exp, limits)
    reasons = conv_reasons(weight, fitted, common[2], message.magnitude, limits)
    if reasons:
        rows = window_matrix(hop.label, window)
        notes.append(
            f"{hop.label}: written out as {rows.nnz:,} synapses, since Lava's convolution "
            + " and ".join(reasons)
        )
        return _sparse(hop, rows, exp, common, limits)
    node = window.node
    stride, padding, dilation = (
        (int(pair[0]), int(pair[1])) for pair in (node.stride, node.padding, node.dilation)
    )
    return Conv(
        *common,
        fitted,
        weight.astype(np.int16),
        window.in_shape,
        stride,
        padding,
        dilation,
        node.groups,
    )


def conv_reasons(weight: A, exp: int, delay: int, magnitude: int, limits: Limits) -> list[str]:
    """Why Lava's convolution process can't say a synapse; empty where it can.

    It ignores the weight exponent, but takes any integer weight, so a left shift goes into the
    weights, and so does a right shift that divides them all. It wraps sums to 24 bits, so
    they must stay below that (lava-nc, proc/conv/models.py, PyConvModelFixed).
    """
    reasons: list[str] = []
    if exp < 0 and bool((weight & ((1 << -exp) - 1)).any()):
        reasons.append(f"can't shift its sums right by {-exp}")
    if delay:
        reasons.append(f"can't wait {delay} steps")
    taps = np.abs(weight).reshape(len(weight), -1).sum(1, dtype=np.int64)
    largest = int(taps.max(initial=0)) * magnitude * 2.0**exp
    if largest >= 1 << (limits.state_bits - 1):
        reasons.append(f"wraps sums at {limits.state_bits} bits")
    return reasons


__all__ = ["as_lif", "conv_reasons", "lif_reasons", "lower", "split_bias"]
