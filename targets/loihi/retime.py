"""Retiming: every synapse takes one step, so populations lag, and branches need delays.

A hop that the graph delays by k steps carries a message of step t to step t + k. With lags L the
synapse has L_target − L_source + k steps for that, of which it takes one itself; the rest is its
own delay d, so d = L_target − L_source + k − 1 ≥ 0. The smallest lags that satisfy this for all
hops are longest paths; they exist unless a loop takes more steps than the graph delays it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snnc.errors import RefusedError
from snnc.targets.loihi.hops import Hop


def solve_lags(populations: Iterable[str], hops: Sequence[Hop]) -> dict[str, int]:
    """The smallest lag of every population; 0 for those that nothing feeds.

    Raises:
        RefusedError: a loop of more synapses than steps of delay.
    """
    lags = dict.fromkeys(populations, 0)
    for _ in range(len(lags)):
        changed = False
        for hop in hops:
            needed = lags[hop.source] + 1 - hop.delay
            if needed > lags[hop.target]:
                lags[hop.target], changed = needed, True
        if not changed:
            return lags
    for hop in hops:
        if lags[hop.source] + 1 - hop.delay > lags[hop.target]:
            raise RefusedError(
                hop.target,
                "it is in a loop that takes more steps on the chip, one per synapse, than the"
                " graph delays it by",
                "delay the loop by one step for each of its layers",
            )
    return lags


def synapse_delay(hop: Hop, lags: Mapping[str, int], delay_max: int) -> int:
    """Steps beyond its own one that the synapse of `hop` must wait.

    Raises:
        RefusedError: more than a synapse can.
    """
    delay = lags[hop.target] - lags[hop.source] + hop.delay - 1
    if delay > delay_max:
        raise RefusedError(
            hop.label,
            f"needs a synaptic delay of {delay} steps, the chip has {delay_max}",
            "shorten the delay, or the branch that this one has to wait for",
        )
    return delay


__all__ = ["solve_lags", "synapse_delay"]
