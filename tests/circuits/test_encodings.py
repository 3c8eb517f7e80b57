"""Encodings as ideal objects: round trips, documented losses, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.circuits.encodings import (
    direct,
    mpd,
    rate,
    rate_decode,
    ttfs,
    ttfs_decode,
    uwd,
    uwe,
)
from snnc.errors import InputError, OptionError


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("order", ["msb", "lsb"])
def test_uwd_inverts_uwe_for_every_code(bits: int, order: str) -> None:
    codes = np.arange(2**bits)
    planes = uwe(codes, bits, order)  # type: ignore[arg-type]
    assert planes.shape == (bits, 2**bits)
    assert planes.dtype == np.uint8
    np.testing.assert_array_equal(uwd(planes, order), codes)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_uwe_inverts_uwd_for_every_spike_train(bits: int) -> None:
    trains = (np.arange(2**bits) >> np.arange(bits)[:, None]) & 1
    np.testing.assert_array_equal(uwe(uwd(trains), bits), trains)


def test_uwe_is_algorithm_1_line_by_line() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 4))
    planes, residue = [], image.copy()
    for t in range(7, -1, -1):
        planes.append(residue // 2**t)
        residue = residue % 2**t
    np.testing.assert_array_equal(uwe(image), planes)
    np.testing.assert_array_equal(uwe(image, order="lsb"), planes[::-1])


def test_uwe_of_165_by_hand() -> None:
    assert uwe(165).tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert int(uwd([1, 1, 0])) == 6
    assert int(uwd([1, 1, 0], "lsb")) == 3


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 16), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 2**32))
def test_round_trip_of_any_shape(bits: int, shape: list[int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 2**bits, shape)
    back = uwd(uwe(image, bits))
    assert back.shape == image.shape
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.bool_])
def test_integers_of_any_width_encode(dtype: type) -> None:
    image = np.asarray([0, 1, 1], dtype)
    np.testing.assert_array_equal(uwd(uwe(image, 8)), image.astype(int))


@pytest.mark.parametrize(
    ("image", "bits", "cause"),
    [
        ([256], 8, "256"),
        ([-1], 8, "-1"),
        ([16], 4, "16"),
        ([0.5], 8, "float64"),
        (np.asarray([1.0], np.float32), 8, "float32"),
        ([1 + 0j], 8, "complex"),
        (np.asarray([2**64 - 1], np.uint64), 16, "18446744073709551615"),
    ],
)
def test_images_of_the_wrong_depth_are_refused(image: object, bits: int, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        uwe(image, bits)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [0, -1, 17])
def test_bits_outside_1_to_16_are_refused(bits: int) -> None:
    with pytest.raises(OptionError, match="outside 1 to 16"):
        uwe([0], bits)
    with pytest.raises(OptionError, match="outside 1 to 16"):
        ttfs([0], 8, bits)
    with pytest.raises(OptionError, match="outside 1 to 16"):
        rate_decode([[0]], bits)


@pytest.mark.parametrize("planes", [[[2]], [[0.5]], [[-1]], 1, np.zeros((0, 3)), [[np.nan]]])
def test_planes_of_anything_but_spikes_are_refused(planes: object) -> None:
    for decode in (uwd, mpd, rate_decode, ttfs_decode):
        with pytest.raises(InputError):
            decode(planes)  # type: ignore[operator]


def test_other_refusals() -> None:
    with pytest.raises(InputError, match="17"):
        uwd(np.zeros((17, 2)))
    with pytest.raises(OptionError, match="middle"):
        uwe([0], order="middle")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least one"):
        ttfs([0], steps=0)
    with pytest.raises(OptionError, match="whole number"):
        direct([0.0], 2.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least one"):
        direct([0.0], 0)
    with pytest.raises(InputError, match="more than once"):
        ttfs_decode([[1], [1]])
    with pytest.raises(InputError, match="maximum"):
        ttfs([9], peak=8)
    with pytest.raises(InputError, match="at least 1"):
        ttfs([0], peak=0)
    with pytest.raises(InputError, match="finite"):
        direct([np.nan], 3)


@pytest.mark.parametrize("steps", [1, 3, 8, 32, 255, 300])
@pytest.mark.parametrize("peak", [255, 200])
def test_ttfs_is_equation_7_and_loses_less_than_a_step(steps: int, peak: int) -> None:
    codes = np.arange(peak + 1)
    planes = ttfs(codes, steps, peak=peak)
    exact = (peak - codes) / peak * steps
    assert planes.sum(axis=0).tolist() == [0] + [1] * peak
    first = np.argmax(planes[:, 1:], axis=0)
    np.testing.assert_array_equal(first, np.floor(exact[1:] + 1e-12))
    loss = ttfs_decode(planes, peak=peak) - codes
    assert loss.min() > -1e-9
    assert loss.max() < peak / steps
    whole = np.isclose(exact, np.round(exact), atol=1e-12)
    np.testing.assert_allclose(loss[whole], 0, atol=1e-12 * peak)


def test_ttfs_of_8_steps_leaves_8_levels_and_never() -> None:
    assert len(np.unique(ttfs(np.arange(256), 8), axis=1).T) == 9


def test_ttfs_takes_a_peak_per_image() -> None:
    images = np.asarray([[10, 5], [200, 100]])
    planes = ttfs(images, 4, peak=images.max(axis=1, keepdims=True))
    np.testing.assert_array_equal(planes[:, 0], planes[:, 1])
    np.testing.assert_array_equal(planes[0], [[1, 0], [1, 0]])


def test_mpd_by_hand_and_injective() -> None:
    assert float(mpd([0, 0, 1])) == pytest.approx(np.tanh(1.0), abs=1e-15)
    assert float(mpd([1, 0, 1])) == pytest.approx(np.tanh(0.64 + 1.0), abs=1e-15)
    values = mpd(uwe(np.arange(256)))
    assert len(np.unique(values)) == 256
    assert values.min() == 0
    assert values.max() == pytest.approx(np.tanh((1 - 0.8**8) / 0.2))


def test_rate_has_the_mean_and_spread_of_its_binomial() -> None:
    image, steps = np.asarray([0, 1, 64, 128, 254, 255]), 20_000
    planes = rate(image, steps, np.random.default_rng(1))
    np.testing.assert_array_equal(planes, rate(image, steps, np.random.default_rng(1)))
    sigma = np.sqrt(image * (255 - image) / steps)
    assert np.all(np.abs(rate_decode(planes) - image) <= 4 * sigma)
    assert planes[:, 0].sum() == 0
    assert planes[:, -1].all()


def test_direct_repeats_the_image_without_memory() -> None:
    image = np.random.default_rng(0).random((4, 4))
    planes = direct(image, 6)
    assert planes.shape == (6, 4, 4)
    assert planes.strides[0] == 0
    np.testing.assert_array_equal(planes[5], image)
