"""Neurons of Loihi 1 beyond Lava's LIF: a refractory period, and compartments joined in a tree.

On Loihi 1 a neuron is a tree of compartments. In every step each compartment takes its own
synaptic sum and what its dendrites (the compartments joined into it) pass on in the same step,
their u or their v (Davies et al., IEEE Micro 38(1), 2018: dendritic trees; soft resets on two
compartments: Rueckauer et al., NxTF, arXiv 2101.04261). A compartment can be told not to spike,
to forget its u or v within the step (decay 4096: nengo-loihi, NxTF), and to hold v at 0 for some
steps after a spike (refractory delay: nengo-loihi counts 1 as none, so `hold` = its value − 1).
Lava's LIF has none of this; the arithmetic is its own nevertheless (PyLifModelBitAcc).

With t0, wrap, clip, M and A as in `snnc.ir.IntNeuron`, du and dv in 0…4096, θ a multiple of 64
and x = u[t] + b, a neuron is exactly realisable in these cases:

* **hard/now** with any dv ≤ 4096: one compartment. (The LIF field ends at 4095.)
* **hard/after**, θ ≥ 0: one compartment that holds for one step. S2 has v[t] = 0 where s[t−1],
  and no spike then, since 0 > θ is false; the compartment had v = 0 since its spike at t − 1
  and is held there at t. From t + 1 on both start from v = 0. u goes on in both. Only v at the
  spiking step itself, which S2 still has, is gone, so that v can't be read.
* **none**: the membrane I, which never spikes, v[t] = clip(t0(v[t−1], dv) + x), joined into the
  soma S, which has no memory: S has v_S[t] = v[t] and fires where v_S > θ, that is S2's spike.
  What S resets is forgotten anyway. A neuron that never fires is I alone.
* **soft/after**: the current C, with u only, joined into I, joined into S. S's spike returns to I
  by synapses that bring −v_sub one step later, into a current that has no memory:
  v[t] = clip(t0(v[t−1], dv) + u[t] + b − v_sub·s[t−1]), which is S2's equation. v_sub must be a
  multiple of 64, what one unit of a synaptic sum is, and stay below 2^15 of these.
* **soft/now** where, for v > θ, t0(v − v_sub, dv) = t0(v, dv) − c with a constant c; then it is
  soft/after with c for v_sub, and the host reads v as v − v_sub·s. With K = 4096 − dv and
  q = v_sub·K/4096 that holds where
  - dv = 0: t0 is the identity and c = v_sub;
  - dv = 4096 or v_sub = 0: c = 0, nothing is fed back (as `none`);
  - q is an integer and v_sub ≤ θ + 1: v and v − v_sub are not negative, so that t0 floors both:
    floor((v − v_sub)·K/4096) = floor(v·K/4096) − q, and c = q.
  Elsewhere the two truncations differ by a number that depends on v, and it is refused. In real
  numbers soft/now is always soft/after with a_v·θ for what is taken off, and the same spikes:
  v[t] = a_v·(v[t−1] − θ·s[t−1]) + … = a_v·v[t−1] + … − a_v·θ·s[t−1].

Refused, since no constant does it: a guarded reset (its second comparison uses v after the
reset, in the same step), v before u, a current bias, sums shifted by other than 6 bits.

u and v start each sample as the host writes them (v_init); it clears the spikes that wait to be
fed back at the same time. They are the only messages to I, so nothing else is lost with them.
The host writes the biases too, when the first sample of the population begins, so that the
population is silent before: without bias and spikes v stays 0, and θ ≥ 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import IntNeuron
from snnc.passes.limits import Limits
from snnc.targets.cores.program import Compartment, MultiCompartment, Population
from snnc.targets.loihi.numbers import split_bias, split_feedback, uniform

A = NDArray[Any]
FEEDBACK_MAX = (1 << 15) - 1
"""Most that one spike feeds back, in synaptic units: beyond 16 bits Loihi emulators differ."""


def compartment_reasons(node: IntNeuron, limits: Limits) -> list[tuple[str, str]]:
    """Why no compartments of the chip are equal to `node`: (cause, remedy); empty where some are.

    Its decays and its threshold must be the same for all neurons (see `split`).
    """
    decay = 1 << limits.decay_bits
    unit, theta_max = 1 << limits.shift, limits.theta_max
    bound = 1 << (limits.state_bits - 1)
    du, dv, theta = (uniform(values) for values in (node.du, node.dv, node.theta))
    on_grid = theta is not None and 0 <= theta <= theta_max and theta % unit == 0
    checks = [
        (
            node.fires and node.reset_at == "guarded",
            "it resets soft/guarded, with a second comparison in the same step",
            "use a soft reset without the guard",
        ),
        (node.order != "uv", "it updates v before u", "let v take u of the same step"),
        (
            node.shift != limits.shift,
            f"it shifts sums by {node.shift}, not {limits.shift}",
            "quantise it again for this chip",
        ),
        (
            node.state_bits != limits.state_bits,
            f"its states have {node.state_bits} bits, not {limits.state_bits}",
            "quantise it again for this chip",
        ),
        (
            du is None or not 0 <= du <= decay or dv is None or not 0 <= dv <= decay,
            f"its decays {du} and {dv} are not one number each in 0…{decay}",
            "use a leak between 0 and 1",
        ),
        (
            node.fires and not on_grid,
            f"its threshold {theta} is no multiple of {unit} in 0…{theta_max}",
            "quantise it again for this chip",
        ),
        (bool(node.bias_u.any()), "it has a current bias", "put the bias into the membrane"),
        (
            bool((np.abs(node.v_init.astype(np.int64)) >= bound).any()),
            f"its membrane starts beyond ±{bound - 1}",
            "start it nearer to 0",
        ),
        (
            split_bias(node.bias_v, limits) is None,
            f"its bias is no {limits.bias_mant_bits}-bit mantissa times"
            f" 2^0…2^{limits.bias_exp_max}",
            "use smaller biases",
        ),
    ]
    found = [(cause, remedy) for holds, cause, remedy in checks if holds]
    return found or _soft_reasons(node, limits)


def _soft_reasons(node: IntNeuron, limits: Limits) -> list[tuple[str, str]]:
    """Why a soft reset can't be fed back."""
    if node.reset != "soft" or not node.fires:
        return []
    amount = fed_back(node)
    taken = uniform(node.v_sub)
    if amount is None:
        return [
            (
                f"it resets soft/now by {taken} under a decay of {uniform(node.dv)}, and the"
                " decay rounds what is taken off differently at every membrane",
                "quantise it as soft/after with a_v·θ taken off, which has the same spikes",
            )
        ]
    if amount % (1 << limits.shift) or not 0 <= amount >> limits.shift <= FEEDBACK_MAX:
        unit = 1 << limits.shift
        return [
            (
                f"a spike would have to take {amount} off the membrane a step later, which is no"
                f" multiple of {unit} in 0…{FEEDBACK_MAX * unit}",
                "quantise it again for this chip",
            )
        ]
    return []


def fed_back(node: IntNeuron) -> int | None:
    """What a spike of a soft reset takes off the membrane one step later, None if no constant."""
    taken, dv, theta = uniform(node.v_sub), uniform(node.dv), uniform(node.theta)
    if taken is None or dv is None or theta is None:
        return None
    if node.reset_at == "after":
        return taken
    product = taken * (4096 - dv)
    if dv == 0 or product == 0:
        return product >> 12
    return product >> 12 if product % 4096 == 0 and taken <= theta + 1 else None


def as_compartments(
    node: IntNeuron, shape: tuple[int, ...], lag: int, limits: Limits
) -> tuple[Population, str]:
    """`node`, which `compartment_reasons` has nothing against, and in words what it runs on."""
    split = split_bias(node.bias_v, limits)
    assert split is not None
    du, dv, theta = (int(values.flat[0]) for values in (node.du, node.dv, node.theta))
    v_init = np.asarray(node.v_init, np.int32)
    vth = theta >> limits.shift if node.fires else 0
    reset = node.reset if node.fires else "none"
    if reset == "hard":
        hold = int(node.reset_at == "after")
        made = Compartment(shape, lag, du, dv, vth, *split, v_init, hold)
        return made, "a compartment with a refractory step" if hold else "a compartment"
    amount = fed_back(node) if reset == "soft" else 0
    assert amount is not None
    pieces = split_feedback(amount >> limits.shift, limits)
    less = int(node.v_sub.flat[0]) if (reset, node.reset_at) == ("soft", "now") else 0
    joined = MultiCompartment(
        shape,
        lag,
        du,
        dv,
        vth,
        *split,
        v_init,
        tuple(-weight for weight, _ in pieces),
        tuple(exp for _, exp in pieces),
        node.fires,
        less,
    )
    count = 1 + node.fires + bool(pieces)
    return joined, f"{count} joined compartments" if count > 1 else "a compartment without spikes"


__all__ = ["FEEDBACK_MAX", "as_compartments", "compartment_reasons", "fed_back"]
