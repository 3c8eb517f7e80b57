"""The tracer: what every tensor of a running module means, and the graph that they build."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from snnc.errors import TraceError
from snnc.frontends import rules, snntorch, spikingjelly
from snnc.frontends.call import Call
from snnc.frontends.neuron_calls import Site, neuron_call
from snnc.frontends.neurons import NeuronAdapter
from snnc.frontends.recurrence import Link, unified
from snnc.frontends.results import free_name
from snnc.frontends.source_lines import user_line
from snnc.frontends.values import SPLIT, Axis, Value, describe, joined
from snnc.ir import Delay, Flatten, Gather, Input, Kind, Node, Place, Rate, Signal


def neuron_adapter(module: nn.Module, where: str) -> NeuronAdapter | None:
    """The adapter of a neuron module of any framework, None for other modules."""
    return snntorch.adapter(module, where) or spikingjelly.adapter(module, where)


def takes_sequences(module: nn.Module) -> bool:
    """Whether a neuron in it, or a container of some, is in multi-step mode."""
    for part in module.modules():
        neuron = neuron_adapter(part, "")
        if neuron is not None and neuron.multi_step:
            return True
        if spikingjelly.is_container(part) and getattr(part, "step_mode", "s") == "m":
            return True
    return False


class Tracer(TorchFunctionMode):
    """The symbolic values of one run and the graph that they build.

    Attributes:
        batch, steps: of the example; one step where it is static.
        values: by id, every tensor that depends on the input and its meaning.
        layers: by (path, function, sources), the nodes that these calls made.
        sites: the neuron modules that were called.
        failed_on_sequence: whether an error came from values with a time axis.
        picked_steps: whether forward itself went through the steps of a sequence.
        gates: spikes of the neurons that stand for functions of spikes (max-pool, AND), by node
            and step; the step of one that is the same at every step is None.
        binary: nodes whose output can only be 0 or 1.
        complements: nodes that are 1 − x of a binary node x, and this node.
        links: the Delays.
        late: by node and number of steps, the node that gives its output that much later.
        different: pairs of nodes that don't give the same at some step.
        wanted: by node, the name that it would have if it were the only one of that name.
    """

    def __init__(self, module: nn.Module, batch: int, steps: int) -> None:
        super().__init__()
        self.batch, self.steps = batch, steps
        self.values: dict[int, tuple[Tensor, Value]] = {}
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.signals: dict[str, Signal] = {}
        self.layers: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        self.sites: dict[NeuronAdapter, Site] = {}
        self.gates: dict[str, dict[int | None, Tensor]] = {}
        self.binary: set[str] = set()
        self.complements: dict[str, str] = {}
        self.links: dict[str, Link] = {}
        self.late: dict[tuple[str, int], str] = {}
        self.different: set[tuple[str, str]] = set()
        self.wanted: dict[str, str] = {}
        self.sources: dict[str, tuple[str, ...]] = {}
        self.path: list[str] = []
        self.inside_neuron = False
        self.leaves: set[str] = set()
        self.failed_on_sequence = False
        self.picked_steps = False
        self._patch(module)

    def _patch(self, root: nn.Module) -> None:
        """Makes every submodule say when it is called; a neuron is called through its adapter.

        Only the instances are touched, and `left_as_found` undoes it.
        """
        hidden: set[nn.Module] = set()
        for path, module in root.named_modules():
            if module in hidden:
                continue
            where = path or type(module).__name__.lower()
            adapter = neuron_adapter(module, where)
            if adapter is not None:
                adapter.clear()
                hidden.update(adapter.inner())
            elif spikingjelly.is_container(module):
                spikingjelly.clear_container(module)
            elif path and all(name == "parametrizations" for name, _ in module.named_children()):
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
                return neuron_call(self, adapter, forward, args, kwargs)
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
        name = function_name(func)
        if name in rules.QUERIES or name in rules.CREATORS:
            return func(*args, **kwargs)
        if name in rules.OF_ANOTHER and args and not self.is_tracked(args[0]):
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
        one = self.steps == 1
        return any(v.has_time_axis and (one or v.undecided is None) for v in known)

    def is_tracked(self, x: object) -> bool:
        """Whether `x` is a tensor that depends on the input."""
        return id(x) in self.values and self.values[id(x)][0] is x

    def track(self, x: Tensor, value: Value) -> None:
        """Remembers what a tensor means, and keeps it alive so that its id stays its own."""
        self.values[id(x)] = (x, value)

    def add_input(self, name: str, shape: tuple[int, ...], kind: Kind, rate: Rate) -> str:
        """A new Input node."""
        return self.add(name, Input(shape, kind, rate))

    def add(self, name: str, node: Node, *sources: str) -> str:
        """A new node fed by `sources`, which sum."""
        wanted = name.replace("/", "_") or "node"
        name = free_name(wanted, self.nodes)
        signal = node.infer(name, self._summed(sources))
        self.nodes[name], self.signals[name], self.sources[name] = node, signal, sources
        self.wanted[name] = wanted
        self.edges += [(source, name) for source in sources]
        moved = isinstance(node, Flatten | Gather | Place | Delay) and self.binary.issuperset(
            sources
        )
        if moved or signal.kind is Kind.SPIKE:
            self.binary.add(name)
        return name

    def _summed(self, sources: Sequence[str]) -> Signal:
        signals = [self.signals[source] for source in sources]
        if len(signals) == 1:
            return signals[0]
        real = any(signal.kind is Kind.ANALOG for signal in signals)
        once = all(signal.rate is Rate.SAMPLE for signal in signals)
        return Signal(
            Kind.ANALOG if real else Kind.GRADED,
            signals[0].shape if signals else (),
            Rate.SAMPLE if once else Rate.STEP,
        )

    def record(self, value: Value, spikes: Tensor) -> None:
        """Remembers what torch made of a neuron that stands for a function."""
        steps = self.gates.setdefault(value.node, {})
        label: Axis = next(axis for axis in ("TB", "BT", "B") if axis in value.axes)
        axes = list(value.axes)
        if label in SPLIT:
            at = axes.index(label)
            axes[at : at + 1] = SPLIT[label]
            sizes = [self.batch if axis == "B" else value.count for axis in SPLIT[label]]
            spikes = spikes.reshape(*spikes.shape[:at], *sizes, *spikes.shape[at + 1 :])
        order = [axes.index("B"), *(i for i, axis in enumerate(axes) if axis == "F")]
        if "T" in axes:
            rows = list(spikes.permute(axes.index("T"), *order).to(torch.uint8))
        else:
            rows = [spikes.permute(order).to(torch.uint8).clone()]
        if value.time == "static":
            steps[None] = rows[0]
        else:
            steps.update(zip(range(value.start, value.stop), rows, strict=True))

    def forget_aliases(self, changed: Tensor) -> None:
        """Forbids the use of other tensors on the memory of one that was changed in place."""
        memory = changed.untyped_storage().data_ptr()
        for key, (tensor, value) in self.values.items():
            if tensor is not changed and tensor.untyped_storage().data_ptr() == memory:
                broken = "its memory was changed in place through another tensor"
                self.values[key] = (tensor, replace(value, broken=broken))

    def fail(self, what: str, cause: str, fix: str) -> TraceError:
        """An error about the present call, with the line of the user's source."""
        path = next((p for p in reversed(self.path) if p), "")
        where = f"{path} ({what})" if path else what
        place = user_line()
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
        step = Call(self, "record[t] = x", func, args, {}).value(x)
        new = step.with_axis(0, "T")
        whole: Value | None = new
        if self.is_tracked(target):
            whole = joined(unified(self, [self.values[id(target)][1], new]))
        fits = tuple(target.shape[1:]) == tuple(x.shape) and step.start == index % len(target)
        if whole is None or not fits or step.has_time_axis or step.time != "steps":
            raise self.fail(
                "record[t] = x",
                f"writes {describe(step)} of {step.node} to place {index}",
                "write the steps of one layer in order into a record of their own",
            )
        func(*args)
        self.track(target, whole)


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list | tuple):
            yield from _flat(item)
        elif isinstance(item, dict):
            yield from _flat(item.values())
        else:
            yield item


def function_name(func: Callable[..., Any]) -> str:
    """The name that a function, method or operator of torch has in the tables of rules."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return f"{getattr(getattr(func, '__self__', None), '__name__', '')}.get"
    return name
