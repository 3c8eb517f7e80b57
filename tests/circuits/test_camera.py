"""The spike camera against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.circuits.camera import SpikeCamera
from snnc.circuits.encodings import direct
from snnc.errors import InputError, OptionError


def test_soft_reset_counts_the_light() -> None:
    """Powers of two keep every sum exact, so the closed form holds to the last spike."""
    light = np.arange(65) / 64
    start = np.arange(65) / 128
    spikes, membrane = SpikeCamera(gain=0.5, threshold=0.75).record(direct(light, 100), start)
    charge = start + np.cumsum(direct(0.5 * light, 100), axis=0)
    np.testing.assert_array_equal(np.cumsum(spikes, axis=0, dtype=int), charge // 0.75)
    np.testing.assert_array_equal(membrane, charge[-1] % 0.75)


def test_hard_reset_fires_with_its_period() -> None:
    light = np.asarray([1 / 64, 5 / 64, 0.25, 0.75, 1.0])
    spikes, _ = SpikeCamera(reset="hard").record(direct(light, 256))
    period = np.ceil(1 / light).astype(int)
    steps = np.arange(1, 257)[:, None]
    np.testing.assert_array_equal(spikes, steps % period == 0)


def test_a_stream_can_be_recorded_in_blocks() -> None:
    rng = np.random.default_rng(3)
    camera = SpikeCamera(gain=0.45)
    light, start = rng.random((40, 6, 7)), camera.random_phase((6, 7), rng)
    whole, end = camera.record(light, start)
    first, middle = camera.record(light[:13], start)
    second, last = camera.record(light[13:], middle)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(last, end)


def test_random_phase_makes_the_count_unbiased() -> None:
    rng = np.random.default_rng(4)
    camera = SpikeCamera(threshold=2.0)
    phase = camera.random_phase((100_000,), rng)
    assert phase.min() >= 0
    assert phase.max() < 2
    scene = np.full(100_000, 0.3)
    from_rest, _ = camera.record(direct(scene, 10))
    running, _ = camera.record(direct(scene, 10), phase)
    assert from_rest.sum(axis=0).mean() == 1
    assert running.sum(axis=0).mean() == pytest.approx(10 * 0.3 / 2, abs=0.006)


def test_a_cell_fires_once_per_step_at_most() -> None:
    soft, membrane = SpikeCamera().record(direct([3.0], 5))
    assert soft.ravel().tolist() == [1] * 5
    assert membrane.tolist() == [10.0]
    hard, membrane = SpikeCamera(reset="hard").record(direct([3.0], 5))
    assert hard.ravel().tolist() == [1] * 5
    assert membrane.tolist() == [0.0]


def test_one_pixel_alone() -> None:
    spikes, membrane = SpikeCamera().record([0.5, 0.5, 0.5])
    assert spikes.tolist() == [0, 1, 0]
    assert float(membrane) == 0.5


@pytest.mark.parametrize(
    "options",
    [{"gain": 0.0}, {"gain": np.nan}, {"threshold": -1.0}, {"threshold": np.inf}, {"reset": "x"}],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        SpikeCamera(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("light", "start"),
    [([-0.1], 0.0), ([np.nan], 0.0), (0.5, 0.0), (["a"], 0.0), ([0.5], -1.0), ([[1.0]], [0, 0.0])],
)
def test_light_that_makes_no_sense(light: object, start: object) -> None:
    with pytest.raises(InputError):
        SpikeCamera().record(light, start)  # type: ignore[arg-type]
