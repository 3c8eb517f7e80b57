"""Stage `uwe`: the circuit model of the converter makes the spikes that the cores get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.circuits.dac import MAX_BITS, mid_bins
from snnc.circuits.design import Design
from snnc.circuits.encodings import Planes, check_planes, uwd
from snnc.circuits.sar import SarAdc
from snnc.errors import InputError, RefusedError
from snnc.ir import Graph, Kind, Rate
from snnc.reference import Inputs, Ports, Trace
from snnc.reference.trace import sample_count
from snnc.targets import sim

BLOCK = 1 << 15
"""Conversions at a time: bounds the memory for codes and voltages to a few MB."""


def converter_bits(graph: Graph) -> int:
    """Resolution of the converters in front of a graph: one bit per step.

    Raises:
        RefusedError: an input that isn't of spikes at every step, or no number of steps from 1
            to 16.
    """
    for name in graph.inputs:
        signal = graph.signals[name]
        if signal.kind is not Kind.SPIKE or signal.rate is not Rate.STEP:
            when = "at every step" if signal.rate is Rate.STEP else "once per sample"
            raise RefusedError(
                name,
                f"takes {signal.kind.value} values {when}; a converter puts out spikes at every"
                " step",
                "compile with --encoding uwe",
            )
    where = ", ".join(graph.inputs)
    if graph.steps is None:
        raise RefusedError(
            where,
            "nothing says how many steps there are, and so how many bits the converter has",
            f"compile with --steps 1 to {MAX_BITS}",
        )
    if not 1 <= graph.steps <= MAX_BITS:
        raise RefusedError(
            where,
            f"takes {graph.steps} steps, and a converter has one bit per step, 1 to {MAX_BITS}",
            f"train with 1 to {MAX_BITS} steps, or compile for another target",
        )
    return graph.steps


def run(
    graph: Graph,
    inputs: Inputs,
    record: Ports | None = None,
    progress: Callable[[float], None] = lambda share: None,
    chip: str | None = None,
) -> Trace:
    """Runs an integer graph as `sim` does, on the spikes that an ideal SAR ADC makes.

    The planes of an input are read as codes. Each code's voltage in the middle of its step,
    (code + ½)·LSB, is converted, and the decisions of every cycle enter the cores. A sequence of
    more steps than the converter has bits is a stream of conversions; the last one may be stopped
    early.

    Raises:
        RefusedError: see `converter_bits`.
        InputError: an input that isn't of spikes, or has the wrong shape.
        GraphError: see `snnc.targets.sim.run`.
    """
    adc = Design(converter_bits(graph)).ideal()
    sample_count(graph, inputs)
    converted = {name: _converted(adc, name, np.asarray(inputs[name])) for name in graph.inputs}
    return sim.run(graph, converted, record, progress, chip)


def _converted(adc: SarAdc, name: str, planes: NDArray[Any]) -> Planes:
    """The converter's decisions for the codes that planes (sample, step, …) stand for."""
    try:
        sent = check_planes(np.moveaxis(planes, 1, 0))
    except InputError as error:
        raise InputError(name, error.cause, error.fix) from error
    steps = len(sent)
    whole = -(-steps // adc.bits) * adc.bits
    stream = np.zeros((whole, sent[0].size), np.uint8)
    stream[:steps] = sent.reshape(steps, -1)
    volts = mid_bins(adc.bits, adc.dac.v_ref)
    for first in range(0, whole, adc.bits):
        for left in range(0, stream.shape[1], BLOCK):
            word = stream[first : first + adc.bits, left : left + BLOCK]
            word[:] = adc.planes(volts[uwd(word)])[0]
    return np.moveaxis(stream[:steps].reshape(sent.shape), 0, 1)
