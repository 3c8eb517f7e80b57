"""The networks that papers are made of: traced, compiled, run bit-equal in sim and reference."""

from __future__ import annotations

import pytest

from benchmarks.deep import NETWORKS, measure


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_simulator_equals_the_reference(name: str) -> None:
    result = measure(name)
    assert result["differing"] == 0
    assert result["states"] > 1e5
    assert 0.005 < result["rate"] < 0.5, "a network that is silent or saturated proves little"
