"""What a figure is over a data set: mean, spread, confidence, best and worst sample."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from snnc.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Statistics:
    """Of one number per sample.

    Attributes:
        samples: n.
        mean: over the samples.
        sd: standard deviation of the population that they are drawn from (divisor n − 1); None
            with one sample, which says nothing about it.
        low, high: 95 % confidence interval of the mean, mean ∓ t · sd / √n with Student's t for
            n − 1 degrees of freedom; None with one sample. It assumes independent samples.
        best, best_sample: lowest value and the index of its first sample.
        worst, worst_sample: highest value and the index of its first sample.
    """

    samples: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    best: float
    best_sample: int
    worst: float
    worst_sample: int


def statistics(values: NDArray[Any] | Iterable[float]) -> Statistics:
    """Statistics of (sample,) numbers.

    Raises:
        InputError: no samples, not one number each, or NaN.
    """
    numbers = np.asarray(values if isinstance(values, np.ndarray) else list(values), np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(
            "data", f"holds no samples (shape {numbers.shape})", "give at least one sample"
        )
    if not np.all(np.isfinite(numbers)):
        raise InputError("data", "gives figures that are NaN or infinite")
    mean, sd = float(numbers.mean()), spread(numbers)
    half = None if sd is None else _student(len(numbers)) * sd / math.sqrt(len(numbers))
    best, worst = int(numbers.argmin()), int(numbers.argmax())
    return Statistics(
        samples=len(numbers),
        mean=mean,
        sd=sd,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        best=float(numbers[best]),
        best_sample=best,
        worst=float(numbers[worst]),
        worst_sample=worst,
    )


def spread(numbers: NDArray[Any]) -> float | None:
    """Standard deviation with divisor n − 1; None with one sample."""
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def _student(samples: int) -> float:
    """Quantile of Student's t that leaves half of the doubt on either side."""
    return float(stdtrit(samples - 1, (1 + CONFIDENCE) / 2))
