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
    reached_by: dict[str, Hop] = {}
    for _ in range(len(lags)):
        changed = ""
        for hop in hops:
            needed = lags[hop.source] + 1 - hop.delay
            if needed > lags[hop.target]:
                lags[hop.target], changed = needed, hop.target
                reached_by[hop.target] = hop
        if not changed:
            return lags
    raise _too_fast(changed, reached_by)


def _too_fast(at: str, reached_by: Mapping[str, Hop]) -> RefusedError:
    """What is wrong with a loop that lags grow around; following `reached_by` leads into it."""
    seen: list[str] = []
    while at not in seen:
        seen.append(at)
        at = reached_by[at].source
    loop = seen[seen.index(at) :][::-1]
    delay = sum(reached_by[name].delay for name in loop)
    return RefusedError(
        loop[0],
        f"it is in the loop {' → '.join([loop[-1], *loop])}, which takes {len(loop)}"
        f" step{'s' if len(loop) > 1 else ''} on the chip, one per synapse; the graph delays it"
        f" by {delay}",
        "delay the loop by one step for each of its layers, as a network trained with every"
        " recurrent connection delayed does, or run it on --target sim",
    )


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
