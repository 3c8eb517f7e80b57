"""Mean, spread, confidence, best and worst."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.energy.statistics import statistics
from snnc.errors import InputError


def test_by_hand() -> None:
    # Mean 5; squares (9, 1, 1, 9) / 3, so sd = √(20/3); t for 3 degrees of freedom is 3.182446.
    found = statistics([8.0, 2.0, 4.0, 6.0])
    assert (found.samples, found.mean) == (4, 5.0)
    assert found.sd == pytest.approx((20 / 3) ** 0.5)
    half = 3.182446 * (20 / 3) ** 0.5 / 2
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half), rel=1e-6)
    assert (found.best, found.best_sample) == (2.0, 1)
    assert (found.worst, found.worst_sample) == (8.0, 0)


def test_one_sample_has_no_spread() -> None:
    found = statistics(np.asarray([3]))
    assert (found.mean, found.sd, found.low, found.high) == (3.0, None, None, None)
    assert found.best_sample == found.worst_sample == 0


def test_equal_samples_have_no_doubt_and_the_first_one_stands() -> None:
    found = statistics(np.full(5, 7))
    assert (found.sd, found.low, found.high) == (0.0, 7.0, 7.0)
    assert found.best_sample == found.worst_sample == 0


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [statistics(rng.normal(10, 3, 6)) for _ in range(2000)]
    covered = sum(f.low <= 10 <= f.high for f in found if f.low is not None and f.high is not None)
    assert 0.935 < covered / 2000 < 0.965


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_no_samples_and_no_numbers(values: list[float]) -> None:
    with pytest.raises(InputError):
        statistics(values)


def test_one_number_per_sample() -> None:
    with pytest.raises(InputError, match="shape"):
        statistics(np.ones((2, 2)))
