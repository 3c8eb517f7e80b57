"""The same counts out of S1, S2 and the sim engine, where they mean the same thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.energy.counts import Counts, Op
from snnc.energy.jobs import artefact_job
from snnc.energy.shards import count_samples
from snnc.errors import InputError, OptionError, RefusedError
from snnc.ir import Kind
from snnc.verify import check_inputs
from tests.operations import OPERATIONS, Operation, model

SHARED = {
    "residual add of two convolutions", "sum of spikes (SEW add)", "recurrent, all to all",
    "recurrent convolution", "delay of a layer", "1-d convolution",
    "grouped, dilated and strided 2-d convolution",
    "depthwise convolution", "transposed convolution", "batch norm after a convolution",
    "bias per position", "hard reset", "soft reset", "synaptic current",
    "threshold and leak per channel", "membrane as output", "real-valued sequences",
    "integers from layer to layer (graded spikes)", "spiking self-attention, (QKᵀ)V",
    "spiking self-attention, Q(KᵀV)", "spike counts",
}  # fmt: skip
"""Operations whose layers compiling keeps as they are. Where it merges layers (pooling, upsampling,
wavelets) or writes delays as neurons, S2 does other operations, and that is what it counts."""


def compiled(operation: Operation, seed: int) -> Artefact | None:
    try:
        return compile_model(model(operation, seed, "grid"), Options("sim", "loihi2"))
    except RefusedError:
        return None


def counts(artefact: Artefact, stage: str) -> Counts:
    assert artefact.example is not None
    samples = check_inputs(artefact, artefact.example.inputs)
    return count_samples(artefact_job(artefact, stage), [samples])


def plain(found: Counts, names: set[str] | None = None) -> dict[str, Any]:
    """Everything counted of the synapses, by layer."""
    return {
        item.name: (
            item.operation, item.kind, item.dense, item.taps, item.events.tolist(),
            item.value.tolist(), item.products.tolist(), item.operations.tolist(),
        )
        for item in found.synapses
        if names is None or item.name in names
    }  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_sim_engine_counts_as_s2(operation: Operation) -> None:
    artefact = compiled(operation, 3)
    if artefact is None:
        assert "max pooling of currents" in operation.name or "layer norm" in operation.name
        return
    wanted, found = counts(artefact, "s2"), counts(artefact, "sim")
    assert plain(found) == plain(wanted)
    for one, other in zip(found.populations, wanted.populations, strict=True):
        np.testing.assert_array_equal(one.spikes, other.spikes)
    for one, other in zip(found.lines, wanted.lines, strict=True):
        assert one.name == other.name
        assert {op: n.tolist() for op, n in one.operations.items()} == {
            op: n.tolist() for op, n in other.operations.items()
        }


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if o.name in SHARED], ids=lambda operation: operation.name
)
def test_s2_counts_as_s1_where_no_spike_differs(operation: Operation) -> None:
    compared = 0
    for seed in range(8):
        artefact = compiled(operation, seed)
        assert artefact is not None
        first, second = counts(artefact, "s1"), counts(artefact, "s2")
        spikes = {item.name: item.spikes.tolist() for item in second.populations}
        if any(item.spikes.tolist() != spikes[item.name] for item in first.populations):
            continue
        compared += 1
        names = {item.name for item in first.synapses}
        assert plain(second, names) == plain(first)
    assert compared >= 3


def test_every_shared_operation_exists() -> None:
    assert {operation.name for operation in OPERATIONS} >= SHARED


def test_directly_encoded_inputs_stay_macs_in_integers() -> None:
    """The 8-bit integers that a chip gets stand for real numbers."""
    operation = next(o for o in OPERATIONS if o.name == "real-valued sequences")
    artefact = compiled(operation, 0)
    assert artefact is not None
    first = counts(artefact, "s2").synapses[0]
    assert (first.kind, first.op, first.direct) == (Kind.ANALOG, Op.MAC, True)


def test_host_parts_are_counted_apart() -> None:
    """The stem is the same at every step, so the host computes it once a sample."""
    operation = next(o for o in OPERATIONS if o.name == "ReLU in the first layers")
    artefact = compiled(operation, 0)
    assert artefact is not None
    found = counts(artefact, "sim")
    stem, *cores = found.synapses
    assert (stem.place, stem.kind, stem.steps) == ("host", Kind.ANALOG, 1)
    assert all(item.place == "core" for item in cores)
    whole = counts(artefact, "s1").synapses[0]
    assert stem.operations[:, 0].tolist() == whole.operations[:, 0].tolist()


def test_a_batch_counts_as_its_samples() -> None:
    for name in ("1-d convolution", "real-valued samples, the same at every step"):
        operation = next(o for o in OPERATIONS if o.name == name)
        artefact = compiled(operation, 1)
        assert artefact is not None
        assert artefact.example is not None
        samples = check_inputs(artefact, artefact.example.inputs)
        alone = [{key: value[i : i + 1] for key, value in samples.items()} for i in range(2)]
        together = {key: value[:2] for key, value in samples.items()}
        for stage in ("s1", "sim"):
            job = artefact_job(artefact, stage)
            whole = count_samples(job, [together])
            assert plain(count_samples(job, alone)) == plain(whole)
            assert plain(Counts.joined([job.counts(one, i) for i, one in enumerate(alone)])) == (
                plain(whole)
            )


def test_processes_share_the_batches() -> None:
    operation = next(o for o in OPERATIONS if o.name == "1-d convolution")
    artefact = compiled(operation, 1)
    assert artefact is not None
    assert artefact.example is not None
    samples = check_inputs(artefact, artefact.example.inputs)
    files = [samples, samples, {key: value[:1] for key, value in samples.items()}]
    told: list[tuple[int, int]] = []
    job = artefact_job(artefact, "s1")
    found = count_samples(job, files, 2, lambda done, total: told.append((done, total)))
    assert plain(found) == plain(count_samples(job, files))
    assert told[-1] == (found.samples, found.samples)


def test_no_samples() -> None:
    artefact = compiled(OPERATIONS[0], 0)
    assert artefact is not None
    with pytest.raises(InputError, match="no samples"):
        count_samples(artefact_job(artefact, "s1"), [])


def test_a_stage_that_counts_nothing() -> None:
    artefact = compiled(OPERATIONS[0], 0)
    assert artefact is not None
    with pytest.raises(OptionError, match="no counts of stage 'loihi'"):
        artefact_job(artefact, "loihi")
