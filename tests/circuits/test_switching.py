import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.circuits.dac import CapacitorDac, LadderDac
from snnc.circuits.metrics.static import dnl
from snnc.circuits.switching import (
    SCHEMES,
    Scheme,
    SwitchedArrayDac,
    ladder_energy,
    mean_ladder_current,
    mean_switching_energy,
    unit_capacitors,
)
from snnc.errors import InputError, OptionError
from tests.circuits import oracle

# Units of C_u·v_ref², reference table to all printed digits.
TABLE = {
    ("conventional", 8): 339.335938,
    ("conventional", 10): 1363.333984,
    ("single-ended", 8): 169.667969,
    ("single-ended", 10): 681.666992,
    ("split", 8): 212.335938,
    ("split", 10): 852.333984,
    ("monotonic", 8): 63.5,
    ("monotonic", 10): 255.5,
    ("vcm", 8): 42.167969,
    ("vcm", 10): 170.166992,
}
ELEMENT = st.floats(0.2, 5.0)


@pytest.mark.parametrize(("scheme", "bits"), TABLE)
def test_mean_energy_is_that_of_the_table(scheme: Scheme, bits: int) -> None:
    assert mean_switching_energy(scheme, bits) == pytest.approx(TABLE[scheme, bits], abs=5.1e-7)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8, 10])
def test_charge_accounting_averages_to_the_closed_form(scheme: Scheme, bits: int) -> None:
    energy = SwitchedArrayDac.ideal(scheme, bits).switching_energy()
    assert energy.shape == (1, 2**bits)
    assert energy.mean() == pytest.approx(mean_switching_energy(scheme, bits), rel=1e-14)


def test_published_savings() -> None:
    conventional = mean_switching_energy("conventional", 10)
    for scheme, saving in (("split", 0.37), ("monotonic", 0.8126), ("vcm", 0.875)):
        saved = 1 - mean_switching_energy(scheme, 10) / conventional  # type: ignore[arg-type]
        assert saved == pytest.approx(saving, abs=5e-3 if scheme == "split" else 5e-4)


def test_single_ended_energy_of_some_codes() -> None:
    energy = SwitchedArrayDac.ideal("single-ended", 8).switching_energy()[0]
    expected = [212.33203125, 180.83203125, 179.83203125, 159.16015625, 85.33203125]
    assert energy[[0, 127, 128, 165, 255]].tolist() == expected
    assert energy.argmax() == 0


def test_sides_of_a_matched_conventional_array_take_the_same() -> None:
    both = SwitchedArrayDac.ideal("conventional", 6).switching_energy()
    one = SwitchedArrayDac.ideal("single-ended", 6).switching_energy()
    np.testing.assert_allclose(both, 2 * one, rtol=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(1, 5), st.data())
def test_energy_equals_accounting_by_hand(scheme: Scheme, bits: int, data: st.DataObject) -> None:
    size = unit_capacitors(scheme, bits).size
    row = st.lists(ELEMENT, min_size=size, max_size=size)
    up, down = data.draw(row), data.draw(row)
    single = scheme == "single-ended"
    dac = SwitchedArrayDac(scheme, bits, np.array([up]), None if single else np.array([down]))
    energy = dac.switching_energy()[0]
    for code in range(2**bits):
        if scheme in ("monotonic", "vcm"):
            rest = 1.0 if scheme == "monotonic" else 0.5
            expected = oracle.pulled_energy(up, down, code, rest)
        else:
            by_hand = oracle.split_energy if scheme == "split" else oracle.conventional_energy
            expected = by_hand(up, code, complement=False)
            expected += 0 if single else by_hand(down, code, complement=True)
        assert energy[code] == pytest.approx(expected, rel=1e-10, abs=1e-11)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["conventional", "split", "monotonic", "vcm"]), st.integers(1, 5), st.data())
def test_levels_equal_the_top_plates_by_hand(
    scheme: Scheme, bits: int, data: st.DataObject
) -> None:
    size = unit_capacitors(scheme, bits).size
    row = st.lists(ELEMENT, min_size=size, max_size=size)
    up, down = data.draw(row), data.draw(row)
    levels = SwitchedArrayDac(scheme, bits, np.array([up]), np.array([down])).levels()[0]
    assert levels[0] == 0
    for code in range(1, 2**bits):
        expected = oracle.trial_level(scheme, up, down, bits, code)
        assert levels[code] == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [1, 2, 7])
def test_ideal_levels_are_exact_fractions(scheme: Scheme, bits: int) -> None:
    levels = SwitchedArrayDac.ideal(scheme, bits, v_ref=3.0).levels()
    assert (levels[0] == np.arange(2**bits) / 2**bits * 3).all()


def test_single_ended_levels_are_those_of_the_plain_array() -> None:
    plain = CapacitorDac.draw(6, 0.1, 4, np.random.default_rng(1))
    levels = SwitchedArrayDac("single-ended", 6, plain.capacitors, None).levels()
    np.testing.assert_allclose(levels, plain.levels(), rtol=1e-14)


def test_conventional_levels_are_the_mean_of_both_sides() -> None:
    rng = np.random.default_rng(2)
    up, down = (CapacitorDac.draw(5, 0.1, 3, rng) for _ in range(2))
    dac = SwitchedArrayDac("conventional", 5, up.capacitors, down.capacitors)
    expected = (up.levels() + down.levels()) / 2
    expected[:, 0] = 0  # never on trial
    np.testing.assert_allclose(dac.levels(), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("scheme", "variance"),
    # Units that differ between the trials of codes 127 and 128 at 8 bits, each ±1 (see below).
    [("single-ended", 255), ("conventional", 255 / 2), ("split", 127 / 2)],
)
def test_mismatch_at_the_major_step(scheme: Scheme, variance: float) -> None:
    """The MSB's step replaces 128 units by 127 others; split, 64 + … + 1 by 63 others.

    Two independent sides halve the variance, and split shares the rest of its MSB: 64 units of
    it against the 63 of the main array, so its spread is lower by √2 (Ginsburg 2007).
    """
    runs, sigma = 3000, 0.01
    dac = SwitchedArrayDac.draw(scheme, 8, sigma, runs, np.random.default_rng(3))
    spread = dnl(dac.levels())[:, 127].std()
    assert spread == pytest.approx(np.sqrt(variance) * sigma, rel=4 / np.sqrt(2 * runs))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_part_of_the_instances(scheme: Scheme) -> None:
    dac = SwitchedArrayDac.draw(scheme, 4, 0.05, 5, np.random.default_rng(4))
    part = dac.take(slice(1, 3))
    assert (part.levels() == dac.levels()[1:3]).all()
    np.testing.assert_allclose(part.switching_energy(), dac.switching_energy()[1:3], rtol=1e-12)
    assert dac.total.shape == (5,)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10])
def test_mean_ladder_current_is_its_closed_form(bits: int) -> None:
    current = LadderDac.ideal(bits, unit=10e3, v_ref=0.8).reference_current() * 10e3 / 0.8
    assert current.mean() == pytest.approx(mean_ladder_current(bits), rel=1e-13)


def test_ladder_energy_is_that_of_the_table() -> None:
    ladder = LadderDac.ideal(8, unit=10e3)
    energy = ladder_energy(ladder, 100e-9)[0]
    unit = 100e-9 / 10e3
    assert energy.mean() / unit == pytest.approx(4.148148, abs=5e-7)
    assert energy[165] / unit == pytest.approx(4.791275, abs=5e-7)
    assert energy.mean() == pytest.approx(41.5e-12, abs=5e-14)
    array = mean_switching_energy("single-ended", 8) * 1e-15
    assert array == pytest.approx(0.170e-12, abs=5e-16)
    assert energy.mean() / array == pytest.approx(244.5, abs=0.5)


def test_ladder_energy_sums_the_trials() -> None:
    ladder = LadderDac.draw(4, 0.1, 2, np.random.default_rng(5))
    current, energy = ladder.reference_current(), ladder_energy(ladder, 2.0)
    for code in range(16):
        kept, total = 0, 0.0
        for bit in (8, 4, 2, 1):
            total = total + current[:, kept + bit]
            kept += code & bit
        np.testing.assert_allclose(energy[:, code], 2 * total, rtol=1e-13)


def test_refuses_schemes_and_bits() -> None:
    for call in (unit_capacitors, mean_switching_energy, SwitchedArrayDac.ideal):
        with pytest.raises(OptionError, match="unknown"):
            call("merged", 8)
        with pytest.raises(OptionError, match="bits"):
            call("split", 17)
    with pytest.raises(OptionError, match="bits"):
        mean_ladder_current(0)


def test_refuses_capacitors() -> None:
    good = unit_capacitors("split", 4)[None]
    with pytest.raises(InputError, match="unit_capacitors"):
        SwitchedArrayDac("split", 4, good[:, 1:], good)
    with pytest.raises(InputError, match="down"):
        SwitchedArrayDac("split", 4, good, np.tile(good, (2, 1)))
    with pytest.raises(InputError, match="missing for split"):
        SwitchedArrayDac("split", 4, good, None)
    plain = unit_capacitors("single-ended", 4)[None]
    with pytest.raises(InputError, match="given for single-ended"):
        SwitchedArrayDac("single-ended", 4, plain, plain)
    for value in (-1.0, 0.0, np.nan):
        bad = good.copy()
        bad[0, 2] = value
        with pytest.raises(InputError, match="element 2"):
            SwitchedArrayDac("split", 4, bad, good)
        with pytest.raises(InputError, match="element 2"):
            SwitchedArrayDac("split", 4, good, bad)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_refuses_numbers(value: float) -> None:
    with pytest.raises(OptionError, match="unit"):
        SwitchedArrayDac.ideal("vcm", 4, unit=value)
    with pytest.raises(OptionError, match="v_ref"):
        SwitchedArrayDac.ideal("vcm", 4, v_ref=value)
    with pytest.raises(OptionError, match="slot"):
        ladder_energy(LadderDac.ideal(4), value)
