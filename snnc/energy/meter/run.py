"""One measurement of a module: how its forward is called, batch by batch."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnc.energy.counts import Counts
from snnc.energy.meter.labels import NONE, Book, Labels, Mark
from snnc.energy.meter.mode import Meter
from snnc.energy.meter.neurons import tensors
from snnc.errors import GraphError, InputError, OptionError, SnncError, TraceError
from snnc.frontends.neurons import to_numpy
from snnc.frontends.running import ExampleInput, InputKind, checked_inputs, left_as_found
from snnc.frontends.source_lines import line_of
from snnc.frontends.tracer import takes_sequences
from snnc.ir import Kind

BATCH = 32
"""Samples that run at a time, unless the caller says otherwise."""

_OWN = str(Path(__file__).parent)

Style = Literal["static", "whole", "stepwise"]


def measure(
    module: nn.Module,
    inputs: ExampleInput,
    *,
    steps: int | None = None,
    time_axis: int | None = None,
    input_kind: InputKind = "analog",
    neurons: Sequence[type[nn.Module]] = (),
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Counts what a module does on some samples.

    Values belong to the sample and step of the input that they come from. A module that takes a
    static input and calls its neurons several times makes one step per call; what is the same at
    every step counts at every step, and is marked static. Mean and sum over the steps belong to the
    last one.

    Args:
        module: runs in evaluation mode, from freshly reset neurons; it is left as it was.
        inputs: samples, (sample, …), with the steps at `time_axis` if they are sequences. A tuple
            gives the module several arguments.
        steps: number of steps, for a module whose forward is one step of a static input, or that
            repeats a static input itself.
        time_axis: axis of the steps in the inputs. 0 is assumed for SpikingJelly's multi-step
            mode if neither `steps` nor `time_axis` is given.
        input_kind: what the inputs are: real numbers, 0/1 spikes or integers.
        neurons: classes of the user's own that are neurons; the first tensor that they return
            holds their spikes.
        batch: samples that run at a time. Counts do not depend on it.
        progress: is told (samples done, of how many) after each batch.

    Raises:
        InputError: inputs that are empty, NaN, infinite, complex, not on the CPU or don't fit
            `input_kind` or each other; values on the way that are NaN or infinite, spikes that are
            not 0 or 1, samples of a batch that mix, a module that does other things in one batch
            than in another.
        OptionError: options that make no sense.
        TraceError: the module fails on the inputs, or has no spiking neuron.
        GraphError: weights that are NaN, infinite, not yet made or not on the CPU.
    """
    if batch < 1:
        raise OptionError("batch", f"{batch} samples at a time", "give at least 1")
    run = Measurement(module, steps, time_axis, input_kind, neurons)
    given = run.checked(inputs)
    axis = 0 if run.time_axis is None else 1
    total = given[0].shape[axis]
    parts = []
    for start in range(0, total, batch):
        parts.append(run.counts([x.narrow(axis, start, min(batch, total - start)) for x in given]))
        if progress is not None:
            progress(min(start + batch, total), total)
    return Counts.joined(parts)


def _check_weights(module: nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise GraphError(name, "has no shape yet", "run the module once before")
        if tensor.device.type != "cpu":
            raise GraphError(name, f"is on device {tensor.device}", "measure module.cpu()")
        if not tensor.is_floating_point():
            continue
        values = to_numpy(tensor)
        # One sum tells, save where it overflows.
        with np.errstate(over="ignore", invalid="ignore"):
            total = values.sum()
        if not np.isfinite(total) and not np.isfinite(values).all():
            raise GraphError(name, "holds NaN or infinite values", "check the training")


def _time_first(x: Tensor, time_axis: int) -> Tensor:
    if not -x.dim() <= time_axis < x.dim() or x.dim() < 3:
        raise OptionError(
            "time_axis",
            f"axis {time_axis} of inputs of shape {tuple(x.shape)}",
            "a sequence has the axes (step, batch, …) or (batch, step, …)",
        )
    return x.movedim(time_axis, 0)


class Measurement:
    """Batches of one measurement, which share their labels and the fan-outs of the layers.

    The module's weights must stay as they are from the first batch to the last. Arguments and
    errors are those of `measure`.
    """

    def __init__(
        self,
        module: nn.Module,
        steps: int | None = None,
        time_axis: int | None = None,
        input_kind: InputKind = "analog",
        neurons: Sequence[type[nn.Module]] = (),
    ) -> None:
        self.module, self.asked, self.input_kind = module, steps, input_kind
        self.kind = Kind(input_kind) if input_kind in tuple(Kind) else Kind.ANALOG
        self.neurons = tuple(neurons)
        self.multi_step = takes_sequences(module)
        if time_axis is None and steps is None and self.multi_step:
            time_axis = 0
        self.time_axis = time_axis
        self.style: Style | None = "static" if time_axis is None else None
        self.book = Book()
        self.plans: dict[Any, Any] = {}
        _check_weights(module)

    def checked(self, inputs: ExampleInput) -> list[Tensor]:
        """The inputs with their steps, if they have some, as the first axis."""
        for x in tensors(inputs):
            if x.device.type != "cpu":
                raise InputError("inputs", f"are on device {x.device}", "pass x.cpu()")
            if x.is_complex():
                raise InputError("inputs", "are complex", "pass their parts as real numbers")
        given = checked_inputs(inputs, self.asked, self.input_kind)
        for x in given:
            if not bool(torch.isfinite(x).all()):
                raise InputError("inputs", "hold NaN or infinite values", "clean the data")
        axis = self.time_axis
        found = [x if axis is None else _time_first(x, axis) for x in given]
        sizes = {x.shape[0 if axis is None else 1] for x in found}
        if len(sizes) != 1:
            raise InputError("inputs", f"batches of different sizes {sorted(sizes)}")
        return found

    def counts(self, inputs: Sequence[Tensor]) -> Counts:
        """Counts of one batch of checked inputs."""
        if self.style is None and inputs[0].shape[0] == 1:
            # One step can't be told from none; which way the module takes steps, two can show.
            self.counts([torch.cat([x, x]) for x in inputs])
        if self.style is not None:
            return self._as(self.style, inputs)[0]
        first: SnncError | None = None
        found: Counts | None = None
        try:
            found, followed = self._as("whole", inputs)
            if followed or self.multi_step:
                self.style = "whole"
                return found
        except (TraceError, InputError) as error:
            if self.multi_step:
                raise
            first = error
        try:
            # A forward that never tells steps apart takes one of them.
            stepwise = self._as("stepwise", inputs)[0]
        except (TraceError, InputError) as error:
            if found is None:
                raise (first if first is not None and error.__cause__ else error) from error
            self.style = "whole"
            return found
        self.style = "stepwise"
        return stepwise

    def _as(self, style: Style, inputs: Sequence[Tensor]) -> tuple[Counts, bool]:
        """Counts, and whether forward told steps apart."""
        samples = inputs[0].shape[0 if style == "static" else 1]
        with left_as_found(self.module):
            meter = Meter(
                self.module, samples, style != "static", self.asked, self.neurons, self.book,
                self.plans,
            )  # fmt: skip
            if style != "static":
                meter.steps = inputs[0].shape[0]
            results = getattr(self, f"_{style}")(meter, inputs)
            self._check(meter, results)
            return meter.counts(), meter.followed

    def _static(self, meter: Meter, inputs: Sequence[Tensor]) -> list[Any]:
        arguments = [x.clone() for x in inputs]
        for x in arguments:
            sample = self.book.along(0, x.shape[0], x.dim())
            self._mark(meter, x, Labels(sample, self.book.constant(NONE, x.dim())), True)
        results = [self._call(meter, arguments)]
        if meter.spiked and meter.steps == 1:
            if self.asked is None:
                raise TraceError(
                    type(self.module).__name__,
                    "its forward is one step, and nothing says how many to run",
                    "pass steps=T for a static input, or time_axis=k for a sequence",
                )
            results += [self._call(meter, arguments) for _ in range(self.asked - 1)]
        return results

    def _whole(self, meter: Meter, inputs: Sequence[Tensor]) -> list[Any]:
        assert self.time_axis is not None
        arguments = []
        for x in inputs:
            moved = x.clone().movedim(0, self.time_axis)
            axis = self.time_axis % x.dim()
            step = self.book.along(axis, x.shape[0], x.dim())
            sample = self.book.along(1 if axis == 0 else 0, x.shape[1], x.dim())
            self._mark(meter, moved, Labels(sample, step))
            arguments.append(moved)
        return [self._call(meter, arguments)]

    def _stepwise(self, meter: Meter, inputs: Sequence[Tensor]) -> list[Any]:
        results = []
        for t in range(inputs[0].shape[0]):
            arguments = []
            for x in inputs:
                row = x[t].clone()
                sample = self.book.along(0, row.shape[0], row.dim())
                self._mark(meter, row, Labels(sample, self.book.constant(t, row.dim())))
                arguments.append(row)
            results.append(self._call(meter, arguments))
        return results

    def _mark(self, meter: Meter, x: Tensor, labels: Labels, static: bool = False) -> None:
        real = self.kind is Kind.ANALOG
        natural = self.kind is Kind.SPIKE
        meter.set(x, Mark(self.kind, labels, static, real, natural, source="input"))

    def _call(self, meter: Meter, arguments: Sequence[Tensor]) -> Any:
        try:
            with meter:
                return self.module(*arguments)
        except SnncError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            if last.filename.startswith(_OWN) and last.name not in ("_ran", "__torch_function__"):
                raise  # a defect of the meter, not of the module
            place = line_of(error)
            raise TraceError(
                type(self.module).__name__,
                f"its own forward fails on the inputs: {type(error).__name__}: {error}"
                + (f" [{place}]" if place else ""),
                "give inputs that the module takes; pass steps= or time_axis= for one step",
            ) from error

    def _check(self, meter: Meter, results: Sequence[Any]) -> None:
        name = type(self.module).__name__
        found = [t for result in results for t in tensors(result)]
        if not meter.spiked:
            raise TraceError(
                name,
                "no spiking neuron was called and no comparison made spikes",
                "measure a spiking network; name its classes of neurons with neurons=",
            )
        if not any(meter.mark(t) is not None for t in found):
            raise TraceError(
                name,
                "returns nothing that functions of torch made from its inputs",
                "return its spikes; scripted and compiled parts can't be measured",
            )
        for t in found:
            if t.is_floating_point() and not bool(torch.isfinite(t).all()):
                raise InputError(
                    name, "its output becomes NaN or infinite", "check data and weights"
                )


__all__ = ["BATCH", "measure"]
