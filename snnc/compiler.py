"""`snnc.compile`: from a model to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import snnc
from snnc.artefact import Artefact
from snnc.encoding import Encoding, Scheme, direct_inputs
from snnc.errors import OptionError
from snnc.frontends.model import Example, Model
from snnc.ir import Graph, Input, IntNeuron, Kind
from snnc.passes.base import Pass, run_passes
from snnc.passes.calibrate import Statistics, measure
from snnc.passes.distribute import Distribute
from snnc.passes.limits import Limits
from snnc.passes.merge_hops import MergeHops
from snnc.passes.quantise import HEADROOM, LayerScale, quantise
from snnc.passes.readout import AddReadouts
from snnc.passes.shift_origin import ShiftOrigin
from snnc.samples import Samples, batches, check_samples
from snnc.targets.base import Emitted
from snnc.targets.registry import target as find_target

PIPELINE: tuple[Pass, ...] = (AddReadouts(), Distribute(), MergeHops(), ShiftOrigin())
"""What every float graph goes through before its numbers are rounded."""

CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class Options:
    """What a user can choose of a compilation.

    Attributes:
        target, chip: the backend and its chip (None: the target's default).
        encoding: None chooses `direct` for real inputs and `none` for spikes.
        steps: T; None takes the model's.
        input_bits: largest width of directly encoded inputs.
        input_range: (low, high) of directly encoded inputs; None takes the data's.
        seed: of the rate encoder.
    """

    target: str = "loihi"
    chip: str | None = None
    encoding: Scheme | None = None
    steps: int | None = None
    input_bits: int = 8
    input_range: tuple[float, float] | None = None
    seed: int = 0


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
    encoding = _encoding(model.graph, options)
    if model.is_integer:
        graph = model.graph
        return _artefact(
            graph, None, encoding, limits, backend.emit(graph, limits), model, {}, options
        )
    steps = options.steps or model.graph.steps
    float_graph = encoding.float_graph(model.graph.with_(steps=steps)).check()
    data = _calibration(float_graph, encoding, model.example, calibration)
    merged = run_passes(float_graph, PIPELINE)
    statistics = _statistics(merged, encoding, data, progress)
    encoded = merged
    if encoding.scheme == "direct":
        encoded = direct_inputs(merged, options.input_bits, options.input_range, data)
    quantised = quantise(encoded, limits, statistics)
    graph = quantised.graph
    emitted = backend.emit(graph, limits)
    return _artefact(
        graph, float_graph, encoding, limits, emitted, model, quantised.layers, options
    )


def _encoding(graph: Graph, options: Options) -> Encoding:
    kinds = {node.kind for node in graph.nodes.values() if isinstance(node, Input)}
    scheme: Scheme = options.encoding or ("direct" if Kind.ANALOG in kinds else "none")
    if scheme != "none" and Kind.ANALOG not in kinds:
        raise OptionError(
            "--encoding", f"the model takes spikes already, {scheme} makes them from real values",
            "leave --encoding away",
        )  # fmt: skip
    steps = options.steps or graph.steps
    seeded = scheme == "rate"
    made = scheme in ("rate", "latency")
    return Encoding(scheme, steps if made else None, options.seed if seeded else 0)


def _calibration(
    graph: Graph, encoding: Encoding, example: Example | None, given: Mapping[str, Any] | Any | None
) -> Samples | None:
    stepwise = encoding.scheme in ("direct", "none")
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
    total = len(next(iter(data.values())))
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


def _artefact(
    graph: Graph,
    float_graph: Graph | None,
    encoding: Encoding,
    limits: Limits,
    emitted: Emitted,
    model: Model,
    layers: Mapping[str, LayerScale],
    options: Options,
) -> Artefact:
    manifest = {
        "snnc": snnc.__version__,
        "target": options.target,
        "chip": limits.chip,
        "source": dict(model.source),
        "steps": graph.steps,
        "dt": graph.dt,
        "encoding": asdict(encoding),
        "passes": [] if float_graph is None else [p.name for p in PIPELINE] + ["quantise"],
        "rounding": "nearest, ties to even; decays truncate towards zero; negative exponents floor",
        "headroom": HEADROOM,
        "layers": {name: _layer(graph, name, layers, emitted) for name in graph.neurons},
        "lag": dict(emitted.lag),
        "limits": asdict(limits),
        "notes": list(graph.notes),
        "report": list(emitted.report),
        "facts": dict(emitted.facts),
    }
    return Artefact(manifest, float_graph, graph, encoding, model.example, dict(emitted.files))


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
