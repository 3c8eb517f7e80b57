"""How far a float graph (S1) agrees with the framework that it was traced from (S0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.errors import TraceError
from snnc.ir import Graph, Neuron, Output
from snnc.reference.float64 import run_float
from snnc.reference.trace import reduce_steps

TIE = 1e-5
"""Decisions with |h − θ| below this share of |θ| are ties: float32 can fall on either side."""

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
        differing: decisions that differ and are no ties.
        ties: decisions that differ where |h − θ| < 1e-5·|θ|.
        first: (sample, step, neuron…) of the first real difference.
        membrane, theta: h and θ there.
    """

    decisions: int
    differing: int
    ties: int
    first: tuple[int, ...] | None = None
    membrane: float = 0.0
    theta: float = 0.0


def compare_with_framework(graph: Graph, example: FrameworkRun) -> dict[str, FrameworkAgreement]:
    """Compares every spike decision of S1 with the framework's, by neuron layer.

    The framework's spikes are put in for S1's after each comparison, so that one tie in float32
    does not spread.
    """
    found: dict[str, FrameworkAgreement] = {}
    record = {name: ("s", "h") for name in example.spikes}
    for start in range(0, _samples(example), CHUNK):
        part = slice(start, start + CHUNK)
        force = {name: x[part] for name, x in example.spikes.items()}
        run = run_float(graph, {n: x[part] for n, x in example.inputs.items()}, record, force)
        for name, theirs in force.items():
            ours, h = run.records[name, "s"], run.records[name, "h"]
            now = _judged(graph, name, ours, h, theirs, start)
            found[name] = _added(found[name], now) if name in found else now
    return found


def _samples(example: FrameworkRun) -> int:
    return len(next(iter(example.inputs.values())))


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
    near = np.abs(h - theta) < TIE * np.maximum(np.abs(theta), np.finfo(np.float64).tiny)
    real = wrong & ~near
    counts = (h.size, int(np.count_nonzero(real)), int(np.count_nonzero(wrong & near)))
    if not counts[1]:
        return FrameworkAgreement(*counts)
    place = tuple(int(i) for i in np.argwhere(real)[0])
    first = (place[0] + start, *place[1:])
    return FrameworkAgreement(*counts, first, float(h[place]), float(theta[place]))


def _added(a: FrameworkAgreement, b: FrameworkAgreement) -> FrameworkAgreement:
    where = a if a.first is not None else b
    return FrameworkAgreement(
        a.decisions + b.decisions,
        a.differing + b.differing,
        a.ties + b.ties,
        where.first,
        where.membrane,
        where.theta,
    )


def check_agreement(graph: Graph, example: FrameworkRun) -> dict[str, FrameworkAgreement]:
    """`compare_with_framework`, and the outputs too.

    Raises:
        TraceError: S1 is not what the module computes; a defect of the trace.
    """
    report = compare_with_framework(graph, example)
    for name, layer in report.items():
        if layer.differing:
            raise TraceError(
                name,
                f"the traced graph decides {layer.differing} of {layer.decisions} spikes otherwise"
                f" than the module, first at (sample, step, neuron…) {layer.first}: membrane"
                f" {layer.membrane:.9g}, threshold {layer.theta:.9g}",
                "please report this model; nothing was written",
            )
    _check_outputs(graph, example)
    return report


def _check_outputs(graph: Graph, example: FrameworkRun) -> None:
    record = {name: ("s",) for name in graph.neurons}
    part = slice(0, CHUNK)
    force = {name: x[part] for name, x in example.spikes.items()}
    inputs = {n: x[part] for n, x in example.inputs.items()}
    run = run_float(graph, inputs, record, force)
    for name in graph.outputs:
        node, theirs = graph.nodes[name], np.asarray(example.outputs[name][part], np.float64)
        assert isinstance(node, Output)
        source = graph.sources(name)[0]
        if node.port == "s" and source in force:
            ours = reduce_steps(force[source].astype(np.float64), node.reduce)
        else:
            ours = run.outputs[name]
        scale = max(float(np.abs(ours).max(initial=0)), float(np.abs(theirs).max(initial=0)))
        if ours.shape != theirs.shape or np.any(np.abs(ours - theirs) > 1e-4 * scale):
            raise TraceError(
                name,
                f"the traced graph's output of shape {ours.shape} differs from the module's of"
                f" shape {theirs.shape}",
                "please report this model; nothing was written",
            )
