"""Which outputs share memory: a long network needs no more of it than a short one."""

from __future__ import annotations

from snnc.ir import Delay, Flatten, Gather, Input, Output, Place, Sum
from snnc.targets.sim.plan import Plan

LASTING = -1
"""Slot of an output that is needed beyond its tile, or lies where another node put it."""


def slots(plan: Plan) -> dict[str, int]:
    """A number per node; of the nodes with one number, one is done with before the next begins.

    Outputs that are recorded live to the end of the tile, those that are computed once per block
    of samples for ever.
    """
    ends = _ends(plan)
    table: dict[str, int] = {}
    busy_until: list[int] = []
    for now, name in enumerate(plan.order):
        if plan.once(name) or not _fills(plan, name):
            table[name] = LASTING
            continue
        free = (slot for slot, end in enumerate(busy_until) if end < now)
        slot = next(free, len(busy_until))
        busy_until[slot : slot + 1] = [ends[name]]
        table[name] = slot
    return table


def _fills(plan: Plan, name: str) -> bool:
    """Whether the node writes an output of its own."""
    match plan.graph.nodes[name]:
        case Input() | Output() | Delay():
            return False
        case Flatten() | Sum():
            return len(plan.graph.sources(name)) > 1 or plan.graph.sources(name)[0] in plan.fused
        case _:
            return name not in plan.fused


def _ends(plan: Plan) -> dict[str, int]:
    """By node, the last place in the order at which its output is read."""
    place = {name: index for index, name in enumerate(plan.order)}
    ends: dict[str, int] = {}
    for name in reversed(plan.order):
        end = len(place) if name in plan.ports else place[name]
        for target in plan.graph.targets(name):
            end = max(end, _read_until(plan, target, place, ends))
        ends[name] = end
    return ends


def _read_until(plan: Plan, name: str, place: dict[str, int], ends: dict[str, int]) -> int:
    """How long `name` needs its input: its own output may be a view of it."""
    match plan.graph.nodes[name]:
        case Delay() if name in plan.closing:
            return len(place)
        case Flatten() | Sum() | Gather() | Place() | Output():
            return ends[name]
        case _:
            return place[name]
