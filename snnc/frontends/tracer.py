"""The tracer: what every tensor of a running module means, and the graph that they build."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from snnc.errors import TraceError
from snnc.frontends import snntorch, spikingjelly, structure
from snnc.frontends.call import Call
from snnc.frontends.neurons import NeuronAdapter, is_constant
from snnc.frontends.values import AXIS_NAMES, Axes, Value, describe, feature_axes, joined
from snnc.ir import Input, Kind, Neuron, Node, Rate, Signal
from snnc.ir.ops import Port


def neuron_adapter(module: nn.Module, where: str) -> NeuronAdapter | None:
    """The adapter of a neuron module of any framework, None for other modules."""
    return snntorch.adapter(module, where) or spikingjelly.adapter(module, where)


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


class Tracer(TorchFunctionMode):
    """The symbolic values of one run and the graph that they build."""

    def __init__(self, module: nn.Module, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.values: dict[int, tuple[Tensor, Value]] = {}
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.signals: dict[str, Signal] = {}
        self.layers: dict[tuple[str, str, str], list[str]] = {}
        self.sites: dict[NeuronAdapter, Site] = {}
        self.path: list[str] = []
        self.inside_neuron = False
        self.leaves: set[str] = set()
        self.failed_on_sequence = False
        self._patch(module)

    def _patch(self, root: nn.Module) -> None:
        """Makes every submodule say when it is called; a neuron is called through its adapter.

        Only the instances are touched, and `_left_as_found` undoes it.
        """
        hidden: set[nn.Module] = set()
        for path, module in root.named_modules():
            if module in hidden:
                continue
            where = path or type(module).__name__.lower()
            adapter = neuron_adapter(module, where)
            if adapter is not None:
                adapter.clear()
                hidden.update(module.modules())
            elif path and next(module.children(), None) is None:
                self.leaves.add(path)
            vars(module)["forward"] = self._forward(module.forward, path, adapter)

    def _forward(
        self, forward: Callable[..., Any], path: str, adapter: NeuronAdapter | None
    ) -> Callable[..., Any]:
        def patched(*args: Any, **kwargs: Any) -> Any:
            self.path.append(path)
            try:
                if adapter is None or self.inside_neuron:
                    return forward(*args, **kwargs)
                return self._neuron_call(adapter, forward, args, kwargs)
            finally:
                self.path.pop()

        return patched

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside_neuron or not self._touches(args, kwargs):
            return func(*args, **kwargs)
        name = _name(func)
        if name in structure.QUERIES or name in structure.CREATORS:
            return func(*args, **kwargs)
        if name == "__setitem__":
            return self._set_item(func, args)
        try:
            return Call(self, name, func, args, dict(kwargs)).run()
        except TraceError:
            self.failed_on_sequence = self._has_sequence((*args, *kwargs.values()))
            raise

    def _touches(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
        return any(self.is_tracked(x) for x in _flat((*args, *kwargs.values())))

    def _has_sequence(self, args: Iterable[Any]) -> bool:
        known = (self.values[id(x)][1] for x in _flat(args) if self.is_tracked(x))
        return any(value.has_time_axis for value in known)

    def is_tracked(self, x: object) -> bool:
        """Whether `x` is a tensor that depends on the input."""
        return id(x) in self.values and self.values[id(x)][0] is x

    def track(self, x: Tensor, value: Value) -> None:
        """Remembers what a tensor means, and keeps it alive so that its id stays its own."""
        self.values[id(x)] = (x, value)

    def unique(self, wanted: str) -> str:
        """A node name that is not taken yet."""
        wanted = wanted.replace("/", "_") or "node"
        name, number = wanted, 0
        while name in self.nodes:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def add_input(self, name: str, shape: tuple[int, ...], kind: Kind, rate: Rate) -> str:
        """A new Input node."""
        name = self.unique(name)
        self.nodes[name] = Input(shape, kind, rate)
        self.signals[name] = Signal(kind, shape, rate)
        return name

    def add(self, name: str, node: Node, source: str) -> str:
        """A new node fed by `source`."""
        name = self.unique(name)
        signal = node.infer(name, self.signals[source])
        self.nodes[name], self.signals[name] = node, signal
        self.edges.append((source, name))
        return name

    def fail(self, what: str, cause: str, fix: str = "") -> TraceError:
        """An error about the present call, with the line of the user's source."""
        path = next((p for p in reversed(self.path) if p), "")
        where = f"{path} ({what})" if path else what
        place = _user_line()
        return TraceError(where, cause + (f" [{place}]" if place else ""), fix)

    def _set_item(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """record[t] = x[t], for a recording tensor that was made before the loop."""
        target, index, x = args
        if not isinstance(target, Tensor) or type(index) is not int or not self.is_tracked(x):
            raise self.fail(
                "record[t] = x",
                "writes into a tensor",
                "collect the steps in a list and stack them",
            )
        step = self.values[id(x)][1]
        new = step.with_axis(0, "T")
        whole = joined([self.values[id(target)][1], new]) if self.is_tracked(target) else new
        fits = tuple(target.shape[1:]) == tuple(x.shape) and step.start == index % len(target)
        if whole is None or not fits or step.has_time_axis or step.time != "steps":
            raise self.fail(
                "record[t] = x",
                f"writes {describe(step)} of {step.node} to place {index}",
                "write the steps of one layer in order into a record of their own",
            )
        func(*args)
        self.track(target, whole)

    def _neuron_call(
        self, adapter: NeuronAdapter, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        x, passed = adapter.arguments(args, kwargs)
        site, start, stop = self._neuron_input(adapter, x)
        self._check_states(adapter, site, passed)
        self.inside_neuron = True
        try:
            result = forward(*args, **kwargs)
        finally:
            self.inside_neuron = False
        site.steps = stop
        rank = len(self.signals[site.node].shape)
        last = Value(site.node, ("B", *feature_axes(rank)), "steps", start=stop - 1, stop=stop)
        whole = replace(last, axes=("T", *last.axes), start=start)
        shown = whole if adapter.multi_step else last
        for port in adapter.states:
            if isinstance(state := adapter.held(port), Tensor):
                self.track(state, replace(last, port=port))
        for tensor, port in adapter.sequences():
            self.track(tensor, replace(whole, port=port))
        outputs = adapter.returned(result)
        for tensor, port in outputs:
            self.track(tensor, replace(shown, port=port))
        spikes = outputs[0][0]
        site.spikes += list(spikes.detach().clone()) if adapter.multi_step else [spikes.clone()]
        return result

    def _neuron_input(self, adapter: NeuronAdapter, x: object) -> tuple[Site, int, int]:
        """The neuron's site and the range of steps that this call takes."""
        what = type(adapter.module).__name__
        if not isinstance(x, Tensor) or not self.is_tracked(x):
            raise self.fail(
                what,
                "its input does not depend on the input of the module",
                "feed it values that torch functions made from the input",
            )
        value = self.values[id(x)][1]
        if value.time == "total" or value.port != "s":
            raise self.fail(
                what, "it is fed by a membrane or by a sum over the steps", "feed it spikes"
            )
        wanted: Axes = ("T", "B") if adapter.multi_step else ("B",)
        if value.axes != (*wanted, *("F",) * (len(value.axes) - len(wanted))):
            self.failed_on_sequence = value.has_time_axis
            raise self.fail(
                what,
                f"it takes ({', '.join(AXIS_NAMES[a] for a in wanted)}, features) but gets"
                f" {describe(value)}",
                "pass time_axis=0 and an example with the axes (step, batch, …)"
                if adapter.multi_step
                else "pass steps=T for a static example, time_axis=k for a sequence",
            )
        shape = tuple(x.shape[len(wanted) :])
        if adapter not in self.sites:
            name = self.add(adapter.where, adapter.canonical(shape), value.node)
            self.sites[adapter] = Site(name, value.node)
        site = self.sites[adapter]
        count = value.count if adapter.multi_step else 1
        self._check_steps(what, site, value)
        return site, site.steps, site.steps + count

    def _check_steps(self, what: str, site: Site, value: Value) -> None:
        if value.node != site.source:
            raise self.fail(
                what,
                f"its input comes from {site.source} at first and from {value.node} in call"
                f" {len(site.spikes) + 1}",
                "use one neuron object per place in the network",
            )
        if value.time == "steps" and value.start != site.steps:
            raise self.fail(
                what,
                f"its step {site.steps} reads step {value.start} of {value.node}",
                "call it once per step on values of that step; recurrent and delayed links come in"
                " a later release",
            )

    def _check_states(
        self, adapter: NeuronAdapter, site: Site, passed: Mapping[Port, object]
    ) -> None:
        """The state before a call must be the neuron's own after the step before."""
        node = self.nodes[site.node]
        assert isinstance(node, Neuron)
        for port in adapter.states:
            state = passed.get(port, adapter.held(port))
            start = float(node.v_init) if port == "v" else 0.0
            if site.steps == 0:
                fresh = not self.is_tracked(state) and is_constant(state, start)
            else:
                known = self.values[id(state)][1] if self.is_tracked(state) else None
                fresh = (
                    known is not None
                    and (known.node, known.port, known.stop)
                    == (
                        site.node,
                        port,
                        site.steps,
                    )
                    and not known.has_time_axis
                    and known.time == "steps"
                )
            if not fresh:
                raise self.fail(
                    type(adapter.module).__name__,
                    f"its state {port} at step {site.steps} is not "
                    + (f"{start:g}" if site.steps == 0 else "its own of the step before"),
                    "start from freshly reset neurons and pass each state on unchanged;"
                    " other initial states and recurrent links come in a later release",
                )


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list | tuple):
            yield from _flat(item)
        elif isinstance(item, dict):
            yield from _flat(item.values())
        else:
            yield item


def _name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return f"{getattr(getattr(func, '__self__', None), '__name__', '')}.get"
    return name


def is_library(filename: str) -> bool:
    """Whether a source file belongs to a framework or to the tracer."""
    modules = (sys.modules.get(n) for n in ("torch", "snntorch", "spikingjelly", __package__))
    files = (getattr(module, "__file__", None) for module in modules)
    return any(filename.startswith(str(Path(file).parent)) for file in files if file)


def _user_line() -> str:
    """file:line of the innermost frame of the user's module, '' if it has no own code."""
    outermost = str(Path(__file__).with_name("trace.py"))
    current: FrameType | None = sys._getframe(1)
    while current is not None and current.f_code.co_filename != outermost:
        if not is_library(current.f_code.co_filename):
            return f"{current.f_code.co_filename}:{current.f_lineno}"
        current = current.f_back
    return ""
