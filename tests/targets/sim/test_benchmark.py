"""The speed benchmark compares the same networks, at an activity that is worth comparing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.networks import Network, networks
from benchmarks.speed import Machine, Row, activity, forward, in_turns, table
from snnc.targets.sim import run

NETWORKS = networks()
NAMES = [network.name for network in NETWORKS]


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_activity_is_realistic_and_no_number_overflows(network: Network) -> None:
    assert 0.05 < activity(network) < 0.2
    for style in ("leaky", "lif"):
        events = run(network.graph(style), {"in": network.inputs(2)}).events  # type: ignore[arg-type]
        assert not any(sum(counts.values()) for counts in events.values())


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_the_torch_module_is_the_same_network(network: Network) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    x = network.inputs(4)
    assert forward(network, x) is not None
    with torch.no_grad():
        counts = network.module()(network.tensor(x)).sum(0).numpy()
    mine = run(network.graph("leaky"), {"in": x}).outputs["out"]
    assert np.abs(counts - mine).sum() <= 0.02 * mine.sum()


def test_works_take_turns() -> None:
    calls: list[str] = []
    works = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    assert set(in_turns(works, 3, 0.0)) == {"a", "b"}
    assert calls == ["a", "b"] * 4


def test_the_table_has_a_ratio_for_each_tool_and_a_dash_for_a_missing_one() -> None:
    row = Row("net", 256, 0.1, 2e6, 1e6, 3e6, None, 200_000)
    machine = Machine("cpu", 2, 100.0, 160.0, 20.0, 4.0)
    results = {"machine": vars(machine), "rows": [vars(row)], "load": 0.0}
    text = table(results)
    assert "| net | 256 | 10 % | 2,000,000 | 1,000,000 | 2.0× | 3,000,000 | – | – |" in text
    assert "| net | 256 | 400.0 G MAC/s | 500 % |" in text
