import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnc.circuits.dac import CapacitorDac
from snnc.circuits.metrics.dynamic import coherent_cycles
from snnc.circuits.metrics.static import (
    dnl,
    endpoint_lsb,
    histogram_transitions,
    inl_best_fit,
    inl_endpoint,
    missing_codes,
    monotonic,
    transition_levels,
)
from snnc.circuits.sar import SarAdc
from snnc.errors import InputError, OptionError
from tests.circuits import oracle

TABLES = st.integers(1, 5).flatmap(
    lambda bits: hnp.arrays(np.float64, (2, 2**bits), elements=st.floats(-1, 2))
)
ROWS = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(2, 9)), elements=st.floats(-1, 1)
)


@settings(deadline=None)
@given(TABLES)
def test_transitions_are_the_lowest_inputs_of_their_codes(levels: np.ndarray) -> None:
    """For any levels whatever: the code changes at levels only, so those are tried one by one."""
    transitions = transition_levels(levels)
    for row, found in zip(levels.tolist(), transitions.tolist(), strict=True):
        seen = [(v, oracle.sar(row, v)) for v in sorted(row)]
        for k in range(1, len(row)):
            assert found[k - 1] == min(v for v, code in seen if code >= k)


def _steady(table: np.ndarray) -> np.ndarray:
    """The same table with a last level above its first."""
    table = table.copy()
    table[:, -1] = table[:, 0] + 0.5 * table.shape[1]
    return table


@settings(deadline=None)
@given(ROWS)
def test_dnl_and_inl_equal_their_sums_by_hand(table: np.ndarray) -> None:
    table = _steady(table)
    for row, steps, bends in zip(table, dnl(table), inl_endpoint(table), strict=True):
        size = (row[-1] - row[0]) / (len(row) - 1)
        for k in range(len(row) - 1):
            assert steps[k] == pytest.approx((row[k + 1] - row[k]) / size - 1, abs=1e-9)
        assert bends[0] == 0
        for k in range(len(row)):
            assert bends[k] == pytest.approx(sum(steps[:k]), abs=1e-9)
        assert bends[-1] == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(ROWS)
def test_best_fit_equals_polyfit(table: np.ndarray) -> None:
    table = np.cumsum(np.abs(table) + 0.01, axis=1)
    for row, bends in zip(table, inl_best_fit(table), strict=True):
        slope, start = np.polyfit(np.arange(len(row)), row, 1)
        expected = (row - start) / slope - np.arange(len(row))
        np.testing.assert_allclose(bends, expected, atol=1e-6)


def test_best_fit_is_never_worse_in_rms() -> None:
    levels = CapacitorDac.draw(8, 0.05, 50, np.random.default_rng(1)).levels()
    best, ends = inl_best_fit(levels), inl_endpoint(levels)
    assert ((best**2).mean(1) < (ends**2).mean(1)).all()


def test_dnl_against_the_ideal_step_shows_the_gain() -> None:
    levels = np.arange(8.0)[None] * 1.1
    np.testing.assert_allclose(dnl(levels, 1.0), 0.1, rtol=1e-12)
    np.testing.assert_allclose(dnl(levels), 0, atol=1e-12)
    assert endpoint_lsb(levels) == pytest.approx(1.1)


def test_adc_misses_codes_where_dnl_is_minus_one() -> None:
    dac = CapacitorDac.draw(8, 0.06, 200, np.random.default_rng(2))
    transitions = transition_levels(dac.levels())
    missing = missing_codes(transitions)
    assert missing.any()
    steps = dnl(transitions, 1 / 256)
    assert steps.min() == -1
    assert ((steps == -1) == missing[:, 1:-1]).all()
    assert dnl(dac.levels(), 1 / 256).min() < -1


def test_codes_beyond_the_reference_are_missing() -> None:
    assert missing_codes([[0.0, 0.5, 1.1]], 1.0).tolist() == [[True, False, False, True]]
    assert missing_codes([[0.25, 0.5, 1.0]], 1.0).tolist() == [[False, False, False, False]]


@settings(deadline=None)
@given(TABLES)
def test_monotonic_by_hand(levels: np.ndarray) -> None:
    expected = [all(a <= b for a, b in itertools.pairwise(row)) for row in levels.tolist()]
    assert monotonic(levels).tolist() == expected
    assert monotonic(np.sort(levels, axis=1)).all()


def test_histogram_finds_the_transition_levels() -> None:
    samples, amplitude = 1 << 20, 0.5 * 1.004
    dac = CapacitorDac.draw(8, 0.02, 1, np.random.default_rng(3))
    cycles = coherent_cycles(samples, 12_345)
    phase = 2 * np.pi * cycles * np.arange(samples) / samples
    codes = SarAdc(dac).convert(0.5 + amplitude * np.sin(phase), clip=True)
    found = histogram_transitions(codes, 8, amplitude, 0.5)
    truth = transition_levels(dac.levels())
    assert np.sqrt(((dnl(found) - dnl(truth)) ** 2).mean()) < 4e-4
    assert np.abs(found - truth).max() * 256 < 1e-3


def test_histogram_counts_by_hand() -> None:
    codes = np.array([[0, 0, 1, 2, 3, 3], [0, 1, 1, 1, 2, 3]])
    found = histogram_transitions(codes, 2, 2.0, 1.0)
    for row, levels in zip(codes.tolist(), found, strict=True):
        for k in range(1, 4):
            share = sum(code <= k - 1 for code in row) / len(row)
            assert levels[k - 1] == pytest.approx(1 - 2 * np.cos(np.pi * share))


def test_refuses_levels() -> None:
    for call in (transition_levels, dnl, inl_endpoint, inl_best_fit, monotonic, endpoint_lsb):
        with pytest.raises(InputError, match="shape"):
            call(np.zeros((1, 1)))
        with pytest.raises(InputError, match="shape"):
            call(np.zeros((1, 2, 2)))
        with pytest.raises(InputError, match="finite"):
            call(np.array([[0.0, np.nan]]))
    with pytest.raises(InputError, match="power of 2"):
        transition_levels(np.zeros((1, 6)))
    with pytest.raises(InputError, match="finite"):
        missing_codes([[np.nan]])
    with pytest.raises(InputError, match="shape"):
        missing_codes(np.zeros((1, 0)))


def test_refuses_levels_without_a_slope() -> None:
    flat = np.ones((1, 4))
    for call in (endpoint_lsb, dnl, inl_endpoint):
        with pytest.raises(InputError, match="above the first"):
            call(flat)
    with pytest.raises(InputError, match="doesn't rise"):
        inl_best_fit(flat)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_refuses_steps_and_references(value: float) -> None:
    with pytest.raises(OptionError, match="lsb"):
        dnl(np.arange(4.0), value)
    with pytest.raises(OptionError, match="v_ref"):
        missing_codes([[0.5]], value)


def test_histogram_refuses() -> None:
    good = np.arange(4)
    for codes, match in (
        (good.astype(float), "integers"),
        (good[None, None], "integers"),
        (np.array([0, 4]), "outside"),
        (np.array([-1, 3]), "outside"),
        (np.zeros((1, 0), int), "empty"),
        (np.array([1, 2, 3]), "both end codes"),
        (np.array([0, 1, 2]), "both end codes"),
    ):
        with pytest.raises(InputError, match=match):
            histogram_transitions(codes, 2, 1.0, 0.0)
    with pytest.raises(OptionError, match="bits"):
        histogram_transitions(good, 0, 1.0, 0.0)
    with pytest.raises(OptionError, match="amplitude"):
        histogram_transitions(good, 2, 0.0, 0.0)
    with pytest.raises(OptionError, match="offset"):
        histogram_transitions(good, 2, 1.0, np.nan)
