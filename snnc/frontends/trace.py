"""Tracing a torch module into a float graph (S1), by running it once on an example.

The module's own forward runs in the caller's process. Every tensor that depends on the input
carries a `Value`: its node, its steps, its axes. Every function of torch that touches such a tensor
has a rule or raises, so nothing is left out unseen; a loop over T steps visits the same nodes T
times instead of making T copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.errors import InputError, OptionError, SnncError, TraceError
from snnc.frontends.model import Example, Model
from snnc.frontends.neurons import to_numpy
from snnc.frontends.recurrence import pulled_back
from snnc.frontends.results import (
    add_output,
    leaves,
    natural_names,
    own,
    pruned,
    renamed,
    with_gates,
)
from snnc.frontends.running import ExampleInput, InputKind, checked_inputs, left_as_found
from snnc.frontends.source_lines import line_of
from snnc.frontends.tracer import Tracer, takes_sequences
from snnc.frontends.values import Axes, Value, feature_axes
from snnc.ir import Graph, Kind, Rate
from snnc.reference.agreement import check_agreement


def trace(
    module: nn.Module,
    example_input: ExampleInput,
    *,
    steps: int | None = None,
    time_axis: int | None = None,
    input_kind: InputKind = "analog",
) -> Model:
    """The float graph of a module, and its own spikes for the example.

    Args:
        module: runs in evaluation mode, from freshly reset neurons; it is left as it was.
        example_input: a batch, (batch, …), with time at `time_axis` if it is a sequence. A tuple
            gives the module several arguments.
        steps: number of steps, for a module whose forward is one step of a static input.
        time_axis: axis of the steps in the example. 0 is assumed for SpikingJelly's multi-step
            mode if neither `steps` nor `time_axis` is given.
        input_kind: what the inputs are: real numbers, 0/1 spikes or integers.

    Raises:
        TraceError: something that can't become a graph, with its place in the source.
        InputError: the example doesn't fit `input_kind`.
        GraphError: NaN or infinite weights.
    """
    model = _traced(module, example_input, steps, time_axis, input_kind)
    check_agreement(model.graph, model.example or Example())
    return model


def run_module(
    module: nn.Module,
    inputs: ExampleInput,
    *,
    steps: int | None = None,
    time_axis: int | None = None,
    input_kind: InputKind = "analog",
) -> Example:
    """What the module itself does with `inputs` (stage S0), by the node names of `trace`.

    Args and errors are those of `trace`.
    """
    return _traced(module, inputs, steps, time_axis, input_kind).example or Example()


def _traced(
    module: nn.Module,
    example_input: ExampleInput,
    steps: int | None,
    time_axis: int | None,
    input_kind: InputKind,
) -> Model:
    inputs = checked_inputs(example_input, steps, input_kind)
    with left_as_found(module):
        run = Run(module, inputs, steps, time_axis, input_kind)
        if run.time_axis is None:
            return run.once_then_repeat()
        try:
            return run.once()
        except TraceError as error:
            if not run.may_be_single_step:
                raise
            first = error
    with left_as_found(module):
        try:
            return Run(module, inputs, steps, time_axis, input_kind).step_by_step()
        except TraceError as second:
            crashed = second.__cause__ is not None and first.__cause__ is None
            raise (first if crashed else second) from second.__cause__


class Run:
    """One trace: the inputs with their meaning, the calls of the module, and the model."""

    def __init__(
        self,
        module: nn.Module,
        inputs: tuple[Tensor, ...],
        steps: int | None,
        time_axis: int | None,
        input_kind: InputKind,
    ) -> None:
        self.module, self.asked_steps, self.kind = module, steps, Kind(input_kind)
        self.multi_step = takes_sequences(module)
        if time_axis is None and steps is None and self.multi_step:
            time_axis = 0
        self.time_axis = time_axis
        copies = [x.clone() for x in inputs]  # a forward may change its input in place
        self.inputs = [x if time_axis is None else self._time_first(x) for x in copies]
        lead = 0 if time_axis is None else 1
        batches = {x.shape[lead] for x in self.inputs}
        if len(batches) != 1:
            raise InputError("example_input", f"batches of different sizes {sorted(batches)}")
        self.batch = batches.pop()
        self.kept = [to_numpy(x if time_axis is None else x.transpose(0, 1)).copy()
                     for x in self.inputs]  # fmt: skip
        self.tracer = Tracer(module, self.batch, self.inputs[0].shape[0] if lead else 1)
        rate = Rate.SAMPLE if time_axis is None else Rate.STEP
        many = len(self.inputs) > 1
        self.names = [
            self.tracer.add_input(
                f"input_{i}" if many else "input", tuple(x.shape[lead + 1 :]), self.kind, rate
            )
            for i, x in enumerate(self.inputs)
        ]

    def _time_first(self, x: Tensor) -> Tensor:
        assert self.time_axis is not None
        if not -x.dim() <= self.time_axis < x.dim() or x.dim() < 3:
            raise OptionError(
                "time_axis",
                f"axis {self.time_axis} of an example of shape {tuple(x.shape)}",
                "a sequence has the axes (step, batch, …) or (batch, step, …)",
            )
        return x.movedim(self.time_axis, 0)

    @property
    def may_be_single_step(self) -> bool:
        """Whether a failed run of the whole sequence failed because forward takes one step."""
        tracer = self.tracer
        itself = self.multi_step or tracer.picked_steps
        return not itself and not tracer.sites and tracer.failed_on_sequence

    def once_then_repeat(self) -> Model:
        """A static input: forward loops over the steps itself, or is called until `steps`."""
        arguments = []
        for name, x in zip(self.names, self.inputs, strict=True):
            self.tracer.track(x, Value(name, ("B", *feature_axes(x.dim() - 1))))
            arguments.append(x)
        results = [self._call(arguments)]
        if not self.tracer.sites:
            raise TraceError(
                type(self.module).__name__,
                "no spiking neuron was called",
                "trace a spiking network",
            )
        taken = {site.steps for site in self.tracer.sites.values()}
        single = taken == {1}
        if single and self.asked_steps is None:
            raise TraceError(
                type(self.module).__name__,
                "its forward is one step, and nothing says how many to run",
                "pass steps=T for a static input, or time_axis=k for a sequence",
            )
        if single:
            results += [self._call(arguments) for _ in range((self.asked_steps or 1) - 1)]
        return self._model(results)

    def once(self) -> Model:
        """A sequence as a whole: forward loops over it, or is in multi-step mode."""
        arguments = []
        for name, x in zip(self.names, self.inputs, strict=True):
            axes: Axes = ("T", "B", *feature_axes(x.dim() - 2))
            value = Value(name, axes, "steps", stop=x.shape[0])
            assert self.time_axis is not None
            moved = x.movedim(0, self.time_axis)
            order = list(axes[1:])
            order.insert(self.time_axis % x.dim(), "T")
            self.tracer.track(moved, value.with_axes(order))
            arguments.append(moved)
        return self._model([self._call(arguments)])

    def step_by_step(self) -> Model:
        """A sequence, one call of the module per step."""
        results = []
        for t in range(self.inputs[0].shape[0]):
            arguments = []
            for name, x in zip(self.names, self.inputs, strict=True):
                axes: Axes = ("B", *feature_axes(x.dim() - 2))
                arguments.append(x[t])
                self.tracer.track(arguments[-1], Value(name, axes, "steps", start=t, stop=t + 1))
            results.append(self._call(arguments))
        return self._model(results)

    def _call(self, arguments: Sequence[Tensor]) -> Any:
        try:
            with self.tracer:
                return self.module(*arguments)
        except SnncError:
            raise
        except Exception as error:
            place = line_of(error)
            self.tracer.failed_on_sequence = True
            raise TraceError(
                type(self.module).__name__,
                f"its own forward fails on the example: {type(error).__name__}: {error}"
                + (f" [{place}]" if place else ""),
                "give an example that the module takes; pass steps= or time_axis= for one step",
            ) from error

    def _model(self, results: Sequence[Any]) -> Model:
        tracer = self.tracer
        steps = self._step_count()
        outputs: dict[str, NDArray[Any]] = {}
        returned = [list(leaves(result)) for result in results]
        for same in zip(*returned, strict=True):
            name, array = add_output(tracer, same[0][0], [t for _, t in same], steps)
            outputs[name] = array
        if not outputs:
            raise TraceError(type(self.module).__name__, "returns no tensor", "return the spikes")
        spikes = {
            site.node: to_numpy(torch.stack(site.spikes, 1).to(torch.uint8))
            for site in tracer.sites.values()
        }
        pulled_back(tracer)
        nodes = {name: own(node) for name, node in tracer.nodes.items()}
        graph = pruned(Graph(nodes, tuple(tracer.edges), steps), set(self.names)).check()
        inputs = dict(zip(self.names, self.kept, strict=True))
        kept = with_gates(graph, inputs, spikes, tracer.gates, steps)
        names = natural_names(graph, tracer.wanted)
        example = Example(
            *(
                {names[name]: array for name, array in part.items()}
                for part in (inputs, kept, outputs)
            )
        )
        return Model(renamed(graph, names), example, _source(self.module))

    def _step_count(self) -> int:
        sites = self.tracer.sites.values()
        taken = {site.node: site.steps for site in sites}
        if self.time_axis is not None:
            taken["the example"] = self.inputs[0].shape[0]
        if self.asked_steps is not None:
            taken["steps="] = self.asked_steps
        if not sites or len(set(taken.values())) != 1:
            raise TraceError(
                type(self.module).__name__,
                "its neurons take different numbers of steps: "
                + (", ".join(f"{name} {count}" for name, count in taken.items()) or "none"),
                "call every neuron once per step",
            )
        return next(iter(taken.values()))


def _source(module: nn.Module) -> dict[str, str]:
    """Versions of the frameworks whose layers the module uses."""
    used = {type(part).__module__.partition(".")[0] for part in module.modules()} | {"torch"}
    return {name: version(name) for name in ("torch", "snntorch", "spikingjelly") if name in used}


__all__ = ["ExampleInput", "InputKind", "run_module", "trace"]
