"""Lags and synaptic delays."""

from __future__ import annotations

import pytest

from snnc.errors import RefusedError
from snnc.targets.loihi.hops import Hop
from snnc.targets.loihi.retime import solve_lags, synapse_delay


def hop(source: str, target: str, delay: int = 0) -> Hop:
    return Hop(source, target, (f"w_{source}{target}",), delay)


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


def test_a_loop_of_more_layers_than_steps_is_refused() -> None:
    with pytest.raises(RefusedError, match="a loop that takes more steps on the chip") as found:
        solve_lags(["in", "a", "b"], [hop("in", "a"), hop("a", "b"), hop("b", "a", 1)])
    assert found.value.where in ("a", "b")


def test_a_branch_that_waits_too_long_is_refused() -> None:
    with pytest.raises(RefusedError, match="w_ina: needs a synaptic delay of 63 steps") as found:
        synapse_delay(hop("in", "a", 63), {"in": 0, "a": 1}, 62)
    assert "has 62" in found.value.cause
