"""Which population of a chip an integer neuron is: the built-in LIF, compartments, a program."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.ir import IntNeuron
from snnc.passes.limits import Limits
from snnc.targets.cores.program import Canonical, Lif, Population
from snnc.targets.loihi.compartments import as_compartments, compartment_reasons
from snnc.targets.loihi.numbers import split_bias, uniform

A = NDArray[Any]


def as_population(
    name: str,
    node: IntNeuron,
    shape: tuple[int, ...],
    lag: int,
    limits: Limits,
    extra: tuple[str, ...],
    notes: list[str],
) -> Population:
    """`node` as the simplest population of the chip that is equal to it in every step.

    Args:
        extra: reasons against the built-in LIF that the neuron itself doesn't show.
        notes: told what it runs as where that is not the built-in LIF, and why.

    Raises:
        RefusedError: the chip has none.
    """
    reasons = [*lif_reasons(node, limits), *extra]
    if not reasons:
        return as_lif(node, shape, lag, limits)
    if limits.neuron_programs:
        # The first reason is the deepest; numbers off the LIF's grid follow from it.
        notes.append(f"{name}: runs as snnc's neuron program, since {reasons[0]}")
        return as_program(name, node, shape, lag)
    against = compartment_reasons(node, limits)
    if against:
        remedy = against[0][1]
        raise RefusedError(
            name,
            f"the compartments of {limits.chip} can't say it: " + "; ".join(c for c, _ in against),
            f"{remedy}, or compile for --chip loihi2, whose neurons can be programmed",
        )
    made, what = as_compartments(node, shape, lag, limits)
    notes.append(f"{name}: runs on {what}, since {reasons[0]}")
    return made


def lif_reasons(node: IntNeuron, limits: Limits) -> list[str]:
    """Why the chip's built-in neuron can't say `node`; empty where it can."""
    decay = 1 << limits.decay_bits
    theta_max = (1 << limits.theta_bits) - 1
    unit = 1 << limits.shift
    theta = uniform(node.theta)
    du, dv = uniform(node.du), uniform(node.dv)
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


def as_lif(node: IntNeuron, shape: tuple[int, ...], lag: int, limits: Limits) -> Lif:
    """`node`, which `lif_reasons` has nothing against, as the built-in neuron."""
    split = split_bias(node.bias_v, limits)
    assert split is not None
    mantissa, exp = split
    theta, du, dv = (int(value.flat[0]) for value in (node.theta, node.du, node.dv))
    return Lif(shape, lag, du - 1, dv, theta >> limits.shift, mantissa, exp)


def as_program(name: str, node: IntNeuron, shape: tuple[int, ...], lag: int) -> Canonical:
    """`node` as a population of our neuron program for Loihi 2.

    Raises:
        RefusedError: a number beyond 32 bits.
    """
    values = {key: _in_32_bits(name, key, getattr(node, key)) for key in Canonical.ARRAYS}
    return Canonical(
        shape, lag, **values, shift=node.shift, reset=node.reset, reset_at=node.reset_at,
        order=node.order, fires=node.fires, state_bits=node.state_bits,
    )  # fmt: skip


def _in_32_bits(name: str, label: str, values: A) -> A:
    largest = int(np.abs(values.astype(np.int64)).max())
    if largest >= 1 << 31:
        raise RefusedError(
            name,
            f"{label} needs more than 32 bits: it reaches {largest}",
            "use smaller values; snnc.compile chooses some that fit",
        )
    return np.asarray(values, np.int32)


__all__ = ["as_lif", "as_population", "as_program", "lif_reasons"]
