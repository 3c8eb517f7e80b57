"""`snnc.compile`: from a model to an artefact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import snnc
from snnc.artefact import LEFT_OUT, Artefact
from snnc.encoding import (
    INPUT_BITS,
    SCHEMES,
    Encoding,
    Scheme,
    direct_inputs,
    integer_inputs,
)
from snnc.errors import OptionError
from snnc.frontends.model import Example, Model
from snnc.host import Host
from snnc.ir import Graph, Input, IntNeuron, Kind, Rate
from snnc.layouts import with_layout
from snnc.passes.base import Pass, run_passes
from snnc.passes.bias_synapse import BiasSynapse
from snnc.passes.calibrate import Statistics, measure
from snnc.passes.distribute import Distribute
from snnc.passes.fold_gain import FoldGain
from snnc.passes.limits import Limits
from snnc.passes.merge_hops import MergeHops
from snnc.passes.population import HEADROOM, LayerScale
from snnc.passes.quantise import Quantised, quantise
from snnc.passes.readout import AddReadouts
from snnc.passes.regions import LEAVING, Regions, cut, encoder_layers
from snnc.passes.shift_origin import ShiftOrigin
from snnc.samples import Samples, batches, check_samples, length
from snnc.targets.base import Emitted, Target
from snnc.targets.registry import target as find_target

PIPELINE: tuple[Pass, ...] = (
    AddReadouts(), Distribute(), MergeHops(), FoldGain(), ShiftOrigin(),
)  # fmt: skip
"""What every float graph goes through before its numbers are rounded."""


def pipeline(limits: Limits) -> tuple[Pass, ...]:
    """The passes for a chip."""
    return PIPELINE if limits.neuron_programs else (*PIPELINE, BiasSynapse())


CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class Options:
    """What a user can choose of a compilation; None leaves it to the model or the default.

    Attributes:
        target, chip: the backend and its chip (default: the target's first).
        encoding: default `direct` for real inputs and `none` for spikes.
        steps: T; default the model's.
        input_bits: largest width of directly encoded inputs, width of inputs of integers (8).
        input_range: (low, high) of directly encoded inputs; default the data's.
        seed: of the rate encoder (0).
        host: nodes to run on the host, with all that is before (or behind) them.

    Raises:
        OptionError: a value that makes no sense.
    """

    target: str = "loihi"
    chip: str | None = None
    encoding: Scheme | None = None
    steps: int | None = None
    input_bits: int | None = None
    input_range: tuple[float, float] | None = None
    seed: int | None = None
    host: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.encoding is not None and self.encoding not in SCHEMES:
            raise OptionError(
                "--encoding", f"no encoding {self.encoding!r}", f"one of {', '.join(SCHEMES)}"
            )
        for label, low, high in (("steps", 1, None), ("input_bits", 1, 24), ("seed", 0, None)):
            _check_whole(label, getattr(self, label), low, high)
        if self.input_range is not None and not _is_range(self.input_range):
            raise OptionError(
                "--input-range",
                f"{self.input_range!r} is no range",
                "give LOW and HIGH, LOW < HIGH",
            )


def _check_whole(label: str, value: Any, low: int, high: int | None) -> None:
    if value is None:
        return
    inside = type(value) is int and value >= low and (high is None or value <= high)
    if not inside:
        span = f"from {low}" + ("" if high is None else f" to {high}")
        raise OptionError(
            f"--{label.replace('_', '-')}", f"{value!r} makes no sense", f"a whole number {span}"
        )


def _is_range(bounds: Any) -> bool:
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        return False
    return -math.inf < low < high < math.inf


def compile_model(
    model: Model,
    options: Options,
    calibration: Mapping[str, Any] | Any | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Artefact:
    """Compiles a model.

    Args:
        calibration: samples that choose the scales; None takes the model's own example.
        progress: told (samples run, all samples) while calibrating.

    Raises:
        RefusedError: a node can't be expressed on the chip.
        OptionError: options that don't fit the model or the target.
    """
    backend = find_target(options.target)
    limits = backend.limits(options.chip)
    if model.is_integer:
        return _integer_artefact(model, backend, limits, options, calibration)
    encoding = _encoding(model.graph, options)
    _check_steps(model.graph, encoding, options)
    steps = options.steps or model.graph.steps
    float_graph = encoding.float_graph(model.graph).with_(steps=steps).check()
    regions = _regions(float_graph, encoding, backend, limits, options)
    _check_encoder(backend, encoding, regions)
    host = Host(regions.stem, regions.head)
    example = _example(model, encoding, steps)
    data = _core_samples(
        _calibration(float_graph, encoding, example, calibration), host, regions.core
    )
    merged = run_passes(regions.core, pipeline(limits))
    if example is None and model.example is not None:
        merged = merged.noting(f"{LEFT_OUT}its inputs are no {_expected(model.graph, encoding)}")
    statistics = _statistics(merged, encoding, data, progress)
    encoded = merged
    if not encoding.makes_spikes:
        bits = options.input_bits or INPUT_BITS
        encoded = direct_inputs(merged, bits, options.input_range, data, regions.entering)
        encoded = integer_inputs(encoded, options.input_bits, data)
    quantised = quantise(encoded, limits, statistics)
    emitted = with_layout(backend, quantised.graph, limits, options.chip)
    facts = _manifest(quantised, float_graph, encoding, limits, emitted, model, options)
    manifest = {**facts, **_host_facts(regions, quantised, facts["outputs"])}
    files = dict(emitted.files)
    return Artefact(manifest, float_graph, quantised.graph, encoding, example, files, host)


def _regions(
    graph: Graph, encoding: Encoding, backend: Target, limits: Limits, options: Options
) -> Regions:
    """The network cut into what the host and what the cores compute."""
    host = options.host
    if encoding.scheme == "host":
        host = (*host, *encoder_layers(graph))
    regions = cut(graph, backend.unsupported, limits.message_bits > 0, host)
    if regions.stem is not None and encoding.makes_spikes:
        raise OptionError(
            "--encoding",
            f"{encoding.scheme} makes spikes of the samples, but the host computes on the samples:"
            f" {', '.join(name for name in regions.why if name in regions.stem.nodes)}",
            f"leave {'--host or ' if options.host else ''}--encoding away",
        )
    return regions


def _check_encoder(backend: Target, encoding: Encoding, regions: Regions) -> None:
    """Whether what stands before the cores is what the target has there."""
    takes = f"target {backend.name} takes {' or '.join(backend.encodings)}"
    if encoding.scheme not in backend.encodings:
        raise OptionError(
            "--encoding",
            f"{encoding.scheme} encoding; {takes}",
            f"give --encoding {backend.encodings[0]}, or compile for another target",
        )
    if regions.stem is not None and "host" not in backend.encodings:
        nodes = ", ".join(name for name in regions.why if name in regions.stem.nodes)
        raise OptionError(
            "--host",
            f"the host would stand before the cores, with {nodes}; {takes}",
            "leave --host away, or compile for another target",
        )


def _core_samples(data: Samples | None, host: Host, core: Graph) -> Samples | None:
    """The samples as they enter the cores."""
    if data is None or host.stem is None:
        return data
    parts = [host.front(part) for _, part in batches(data, CALIBRATION_BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in core.inputs}


def _host_facts(regions: Regions, quantised: Quantised, units: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of the host's share; nothing where it has none."""
    if regions.stem is None and regions.head is None:
        return {}
    crossings = [
        {"node": name, "into": into, "shape": list(signal.shape), "kind": signal.kind.value,
         "rate": signal.rate.value}
        for into, signals in (("cores", regions.entering), ("host", regions.leaving))
        for name, signal in signals.items()
    ]  # fmt: skip
    leaving = {f"{name}{LEAVING}": quantised.units[f"{name}{LEAVING}"] for name in regions.leaving}
    behind = [] if regions.head is None else regions.head.outputs
    outputs = {name: unit for name, unit in units.items() if name not in leaving}
    outputs |= {name: {"unit": 1.0} for name in behind}
    places = {
        "stem": [] if regions.stem is None else list(regions.stem.nodes),
        "head": [] if regions.head is None else list(regions.head.nodes),
    }
    host = {"why": dict(regions.why), "crossings": crossings, "units": leaving, **places}
    return {"outputs": outputs, "host": host}


def _integer_artefact(
    model: Model, backend: Target, limits: Limits, options: Options, calibration: object
) -> Artefact:
    """A source that holds integers already leaves open only T and the width of its input."""
    plain = Options(
        options.target, options.chip, steps=options.steps, input_bits=options.input_bits
    )
    if options != plain or calibration is not None:
        raise OptionError(
            "--encoding, --input-range, --seed, --host, --calibrate",
            "have no say: the source holds integers already",
            "leave these options away",
        )
    graph = _with_input_bits(model.graph, options.input_bits)
    if options.steps is not None:
        graph = graph.with_(steps=options.steps)
    emitted = with_layout(backend, graph.check(), limits, options.chip)
    encoding = Encoding("none")
    manifest = _manifest(Quantised(graph), None, encoding, limits, emitted, model, options)
    return Artefact(manifest, None, graph, encoding, model.example, dict(emitted.files))


def _with_input_bits(graph: Graph, bits: int | None) -> Graph:
    """A `.net` file does not say how wide its input is: binary spikes unless the user does."""
    inputs = {name: node for name, node in graph.nodes.items() if isinstance(node, Input)}
    if bits is None:
        binary = [name for name, node in inputs.items() if node.kind is Kind.SPIKE]
        return graph.noting(
            *(f"{name}: binary spikes (assumed; --input-bits for graded ones)" for name in binary)
        )
    graded = {name: replace(node, kind=Kind.GRADED, bits=bits) for name, node in inputs.items()}
    return graph.with_nodes(graded)


def _encoding(graph: Graph, options: Options) -> Encoding:
    kinds = {node.kind for node in graph.nodes.values() if isinstance(node, Input)}
    scheme: Scheme = options.encoding or ("direct" if Kind.ANALOG in kinds else "none")
    if scheme not in ("none", "uwe", "ttfs") and Kind.ANALOG not in kinds:
        raise OptionError(
            "--encoding",
            f"the model takes spikes already, {scheme} makes them from real values",
            "leave --encoding away",
        )
    integers = Kind.GRADED in kinds and not options.input_range
    if scheme != "direct" and not integers and (options.input_bits or options.input_range):
        raise OptionError(
            "--input-bits, --input-range", f"mean nothing with {scheme} encoding", "leave them away"
        )
    if scheme != "rate" and options.seed is not None:
        raise OptionError("--seed", f"means nothing with {scheme} encoding", "leave it away")
    encoding = Encoding(scheme, seed=options.seed or 0)
    return replace(encoding, steps=options.steps or graph.steps if encoding.makes_spikes else None)


def _check_steps(graph: Graph, encoding: Encoding, options: Options) -> None:
    sequence = any(_is_sequence(graph, name) for name in graph.inputs)
    if options.steps is None or encoding.makes_spikes or not sequence:
        return
    if graph.steps not in (None, options.steps):
        raise OptionError(
            "--steps",
            f"the model takes sequences of {graph.steps} steps",
            "leave --steps away: a sequence brings its own length",
        )


def _example(model: Model, encoding: Encoding, steps: int | None) -> Example | None:
    """The example as samples for the encoder, without the framework's spikes where these belong to
    other steps or inputs; None if the encoder makes its inputs of no samples."""
    example = model.example
    if example is None:
        return None
    if not encoding.makes_spikes:
        return example if steps == model.graph.steps else Example(example.inputs)
    samples = dict(example.inputs)
    if any(
        not encoding.takes(name, samples[name])
        for name in model.graph.inputs
        if not _is_sequence(model.graph, name)
    ):
        return None
    sequences = [name for name in model.graph.inputs if _is_sequence(model.graph, name)]
    for name in sequences:
        images = encoding.decoded(name, samples[name])
        if images is None:
            return None
        samples[name] = images
    whole = sequences == model.graph.inputs
    return replace(example, inputs=samples) if whole else Example(samples)


def _expected(graph: Graph, encoding: Encoding) -> str:
    """What the inputs of an example would have to be for an encoder of images."""
    if any(_is_sequence(graph, name) for name in graph.inputs):
        return f"{encoding.scheme} code"
    return f"images of integers, which {encoding.scheme} encoding takes"


def _is_sequence(graph: Graph, name: str) -> bool:
    return graph.signals[name].rate is Rate.STEP


def _calibration(
    graph: Graph, encoding: Encoding, example: Example | None, given: Mapping[str, Any] | Any | None
) -> Samples | None:
    stepwise = not encoding.makes_spikes
    if given is not None:
        return check_samples(graph, given, stepwise)
    return None if example is None else check_samples(graph, example.inputs, stepwise)


def _statistics(
    graph: Graph,
    encoding: Encoding,
    data: Samples | None,
    progress: Callable[[int, int], None],
) -> Statistics | None:
    if data is None:
        return None
    total = length(data)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    runs = (
        encoding.float_inputs(graph, part, first)
        for first, part in batches(data, CALIBRATION_BATCH)
    )
    return measure(graph, runs, advance)


def _manifest(
    quantised: Quantised,
    float_graph: Graph | None,
    encoding: Encoding,
    limits: Limits,
    emitted: Emitted,
    model: Model,
    options: Options,
) -> dict[str, Any]:
    graph = quantised.graph
    return {
        "snnc": snnc.__version__,
        "target": options.target,
        "chip": limits.chip,
        "source": dict(model.source),
        "steps": graph.steps,
        "dt": graph.dt,
        "encoding": asdict(encoding),
        "passes": [] if float_graph is None else [p.name for p in pipeline(limits)] + ["quantise"],
        "rounding": "nearest, ties to even; decays truncate towards zero; negative exponents floor",
        "headroom": HEADROOM,
        "layers": {name: _layer(graph, name, quantised.layers, emitted) for name in graph.neurons},
        "outputs": {name: {"unit": unit} for name, unit in quantised.units.items()},
        "lag": dict(emitted.lag),
        "limits": asdict(limits),
        "notes": list(graph.notes),
        "report": list(emitted.report),
        "facts": dict(emitted.facts),
    }


def _layer(
    graph: Graph, name: str, layers: Mapping[str, LayerScale], emitted: Emitted
) -> dict[str, Any]:
    node = graph.nodes[name]
    assert isinstance(node, IntNeuron)
    facts: dict[str, Any] = {
        "shape": list(graph.signals[name].shape),
        "reset": node.reset,
        "reset_at": node.reset_at,
        "fires": node.fires,
        "lag": emitted.lag.get(name, 0),
    }
    return facts if name not in layers else {**facts, "quantisation": asdict(layers[name])}
