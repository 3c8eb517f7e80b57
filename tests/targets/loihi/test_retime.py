"""Lags and synaptic delays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import RefusedError
from snnc.ir import Delay, Graph, Input, Kind, Linear, Node, Output
from snnc.reference import run_int
from snnc.targets.loihi.hops import Hop
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from snnc.targets.loihi.retime import solve_lags, synapse_delay
from tests.targets.loihi.nets import LOIHI1, LOIHI2, assert_same, everything, lif, spikes, whole


def hop(source: str, target: str, delay: int = 0) -> Hop:
    label = f"w_{source}{target}"
    return Hop(source, target, ((label,),), delay, label)


def test_every_synapse_takes_a_step_and_branches_wait() -> None:
    hops = [hop("in", "a"), hop("a", "b"), hop("b", "c"), hop("in", "c"), hop("a", "c")]
    lags = solve_lags(["in", "a", "b", "c"], hops)
    assert lags == {"in": 0, "a": 1, "b": 2, "c": 3}
    assert [synapse_delay(item, lags, 62) for item in hops] == [0, 0, 0, 2, 1]


def test_delays_of_the_graph_shorten_lags_down_to_none() -> None:
    hops = [hop("in", "a", 5), hop("a", "b", 1)]
    lags = solve_lags(["in", "a", "b"], hops)
    assert lags == {"in": 0, "a": 0, "b": 0}
    assert [synapse_delay(item, lags, 62) for item in hops] == [4, 0]


def test_a_loop_fits_into_its_own_delay() -> None:
    hops = [hop("in", "a"), hop("a", "b"), hop("b", "a", 2)]
    lags = solve_lags(["in", "a", "b"], hops)
    assert lags == {"in": 0, "a": 1, "b": 2}
    assert synapse_delay(hops[2], lags, 62) == 0


def test_a_loop_of_more_layers_than_steps_is_refused_by_name() -> None:
    hops = [hop("in", "a"), hop("a", "b"), hop("b", "c"), hop("c", "b", 1), hop("c", "d")]
    with pytest.raises(RefusedError) as found:
        solve_lags(["in", "a", "b", "c", "d"], hops)
    assert found.value.where in ("b", "c")
    assert "which takes 2 steps on the chip, one per synapse" in found.value.cause
    assert "the graph delays it by 1" in found.value.cause
    assert ("b → c → b" in found.value.cause) or ("c → b → c" in found.value.cause)
    assert "one step for each of its layers" in found.value.fix


def test_a_branch_that_waits_too_long_is_refused() -> None:
    with pytest.raises(RefusedError, match="w_ina: needs a synaptic delay of 63 steps") as found:
        synapse_delay(hop("in", "a", 63), {"in": 0, "a": 1}, 62)
    assert "has 62" in found.value.cause


NAMES = ["in", "a", "b", "c", "d", "e"]
HOPS = st.lists(
    st.builds(hop, st.sampled_from(NAMES), st.sampled_from(NAMES[1:]), st.integers(0, 3)),
    max_size=14,
)


def too_fast(hops: list[Hop]) -> bool:
    """Whether some loop has more hops than steps of delay: longest paths, all pairs."""
    place = {name: index for index, name in enumerate(NAMES)}
    far = np.full((len(NAMES),) * 2, -1000)
    for item in hops:
        ends = place[item.source], place[item.target]
        far[ends] = max(far[ends], 1 - item.delay)
    for middle in range(len(NAMES)):
        far = np.maximum(far, far[:, middle, None] + far[None, middle])
    return bool((np.diag(far) > 0).any())


@settings(max_examples=400, deadline=None)
@given(HOPS)
def test_lags_exist_unless_a_loop_is_too_fast_and_are_the_smallest(hops: list[Hop]) -> None:
    if too_fast(hops):
        with pytest.raises(RefusedError) as found:
            solve_lags(NAMES, hops)
        assert found.value.where in NAMES[1:]
        return
    lags = solve_lags(NAMES, hops)
    assert all(synapse_delay(item, lags, 62) >= 0 for item in hops)
    for name, lag in lags.items():
        tight = any(h.target == name and lags[h.source] + 1 - h.delay == lag for h in hops)
        assert lag == 0 or tight


def loop(layers: int, delays: tuple[int, ...], skip: bool) -> Graph:
    """A ring of layers, the input at the first, each link delayed as told, maybe a short cut."""
    weights = [2 * np.random.default_rng(index).integers(-30, 60, (3, 3)) for index in range(9)]
    nodes: dict[str, Node] = {"in": Input((3,), Kind.SPIKE), "w": Linear(whole(weights[8]))}
    edges = [("in", "w"), ("w", "n0")]
    for index in range(layers):
        after = (index + 1) % layers
        nodes[f"n{index}"] = lif(dv=whole(100 * index), theta=whole(64 * 40), bias_v=whole(320))
        nodes[f"w{index}"] = Linear(whole(weights[index]))
        edges.append((f"n{index}", f"w{index}"))
        if delays[index]:
            nodes[f"d{index}"] = Delay(delays[index])
            edges += [(f"w{index}", f"d{index}"), (f"d{index}", f"n{after}")]
        else:
            edges.append((f"w{index}", f"n{after}"))
    if skip:
        nodes["s"] = Linear(whole(weights[7]))
        edges += [("in", "s"), ("s", f"n{layers - 1}")]
    nodes["out"] = Output("v")
    edges.append((f"n{layers - 1}", "out"))
    return Graph(nodes, tuple(edges), steps=7).check()


@pytest.mark.parametrize("limits", [LOIHI1, LOIHI2], ids=["loihi1", "loihi2"])
@pytest.mark.parametrize(
    ("layers", "delays"),
    [
        (1, (1,)),
        (1, (3,)),
        (2, (1, 1)),
        (2, (0, 2)),
        (3, (1, 1, 1)),
        (3, (0, 0, 3)),
        (3, (2, 0, 1)),
        (4, (0, 3, 0, 2)),
    ],
)
def test_loops_over_layers_are_exact(layers: int, delays: tuple[int, ...], limits: Any) -> None:
    for skip in (False, True) if layers > 1 else (False,):
        graph = loop(layers, delays, skip)
        inputs, record = spikes(graph, 3), everything(graph)
        wanted = run_int(graph, inputs, record)
        for back_to_back in (False, True):
            found = run_model(
                lower(graph, limits), graph, inputs, record, back_to_back=back_to_back
            )
            assert_same(found, wanted)


@pytest.mark.parametrize("delays", [(0, 1), (1, 0, 1), (0, 0, 0, 3)])
def test_loops_that_the_chip_can_not_close_in_time_are_refused(delays: tuple[int, ...]) -> None:
    with pytest.raises(RefusedError, match=f"takes {len(delays)} steps on the chip"):
        lower(loop(len(delays), delays, skip=False), LOIHI2)
