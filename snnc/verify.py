"""Runs the stages of an artefact on the same samples and says where two of them first differ.

Stages: `s0` the framework's own spikes, `s1` the float graph, `s2` the integer graph, then every
engine of the installed targets (`sim`, `loihi`, `lava`, `uwe`: S4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.artefact import LEFT_OUT, Artefact
from snnc.encoding import SCHEMES
from snnc.errors import InputError, OptionError
from snnc.frontends.model import Example
from snnc.ir import Graph, IntNeuron, Neuron, Output
from snnc.ir import Kind as SignalKind
from snnc.quality import Decoder, MeanPsnr, check_clean, check_decodable
from snnc.reference import Ports, Trace, run_float, run_int
from snnc.reference.agreement import FrameworkAgreement, compare_with_framework
from snnc.reference.trace import add_events, step_count
from snnc.samples import Samples, accuracy, batches, check_labels, check_samples, length
from snnc.targets.base import Target
from snnc.targets.registry import engines, targets

BATCH = 32
"""Samples that are run and compared at a time; bounds the memory of the records."""

SLOW_SAMPLES = 20
"""Samples given to Lava by default: it takes milliseconds a step."""

Kind = Literal["ties", "quantised", "exact"]
Progress = Callable[[str, int, int], None]
"""Told what runs, the samples done and all samples."""


@dataclass
class LayerResult:
    """Comparison of one layer: decisions compared, differing, and (S0–S1) ties among them."""

    compared: int = 0
    differing: int = 0
    ties: int = 0


@dataclass(frozen=True)
class Difference:
    """The first place where two stages differ, with what each of them had there.

    `s` is the layer's output, `v` its membrane at the end of the step: in real
    units where the float graph stands beside an integer stage, else the integers as they are.
    """

    layer: str
    step: int
    neuron: tuple[int, ...]
    sample: int
    s: tuple[float, float]
    v: tuple[float, float]


@dataclass
class PairResult:
    """Two stages side by side."""

    first: str
    second: str
    kind: Kind
    samples: int = 0
    layers: dict[str, LayerResult] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)
    """By output, the largest |difference| in real units over the largest |value| (S1–S2)."""
    difference: Difference | None = None

    @property
    def differing(self) -> int:
        """Number of decisions that differ, ties left out."""
        return sum(layer.differing - layer.ties for layer in self.layers.values())

    @property
    def compared(self) -> int:
        """Number of decisions compared."""
        return sum(layer.compared for layer in self.layers.values())

    def __str__(self) -> str:
        verdict = self.kind if self.ok else "DIFFERS"
        text = f"{self.first}–{self.second}: {self.differing:,} of {self.compared:,} differ"
        return f"{text} in {self.samples} samples ({verdict})"

    @property
    def ok(self) -> bool:
        """Whether the pair holds what it promises."""
        return self.kind == "quantised" or self.differing == 0


@dataclass
class Report:
    """What `verify` found.

    Attributes:
        pairs: neighbouring stages, compared.
        accuracy: share of right classes per stage (arg-max of the summed output), if labels came.
        psnr: quality of the decoded output per stage, if clean images came.
        samples: samples run per stage.
        events: per stage, wraps, clips and disputed sums over all layers.
    """

    pairs: list[PairResult]
    accuracy: dict[str, float] = field(default_factory=dict)
    psnr: dict[str, MeanPsnr] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    events: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every pair that must be exact is."""
        return all(pair.ok for pair in self.pairs)

    def __str__(self) -> str:
        right = [f"{stage}: accuracy {share:.2%}" for stage, share in self.accuracy.items()]
        quality = [f"{stage}: {found}" for stage, found in self.psnr.items()]
        return "\n".join([*map(str, self.pairs), *right, *quality])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        pairs = [
            {**asdict(pair), "differing": pair.differing, "ok": pair.ok} for pair in self.pairs
        ]
        return {
            "ok": self.ok,
            "pairs": pairs,
            "accuracy": self.accuracy,
            "psnr": {stage: found.to_dict() for stage, found in self.psnr.items()},
            "samples": self.samples,
            "events": self.events,
        }


def stages_of(artefact: Artefact) -> list[str]:
    """Every stage that can be named for an artefact, in order."""
    floats = ["s0", "s1"] if artefact.float_graph is not None else []
    return [*floats, "s2", *engines()]


def run_stage(
    artefact: Artefact,
    stage: str,
    samples: Samples,
    record: Ports | None = None,
    first: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Trace:
    """Runs one stage (not s0) on checked samples.

    Raises:
        OptionError: no such stage.
        InputError: samples that the stage can't take.
        ToolError: the stage needs a tool that is missing or failed.
    """
    encoding = artefact.encoding
    if stage == "s1" and artefact.float_graph is not None:
        graph = artefact.float_graph
        known = {n: p for n, p in (record or {}).items() if n in graph.nodes}
        return run_float(graph, encoding.float_inputs(graph, samples, first), known)
    known_engines = engines()
    if stage != "s2" and stage not in known_engines:
        runnable = [name for name in stages_of(artefact) if name != "s0"]
        raise OptionError(
            "--stage", f"no stage {stage!r} to run here", f"one of {', '.join(runnable)}"
        )
    _check_front(artefact, stage, "--stage")
    front = artefact.host.front(samples)
    inputs = encoding.int_inputs(artefact.int_graph, front, first)
    if stage == "s2":
        trace = run_int(artefact.int_graph, inputs, record)
    else:
        chip = artefact.manifest.get("chip")
        trace = known_engines[stage](artefact.int_graph, inputs, record, progress, chip)
    return artefact.host.finish(trace, front, crossing_units(artefact))


def crossing_units(artefact: Artefact) -> Mapping[str, float]:
    """Real value of one integer of what passes from the cores to the host, by their output."""
    units: Mapping[str, float] = artefact.manifest.get("host", {}).get("units", {})
    return units


def check_inputs(artefact: Artefact, data: Mapping[str, Any] | Any) -> Samples:
    """Checks raw samples against what the artefact takes."""
    return check_samples(artefact.network, data, not artefact.encoding.makes_spikes)


def decoder_for(
    artefact: Artefact, decode: str | None, samples: Samples, outputs: Sequence[str]
) -> Decoder | None:
    """What reads the spikes of `outputs` as images, for checked samples; None for no decoding.

    Raises:
        OptionError: no such decoding, too many steps, or an output without spikes at every step.
    """
    if decode is None:
        return None
    graph = artefact.network
    check_decodable(graph, outputs)
    one = {name: value[:1] for name, value in samples.items()}
    return Decoder(decode, step_count(graph, artefact.encoding.float_inputs(graph, one)))


class Scores:
    """How well stages do their task, by the network's first output, added up over batches.

    Args:
        count: number of samples.
        labels: (sample,) classes, if any.
        clean: (sample, …) images that the decoded output is compared with, if any.
        decoder: of the output.

    Raises:
        OptionError, InputError: see `check_labels` and `check_clean`.
    """

    def __init__(
        self, artefact: Artefact, count: int, labels: Any, clean: Any, decoder: Decoder | None
    ) -> None:
        graph = artefact.network
        self.output, self.decoder = graph.outputs[0], decoder
        self.labels = None if labels is None else check_labels(labels, count)
        shape = (count, *graph.signals[self.output].shape)
        self.clean = None if clean is None else check_clean(clean, shape, decoder)
        self._right: dict[str, list[int]] = {}
        self._psnr: dict[str, list[NDArray[np.float64]]] = {}

    def add(
        self, stage: str, output: NDArray[Any], first: int, images: NDArray[Any] | None = None
    ) -> None:
        """Scores a batch of the output as it is, undecoded; `first` is its first sample's index,
        `images` is the output decoded, where it is at hand."""
        batch = slice(first, first + len(output))
        if self.labels is not None:
            right = accuracy(output, self.labels[batch])
            self._right.setdefault(stage, []).append(right)
        if self.clean is not None and self.decoder is not None:
            if images is None:
                images = self.decoder.images(output, self.output)
            each = self.decoder.psnr(images, self.clean[batch])
            self._psnr.setdefault(stage, []).append(each)

    def accuracy(self, samples: Mapping[str, int]) -> dict[str, float]:
        """Share of right classes by stage; `samples` were run on each."""
        return {stage: sum(right) / samples[stage] for stage, right in self._right.items()}

    def psnr(self) -> dict[str, MeanPsnr]:
        """Quality of the images by stage."""
        return {stage: MeanPsnr.of(np.concatenate(each)) for stage, each in self._psnr.items()}


class Verifier:
    """One verification run; `run` is the only entry."""

    def __init__(
        self,
        artefact: Artefact,
        stages: Sequence[str],
        scores: Scores,
        slow_samples: int,
        progress: Progress,
    ) -> None:
        known = stages_of(artefact)
        unknown = [stage for stage in stages if stage not in known]
        if unknown:
            raise OptionError(
                "--stages", f"no stage {', '.join(unknown)} here", f"any of {', '.join(known)}"
            )
        for stage in stages:
            _check_front(artefact, stage, "--stages")
        self.artefact, self.progress, self.slow_samples = artefact, progress, slow_samples
        self.stages = sorted(set(stages), key=known.index)
        self.layers = artefact.int_graph.neurons
        self.report = Report([_pair(a, b) for a, b in _pairs(self.stages)])
        self.scores = scores

    def run(self, samples: Samples, framework: Example | None) -> Report:
        """Compares the stages on `samples`; `framework` holds S0 of the same samples."""
        count = length(samples)
        for first, part in batches(samples, BATCH):
            size = length(part)
            self._batch(part, first, count, framework)
            self.progress("verifying", first + size, count)
        self.report.accuracy = self.scores.accuracy(self.report.samples)
        self.report.psnr = self.scores.psnr()
        return self.report

    def _batch(self, part: Samples, first: int, count: int, framework: Example | None) -> None:
        size = length(part)
        if "s0" in self.stages and framework is not None:
            self._count_framework(framework, first, size)
        traces: dict[str, Trace] = {}
        record: Ports = dict.fromkeys(self.layers, ("s",))
        for stage in self.stages:
            share = self._share(stage, part, first)
            if stage == "s0" or not share:
                continue
            traces[stage] = run_stage(
                self.artefact, stage, share, record, first, self._within(stage, first, size, count)
            )
            self._count(stage, traces[stage], first)
        for pair in self.report.pairs:
            if pair.kind == "ties" and framework is not None:
                self._compare_framework(pair, _slice(framework, first, size))
            elif pair.first in traces and pair.second in traces:
                self._compare(pair, traces, part, first)

    def _within(self, stage: str, first: int, size: int, count: int) -> Callable[[float], None]:
        """Progress of one stage within a batch."""

        def advance(done: float) -> None:
            self.progress(f"verifying {stage}", first + int(done * size), count)

        advance(0.0)
        return advance

    def _share(self, stage: str, part: Samples, first: int) -> Samples:
        if stage != "lava":
            return part
        left = max(0, self.slow_samples - first)
        return {name: value[:left] for name, value in part.items()} if left else {}

    def _count(self, stage: str, trace: Trace, first: int) -> None:
        output = trace.outputs[self.scores.output]
        self.report.samples[stage] = self.report.samples.get(stage, 0) + len(output)
        add_events(self.report.events.setdefault(stage, {}), trace)
        self.scores.add(stage, output, first)

    def _count_framework(self, framework: Example, first: int, size: int) -> None:
        self.report.samples["s0"] = self.report.samples.get("s0", 0) + size
        output = framework.outputs.get(self.scores.output)
        if output is not None:
            self.scores.add("s0", output[first : first + size], first)

    def _compare_framework(self, pair: PairResult, framework: Example) -> None:
        graph = self.artefact.float_graph
        assert graph is not None
        size = length(framework.inputs)
        encoded = self.artefact.encoding.float_inputs(graph, framework.inputs, pair.samples)
        pair.samples += size
        agreement = compare_with_framework(graph, replace(framework, inputs=encoded))
        for name, found in agreement.items():
            layer = pair.layers.setdefault(name, LayerResult())
            layer.compared += found.decisions
            layer.differing += found.differing
            layer.ties += found.ties
            if pair.difference is None and found.first is not None:
                pair.difference = _framework_difference(name, found, pair.samples - size)

    def _compare(
        self, pair: PairResult, traces: Mapping[str, Trace], part: Samples, first: int
    ) -> None:
        a, b = traces[pair.first].records, traces[pair.second].records
        count = min(len(next(iter(x.values()))) for x in (a, b))
        pair.samples += count
        for name in self.layers:
            if (name, "s") not in a or (name, "s") not in b:
                continue
            if pair.kind == "quantised" and not _fires(self.artefact.int_graph, name):
                continue
            unequal = a[name, "s"][:count] != b[name, "s"][:count]
            layer = pair.layers.setdefault(name, LayerResult())
            layer.compared += unequal.size
            layer.differing += int(np.count_nonzero(unequal))
            if pair.difference is None and layer.differing:
                pair.difference = self._first(pair, name, unequal, part, first)
        if pair.kind == "quantised":
            self._compare_outputs(pair, traces)

    def _compare_outputs(self, pair: PairResult, traces: Mapping[str, Trace]) -> None:
        for name, real in traces[pair.first].outputs.items():
            if self._is_spikes(name):
                continue  # spikes are compared above, one by one
            unit = float(self.artefact.manifest["outputs"][name]["unit"])
            integers = traces[pair.second].outputs[name][: len(real)]
            found = integers * unit + self._origin(name)
            peak = float(np.max(np.abs(real), initial=0))
            error = float(np.max(np.abs(found - real[: len(found)]), initial=0)) / (peak or 1.0)
            pair.outputs[name] = max(pair.outputs.get(name, 0.0), error)

    def _is_spikes(self, name: str) -> bool:
        graph = self.artefact.int_graph
        output = graph.nodes.get(name)
        if not isinstance(output, Output):
            return False
        return graph.signals[name].kind is SignalKind.SPIKE and output.reduce in ("none", "last")

    def _origin(self, name: str) -> Any:
        """Where S2 counts a membrane that is read out from: the v_reset of a hard reset."""
        graph = self.artefact.float_graph
        assert graph is not None
        output, source = graph.nodes[name], graph.nodes[graph.sources(name)[0]]
        assert isinstance(output, Output)
        if output.port != "v" or not isinstance(source, Neuron) or source.reset != "hard":
            return 0.0
        repeated = (graph.steps or 1) if output.reduce == "sum" else 1
        return source.v_reset * repeated

    def _first(
        self, pair: PairResult, name: str, unequal: NDArray[Any], part: Samples, first: int
    ) -> Difference:
        """Runs the sample that differs first once more, with membranes."""
        step = int(np.argmax(unequal.any(axis=tuple(i for i in range(unequal.ndim) if i != 1))))
        sample, *neuron = (int(i) for i in np.argwhere(unequal[:, step])[0])
        one = {key: value[sample : sample + 1] for key, value in part.items()}
        at = (0, step, *neuron)
        s: list[float] = []
        v: list[float] = []
        for stage in (pair.first, pair.second):
            trace = run_stage(self.artefact, stage, one, {name: ("s", "v")}, first + sample)
            s.append(float(trace.records[name, "s"][at]))
            v.append(float(trace.records[name, "v"][at]) / self._unit(pair, stage, name))
        return Difference(name, step, tuple(neuron), first + sample, (s[0], s[1]), (v[0], v[1]))

    def _unit(self, pair: PairResult, stage: str, name: str) -> float:
        """Membrane units per real unit, where an integer stage stands beside the float one."""
        if pair.kind != "quantised" or stage == "s1":
            return 1.0
        return float(self.artefact.manifest["layers"][name]["quantisation"]["scale"])


def _framework_difference(name: str, found: FrameworkAgreement, first: int) -> Difference:
    """Where S1 decides otherwise than the framework; both see the same membrane."""
    assert found.first is not None
    sample, step, *neuron = found.first
    fired = float(found.membrane > found.theta)
    return Difference(
        name,
        step,
        tuple(neuron),
        first + sample,
        (1 - fired, fired),
        (found.membrane, found.membrane),
    )


def _pairs(stages: Sequence[str]) -> list[tuple[str, str]]:
    """S0–S1, S1–S2, and S2 (else the first integer stage) against every engine."""
    order = list(stages)
    pairs = [(a, b) for a, b in (("s0", "s1"), ("s1", "s2")) if a in order and b in order]
    integer = [stage for stage in order if stage not in ("s0", "s1")]
    if "s1" in order and "s2" not in order and integer:
        pairs.append(("s1", integer[0]))
    return pairs + [(integer[0], other) for other in integer[1:]]


def _pair(first: str, second: str) -> PairResult:
    kind: Kind = "exact"
    if first == "s0":
        kind = "ties"
    elif first == "s1":
        kind = "quantised"
    return PairResult(first, second, kind)


def _fires(graph: Graph, name: str) -> bool:
    node = graph.nodes[name]
    assert isinstance(node, IntNeuron)
    return node.fires


def _slice(example: Example, first: int, size: int) -> Example:
    def cut(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: value[first : first + size] for name, value in arrays.items()}

    return Example(cut(example.inputs), cut(example.spikes), cut(example.outputs))


def verify(
    artefact: Artefact,
    data: Mapping[str, Any] | Any | None = None,
    stages: Sequence[str] | str | None = None,
    labels: Any = None,
    framework: Example | None = None,
    slow_samples: int = SLOW_SAMPLES,
    progress: Progress = lambda *_: None,
    *,
    clean: Any = None,
    decode: str | None = None,
) -> Report:
    """Compares stages of an artefact.

    Args:
        data: samples, as `check_inputs` takes them; None uses the model's own example.
        stages: names from `stages_of`, as a list or comma-separated; None takes every stage that
            can run here.
        labels: (sample,) classes, for accuracies.
        framework: the framework's own spikes for `data` (S0); the example brings its own.
        slow_samples: how many samples go through Lava.
        clean: (sample, …) images for the PSNR of the first output, on the scale of `decode`.
        decode: how that output is read as images: `uwd`, `mpd` or `ttfs`, see
            `snnc.quality.Decoder`.

    Raises:
        OptionError, InputError, ToolError: as `run_stage`, `check_labels`, `check_clean`.
    """
    if decode is not None and clean is None:
        raise OptionError(
            "--decode",
            "there are no clean images that the output could be compared with",
            "give an array `clean` with the samples, or leave it out",
        )
    if data is None:
        if artefact.example is None:
            raise InputError("--input", artefact.why_no_example, "give samples")
        data, framework = artefact.example.inputs, artefact.example
    samples = check_inputs(artefact, data)
    decoder = decoder_for(artefact, decode, samples, artefact.network.outputs[:1])
    scores = Scores(artefact, length(samples), labels, clean, decoder)
    framework = framework or _matching_example(artefact, samples)
    if framework is not None and not framework.spikes:
        framework = None
    chosen = default_stages(artefact, framework) if stages is None else stage_names(stages)
    if "s0" in chosen and framework is None:
        raise OptionError("--stages", *_no_framework(artefact))
    return Verifier(artefact, chosen, scores, slow_samples, progress).run(samples, framework)


def stage_names(stages: Sequence[str] | str) -> list[str]:
    """Stages as a list, from a list or a comma-separated text."""
    if isinstance(stages, str):
        return [stage.strip().lower() for stage in stages.split(",")]
    return list(stages)


def _no_framework(artefact: Artefact) -> tuple[str, str]:
    """Why S0 is not known, and what to do."""
    if artefact.example is None and artefact.why_no_example.startswith(LEFT_OUT):
        return f"s0 is known for the model's own example; {artefact.why_no_example}", "leave s0 out"
    has_spikes = artefact.example is not None and artefact.example.spikes
    if artefact.encoding.makes_spikes and not has_spikes:
        return (
            f"s0 saw the samples themselves, the other stages see their {artefact.encoding.scheme}"
            " code",
            "leave s0 out",
        )
    return (
        "s0 needs the framework's own spikes, and the model file has them for its example only",
        "leave --input away, leave s0 out, or verify from Python with the module at hand",
    )


def default_stages(artefact: Artefact, framework: Example | None) -> list[str]:
    """Every stage that can run: S0 with its spikes at hand, engines that are installed and carry
    the graph."""
    floats = ["s1"] if artefact.float_graph is not None else []
    ready = [
        stage
        for name, item in targets().items()
        for stage in item.ready_engines()
        if name == artefact.manifest["target"] or not why_left_out(artefact, stage)
    ]
    return [*(["s0"] if framework is not None and floats else []), *floats, "s2", *ready]


def why_left_out(artefact: Artefact, stage: str) -> str:
    """Why a stage that is installed is not among the default ones, '' where it is."""
    if stage not in engines():
        return ""
    return (
        _front_refusal(artefact, stage)
        or _owner(stage).refusal(artefact.int_graph, artefact.manifest.get("chip"))
        or _doubt(artefact, stage)
    )


def _owner(stage: str) -> Target:
    return next(item for item in targets().values() if stage in item.engines)


def _front_refusal(artefact: Artefact, stage: str) -> str:
    """Why an engine can't stand behind what is before the cores, '' where it can."""
    takes, scheme = _owner(stage).encodings, artefact.encoding.scheme
    if scheme not in takes:
        return f"it takes {' or '.join(takes)} encoding, not {scheme}"
    if artefact.host.stem is not None and "host" not in takes:
        return f"it takes {' or '.join(takes)} encoding, and the host stands before the cores"
    return ""


def _doubt(artefact: Artefact, stage: str) -> str:
    """Why an engine runs spikes of unknown origin only where it is asked to, '' where it need not
    be: those of another target's artefact may be no code that its encoder makes."""
    owner = _owner(stage)
    takes = owner.encodings
    known = artefact.encoding.scheme != "none" or owner.name == artefact.manifest["target"]
    if known or takes == SCHEMES:
        return ""
    return (
        f"nothing says that its input spikes are {takes[0]} codes: compile with --encoding"
        f" {takes[0]}, or name it in --stages"
    )


def _check_front(artefact: Artefact, stage: str, option: str) -> None:
    """Checks that a stage can stand behind what makes the artefact's inputs.

    Raises:
        OptionError: it can't.
    """
    refusal = _front_refusal(artefact, stage) if stage in engines() else ""
    if refusal:
        takes = _owner(stage).encodings[0]
        raise OptionError(
            option, f"{stage}: {refusal}", f"leave {stage} out, or compile with --encoding {takes}"
        )


def _matching_example(artefact: Artefact, samples: Samples) -> Example | None:
    """The model's own example where `samples` are exactly its inputs."""
    example = artefact.example
    if example is None or set(example.inputs) != set(samples):
        return None
    same = all(np.array_equal(samples[name], value) for name, value in example.inputs.items())
    return example if same else None
