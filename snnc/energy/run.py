"""From a model and data files to a report: what the command line and Python both call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnc.api import Compiled
from snnc.artefact import MANIFEST, Artefact, load
from snnc.encoding import Encoding, Scheme
from snnc.energy.conventions import conventions as known_conventions
from snnc.energy.conventions.base import Convention, Settings
from snnc.energy.counts import Counts, FirstLayer
from snnc.energy.front_end import converter
from snnc.energy.jobs import FloatJob, IntegerJob, Job, ModuleJob, artefact_job
from snnc.energy.prices import load_prices
from snnc.energy.report import READINGS, Report, build_report
from snnc.energy.shards import count_samples
from snnc.errors import InputError, OptionError
from snnc.frontends.load import (
    SourceOptions,
    check_nir_options,
    is_factory,
    load_source,
    need_torch,
)
from snnc.frontends.model import Model
from snnc.ir import Graph
from snnc.samples import Samples, length, read_samples, split_labels

if TYPE_CHECKING:
    from torch import nn

    from snnc.frontends.running import InputKind

DEFAULT = Settings()
ALL = "all"
"""What stands for every convention."""

Progress = Callable[[str, int, int], None]
"""Told what runs, the samples done, and all samples."""


def run_energy(
    model: str,
    inputs: Sequence[str],
    *,
    conventions: Sequence[str] = ("effective",),
    prices: str = "45nm-fp32",
    settings: Settings = DEFAULT,
    encoder: str | None = None,
    stage: str | None = None,
    encoding: Scheme | None = None,
    samples: int | None = None,
    workers: int = 1,
    source: SourceOptions,
    progress: Progress = lambda _what, _done, _all: None,
) -> Report:
    """Runs a model on data files and reports its energy.

    Args:
        model: `.pt`, `.nir`, `.net`, `package.module:factory`, or an artefact folder.
        inputs: data files, one set.
        conventions: names or `all`; the first one is the main one.
        prices: name of a price table, or a `.toml` file.
        encoder: circuit that makes the spikes, `sar:BITS`.
        stage: of an artefact; the simulator without it.
        encoding: what makes spikes of the samples of a model; see `snnc.encoding`.
        samples: only so many, the first ones.
        workers: processes that share the samples.
        source: what the model source leaves open.

    Raises:
        OptionError, InputError, ModelFileError, ArtefactError, TraceError: what is wrong and how to
            put it right.
    """
    chosen = choose(conventions)
    table = load_prices(prices)
    job = open_job(model, source, stage, encoding)
    adc = converter(job, encoder)
    data = [split_labels(read_samples(file), job.inputs)[0] for file in inputs]
    files = _first(samples, [job.check(part) for part in data])
    counts = count_samples(job, files, workers, lambda *done: progress("counting", *done))
    encoded = None if adc is None else adc.energy(_pixels(data), counts.steps)
    return build_report(Path(model).name, counts, chosen, table, settings, encoded)


def choose(names: str | Sequence[str]) -> list[Convention]:
    """Conventions by name; `all` stands for those that are not named, behind the others.

    Raises:
        OptionError: no such convention, or none at all.
    """
    known = known_conventions()
    asked = [names] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in known and name != ALL:
            raise OptionError(
                "--convention", f"no convention {name!r}", f"one of {', '.join(known)}, {ALL}"
            )
    if not asked:
        raise OptionError("--convention", "there is none", f"one of {', '.join(known)}, {ALL}")
    chosen = dict.fromkeys(name for name in asked if name != ALL)
    if ALL in asked:
        chosen.update(dict.fromkeys(known))
    return [known[name] for name in chosen]


def open_job(model: str, source: SourceOptions, stage: str | None, encoding: Scheme | None) -> Job:
    """What there is to run behind the name of a model.

    Raises:
        OptionError: options that mean nothing for it; see also `run_energy`.
    """
    folder = Path(model)
    if (folder / MANIFEST).is_file() or (folder.is_dir() and not folder.suffix):
        _check_artefact_options(source, encoding)
        return artefact_job(load(model), stage)
    if stage is not None:
        raise OptionError(
            "--stage", "names a stage of an artefact, this is a model", "leave --stage away"
        )
    if is_factory(model):
        if encoding is not None:
            raise OptionError(
                "--encoding",
                "a factory's module takes what it is given",
                "encode the data, or export the module and count the file",
            )
        if source.example is not None:
            raise OptionError("--example", "the data of --input do", "leave --example away")
        check_nir_options(source, "a factory's module")
        need_torch(model)
        return ModuleJob(partial(_made, model, source.weights), source.steps, source.time_axis)
    return model_job(load_source(model, source), encoding, source.steps)


def _check_artefact_options(source: SourceOptions, encoding: Scheme | None) -> None:
    """No option is ignored: an artefact is done with what a model's source leaves open."""
    for label, value in (
        ("--encoding", encoding),
        ("--steps", source.steps),
        ("--weights", source.weights),
        ("--example", source.example),
        ("--time-axis", source.time_axis),
    ):
        if value is not None:
            raise OptionError(label, "the artefact brings its own", f"leave {label} away")
    check_nir_options(source, "an artefact")


def _made(spec: str, weights: str | None) -> nn.Module:
    from snnc.frontends.factory import build_module

    return build_module(spec, weights)


def model_job(model: Model, encoding: Scheme | None, steps: int | None) -> Job:
    """The job that counts a model's own graph.

    Raises:
        OptionError: an encoding that makes spikes needs the number of steps.
    """
    graph = model.graph if steps is None else model.graph.with_(steps=steps)
    if model.is_integer:
        if encoding is not None:
            raise OptionError(
                "--encoding", "the network takes spikes as they are", "leave --encoding away"
            )
        return IntegerJob(Artefact({}, None, graph, Encoding("none")), "sim")
    scheme = Encoding(encoding or "direct")
    if scheme.makes_spikes:
        scheme = replace(scheme, steps=graph.steps)
    return FloatJob(scheme.float_graph(model.graph).with_(steps=graph.steps).check(), scheme)


def _first(most: int | None, files: list[Samples]) -> list[Samples]:
    """Only the first samples of the whole set."""
    if most is None:
        return files
    kept: list[Samples] = []
    for samples in files:
        part = {name: value[:most] for name, value in samples.items()}
        taken = len(next(iter(part.values())))
        if taken:
            kept.append(part)
        most -= taken
    return kept


def energy_of(
    model: Any,
    data: Any,
    *,
    steps: int | None = None,
    time_axis: int | None = None,
    input_kind: InputKind = "analog",
    neurons: Sequence[type] = (),
    stage: str | None = None,
    conventions: str | Sequence[str] = ("effective",),
    prices: str | Path = "45nm-fp32",
    first_layer: FirstLayer = "per_step",
    zero_weights: bool = True,
    encoder: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Energy of a network on samples.

    Args:
        model: an `nn.Module`, whose own forward runs, also one that snnc can't compile; a compiled
            network, a Model or a Graph.
        data: for a module, a batch as it takes it, a tuple of batches for several inputs, or an
            iterable of batches such as a DataLoader (of (batch, labels), the labels are left out);
            for the others, arrays (sample, …) by input name (`labels` are left out), or one array.
        steps: how often a single-step module is called; T of a Model or Graph.
        time_axis, input_kind: how a module is stepped, see `snnc.export`.
        neurons: classes of the module's own neurons, which spike.
        stage: of a compiled network: `s1`, `s2`, `sim` (default).
        conventions: a name or several, or `all`; the first one is the main one.
        prices: name of a price table, or a `.toml` file.
        first_layer: whether layers whose input never changes count `per_step` or `once`.
        zero_weights: whether products with weights of 0 count.
        encoder: circuit that makes the spikes, `sar:BITS`.
        progress: told (samples done, all).

    Raises:
        OptionError, InputError, TraceError: what is wrong and how to put it right.
    """
    chosen, table = choose(conventions), load_prices(prices)
    if first_layer not in READINGS:
        raise OptionError("first_layer", f"{first_layer!r}", f"one of {', '.join(READINGS)}")
    settings = Settings(first_layer, zero_weights)
    if hasattr(model, "forward") and not isinstance(model, type):
        _refuse("a module", stage=stage)
        if not all(isinstance(item, type) for item in neurons):
            raise OptionError("neurons", f"{list(neurons)}", "give classes")
        job = ModuleJob(lambda: model, steps, time_axis, input_kind, tuple(neurons))
        adc = converter(job, encoder)
        counts, pixels = _count_stream(job, data, progress)
    else:
        _refuse(
            f"a {type(model).__name__}", time_axis=time_axis, neurons=neurons or None,
            input_kind=None if input_kind == "analog" else input_kind,
        )  # fmt: skip
        graph_job = _graph_job(model, stage, steps)
        adc = converter(graph_job, encoder)
        samples = data
        if isinstance(data, Mapping):
            samples = split_labels(dict(data), graph_job.inputs)[0]
        counts = count_samples(graph_job, [graph_job.check(samples)], 1, progress)
        pixels = _pixels([samples])
    name = type(model).__name__
    encoded = None if adc is None else adc.energy(pixels, counts.steps)
    return build_report(name, counts, chosen, table, settings, encoded)


def _count_stream(
    job: ModuleJob, data: Any, progress: Callable[[int, int], None]
) -> tuple[Counts, int]:
    """Counts of a module batch by batch, none of which is kept, and the values of a sample."""
    whole = len(data.dataset) if hasattr(data, "dataset") else 0
    parts: list[Counts] = []
    pixels, done = 0, 0
    for batch in _batches(data):
        arrays = _sample_first(job, batch)
        pixels, before = _pixels([arrays]), done
        samples = job.check(arrays)
        size = length(samples)

        def within(some: int, _all: int, before: int = before, size: int = size) -> None:
            progress(before + some, max(whole, before + size))

        parts.append(count_samples(job, [samples], 1, within))
        done += size
    if not parts:
        raise InputError("data", "there are no samples", "give at least one batch")
    return Counts.joined(parts), pixels


def _refuse(what: str, **options: object) -> None:
    """No option is ignored."""
    for name, value in options.items():
        if value is not None:
            raise OptionError(name, f"means nothing for {what}", "leave it away")


def _graph_job(model: Any, stage: str | None, steps: int | None) -> Job:
    match model:
        case Compiled() | Artefact():
            _refuse("a compiled network, which has its own T", steps=steps)
            return artefact_job(model if isinstance(model, Artefact) else model.artefact, stage)
        case Model() | Graph():
            _refuse("a model that is not compiled", stage=stage)
            return model_job(model if isinstance(model, Model) else Model(model), None, steps)
    raise OptionError(
        "snnc.energy",
        f"a {type(model).__name__} is no model",
        "give an nn.Module, a compiled network, a Model or a Graph",
    )


def _batches(data: Any) -> Iterator[tuple[Any, ...]]:
    """Inputs of the module, batch by batch."""
    if isinstance(data, tuple):
        yield data
        return
    if hasattr(data, "shape"):
        yield (data,)
        return
    if isinstance(data, Mapping):
        yield tuple(split_labels(dict(data))[0].values())
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise InputError(
            "data", f"a {type(data).__name__} holds no samples",
            "give a batch, a tuple of them for several inputs, or a DataLoader",
        )  # fmt: skip
    for batch in data:
        yield (batch[0],) if isinstance(batch, list | tuple) else (batch,)


def _sample_first(job: ModuleJob, batch: tuple[Any, ...]) -> dict[str, Any]:
    """A batch as the module takes it, as (sample, …) or (sample, step, …) arrays."""
    arrays = [
        value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
        for value in batch
    ]
    axis = job.sequence_axis
    if axis is not None:
        for array in arrays:
            if not -array.ndim <= axis < array.ndim or array.ndim < 2:
                raise InputError(
                    "data", f"has shape {array.shape}, and no steps at axis {axis}",
                    "say with time_axis where the steps are",
                )  # fmt: skip
        arrays = [np.moveaxis(array, axis, 0).swapaxes(0, 1) for array in arrays]
    return {f"input_{index}": array for index, array in enumerate(arrays)}


def _pixels(batches: Sequence[Mapping[str, Any] | Any]) -> int:
    """Values of one sample, as the data hold them."""
    first = batches[0] if batches else {}
    values = first.values() if isinstance(first, Mapping) else [first]
    return sum(math.prod(np.shape(value)[1:]) for value in values)
