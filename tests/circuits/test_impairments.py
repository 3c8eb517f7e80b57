import numpy as np
import pytest

from snnc.circuits.dac import CapacitorDac, mid_bins
from snnc.circuits.impairments import (
    Impairments,
    first_failing_droop,
    first_failing_gain,
    first_failing_offset,
    first_failing_settling,
    full_step_settling,
    ktc_capacitance,
    ktc_noise,
    max_sine_frequency,
    metastable_window,
    pelgrom_sigma,
    pixel_error,
    settling_residue,
)
from snnc.circuits.sar import SarAdc
from snnc.errors import OptionError

BITS = [1, 2, 5, 8, 12]


def _shifts(bits: int, flaws: Impairments, **options: object) -> np.ndarray:
    adc = SarAdc(CapacitorDac.ideal(bits), flaws, **options)  # type: ignore[arg-type]
    return adc.convert(mid_bins(bits))[0] - np.arange(2**bits)


@pytest.mark.parametrize("bits", BITS)
def test_offset_first_fails_at_half_a_step(bits: int) -> None:
    limit = first_failing_offset(bits)
    assert (_shifts(bits, Impairments(offset=limit * 0.998)) == 0).all()
    assert (_shifts(bits, Impairments(offset=-limit * 0.998)) == 0).all()
    up = _shifts(bits, Impairments(offset=limit))
    assert (up[:-1] == 1).all()
    assert up[-1] == 0
    assert (_shifts(bits, Impairments(offset=-limit)) == 0).all()
    down = _shifts(bits, Impairments(offset=-limit * 1.002))
    assert (down[1:] == -1).all()
    assert down[0] == 0


@pytest.mark.parametrize("bits", BITS)
def test_gain_first_fails_at_its_closed_form(bits: int) -> None:
    low, high = first_failing_gain(bits)
    assert (_shifts(bits, Impairments(gain=low * (1 - 1e-6))) == 0).all()
    assert _shifts(bits, Impairments(gain=low * (1 + 1e-6)))[-1] == -1
    assert (_shifts(bits, Impairments(gain=high * (1 - 1e-6))) == 0).all()
    assert _shifts(bits, Impairments(gain=high * (1 + 1e-6)))[-2] == 1
    assert abs(low) < high


def test_gain_at_8_bits_is_that_of_the_table() -> None:
    assert -first_failing_gain(8)[0] == pytest.approx(0.00196, abs=5e-6)


@pytest.mark.parametrize("bits", BITS)
def test_settling_first_fails_at_its_closed_form(bits: int) -> None:
    slots = first_failing_settling(bits)
    assert (_shifts(bits, Impairments(tau=1.0), slot=slots * (1 + 1e-6)) == 0).all()
    late = _shifts(bits, Impairments(tau=1.0), slot=slots * (1 - 1e-6))
    assert late[2 ** (bits - 1) - 1] > 0
    assert np.count_nonzero(late) == 1


def test_settling_at_8_bits_is_that_of_the_table() -> None:
    assert first_failing_settling(8) == pytest.approx(5.545, abs=5e-4)
    assert full_step_settling(8) == pytest.approx(6.238, abs=5e-4)
    assert settling_residue(full_step_settling(8), 1.0) == pytest.approx(0.5 / 256)
    assert (_shifts(8, Impairments(tau=1.0), slot=5.4) != 0).any()
    assert (_shifts(8, Impairments(tau=1.0), slot=6.0) == 0).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_droop_first_fails_at_the_last_decision(bits: int, sign: int) -> None:
    slot = 100e-9
    rate = sign * first_failing_droop(bits, slot)
    assert (_shifts(bits, Impairments(droop=rate * (1 - 1e-6)), slot=slot) == 0).all()
    assert (_shifts(bits, Impairments(droop=rate * (1 + 1e-6)), slot=slot) != 0).any()


@pytest.mark.parametrize("sign", [-1, 1])
def test_unheld_sine_may_move_half_a_step(sign: int) -> None:
    conversion = 0.9e-6
    frequency = max_sine_frequency(8, conversion)
    assert frequency == pytest.approx(691, abs=0.5)
    steepest = sign * np.pi * frequency  # of a full-scale sine on 1 V
    adc = SarAdc(CapacitorDac.ideal(8), sample_and_hold=False, slot=conversion / 8)
    codes = np.arange(256)
    assert (adc.convert(mid_bins(8), slope=steepest * 0.9999)[0] == codes).all()
    assert (adc.convert(mid_bins(8), slope=steepest * 1.0001)[0] != codes).any()
    held = SarAdc(CapacitorDac.ideal(8), slot=conversion / 8)
    assert (held.convert(mid_bins(8), slope=steepest * 100)[0] == codes).all()


@pytest.mark.parametrize(("sigma", "tabulated"), [(1 / 6, 2.70e-3), (1 / 4, 4.55e-2)])
@pytest.mark.parametrize("kind", ["comparator_noise", "sampling_noise"])
def test_noise_moves_pixels_as_erfc(sigma: float, tabulated: float, kind: str) -> None:
    expected = float(pixel_error(sigma))
    assert expected == pytest.approx(tabulated, rel=2e-3)
    codes = np.arange(1, 255).repeat(2000)
    flaws = Impairments(**{kind: sigma / 256})
    adc = SarAdc(CapacitorDac.ideal(8), flaws)
    seen = adc.convert((codes + 0.5) / 256, np.random.default_rng(11))[0]
    error = (seen != codes).mean()
    if kind == "comparator_noise":  # drawn anew for each of the two thresholds
        expected = 1 - (1 - expected / 2) ** 2
    assert error == pytest.approx(expected, abs=4 * np.sqrt(expected / codes.size))


def test_reference_noise_scales_with_the_level() -> None:
    rng = np.random.default_rng(12)
    sigma, count = 0.25, 400_000
    inputs = rng.random(count)
    adc = SarAdc(CapacitorDac.ideal(8), Impairments(reference_noise=sigma / 256))
    error = (adc.convert(inputs, rng)[0] + 0.5) - inputs * 256
    power = (error**2).mean() - 1 / 12
    assert power == pytest.approx(sigma**2 / 3, rel=0.05)
    low, high = inputs < 0.25, inputs > 0.75
    assert (error[high] ** 2).mean() > (error[low] ** 2).mean() + sigma**2 / 2


def test_metastable_decisions_are_as_many_as_the_closed_form() -> None:
    window = metastable_window(v_logic=1.0, gain=10.0, time=5.0, tau=1.0)
    assert window == pytest.approx(0.1 * np.exp(-5))
    rng = np.random.default_rng(13)
    inputs = rng.random(400_000)
    adc = SarAdc(CapacitorDac.ideal(8), Impairments(metastable_window=window))
    shift = adc.convert(inputs, rng)[0] - np.floor(inputs * 256)
    # 2w/LSB of the critical decisions are undecided, and a coin gets half of them wrong,
    # those just above a threshold as often as those just below.
    expected = window * 255
    for wrong in (shift > 0, shift < 0):
        deviation = np.sqrt(expected / 2 / inputs.size)
        assert wrong.mean() == pytest.approx(expected / 2, abs=4 * deviation)


def test_thermal_noise() -> None:
    assert ktc_noise(256e-15) == pytest.approx(127.2e-6, abs=5e-8)
    assert ktc_noise(256e-15) * 256 == pytest.approx(0.033, abs=5e-4)
    assert ktc_capacitance(8) == pytest.approx(3.257e-15, abs=5e-19)
    for bits in (4, 8, 12):
        noise = ktc_noise(ktc_capacitance(bits, 0.9, 350), 350)
        assert noise == pytest.approx(0.9 / 2**bits / np.sqrt(12))
    totals = CapacitorDac.draw(8, 0.1, 3, np.random.default_rng(0)).total
    assert ktc_noise(totals).shape == (3,)


def test_pelgrom_spread() -> None:
    assert pelgrom_sigma(0.01e-6, 1e-6, 1e-6) == pytest.approx(0.01)
    assert pelgrom_sigma(0.01e-6, 2e-6, 2e-6) == pytest.approx(0.005)


def test_unit_capacitor_of_8_bits_is_that_of_the_table() -> None:
    assert 0.5 / (3 * np.sqrt(255)) == pytest.approx(0.0104, abs=5e-5)
    dac = CapacitorDac.draw(8, 0.5 / (3 * np.sqrt(255)), 4000, np.random.default_rng(9))
    steps = np.diff(dac.levels())[:, 127] * 256 - 1
    assert 3 * steps.std() == pytest.approx(0.5, rel=4 / np.sqrt(8000))


@pytest.mark.parametrize("name", Impairments.__dataclass_fields__)
@pytest.mark.parametrize("value", [np.nan, np.inf, np.zeros((2, 2))])
def test_refuses_values(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name):
        Impairments(**{name: value})


@pytest.mark.parametrize("name", Impairments.__dataclass_fields__)
def test_only_offset_gain_and_droop_have_a_sign(name: str) -> None:
    if name in ("offset", "gain", "droop"):
        assert getattr(Impairments(**{name: -1e-3}), name) == -1e-3
        return
    with pytest.raises(OptionError, match=name):
        Impairments(**{name: np.array([1e-3, -1e-3])})


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: ktc_noise(bad),
        lambda bad: ktc_noise(1e-15, bad),
        lambda bad: ktc_capacitance(8, bad),
        lambda bad: ktc_capacitance(8, 1.0, bad),
        lambda bad: pelgrom_sigma(bad, 1, 1),
        lambda bad: pelgrom_sigma(1, bad, 1),
        lambda bad: pelgrom_sigma(1, 1, bad),
        lambda bad: settling_residue(bad, 1),
        lambda bad: settling_residue(1, bad),
        lambda bad: metastable_window(bad, 1, 1, 1),
        lambda bad: metastable_window(1, bad, 1, 1),
        lambda bad: metastable_window(1, 1, bad, 1),
        lambda bad: metastable_window(1, 1, 1, bad),
        lambda bad: first_failing_offset(8, bad),
        lambda bad: first_failing_droop(8, bad),
        lambda bad: first_failing_droop(8, 1, bad),
        lambda bad: max_sine_frequency(8, bad),
        lambda bad: pixel_error(bad),
    ],
)
def test_closed_forms_refuse(call: object) -> None:
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(OptionError):
            call(bad)  # type: ignore[operator]


@pytest.mark.parametrize("bits", [0, 17])
def test_closed_forms_refuse_bits(bits: int) -> None:
    for call in (
        ktc_capacitance,
        first_failing_offset,
        first_failing_gain,
        first_failing_settling,
        full_step_settling,
        lambda bits: first_failing_droop(bits, 1.0),
        lambda bits: max_sine_frequency(bits, 1.0),
    ):
        with pytest.raises(OptionError, match="bits"):
            call(bits)
