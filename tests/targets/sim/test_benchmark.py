"""The speed benchmark compares the same networks, at an activity that is worth comparing."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from benchmarks import speed
from benchmarks.networks import Network, networks
from benchmarks.speed import (
    Machine,
    Rates,
    Row,
    _median,
    activity,
    forward,
    measure,
    repeated,
    table,
)
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


def test_rates_and_ratios_are_medians_over_the_rounds() -> None:
    rounds: list[Rates] = [
        {"sim": 100.0, "lava": 10.0}, {"sim": 300.0, "lava": 20.0}, {"sim": 200.0, "lava": None},
    ]  # fmt: skip
    assert _median(rounds, "sim") == 200.0
    assert _median(rounds, "sim", "lava") == 12.5
    assert _median(rounds, "sim", "framework") is None


def test_a_work_is_called_until_its_time_is_over() -> None:
    calls: list[int] = []
    assert repeated(lambda: calls.append(1), 0.0) >= 0
    assert len(calls) == 1
    repeated(lambda: calls.append(1), 0.01)
    assert len(calls) > 10


def test_a_network_has_one_row_per_batch_size_without_lava_too() -> None:
    pytest.importorskip("snntorch")
    with mock.patch.object(speed, "lava_rate", return_value=None) as lava:
        rows = measure(NETWORKS[0], 2, 0.0)
    assert lava.call_count == 1
    assert [row.batch for row in rows] == [1, 256]
    assert all(row.framework_ratio is not None and row.lava_ratio is None for row in rows)
    assert rows[0].neurons == 266


def test_the_table_has_a_ratio_for_each_tool_and_a_dash_for_a_missing_one() -> None:
    row = Row("net", 256, 0.1, 2e6, 1e6, 2.1, 3e6, None, None, 200_000, 100)
    machine = Machine("cpu", 2, 100.0, 160.0, 20.0, 4.0)
    results = {"machine": vars(machine), "rows": [vars(row)], "load": 0.0, "rounds": 5}
    text = table(results)
    assert "| net | 256 | 10 % | 2,000,000 | 1,000,000 | 2.1× | 3,000,000 | – | – |" in text
    assert "| net | 256 | 3.3 ns | 400.0 G MAC/s | 500 % |" in text
