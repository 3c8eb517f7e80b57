"""Every operation through the whole pipeline: S1 → S2 → sim → the chip's model, and Lava."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.errors import RefusedError
from snnc.reference import run_int
from snnc.targets.loihi.lava_run import Job, run_lava_jobs
from snnc.targets.loihi.lower import lower
from snnc.targets.registry import target as find_target
from snnc.targets.registry import targets
from snnc.verify import check_inputs, verify
from tests.operations import OPERATIONS, Operation, model

NAMES = [operation.name for operation in OPERATIONS]
CHIPS = ("loihi1", "loihi2")
LAVA_SEEDS = range(5)

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)


def compiled(operation: Operation, seed: int, chip: str, target: str = "loihi") -> Artefact | None:
    """A network with the operation, or None where the target refuses it."""
    built = model(operation, seed, "grid" if seed % 2 else "real")
    try:
        return compile_model(built, Options(target, chip))
    except RefusedError:
        return None


def check(operation: Operation, seed: int, chip: str, stages: list[str]) -> bool:
    """Compiles and verifies; False where the chip refuses the operation."""
    artefact = compiled(operation, seed, chip)
    if artefact is None:
        return False
    report = verify(artefact, stages=stages)
    assert report.ok, report.to_dict()
    return True


@each_operation
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_integer_stages_are_equal(operation: Operation, seed: int) -> None:
    for chip in CHIPS:
        check(operation, seed, chip, ["s1", "s2", "sim", "loihi"])


@pytest.mark.slow
@each_operation
@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_integer_stages_are_equal_more_often(operation: Operation, seed: int) -> None:
    """For the simulator in the formats of either chip, whose own program is then made once."""
    chip = CHIPS[seed // 2 % 2]
    artefact = compiled(operation, seed, chip, "sim")
    if artefact is None:
        return
    carried = not find_target("loihi").refusal(artefact.int_graph, chip)
    report = verify(artefact, stages=["s2", "sim", *(["loihi"] if carried else [])])
    assert report.ok, report.to_dict()


REFUSED = {
    "loop over two layers, one step long", "max pooling of currents",
    "spiking self-attention, (QKᵀ)V", "spiking self-attention, Q(KᵀV)",
    "layer norm between spiking layers",
}  # fmt: skip
"""What Loihi 2 can't say; `docs/operations.md` has the reasons."""


@each_operation
def test_only_what_is_known_is_refused(operation: Operation) -> None:
    """The properties above mean something only while nothing else is refused."""
    refused = [compiled(operation, seed, "loihi2") is None for seed in range(4)]
    assert all(refused) if operation.name in REFUSED else not any(refused)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.name not in REFUSED],
    ids=lambda operation: operation.name,
)
def test_the_numbers_of_the_grid_change_few_spikes(operation: Operation) -> None:
    """Weights and leaks that every chip holds; averages and inputs still round."""
    compared = differing = 0
    for seed in range(1, 12, 2):
        artefact = compiled(operation, seed, "loihi2")
        assert artefact is not None
        pair = verify(artefact, stages=["s1", "s2"]).pairs[0]
        compared += pair.compared
        differing += pair.differing
    assert differing <= 0.03 * max(compared, 1), (differing, compared)


def lava_job(operation: Operation, seed: int, chip: str) -> Job | None:
    """The program of a network on one of its samples, with the spikes of every layer."""
    artefact = compiled(operation, seed, chip)
    if artefact is None:
        return None
    assert artefact.example is not None
    graph = artefact.int_graph
    one = {name: value[:1] for name, value in artefact.example.inputs.items()}
    inputs = artefact.encoding.int_inputs(graph, artefact.host.front(check_inputs(artefact, one)))
    program = lower(graph, find_target("loihi").limits(chip))
    return Job(program, graph, inputs, dict.fromkeys(graph.neurons, ("s",)))


@pytest.mark.slow
@pytest.mark.skipif(
    "lava" not in targets()["loihi"].ready_engines(), reason="Lava is not installed"
)
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("group", sorted({operation.group for operation in OPERATIONS}))
def test_lava_agrees(group: str, chip: str) -> None:
    """Five networks of every operation that the chip carries, all in one process of Lava."""
    wanted = [operation for operation in OPERATIONS if operation.group == group]
    found = [lava_job(operation, seed, chip) for operation in wanted for seed in LAVA_SEEDS]
    jobs = [job for job in found if job is not None]
    assert jobs
    for job, trace in zip(jobs, run_lava_jobs(jobs), strict=True):
        defined = run_int(job.graph, job.inputs, job.record)
        for key, value in defined.records.items():
            np.testing.assert_array_equal(trace.records[key], value, err_msg=str(key))


@pytest.mark.slow
def test_the_table_in_the_documentation_is_what_the_code_does() -> None:
    from scripts.operation_table import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page()
