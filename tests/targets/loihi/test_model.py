"""The numpy model of the chip against the int64 reference, in hardware time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from snnc.errors import InputError, OptionError, RefusedError
from snnc.ir import Delay, Graph, Input, Kind, Linear, Output
from snnc.reference import run_int
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from tests.targets.graphs import Wanted, int_cases
from tests.targets.loihi.nets import (
    LOIHI1,
    LOIHI2,
    assert_same,
    chain,
    everything,
    lif,
    lowered,
    spikes,
    whole,
)

CARRIED = Wanted(products=False)
ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def agree(graph: Graph, inputs: Any, limits: Any = LOIHI2) -> None:
    record = everything(graph)
    wanted = run_int(graph, inputs, record)
    program = lowered(graph, limits)
    for back_to_back in (False, True):
        found = run_model(program, graph, inputs, record, back_to_back=back_to_back)
        assert_same(found, wanted)
        assert found.events == wanted.events


@settings(max_examples=150, **ANY)
@given(int_cases(CARRIED))
def test_equals_the_reference_in_every_state(case: Any) -> None:
    agree(*case)


@settings(max_examples=50, **ANY)
@given(int_cases(Wanted(lif_only=True, delays=False, loops=False, graded=False, products=False)))
def test_loihi1_equals_the_reference_in_every_state(case: Any) -> None:
    agree(*case, limits=LOIHI1)


@pytest.mark.slow
@settings(max_examples=2000, **ANY)
@given(int_cases(CARRIED))
def test_equals_the_reference_on_2000_networks(case: Any) -> None:
    agree(*case)


def test_a_sample_does_not_reach_the_next_through_bias_or_delay() -> None:
    """Neurons that fire all the time, behind and before delays longer than the sample."""
    weight = whole([[64, 0], [0, 64]])
    nodes = {
        "in": Input((2,), Kind.SPIKE),
        "w1": Linear(weight),
        "a": lif(theta=whole(0), bias_v=whole(64)),
        "d": Delay(3),
        "w2": Linear(weight),
        "b": lif(dv=whole(100), theta=whole(8000)),
        "out": Output("v"),
    }
    names = list(nodes)
    for delay in (1, 3, 5, 9):
        graph = Graph({**nodes, "d": Delay(delay)}, tuple(pairwise(names)), steps=5).check()
        agree(graph, spikes(graph, 4))


def test_the_gate_is_what_keeps_samples_apart() -> None:
    graph = chain((1,), Linear(whole([[64]])), lif(theta=whole(0), bias_v=whole(64)), Delay(2),
                  Linear(whole([[64]])), lif(), steps=4)  # fmt: skip
    program = lower(graph, LOIHI2)
    assert [synapse.gate for synapse in program.synapses] == [0, 2]
    open_gate = replace(program, synapses=tuple(replace(item, gate=0) for item in program.synapses))
    inputs, record = spikes(graph, 3), everything(graph)
    wanted = run_int(graph, inputs, record)
    found = run_model(open_gate, graph, inputs, record, back_to_back=True)
    assert (found.records["n4", "v"] != wanted.records["n4", "v"]).any()


def test_blocks_of_lanes_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain((3,), Linear(whole(np.full((2, 3), 60))), lif(dv=whole(300)), steps=6)
    inputs, record = spikes(graph, 7), everything(graph)
    whole_run = run_model(lower(graph, LOIHI2), graph, inputs, record)
    monkeypatch.setattr("snnc.targets.loihi.model.LANE_VALUES", 10)
    heard: list[float] = []
    assert_same(run_model(lower(graph, LOIHI2), graph, inputs, record, heard.append), whole_run)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_inputs_can_be_recorded_and_other_nodes_not() -> None:
    graph = chain((2,), Linear(whole([[2, 4]])), lif(), steps=3)
    inputs = spikes(graph, 2)
    found = run_model(lower(graph, LOIHI2), graph, inputs, {"in": ("s",)})
    np.testing.assert_array_equal(found.records["in", "s"], inputs["in"])
    with pytest.raises(OptionError, match="n0: no population"):
        run_model(lower(graph, LOIHI2), graph, inputs, {"n0": ("s",)})
    with pytest.raises(OptionError, match=r"in: has no ports \['v'\]"):
        run_model(lower(graph, LOIHI2), graph, inputs, {"in": ("v",)})


@pytest.mark.parametrize(
    ("values", "cause"),
    [(np.full((1, 3, 2), 2), "values 2…2 outside 0…1"), (np.zeros((1, 3, 2)), "holds float64")],
)
def test_inputs_out_of_range_are_refused(values: Any, cause: str) -> None:
    graph = chain((2,), Linear(whole([[2, 4]])), lif(), steps=3)
    with pytest.raises(InputError, match=cause):
        run_model(lower(graph, LOIHI2), graph, {"in": values}, None)


def test_a_sum_beyond_32_bits_is_refused_not_wrapped() -> None:
    source = Input((4,), Kind.GRADED, bits=16)
    graph = chain((4,), Linear(whole([[254] * 4]), exp=7), lif(), source=source, steps=2)
    inputs = {"in": np.full((1, 2, 4), 65535)}
    with pytest.raises(RefusedError, match="beyond the 32 bits in which Lava computes"):
        run_model(lower(graph, LOIHI2), graph, inputs, None)
