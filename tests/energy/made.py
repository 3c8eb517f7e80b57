"""Hand-made counts: a layer, a line, a population, with every number given by the test."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.energy.conventions import Figure, Settings, conventions
from snnc.energy.counts import Cause, Counts, Line, Op, Population, Synapses
from snnc.energy.prices import Prices, load_prices
from snnc.ir import Kind

FP32 = load_prices("45nm-fp32")


def table(values: Any) -> Any:
    """(sample, step) int64."""
    return np.atleast_2d(np.asarray(values, np.int64))


def layer(
    name: str,
    events: Any,
    dense: int,
    *,
    operation: Any = "linear",
    kind: Kind = Kind.SPIKE,
    in_shape: tuple[int, ...] = (4,),
    out_shape: tuple[int, ...] = (3,),
    **more: Any,
) -> Synapses:
    """A layer whose events all have the fan-out of a linear layer unless it is said otherwise."""
    events = table(events)
    products = table(more.pop("products", events * int(np.prod(out_shape))))
    value = table(more.pop("value", events if kind is not Kind.ANALOG else 0 * events))
    operations = table(more.pop("operations", products))
    given = {
        "direct": False, "static": False, "kernel": (), "stride": (), "groups": 1,
        "weights": 0 if operation == "attention" else dense, "bias": False,
        "taps": more.pop("taps", dense), "products": products, "operations": operations,
        "products_nonzero": table(more.pop("products_nonzero", products)),
        "operations_nonzero": table(more.pop("operations_nonzero", operations)),
    }  # fmt: skip
    return Synapses(
        name=name, operation=operation, kind=kind, in_shape=in_shape, out_shape=out_shape,
        dense=dense, events=events, value=value, **{**given, **more},
    )  # fmt: skip


def line(
    name: str, cause: Cause, what: str, operations: dict[Op, Any], *, steps: int = 1, **more: Any
) -> Line:
    totals = {op: np.atleast_1d(np.asarray(n, np.int64)) for op, n in operations.items()}
    given = {"static": False, "inputs": 1, "outputs": 1, **more}
    return Line(name, cause, what, steps=steps, operations=totals, **given)


def population(
    name: str, size: int, spikes: Any, leaks: bool = False, fires: bool = True, gate: bool = False
) -> Population:
    return Population(name, size, leaks, fires, table(spikes), gate)


def counts(
    synapses: tuple[Synapses, ...] = (),
    lines: tuple[Line, ...] = (),
    populations: tuple[Population, ...] = (),
    **more: Any,
) -> Counts:
    parts: list[Any] = [s.events for s in synapses] + [p.spikes for p in populations]
    samples, steps = parts[0].shape
    return Counts("torch", samples, steps, synapses, lines, populations, **more)


def figure(
    name: str, counted: Counts, prices: Prices = FP32, settings: Settings | None = None
) -> Figure:
    return conventions()[name].figure(counted, prices, settings or Settings())


def tally(done: Figure) -> dict[tuple[str, str, str], list[float]]:
    """Counts per sample by (layer, what, operation)."""
    return {
        (item.layer, item.what, str(item.op)): np.asarray(item.count, float).tolist()
        for item in done.items
    }
