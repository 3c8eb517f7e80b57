"""What can be counted, each as a job that counts some of its samples, in any process."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.artefact import Artefact
from snnc.encoding import Encoding
from snnc.energy.counts import Counts
from snnc.energy.graph_counts import counted, watched
from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Kind, Rate
from snnc.reference import Inputs, Ports, Trace, run_float, run_int
from snnc.samples import Samples, check_samples
from snnc.targets.registry import engines

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snnc.energy.meter import Measurement
    from snnc.frontends.running import InputKind

VALUES_MAX = 1 << 24
"""Recorded values of a batch: bounds the memory to a few hundred MB."""
BATCH_MAX = 64


class Job(Protocol):
    """Something that runs samples and counts what it does."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the inputs, none for a module, whose inputs have an order instead."""
        ...

    @property
    def batch(self) -> int:
        """Samples to run at a time."""
        ...

    def check(self, data: Mapping[str, Any] | Any) -> Samples:
        """The samples of a data file, checked.

        Raises:
            InputError: they don't fit the model.
        """
        ...

    def counts(self, samples: Samples, first: int) -> Counts:
        """Counts of checked samples, of which the first is number `first` of its data set.

        Raises:
            InputError: values that become NaN or infinite.
        """
        ...


@dataclass(frozen=True)
class FloatJob:
    """A float graph (S1), run by the float64 reference.

    Attributes:
        graph: behind the encoder.
        encoding: what turns samples into its inputs.
        facts: of the target, if the graph is an artefact's.
    """

    graph: Graph
    encoding: Encoding
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> Sequence[str]:
        return self.graph.inputs

    @cached_property
    def batch(self) -> int:
        return _batch(self.graph)

    def check(self, data: Mapping[str, Any] | Any) -> Samples:
        return check_samples(self.graph, data, not self.encoding.makes_spikes)

    def counts(self, samples: Samples, first: int) -> Counts:
        inputs = self.encoding.float_inputs(self.graph, samples, first)
        for name, values in inputs.items():
            _check_kind(name, self.graph.signals[name].kind, values)
        trace = _run_finite(self.graph, inputs)
        return counted(self.graph, inputs, trace, "s1")


def _run_finite(graph: Graph, inputs: Inputs) -> Trace:
    """A run whose membranes too stay finite: one that overflows or is NaN only looks silent."""
    try:
        with np.errstate(over="raise", invalid="raise"):
            return run_float(graph, inputs, watched(graph))
    except FloatingPointError as error:
        raise InputError(
            ", ".join(graph.inputs),
            f"leads to values that are NaN or infinite ({error})",
            "check the data and their scale",
        ) from error


def _check_kind(name: str, kind: Kind, values: NDArray[Any]) -> None:
    """Operations are counted by types, so the data have to be of their type."""
    if kind is Kind.SPIKE and not np.all((values == 0) | (values == 1)):
        raise InputError(
            name,
            f"holds values from {values.min():g} to {values.max():g}, its type is spikes: 0 and 1",
            "give spikes, or let --encoding make some",
        )
    if kind is Kind.GRADED and not np.all(values == np.rint(values)):
        raise InputError(name, "holds fractions, its type is integers", "give whole numbers")


@dataclass(frozen=True)
class IntegerJob:
    """The integer graph (S2) of an artefact with its host parts.

    Attributes:
        stage: `s2` for the int64 reference, or an engine of a target.
    """

    artefact: Artefact
    stage: str

    @property
    def graph(self) -> Graph:
        """What the samples are for."""
        return self.artefact.network

    @property
    def encoding(self) -> Encoding:
        return self.artefact.encoding

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the target says of itself."""
        facts: Mapping[str, Any] = self.artefact.manifest.get("facts", {})
        return facts

    @property
    def inputs(self) -> Sequence[str]:
        return self.graph.inputs

    @cached_property
    def batch(self) -> int:
        return _batch(self.artefact.int_graph)

    def check(self, data: Mapping[str, Any] | Any) -> Samples:
        return check_samples(self.graph, data, not self.artefact.encoding.makes_spikes)

    def counts(self, samples: Samples, first: int) -> Counts:
        artefact, host = self.artefact, self.artefact.host
        front = host.front(samples)
        graph = artefact.int_graph
        with np.errstate(over="ignore"):  # a value that overflows is refused behind it
            inputs = artefact.encoding.int_inputs(graph, front, first)
        trace = self._run(graph, inputs, watched(graph))
        core = counted(graph, inputs, trace, self.stage, self._reals())
        parts = [core]
        if host.stem is not None:
            parts.insert(0, _host_part(host.stem, samples, self.stage))
        if host.head is not None:
            units = artefact.manifest["host"]["units"]
            parts.append(_host_part(host.head, host.behind(trace, front, units), self.stage))
        return core if len(parts) == 1 else Counts.chained(parts)

    def _run(self, graph: Graph, inputs: Inputs, record: Ports) -> Trace:
        if self.stage == "s2":
            return run_int(graph, inputs, record)
        return engines()[self.stage](
            graph, inputs, record, lambda _: None, self.artefact.manifest.get("chip")
        )

    def _reals(self) -> frozenset[str]:
        """Inputs of the cores whose integers stand for real numbers."""
        graph = self.artefact.float_graph
        if graph is None:
            return frozenset()
        names = self.artefact.int_graph.inputs
        return frozenset(n for n in names if graph.signals[n].kind is Kind.ANALOG)


def _host_part(graph: Graph, values: Mapping[str, Any], stage: str) -> Counts:
    """What the host computes; a part that is the same at every step is computed once."""
    if all(signal.rate is Rate.SAMPLE for signal in graph.signals.values()):
        graph = graph.with_(steps=1)
    inputs = {name: np.asarray(values[name]) for name in graph.inputs}
    return counted(graph, inputs, _run_finite(graph, inputs), stage, place="host")


def _batch(graph: Graph) -> int:
    sizes = sum(graph.signals[name].size for name in watched(graph))
    return max(1, min(BATCH_MAX, VALUES_MAX // max(1, sizes * (graph.steps or 8))))


@dataclass(frozen=True)
class ModuleJob:
    """A torch module, counted while its own forward runs; it need not be one that snnc can compile.

    Samples are (sample, …), or (sample, step, …) for a module that takes sequences.

    Attributes:
        build: makes the module, in any process.
        steps, time_axis, input_kind, neurons: see `snnc.energy.meter.measure`.
        batch: samples at a time.
        state: parameters and buffers for what `build` makes, as `torch.save` writes them.
    """

    build: Callable[[], nn.Module]
    steps: int | None = None
    time_axis: int | None = None
    input_kind: InputKind = "analog"
    neurons: tuple[type, ...] = ()
    batch: int = 16
    state: bytes | None = None

    @property
    def inputs(self) -> Sequence[str]:
        return ()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to make the same module: a factory may make random weights,
        and a module may not be picklable."""
        import torch

        tensors = {
            name: value
            for name, value in self.module.state_dict().items()
            if isinstance(value, torch.Tensor)
        }
        torch.save(tensors, buffer := io.BytesIO())
        kept = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**kept, "state": buffer.getvalue()}

    @cached_property
    def module(self) -> nn.Module:
        """The module, made when it is first needed."""
        import torch

        module = self.build()
        if self.state is not None:
            tensors = torch.load(io.BytesIO(self.state), map_location="cpu", weights_only=True)
            module.load_state_dict(tensors, strict=False)
        return module

    @cached_property
    def measurement(self) -> Measurement:
        """What all batches share."""
        from snnc.energy.meter import Measurement

        return Measurement(self.module, self.steps, self.time_axis, self.input_kind, self.neurons)

    @property
    def sequence_axis(self) -> int | None:
        """Axis of the steps in what the module takes, None for static inputs."""
        return self.measurement.time_axis

    def check(self, data: Mapping[str, Any] | Any) -> Samples:
        named = data if isinstance(data, Mapping) else {"input": data}
        arrays = {name: np.asarray(value) for name, value in named.items()}
        for name, array in arrays.items():
            _check_array(name, array, 2 if self.sequence_axis is None else 3)
            axis = self.sequence_axis or 0
            if not -array.ndim <= axis < array.ndim:
                raise InputError(
                    name,
                    f"has shape {array.shape}, and the module its steps at axis {axis}",
                    "say with --time-axis (time_axis=) where the module has its steps",
                )
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(", ".join(lengths), f"different numbers of samples: {lengths}")
        return arrays

    def counts(self, samples: Samples, first: int) -> Counts:
        inputs = tuple(self._tensor(array) for array in samples.values())
        return self.measurement.counts(self.measurement.checked(inputs))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Samples as the module takes them: its device, its type, its axes."""
        import torch

        like = next((p for p in self.module.parameters() if p.is_floating_point()), torch.empty(0))
        x = torch.as_tensor(np.ascontiguousarray(array)).to(like)
        return x if self.sequence_axis is None else x.movedim(1, self.sequence_axis)


def _check_array(name: str, array: NDArray[Any], rank: int) -> None:
    if array.dtype.kind not in "fiub":
        raise InputError(name, f"has dtype {array.dtype}", "give numbers")
    if array.ndim < rank or 0 in array.shape:
        axes = "(sample, …)" if rank == 2 else "(sample, step, …)"
        raise InputError(name, f"has shape {array.shape}", f"give {axes}, at least one of each")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(name, "holds NaN or infinite values")


COUNTING = ("s2", "sim")
"""Stages of an artefact that record what every node puts out, besides S1."""


def artefact_job(artefact: Artefact, stage: str | None) -> Job:
    """The job that counts a stage of an artefact; the sim engine's where none is named.

    Raises:
        OptionError: a stage that the artefact does not have, or that records only neurons.
    """
    stage = (stage or "sim").lower()
    if stage == "s1" and artefact.float_graph is not None:
        facts = artefact.manifest.get("facts", {})
        return FloatJob(artefact.float_graph, artefact.encoding, facts)
    if stage not in COUNTING:
        known = COUNTING if artefact.float_graph is None else ("s1", *COUNTING)
        raise OptionError("--stage", f"no counts of stage {stage!r}", f"one of {', '.join(known)}")
    return IntegerJob(artefact, stage)
