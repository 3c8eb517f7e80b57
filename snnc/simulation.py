"""Timed simulation of an artefact: raw samples in, what its cores did out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from snnc.artefact import Artefact
from snnc.errors import InputError
from snnc.layouts import layout_of
from snnc.samples import Samples, batches, length
from snnc.targets.sim.simulate import Simulator
from snnc.targets.sim.simulation import Simulation
from snnc.verify import Scores, check_inputs, crossing_units

BATCH = 256
"""Samples that are encoded together."""


def simulate(
    artefact: Artefact,
    data: Mapping[str, Any] | Any | None = None,
    labels: Any = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Simulation, float | None]:
    """Simulates samples on the cores that the artefact was laid out on.

    Args:
        data: raw samples; None takes the artefact's own example.
        labels: classes of the samples.
        progress: told (samples done, all samples).

    Returns:
        What the cores did, and the accuracy if there are labels.

    Raises:
        RefusedError, ArtefactError: it has no layout, see `snnc.layouts.layout_of`.
        InputError: samples that it can't take, or none.
        ConservationError: two counts of the same differ, a bug.
    """
    simulator = Simulator(artefact.int_graph, layout_of(artefact))
    samples = _samples(artefact, data)
    count = length(samples)
    scores = Scores(artefact, count, labels, None, None)
    for first, part in batches(samples, BATCH):
        front = artefact.host.front(part)
        inputs = artefact.encoding.int_inputs(artefact.int_graph, front, first)
        size = min(BATCH, count - first)

        def within(share: float, first: int = first, size: int = size) -> None:
            progress(first + int(share * size), count)

        trace = artefact.host.finish(simulator.add(inputs, within), front, crossing_units(artefact))
        scores.add("sim", trace.outputs[scores.output], first, trace.outputs[scores.output])
    return simulator.result(), scores.accuracy({"sim": count}).get("sim")


def _samples(artefact: Artefact, data: Mapping[str, Any] | Any | None) -> Samples:
    if data is not None:
        return check_inputs(artefact, data)
    if artefact.example is None:
        raise InputError(
            "--input", f"no samples, and {artefact.why_no_example}", "give samples (.npz or .npy)"
        )
    return check_inputs(artefact, artefact.example.inputs)


__all__ = ["simulate"]
