"""Loihi 1 beyond the LIF: which neurons its compartments are, exactly, and which they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.errors import OptionError, RefusedError
from snnc.ir import Delay, Graph, IntNeuron, Linear, Output
from snnc.ir.files import read_npz
from snnc.reference import run_int
from snnc.targets.cores import program as target
from snnc.targets.loihi import Loihi, run_loihi
from snnc.targets.loihi.compartments import FEEDBACK_MAX, compartment_reasons, fed_back
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from snnc.targets.loihi.net_file import net_reasons
from snnc.targets.loihi.neurons import as_lif
from snnc.targets.loihi.numbers import split_feedback
from snnc.targets.loihi.program_file import from_arrays, to_bytes
from tests.targets.loihi.cases import Case, chip_cases, readable, same_events
from tests.targets.loihi.nets import LOIHI1, assert_same, chain, lif, lowered, spikes, whole

ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}
RNG = np.random.default_rng(3)
WEIGHT = whole(2 * RNG.integers(-30, 60, (6, 5)))


def one(node: IntNeuron, steps: int = 40) -> Graph:
    return chain((5,), Linear(WEIGHT), node, steps=steps)


def agrees(node: IntNeuron) -> target.Population:
    """Runs `node` on Loihi 1 in every state that can be read; it must spike and stay silent."""
    graph = one(node)
    program = lower(graph, LOIHI1)
    inputs, record = spikes(graph, 6), readable(graph, program)
    wanted = run_int(graph, inputs, record)
    for back_to_back in (False, True):
        found = run_model(program, graph, inputs, record, back_to_back=back_to_back)
        assert_same(found, wanted)
        same_events(graph, found, wanted)
    if node.fires:
        assert 0.01 < wanted.records["n1", "s"].mean() < 0.99
    return program.populations["n1"]


@pytest.mark.parametrize("du", [4096, 1000, 0])
@pytest.mark.parametrize(
    ("changes", "kind", "feedback"),
    [
        ({"reset": "hard", "dv": 4096}, target.Compartment, None),
        ({"reset": "hard", "reset_at": "after"}, target.Compartment, None),
        ({"reset": "hard", "reset_at": "after", "dv": 300}, target.Compartment, None),
        ({"reset": "none"}, target.MultiCompartment, 0),
        ({"reset": "none", "dv": 4096}, target.MultiCompartment, 0),
        ({"reset": "none", "fires": False, "dv": 77}, target.MultiCompartment, 0),
        ({"reset": "soft", "reset_at": "after"}, target.MultiCompartment, -64 * 100),
        ({"reset": "soft", "reset_at": "after", "dv": 977}, target.MultiCompartment, -64 * 100),
        ({"reset": "soft", "reset_at": "after", "dv": 4096}, target.MultiCompartment, -64 * 100),
        ({"reset": "soft"}, target.MultiCompartment, -64 * 100),
        ({"reset": "soft", "dv": 2048}, target.MultiCompartment, -64 * 50),
        ({"reset": "soft", "dv": 4096}, target.MultiCompartment, 0),
        ({"reset": "soft", "dv": 321, "v_sub": 0}, target.MultiCompartment, 0),
    ],
)
def test_every_case_of_the_proof_is_exact(
    changes: dict[str, Any], kind: type, feedback: int | None, du: int
) -> None:
    numbers = {key: whole(value) for key, value in changes.items() if key in ("dv", "v_sub")}
    soft = {"v_sub": whole(6400)} if changes.get("reset") == "soft" else {}
    base = {"bias_v": whole(64), "v_init": whole(-1000), "du": whole(du)}
    made = agrees(lif(**base | soft | changes | numbers))
    assert isinstance(made, kind)
    if isinstance(made, target.MultiCompartment):
        assert made.feedback == feedback


@settings(max_examples=120, **ANY)
@given(chip_cases())
def test_drawn_networks_of_compartments_equal_the_reference(case: Case) -> None:
    check(case)


@pytest.mark.slow
@settings(max_examples=2000, **ANY)
@given(chip_cases())
def test_2000_networks_of_compartments_equal_the_reference(case: Case) -> None:
    check(case)


def check(case: Case) -> None:
    graph, inputs = case
    program = lowered(graph, LOIHI1)
    record = readable(graph, program)
    wanted = run_int(graph, inputs, record)
    for back_to_back in (False, True):
        found = run_model(program, graph, inputs, record, back_to_back=back_to_back)
        assert_same(found, wanted)
        same_events(graph, found, wanted)


@settings(max_examples=300, **ANY)
@given(
    v=st.integers(-(1 << 23) + 1, (1 << 23) - 1),
    theta=st.integers(0, 131071),
    dv=st.sampled_from([0, 1024, 2048, 3072, 3584, 4032, 4095, 4096, 100]),
    v_sub=st.integers(0, 1 << 15),
)
def test_what_is_fed_back_is_what_the_decay_leaves_of_it(
    v: int, theta: int, dv: int, v_sub: int
) -> None:
    """soft/now: t0(v − v_sub, dv) = t0(v, dv) − c for every v above the threshold."""

    def decayed(x: int) -> int:
        return (1 if x > 0 else -1) * (abs(x) * (4096 - dv) >> 12)

    taken = v_sub * 64
    node = lif(theta=whole(theta * 64), dv=whole(dv), v_sub=whole(taken), reset="soft")
    constant = fed_back(node)
    if constant is not None and v > theta * 64:
        assert decayed(v - taken) == decayed(v) - constant


def test_a_constant_is_refused_only_where_there_is_none() -> None:
    """By trying every membrane of a small range above the threshold."""
    for dv in (1, 100, 1000, 2048, 3000, 4095):
        for taken in (64, 640, 4096, 1 << 14, 1 << 18):
            theta = (1 << 18) // 64 * 64
            node = lif(theta=whole(theta), dv=whole(dv), v_sub=whole(taken), reset="soft")
            v = np.arange(theta + 1, theta + 5000)
            differences = (v * (4096 - dv) >> 12) - ((v - taken) * (4096 - dv) >> 12)
            found = fed_back(node)
            assert (found is None) == (len(set(differences.tolist())) > 1)
            assert found is None or found == differences[0]


def test_every_amount_has_its_feedback_synapses() -> None:
    for amount in [*range(600), 4095, 4096, 12345, 16384, 21845, FEEDBACK_MAX]:
        pieces = split_feedback(amount, LOIHI1)
        total = sum(w << e if e >= 0 else w >> -e for w, e in pieces)
        assert total == amount
        for weight, exp in pieces:
            assert weight % 2 == 0
            assert 0 < weight <= 254
            assert LOIHI1.exp_min <= exp <= LOIHI1.exp_max


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"reset_at": "guarded", "v_sub": whole(640)}, "soft/guarded, with a second comparison"),
        ({"dv": whole(100), "v_sub": whole(640)}, "resets soft/now by 640 under a decay of 100"),
        ({"dv": whole(2048), "v_sub": whole(64)}, "would have to take 32 off the membrane"),
        ({"dv": whole(2048), "v_sub": whole(64 * 102)}, "soft/now by 6528 under a decay of 2048"),
        ({"reset_at": "after", "v_sub": whole(100)}, "would have to take 100 off the membrane"),
        ({"reset_at": "after", "v_sub": whole(1 << 21)}, "no multiple of 64 in 0…2097088"),
        ({"reset_at": "after", "v_sub": whole(-64)}, "would have to take -64 off"),
        ({"order": "vu"}, "updates v before u"),
    ],
)
def test_what_compartments_can_not_do_is_refused_with_a_remedy(
    changes: dict[str, Any], cause: str
) -> None:
    node = lif(**{"reset": "soft"} | changes)
    with pytest.raises(RefusedError, match="n1: the compartments of loihi1") as found:
        lower(one(node), LOIHI1)
    assert cause in found.value.cause
    assert found.value.fix.endswith("compile for --chip loihi2, whose neurons can be programmed")
    assert found.value.fix.startswith(compartment_reasons(node, LOIHI1)[0][1])


def test_the_membrane_of_a_refractory_neuron_can_not_be_read() -> None:
    graph = one(lif(reset_at="after"))
    program = lower(graph, LOIHI1)
    with pytest.raises(OptionError, match=r"n1: has no ports \['v'\]"):
        run_model(program, graph, spikes(graph, 1), {"n1": ("v",)})
    with pytest.raises(RefusedError, match="out: reads v of n1") as found:
        lower(graph.with_nodes({"out": Output("v")}), LOIHI1)
    assert "loihi2" in found.value.fix


def test_compartments_are_named_saved_and_not_put_into_a_net_file(tmp_path: Any) -> None:
    graph = one(lif(reset="soft", v_sub=whole(64 * 201), v_init=whole([1, 2, 3, 4, 5, 6])))
    program = lower(graph, LOIHI1)
    assert program.notes == (
        "n1: runs on 3 joined compartments, since it resets soft/now, not hard/now",
    )
    assert net_reasons(program) == ["n1 needs compartments that are no LIF"]
    data = to_bytes(program)
    (tmp_path / "program.npz").write_bytes(data)
    again = from_arrays(read_npz(tmp_path / "program.npz"), "program.npz")
    assert to_bytes(again) == data
    inputs, record = spikes(graph, 3), readable(graph, program)
    assert_same(run_model(again, graph, inputs, record), run_int(graph, inputs, record))


def test_the_engine_runs_the_program_of_the_chip_it_is_told() -> None:
    graph = one(lif(reset_at="after"))
    inputs = spikes(graph, 2)
    for chip in (None, "loihi2", "loihi1"):
        found = run_loihi(graph, inputs, {"n1": ("u",)}, lambda _: None, chip)
        assert_same(found, run_int(graph, inputs, {"n1": ("u",)}))
    with pytest.raises(OptionError, match=r"has no ports \['v'\]"):
        run_loihi(graph, inputs, {"n1": ("v",)}, lambda _: None, "loihi1")
    assert Loihi().emit(graph, LOIHI1).facts["compartments"] == ["n1"]


def test_biases_start_with_the_sample() -> None:
    """A LIF whose bias makes it fire before its first step would send that through the delay."""
    weight = Linear(whole([[64]]))
    noisy = lif(theta=whole(0), bias_v=whole(640))
    graph = chain((1,), weight, noisy, Delay(1), weight, lif(), steps=3)
    program = lower(graph, LOIHI1)
    assert isinstance(program.populations["n1"], target.Compartment)
    assert isinstance(program.populations["n4"], target.Lif)
    inputs, record = spikes(graph, 3), readable(graph, program)
    wanted = run_int(graph, inputs, record)
    assert_same(run_model(program, graph, inputs, record), wanted)
    early = as_lif(noisy, (1,), program.lag("n1"), LOIHI1)
    other = replace(program, populations={**program.populations, "n1": early})
    assert (run_model(other, graph, inputs, record).records["n4", "u"] > 0)[:, 0].any()
    assert not wanted.records["n4", "u"][:, 0].any()
