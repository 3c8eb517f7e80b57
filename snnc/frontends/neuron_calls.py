"""Calls of neuron modules during a trace: the k-th call is step k, on values of that step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from snnc.frontends.arrange import settled
from snnc.frontends.call import Call
from snnc.frontends.neurons import NeuronAdapter, is_constant
from snnc.frontends.recurrence import delayed, gives_the_same
from snnc.frontends.values import AXIS_NAMES, Axes, Value, describe, feature_axes
from snnc.ir import Neuron
from snnc.ir.ops import Port

if TYPE_CHECKING:
    from snnc.frontends.tracer import Tracer


@dataclass
class Site:
    """A neuron during a trace.

    Attributes:
        node: its name.
        source: node that feeds it.
        steps: steps taken so far.
        spikes: what it returned, (batch, …) per step.
    """

    node: str
    source: str
    steps: int = 0
    spikes: list[Tensor] = field(default_factory=list)


def neuron_call(
    tracer: Tracer,
    adapter: NeuronAdapter,
    forward: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> Any:
    """Runs a neuron's own forward; what it returns and keeps is known from then on.

    Raises:
        TraceError: its input or its state is not that of its own next step.
    """
    x, passed = adapter.arguments(args, kwargs)
    site = tracer.sites.get(adapter)
    if site is not None:
        _check_states(tracer, adapter, site, passed)
    if isinstance(x, Tensor):
        x = adapter.with_feedback(x, passed)
    site, start, stop = _neuron_input(tracer, adapter, x)
    if start == 0:
        _check_states(tracer, adapter, site, passed)
    tracer.inside_neuron = True
    try:
        result = forward(*args, **kwargs)
    finally:
        tracer.inside_neuron = False
    site.steps = stop
    rank = len(tracer.signals[site.node].shape)
    last = Value(site.node, ("B", *feature_axes(rank)), "steps", start=stop - 1, stop=stop)
    whole = replace(last, axes=("T", *last.axes), start=start)
    shown = whole if adapter.multi_step else last
    for port in adapter.states:
        if isinstance(state := adapter.held(port), Tensor):
            tracer.track(state, replace(last, port=port))
    for tensor, port in adapter.sequences():
        tracer.track(tensor, replace(whole, port=port))
    outputs = adapter.returned(result)
    for tensor, port in outputs:
        tracer.track(tensor, replace(shown, port=port))
    spikes = outputs[0][0]
    site.spikes += list(spikes.detach().clone()) if adapter.multi_step else [spikes.clone()]
    return result


def _neuron_input(tracer: Tracer, adapter: NeuronAdapter, x: object) -> tuple[Site, int, int]:
    """The neuron's site and the range of steps that this call takes."""
    what = type(adapter.module).__name__
    if not isinstance(x, Tensor) or not tracer.is_tracked(x):
        raise tracer.fail(
            what,
            "its input does not depend on the input of the module",
            "feed it values that torch functions made from the input",
        )
    call = Call(tracer, what, type(x), (), {})
    value = call.value(x)
    if value.time == "total" or value.port != "s":
        raise tracer.fail(
            what,
            "it is fed by a membrane or by a sum over the steps",
            "feed it spikes; add a value of the step before behind that of this step: now + before",
        )
    wanted: Axes = ("T", "B") if adapter.multi_step else ("B",)
    if value.axes[: len(wanted)] != wanted or "T" in value.axes[len(wanted) :]:
        value = settled(call, x, value)
    if value.axes != (*wanted, *("F",) * (len(value.axes) - len(wanted))):
        tracer.failed_on_sequence = value.has_time_axis
        raise tracer.fail(
            what,
            f"it takes ({', '.join(AXIS_NAMES[a] for a in wanted)}, features) but gets"
            f" {describe(value)}",
            "pass time_axis=0 and an example with the axes (step, batch, …)"
            if adapter.multi_step
            else "pass steps=T for a static example, time_axis=k for a sequence",
        )
    shape = tuple(x.shape[len(wanted) :])
    if adapter not in tracer.sites:
        name = tracer.add(adapter.where, adapter.canonical(shape), value.node)
        tracer.sites[adapter] = Site(name, value.node)
    site = tracer.sites[adapter]
    count = value.count if adapter.multi_step else 1
    _feed(call, site, value)
    return site, site.steps, site.steps + count


def _feed(call: Call, site: Site, value: Value) -> None:
    """Lets the neuron take `value` at its next step; a node that gives what the ones before gave,
    and more through Delays, takes their place.

    Raises:
        TraceError: it is a later step, or another input than that of the steps before.
    """
    tracer, called = call.tracer, len(site.spikes) + 1
    late = ""
    if value.time == "steps" and value.start != site.steps:
        late = f": its step {site.steps} reads step {value.start} of {value.node}"
        if value.start > site.steps:
            raise call.fail(late[2:], "call it once per step on values of that step")
        value = delayed(call, value, site.steps)
    if value.node == site.source:
        return
    if not gives_the_same(tracer, value.node, site.source, range(site.steps)):
        raise call.fail(
            f"its input comes from {site.source} at first and from {value.node} in call"
            f" {called}{late}",
            "use one neuron object per place in the network, and the same constants and layers"
            " at every step; a link from earlier steps starts with zeros",
        )
    tracer.edges[tracer.edges.index((site.source, site.node))] = (value.node, site.node)
    tracer.sources[site.node] = (value.node,)
    site.source = value.node


def _check_states(
    tracer: Tracer, adapter: NeuronAdapter, site: Site, passed: Mapping[Port, object]
) -> None:
    """The state before a call must be the neuron's own after the step before."""
    node = tracer.nodes[site.node]
    assert isinstance(node, Neuron)
    for port in adapter.states:
        state = passed.get(port, adapter.held(port))
        start = float(node.v_init) if port == "v" else 0.0
        if site.steps == 0:
            fresh = not tracer.is_tracked(state) and is_constant(state, start)
        else:
            known = tracer.values[id(state)][1] if tracer.is_tracked(state) else None
            fresh = (
                known is not None
                and (known.node, known.port, known.stop) == (site.node, port, site.steps)
                and not known.has_time_axis
                and not known.broken
                and known.time == "steps"
            )
        if not fresh:
            raise tracer.fail(
                type(adapter.module).__name__,
                f"its state {port} at step {site.steps} is not "
                + (f"{start:g}" if site.steps == 0 else "its own of the step before"),
                "start from freshly reset neurons and pass each state on unchanged; a link from"
                " the step before takes the neuron's spikes and adds to its input",
            )
