"""How far a float graph (S1) agrees with the framework that it was traced from (S0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.errors import TraceError
from snnc.ir import Graph, Neuron, Output
from snnc.reference.float64 import run_float
from snnc.reference.trace import Trace, reduce_steps

TIE = 1e-5
"""Decisions with |h − θ| below this share of |θ| are ties: float32 can fall on either side."""

SLACK = 1e-4
"""Rounding that a readout in float32 may show, as a share of its largest value."""

CHUNK = 64
"""Samples that are run at once."""


class FrameworkRun(Protocol):
    """What a framework did with a batch; `snnc.frontends.model.Example` is one."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """By input node."""

    @property
    def spikes(self) -> Mapping[str, NDArray[Any]]:
        """By neuron node, (sample, step, …)."""

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """By output node."""


@dataclass(frozen=True)
class FrameworkAgreement:
    """Spike decisions of one layer, each judged on the framework's own history.

    Attributes:
        decisions: neurons × steps × samples.
        differing: decisions that differ, ties among them.
        ties: decisions that differ where |h − θ| < 1e-5·|θ|.
        beyond: decisions that differ by more than the rounding of float32 can explain: where
            |h − θ| ≥ 1e-5 of the neuron's largest membrane in the run, and no ties.
        first: (sample, step, neuron…) of the first real difference.
        membrane, theta: h and θ there.
    """

    decisions: int
    differing: int
    ties: int
    beyond: int = 0
    first: tuple[int, ...] | None = None
    membrane: float = 0.0
    theta: float = 0.0

    @property
    def real(self) -> int:
        """Decisions that differ and are no ties."""
        return self.differing - self.ties


def compare_with_framework(graph: Graph, example: FrameworkRun) -> dict[str, FrameworkAgreement]:
    """Compares every spike decision of S1 with the framework's, by neuron layer.

    The framework's spikes are put in for S1's after each comparison, so that one tie in float32
    does not spread.
    """
    report: dict[str, FrameworkAgreement] = {}
    for start, run, force in _forced_runs(graph, example):
        _judge(graph, run, force, start, report)
    return report


def check_agreement(graph: Graph, example: FrameworkRun) -> dict[str, FrameworkAgreement]:
    """`compare_with_framework`, and the outputs too; rounding in float32 is let through.

    Raises:
        TraceError: S1 is not what the module computes; a defect of the trace.
    """
    report: dict[str, FrameworkAgreement] = {}
    for start, run, force in _forced_runs(graph, example):
        _judge(graph, run, force, start, report)
        _check_decisions(report)
        for name in graph.outputs:
            _check_output(graph, name, run, force, example.outputs[name][start : start + CHUNK])
    return report


def _forced_runs(
    graph: Graph, example: FrameworkRun
) -> Iterator[tuple[int, Trace, dict[str, NDArray[Any]]]]:
    """(first sample, S1's run, the framework's spikes) of each chunk of samples."""
    record = dict.fromkeys(example.spikes, ("s", "h"))
    samples = len(next(iter(example.inputs.values())))
    for start in range(0, samples, CHUNK):
        part = slice(start, start + CHUNK)
        force = {name: x[part] for name, x in example.spikes.items()}
        inputs = {name: x[part] for name, x in example.inputs.items()}
        yield start, run_float(graph, inputs, record, force), force


def _judge(
    graph: Graph,
    run: Trace,
    force: Mapping[str, NDArray[Any]],
    start: int,
    report: dict[str, FrameworkAgreement],
) -> None:
    """Adds the decisions of one chunk to `report`."""
    for name, theirs in force.items():
        now = _judged(graph, name, run.records[name, "s"], run.records[name, "h"], theirs, start)
        report[name] = _added(report[name], now) if name in report else now


def _judged(
    graph: Graph,
    name: str,
    ours: NDArray[Any],
    h: NDArray[Any],
    theirs: NDArray[Any],
    start: int,
) -> FrameworkAgreement:
    node = graph.nodes[name]
    assert isinstance(node, Neuron)
    theta = np.broadcast_to(np.asarray(node.theta, np.float64), h.shape)
    wrong = ours != theirs
    distance, scale = np.abs(h - theta), np.maximum(np.abs(theta), np.finfo(np.float64).tiny)
    near = wrong & (distance < TIE * scale)
    real = wrong & ~near
    beyond = real & (distance >= TIE * np.abs(h).max(axis=1, keepdims=True))
    differing, ties, gross = (int(np.count_nonzero(found)) for found in (wrong, near, beyond))
    if not real.any():
        return FrameworkAgreement(h.size, differing, ties)
    place = tuple(int(i) for i in np.argwhere(beyond if beyond.any() else real)[0])
    first = (place[0] + start, *place[1:])
    membrane, threshold = float(h[place]), float(theta[place])
    return FrameworkAgreement(h.size, differing, ties, gross, first, membrane, threshold)


def _added(a: FrameworkAgreement, b: FrameworkAgreement) -> FrameworkAgreement:
    where = a if a.beyond or b.first is None else b
    return FrameworkAgreement(
        a.decisions + b.decisions,
        a.differing + b.differing,
        a.ties + b.ties,
        a.beyond + b.beyond,
        where.first,
        where.membrane,
        where.theta,
    )


def _check_decisions(report: Mapping[str, FrameworkAgreement]) -> None:
    for name, layer in report.items():
        if layer.beyond:
            raise TraceError(
                name,
                f"the traced graph decides {layer.beyond} of {layer.decisions} spikes otherwise"
                f" than the module, first at (sample, step, neuron…) {layer.first}: membrane"
                f" {layer.membrane:.9g}, threshold {layer.theta:.9g}",
                "please report this model; nothing was written",
            )


def _close(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Whether values agree up to rounding; NaN and infinity agree with themselves only."""
    scale = max(float(np.abs(x).max(initial=0, where=np.isfinite(x))) for x in (ours, theirs))
    with np.errstate(invalid="ignore"):
        near = np.abs(ours - theirs) <= SLACK * scale
    return bool((near | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all())


def _check_output(
    graph: Graph,
    name: str,
    run: Trace,
    force: Mapping[str, NDArray[Any]],
    theirs: NDArray[Any],
) -> None:
    node, source = graph.nodes[name], graph.sources(name)[0]
    assert isinstance(node, Output)
    spiking = node.port == "s" and source in force
    ours = reduce_steps(force[source], node.reduce) if spiking else run.outputs[name]
    theirs = np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape or not _close(ours, theirs):
        raise TraceError(
            name,
            f"the traced graph's output of shape {ours.shape} differs from the module's of shape"
            f" {theirs.shape}",
            "please report this model; nothing was written",
        )
