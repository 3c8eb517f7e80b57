import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.circuits.dac import CapacitorDac
from snnc.circuits.impairments import Impairments
from snnc.circuits.metrics.dynamic import (
    coherent_cycles,
    enob_from_fit,
    enob_loss,
    enob_of,
    ideal_snr,
    sine_fit_3,
    sine_fit_4,
    spectrum,
)
from snnc.circuits.sar import SarAdc
from snnc.errors import InputError, OptionError

SAMPLES, CYCLES = 4096, 127


def _sine(bits: int, samples: int = SAMPLES, cycles: int = CYCLES, span: float = 1.0) -> np.ndarray:
    """A sine from the middle of the lowest code to that of the highest, 0 to 1 V."""
    phase = 2 * np.pi * cycles * np.arange(samples) / samples + 0.1
    return 0.5 + span * (0.5 - 0.5 / 2**bits) * np.sin(phase)


def _record(bits: int) -> np.ndarray:
    return SarAdc(CapacitorDac.ideal(bits)).convert(_sine(bits))


@pytest.mark.parametrize(("bits", "measured", "limit"), [(8, 49.988, 49.926), (10, 62.003, 61.967)])
def test_ideal_snr_is_that_of_the_table(bits: int, measured: float, limit: float) -> None:
    assert ideal_snr(bits) == pytest.approx(limit, abs=5e-4)
    assert ideal_snr(bits) == pytest.approx(6.0206 * bits + 1.7609, abs=5e-4)
    found = spectrum(_record(bits), CYCLES)
    assert found.sndr[0] == pytest.approx(measured, abs=5e-4)
    if bits == 8:
        assert found.sfdr[0] == pytest.approx(69.137, abs=5e-4)


@pytest.mark.parametrize("bits", [6, 8, 10, 12])
def test_fft_and_sine_fit_agree(bits: int) -> None:
    rng = np.random.default_rng(bits)
    dac = CapacitorDac.draw(bits, 0.01, 4, rng)
    records = np.vstack([_record(bits), SarAdc(dac).convert(_sine(bits))])
    by_spectrum = spectrum(records, CYCLES).enob
    for fit in (sine_fit_3(records, CYCLES / SAMPLES), sine_fit_4(records)):
        by_fit = enob_from_fit(fit.rms, bits, 1.0)
        # It takes 2^N steps for full scale, of which this sine spans about one less.
        spanned = by_fit + np.log2(2 * fit.amplitude / 2**bits)
        assert np.abs(spanned - by_spectrum).max() < 1e-3
        assert bits < 8 or np.abs(by_fit - by_spectrum).max() < 0.02


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_noise_costs_bits_as_its_closed_form(sigma: float) -> None:
    """Noise that is added once to the input, away from the ends where it would be clipped."""
    samples = 1 << 16
    cycles = coherent_cycles(samples, 10_000)
    inputs = _sine(8, samples, cycles, span=0.95)
    adc = SarAdc(CapacitorDac.ideal(8), Impairments(sampling_noise=sigma / 256))
    found = spectrum(adc.convert(inputs, np.random.default_rng(21)), cycles).sndr[0]
    full_scale = found - 20 * math.log10(0.95 * 255 / 256)
    expected = ideal_snr(8) - 20 * math.log10(2) * float(enob_loss(sigma))
    # The power of n noise samples is known to √(2/n): four of these, in dB.
    assert full_scale == pytest.approx(expected, abs=40 / math.log(10) * math.sqrt(2 / samples))


def test_half_a_step_of_noise_costs_a_bit() -> None:
    assert enob_loss(0.5) == pytest.approx(1.0)
    assert enob_loss([0.0, 0.5]).tolist() == [0, 1]


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_enob_of_the_ideal_snr(bits: int) -> None:
    assert enob_of(ideal_snr(bits)) == pytest.approx(bits)
    assert enob_from_fit(2.0 / math.sqrt(12), bits, 2.0) == pytest.approx(bits)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(9, 32), st.integers(1, 15), st.integers(2, 6))
def test_spectrum_equals_sums_by_hand(seed: int, samples: int, cycles: int, last: int) -> None:
    if 2 * cycles >= samples or math.gcd(cycles, samples) != 1:
        return
    record = np.random.default_rng(seed).normal(size=samples)
    bins = [
        sum(v * cmath.exp(-2j * cmath.pi * k * n / samples) for n, v in enumerate(record))
        for k in range(samples)
    ]
    power = [abs(value) ** 2 for value in bins]
    signal = {cycles, samples - cycles}
    tones = {cycles * h % samples for h in range(2, last + 1)}
    tones |= {-tone % samples for tone in tones}
    tones -= signal | {0}
    rest = set(range(1, samples)) - signal
    if not rest - tones:
        return
    carrier = sum(power[k] for k in signal)
    error, distortion = (sum(power[k] for k in group) for group in (rest, tones))
    largest = max(power[k] + (power[samples - k] if 2 * k != samples else 0) for k in rest)
    found = spectrum(record, cycles, last)
    assert found.sndr[0] == pytest.approx(10 * math.log10(carrier / error), abs=1e-6)
    assert found.snr[0] == pytest.approx(10 * math.log10(carrier / (error - distortion)), abs=1e-6)
    assert found.sfdr[0] == pytest.approx(10 * math.log10(carrier / largest), abs=1e-6)
    if tones:
        assert found.thd[0] == pytest.approx(10 * math.log10(distortion / carrier), abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.1))
def test_snr_is_not_below_sndr(seed: int, sigma: float) -> None:
    dac = CapacitorDac.draw(7, sigma, 2, np.random.default_rng(seed))
    found = spectrum(SarAdc(dac).convert(_sine(7, 512, 31)), 31)
    assert (found.snr >= found.sndr).all()
    assert (found.sfdr >= found.sndr).all()


@settings(deadline=None)
@given(
    st.integers(16, 300),
    st.floats(0.05, 0.45),
    st.floats(0.1, 100),
    st.floats(-3, 3),
    st.floats(-50, 50),
)
def test_fits_recover_a_sine(
    samples: int, share: float, amplitude: float, phase: float, offset: float
) -> None:
    frequency = max(share, 3 / samples)
    record = amplitude * np.cos(2 * np.pi * frequency * np.arange(samples) + phase) + offset
    three, four = sine_fit_3(record, frequency), sine_fit_4(record, frequency + 0.02 / samples)
    for fit, tolerance in ((three, 1e-9), (four, 1e-6)):
        assert fit.amplitude[0] == pytest.approx(amplitude, rel=tolerance)
        assert fit.offset[0] == pytest.approx(offset, abs=tolerance * (amplitude + abs(offset)))
        turns = (fit.phase[0] - phase) / (2 * np.pi)
        assert turns == pytest.approx(round(turns), abs=tolerance)
        assert fit.rms[0] < tolerance * (amplitude + abs(offset))
    assert four.frequency[0] == pytest.approx(frequency, abs=1e-8)


def test_four_parameter_fit_finds_each_frequency_from_the_peak() -> None:
    frequencies = np.array([0.0123, 0.1, 0.24567, 0.4011])
    times = np.arange(1000)
    records = 3 * np.sin(2 * np.pi * frequencies[:, None] * times + 1) + 0.5
    fit = sine_fit_4(records)
    np.testing.assert_allclose(fit.frequency, frequencies, atol=1e-12)
    np.testing.assert_allclose(fit.amplitude, 3, rtol=1e-10)
    assert (fit.rms < 1e-9).all()


def test_four_parameters_never_fit_worse_than_three() -> None:
    record = _record(8)
    assert sine_fit_4(record).rms[0] <= sine_fit_3(record, CYCLES / SAMPLES).rms[0]


def test_three_parameter_fit_equals_least_squares() -> None:
    record = np.random.default_rng(4).normal(size=50)
    angle = 2 * np.pi * 0.13 * np.arange(50)
    basis = np.column_stack([np.cos(angle), np.sin(angle), np.ones(50)])
    weights, rest, *_ = np.linalg.lstsq(basis, record, rcond=None)
    fit = sine_fit_3(record, 0.13)
    assert fit.amplitude[0] == pytest.approx(np.hypot(*weights[:2]))
    assert fit.offset[0] == pytest.approx(weights[2])
    assert fit.rms[0] == pytest.approx(np.sqrt(rest[0] / 50))


@pytest.mark.parametrize(("samples", "target"), [(4096, 126), (4096, 1), (1000, 333.4), (97, 48)])
def test_coherent_cycles(samples: int, target: float) -> None:
    cycles = coherent_cycles(samples, target)
    assert math.gcd(cycles, samples) == 1
    assert 1 <= cycles < samples / 2
    near = [c for c in range(1, (samples + 1) // 2) if math.gcd(c, samples) == 1]
    assert abs(cycles - target) == min(abs(c - target) for c in near)


def test_refuses_records() -> None:
    for call in (sine_fit_4, lambda r: sine_fit_3(r, 0.1), lambda r: spectrum(r, 1)):
        for record in (np.zeros(7), np.zeros((1, 1, 9))):
            with pytest.raises(InputError, match="8 samples"):
                call(record)
        with pytest.raises(InputError, match="finite"):
            call(np.full(9, np.nan))


@pytest.mark.parametrize("record", [np.zeros(16), np.ones((2, 16)), np.arange(32.0)])
def test_refuses_records_without_a_sine(record: np.ndarray) -> None:
    with pytest.raises(InputError, match="sine"):
        sine_fit_4(record)


def test_spectrum_refuses_records_without_sine_or_error() -> None:
    for record in (np.zeros(16), np.ones(16)):
        with pytest.raises(InputError, match="no sine or no error"):
            spectrum(record, 3)


@pytest.mark.parametrize("frequency", [0.0, -0.1, 0.5, 0.7, np.nan, 0.001, 0.499])
def test_refuses_frequencies(frequency: float) -> None:
    record = np.sin(np.arange(64.0))
    with pytest.raises(OptionError, match="period"):
        sine_fit_3(record, frequency)
    with pytest.raises(OptionError, match="period"):
        sine_fit_4(record, frequency)


@pytest.mark.parametrize(("cycles", "match"), [(0, "half"), (32, "half"), (-3, "half"), (6, "fac")])
def test_refuses_cycles(cycles: int, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        spectrum(np.sin(np.arange(64.0)), cycles)


def test_refuses_harmonics() -> None:
    with pytest.raises(OptionError, match="second"):
        spectrum(np.sin(np.arange(64.0)), 5, harmonics=1)


@pytest.mark.parametrize(("samples", "target"), [(3, 1), (64, 0), (64, 32), (64, np.nan)])
def test_coherent_cycles_refuses(samples: int, target: float) -> None:
    with pytest.raises(OptionError, match="target"):
        coherent_cycles(samples, target)


def test_figures_refuse() -> None:
    with pytest.raises(OptionError, match="bits"):
        ideal_snr(17)
    for bad in (-0.1, np.nan):
        with pytest.raises(OptionError, match="sigma"):
            enob_loss(bad)
    for bad in (0.0, -1.0, np.inf):
        with pytest.raises(InputError, match="rms"):
            enob_from_fit(bad, 8, 1.0)
        with pytest.raises(OptionError, match="lsb"):
            enob_from_fit(1.0, 8, bad)
    with pytest.raises(OptionError, match="bits"):
        enob_from_fit(1.0, 0, 1.0)
