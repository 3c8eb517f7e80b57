"""Programs through Lava itself, and what happens when Lava is missing, fails or hangs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import RefusedError, ToolError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Node,
    Output,
    Place,
    Pool,
    Rate,
    Sparse,
    Sum,
)
from snnc.passes.limits import Limits
from snnc.reference import run_int
from snnc.targets.cores import program as target
from snnc.targets.loihi import Loihi, lava_run, run_in_lava
from snnc.targets.loihi.hops import find_hops
from snnc.targets.loihi.lava_run import Job, run_child, run_lava, run_lava_jobs, time_limit
from snnc.targets.loihi.lower import lower
from tests.targets.graphs import Wanted, int_cases
from tests.targets.loihi.cases import RESETS, SPIKING, Case, chip_cases, drawn, readable
from tests.targets.loihi.nets import (
    LOIHI1,
    LOIHI2,
    assert_same,
    carried,
    chain,
    everything,
    lif,
    spikes,
    whole,
)

Feature = Callable[[Job], bool]

try:
    metadata.version("lava-nc")
    INSTALLED = True
except metadata.PackageNotFoundError:
    INSTALLED = False
needs_lava = pytest.mark.skipif(not INSTALLED, reason="Lava is not installed")
CARRIED = Wanted(products=False)
SHALLOW = replace(SPIKING, depth=2)
LIFS = Wanted(lif_only=True, depth=3, products=False)


def jobs_of(cases: list[Case], limits: Limits) -> list[Job]:
    """The cases that the chip carries, with every port that it can read."""
    jobs: list[Job] = []
    for graph, inputs in cases:
        program = carried(graph, limits)
        if program is not None:
            jobs.append(Job(program, graph, inputs, readable(graph, program)))
    return jobs


def agree(jobs: list[Job]) -> None:
    """Every state of every neuron, for all jobs in one child."""
    for job, found in zip(jobs, run_lava_jobs(jobs), strict=True):
        assert_same(found, run_int(job.graph, job.inputs, job.record))


def covering(
    cases: Any, limits: Limits, features: Mapping[str, Feature], times: int = 5
) -> list[Job]:
    """Few drawn jobs that have every feature so many times; each adds to one that lacks."""
    missing = dict.fromkeys(features, times)
    chosen: list[Job] = []
    for start in range(8):
        jobs = [job for job in jobs_of(drawn(80, start, cases), limits) if _cost(job) <= 40]
        has = [[name for name, feature in features.items() if feature(job)] for job in jobs]
        for index in sorted(range(len(jobs)), key=lambda n: _cost(jobs[n]) / (1 + len(has[n]))):
            if any(missing[name] > 0 for name in has[index]):
                chosen.append(jobs[index])
                missing.update({name: missing[name] - 1 for name in has[index]})
        if all(count <= 0 for count in missing.values()):
            return chosen
    raise AssertionError(f"not drawn often enough: {missing}")


def _cost(job: Job) -> int:
    """Processes that Lava starts for a job, give or take."""
    runs = len(next(iter(job.inputs.values()))) if job.program.cleared else 1
    return runs * (len(job.program.populations) + len(job.program.synapses))


def with_node(kind: type[Node]) -> Feature:
    return lambda job: any(isinstance(node, kind) for node in job.graph.nodes.values())


def over_layers(job: Job) -> bool:
    """Whether a spike comes back to a layer before its own."""
    lag = job.program.lag
    hops = find_hops(job.graph)
    return any(hop.delay and lag(hop.source) > lag(hop.target) for hop in hops)


def with_reset(reset: str, reset_at: str) -> Feature:
    return lambda job: any(
        isinstance(node, IntNeuron) and (node.reset, node.reset_at) == (reset, reset_at)
        for node in job.graph.nodes.values()
    )


ON_LOIHI2: dict[str, Feature] = {
    "transposed": with_node(ConvTranspose),
    "sparse": with_node(Sparse),
    "placed": with_node(Place),
    "gathered": with_node(Gather),
    "summed": with_node(Sum),
    "loop over layers": over_layers,
    "delayed convolution": lambda job: any(
        isinstance(synapse, target.Conv) and synapse.delay for synapse in job.program.synapses
    ),
}
ON_LOIHI1: dict[str, Feature] = {
    "split": lambda job: bool(job.program.splits),
    "cleared": lambda job: job.program.cleared,
    "compartment": lambda job: any(
        isinstance(item, target.Compartment) for item in job.program.populations.values()
    ),
    **{f"{reset}/{at}": with_reset(reset, at) for reset, at in RESETS},
    "without spikes": lambda job: any(
        isinstance(item, target.MultiCompartment) and not item.fires
        for item in job.program.populations.values()
    ),
}


@pytest.mark.lava
@needs_lava
def test_every_operation_is_equal_in_every_state() -> None:
    agree(covering(int_cases(CARRIED), LOIHI2, ON_LOIHI2))


@pytest.mark.lava
@needs_lava
def test_lif_networks_are_equal_in_every_state() -> None:
    agree(jobs_of(drawn(4, 2, int_cases(LIFS)), LOIHI2))


@pytest.mark.lava
@needs_lava
def test_loihi1_is_equal_in_every_state() -> None:
    agree(covering(chip_cases(SHALLOW, samples=2), LOIHI1, ON_LOIHI1))


@pytest.mark.lava
@pytest.mark.slow
@needs_lava
def test_many_networks_are_equal_in_every_state() -> None:
    agree(jobs_of(drawn(60, 3, int_cases(CARRIED)) + drawn(10, 4, int_cases(LIFS)), LOIHI2))


@pytest.mark.lava
@pytest.mark.slow
@needs_lava
def test_many_networks_of_loihi1_are_equal_in_every_state() -> None:
    agree(jobs_of(drawn(60, 6, chip_cases(samples=2)), LOIHI1))


@pytest.mark.lava
@needs_lava
def test_a_convolutional_network_with_pools_and_graded_input() -> None:
    """Layout: non-square extents, kernels, strides and paddings all the way to the dense layer."""
    rng = np.random.default_rng(5)

    def even(*shape: int) -> Any:
        return whole(2 * rng.integers(-30, 31, shape))

    graph = chain(
        (2, 9, 7),
        Conv(even(4, 1, 3, 2), None, (2, 1), (1, 0), (1, 2), 2),
        lif(dv=whole(200), theta=whole(64 * 400)),
        Pool((1, 2), (1, 2), (0, 0), "sum"),
        Conv(even(3, 4, 2, 2)),
        lif(theta=whole(64 * 30), reset="soft", v_sub=whole(64 * 30)),
        Flatten(),
        Linear(even(5, 12)),
        lif(theta=whole(64 * 20)),
        source=Input((2, 9, 7), Kind.GRADED, Rate.SAMPLE, bits=4, signed=True),
        steps=8,
    )
    inputs = {"in": rng.integers(-8, 8, (3, 2, 9, 7))}
    heard: list[float] = []
    record = everything(graph)
    found = run_in_lava(graph, inputs, record, heard.append)
    wanted = run_int(graph, inputs, record)
    assert_same(found, wanted)
    assert found.events == wanted.events
    assert wanted.records["n7", "s"].any()
    assert heard == sorted(heard)


def small() -> tuple[Graph, Any]:
    graph = chain((2,), Linear(whole([[64, 64]])), lif(), steps=4)
    return graph, spikes(graph, 2)


def test_lava_that_is_missing_is_said_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(lava_run.metadata, "version", missing)
    graph, inputs = small()
    with pytest.raises(ToolError, match="Lava: is not installed") as found:
        run_in_lava(graph, inputs, None, lambda _: None)
    assert found.value.fix == "python scripts/install_lava.py"


def test_the_doctor_tells_that_lava_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise ToolError("Lava", "is not installed", lava_run.INSTALL)

    monkeypatch.setattr("snnc.targets.loihi.require_lava", missing)
    checks = {check.name: check for check in Loihi().checks()}
    assert not checks["Lava"].ok
    assert checks["Lava"].fix == "python scripts/install_lava.py"
    assert checks["h5py"].ok


@pytest.mark.lava
@needs_lava
def test_the_doctor_tells_that_lava_works() -> None:
    checks = {check.name: check for check in Loihi().checks()}
    assert checks["Lava"].ok, checks["Lava"]
    assert metadata.version("lava-nc") in checks["Lava"].detail


@pytest.mark.lava
@needs_lava
def test_a_failure_inside_lava_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process model that raises: Lava itself says only that something did, and never stops."""
    graph, inputs = small()
    monkeypatch.setattr(lava_run, "WORKER", (str(Path(__file__).with_name("failing_child.py")),))
    started = time.monotonic()
    with pytest.raises(ToolError, match="this membrane is on fire") as found:
        run_in_lava(graph, inputs, None, lambda _: None)
    assert "subthr_dynamics" in found.value.cause
    assert time.monotonic() - started < 20


@pytest.mark.lava
@needs_lava
def test_a_reader_is_woken_by_every_message() -> None:
    """Lava's own port stays silent where the queue held a message: networks could stand still."""
    child = [sys.executable, str(Path(__file__).with_name("arrival_child.py"))]
    found = subprocess.run(child, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split()[-2:] == ["0", "1"]


def test_a_child_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = tmp_path / "hang.py"
    script.write_text(
        "import pathlib, subprocess, sys, time\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "memory = SharedMemory(create=True, size=64)\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'who')!r}).write_text(f'{{other.pid}} {{memory.name}}')\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(ToolError, match="did not finish within 2 s and was ended"):
        run_child([str(script)], 2.0)
    pid, memory = (tmp_path / "who").read_text().split()
    assert not _alive(pid)
    assert not Path("/dev/shm", memory).exists()


def _alive(pid: str) -> bool:
    """Whether a process runs; what is ended but not yet reaped by its parent does not."""
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_child_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    who, share = tmp_path / "who", tmp_path / "progress"
    script.write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(who)!r}).write_text(str(os.getpid()))\n"
        f"pathlib.Path({str(share)!r}).write_text('0.5')\n"
        "time.sleep(600)\n"
    )

    def interrupt(done: float) -> None:
        assert done == 0.5
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child([str(script)], 60.0, share, interrupt)
    assert not _alive(who.read_text())


def test_a_network_in_two_pieces_is_refused_by_lava_only() -> None:
    nodes = {
        "a": Input((1,), Kind.SPIKE),
        "b": Input((1,), Kind.SPIKE),
        "n": lif(),
        "m": lif(),
        "x": Output(),
        "y": Output(),
    }
    graph = Graph(nodes, (("a", "n"), ("b", "m"), ("n", "x"), ("m", "y")), steps=2).check()
    if INSTALLED:
        with pytest.raises(RefusedError, match="b: is not connected"):
            run_lava(lower(graph, LOIHI2), graph, spikes(graph, 1), None)
    agreed = Loihi().engines["loihi"](graph, spikes(graph, 1), None, lambda _: None)
    assert_same(agreed, run_int(graph, spikes(graph, 1)))


def test_the_time_limit_grows_with_the_work_from_a_minute() -> None:
    graph, inputs = small()
    program = lower(graph, LOIHI2)
    assert time_limit([Job(program, graph, inputs)]) == 60.0
    many = {"in": np.zeros((4000, 4, 2), int)}
    assert time_limit([Job(program, graph, many)]) > 500


def test_importing_the_target_does_not_import_lava() -> None:
    code = (
        "import sys, snnc.targets.loihi as l; l.Loihi().engines;"
        "sys.exit(any(name.split('.')[0] == 'lava' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
