"""The encoder's line: a SAR conversion per pixel, from survey data."""

from __future__ import annotations

from itertools import pairwise

import pytest

from snnc.energy.encoder import encoder_energy
from snnc.errors import OptionError


def test_a_28_by_28_image_of_8_bits_takes_2_2_nj() -> None:
    """784 × 2.8 pJ = 2195.2 pJ, from 784 × 1.1 to 784 × 14.5 pJ."""
    done = encoder_energy(784)
    assert (done.low, done.typical, done.high) == pytest.approx((862.4, 2195.2, 11368.0))
    assert done.per_pixel == pytest.approx((1.1, 2.8, 14.5))
    assert "survey" in done.source
    assert done.bits == 8


def test_other_widths_follow_the_walden_figure_of_merit() -> None:
    """10 pixels × 2^10 steps × 18.9 fJ = 193.5 pJ; 6.03 and 85.9 fJ for the range."""
    done = encoder_energy(10, 10)
    assert done.typical == pytest.approx(10 * 1024 * 18.9e-3)
    assert done.low == pytest.approx(10 * 1024 * 6.03e-3)
    assert done.high == pytest.approx(10 * 1024 * 85.9e-3)
    assert "Walden" in done.rule
    assert "ENOB = 10" in done.rule


def test_wider_conversions_cost_more() -> None:
    energies = [encoder_energy(1, bits) for bits in range(1, 17)]
    for few, many in pairwise(energies):
        assert few.low < many.low
        assert few.typical < many.typical
        assert few.high < many.high


@pytest.mark.parametrize(("pixels", "bits"), [(0, 8), (-1, 8), (1, 0), (1, 25)])
def test_what_makes_no_sense_is_refused(pixels: int, bits: int) -> None:
    with pytest.raises(OptionError, match="encoder"):
        encoder_energy(pixels, bits)
