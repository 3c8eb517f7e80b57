import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.circuits.dac import (
    CapacitorDac,
    LadderDac,
    SerialDac,
    binary_units,
    check_bits,
    check_positive,
    lsb,
    mid_bins,
    pelgrom,
)
from snnc.circuits.metrics.static import dnl, inl_endpoint, monotonic
from snnc.errors import InputError, OptionError
from tests.circuits import oracle

KINDS = [CapacitorDac, LadderDac, SerialDac]
ELEMENT = st.floats(0.05, 20.0)


def _msb_ladder(error: float, bits: int = 8) -> LadderDac:
    legs = np.full((1, bits + 1), 2.0)
    legs[0, 0] *= 1 + error
    return LadderDac(legs, np.ones((1, bits - 1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_ideal_levels_are_exact_fractions(kind: type, bits: int) -> None:
    levels = kind.ideal(bits, v_ref=0.7).levels()
    assert levels.shape == (1, 2**bits)
    assert (levels[0] == np.arange(2**bits) / 2**bits * 0.7).all()


@settings(deadline=None)
@given(st.integers(1, 6), st.data())
def test_capacitor_levels_divide_charge(bits: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(ELEMENT, min_size=bits + 1, max_size=bits + 1))
    levels = CapacitorDac(np.array([values])).levels()[0]
    expected = [oracle.capacitor_level(values, code) for code in range(2**bits)]
    np.testing.assert_allclose(levels, expected, rtol=1e-13, atol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.floats(0, 5), st.floats(0, 5), st.data())
def test_ladder_solves_its_nodal_equations(
    bits: int, up: float, down: float, data: st.DataObject
) -> None:
    legs = data.draw(st.lists(ELEMENT, min_size=bits + 1, max_size=bits + 1))
    series = data.draw(st.lists(ELEMENT, min_size=bits - 1, max_size=bits - 1))
    ladder = LadderDac(np.array([legs]), np.array([series]), up * 1e3, down * 1e3, 1e3, 2.0)
    for code in range(2**bits):
        matrix, nodes, resistances = oracle.ladder_nodes(legs, series, code, up, down)
        taken = [code >> bits - 1 - i & 1 for i in range(bits)]
        current = sum(taken * (1 - nodes) / resistances)
        at = (0, code)
        assert ladder.levels()[at] == pytest.approx(2 * nodes[0], rel=1e-11, abs=1e-14)
        assert ladder.output_resistance()[at] == pytest.approx(np.linalg.inv(matrix)[0, 0] * 1e3)
        assert ladder.reference_current()[at] == pytest.approx(2e-3 * current, rel=1e-9)


def test_ladder_agrees_with_dense_solution_to_rounding() -> None:
    ladder = LadderDac.draw(8, 0.02, 3, np.random.default_rng(5))
    for instance in range(3):
        legs, series = ladder.legs[instance], ladder.series[instance]
        nodes = [oracle.ladder_nodes(legs, series, code)[1][0] for code in range(256)]
        assert np.abs(ladder.levels()[instance] - nodes).max() < 1e-15


@settings(deadline=None)
@given(st.integers(1, 8), ELEMENT, ELEMENT)
def test_serial_levels_share_charge_lsb_first(bits: int, share: float, hold: float) -> None:
    levels = SerialDac(bits, np.array([[share, hold]])).levels()[0]
    for code in range(2**bits):
        voltage = 0.0
        for k in range(bits):
            voltage = (share * (code >> k & 1) + hold * voltage) / (share + hold)
        assert levels[code] == pytest.approx(voltage, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10])
def test_output_resistance_is_r_for_every_code(bits: int) -> None:
    resistance = LadderDac.ideal(bits, unit=10e3).output_resistance()
    assert resistance.shape == (1, 2**bits)
    assert (resistance == 10e3).all()


def test_largest_ladder_current_is_drawn_at_code_85() -> None:
    current = LadderDac.ideal(8, unit=10e3).reference_current()[0] * 10e3
    assert current.argmax() == 85
    assert current.max() == pytest.approx(0.999710, abs=5e-7)


def test_msb_leg_error_at_one_percent() -> None:
    levels = _msb_ladder(0.01).levels()
    step = (levels[0, 128] - levels[0, 127]) * 256
    assert step == pytest.approx(-0.268657, abs=5e-7)
    assert step == pytest.approx((-0.01 + 1.01 * 2.0**-7) / 2.01 * 256, rel=1e-11)
    assert dnl(levels)[0, 127] == pytest.approx(-1.268662, abs=5e-7)


@pytest.mark.parametrize("bits", [4, 8, 10])
def test_ladder_is_monotonic_up_to_the_closed_form(bits: int) -> None:
    limit = 1 / (2 ** (bits - 1) - 1)
    assert monotonic(_msb_ladder(limit * (1 - 1e-9), bits).levels()).all()
    assert not monotonic(_msb_ladder(limit * (1 + 1e-9), bits).levels()).any()
    if bits == 8:
        assert limit == pytest.approx(0.00787402, abs=5e-9)


def test_symmetric_switches_bend_the_ladder() -> None:
    levels = LadderDac.ideal(8, r_up=100, r_down=100).levels()
    assert np.abs(dnl(levels)).max() == pytest.approx(0.411, abs=5e-4)


def test_unequal_switches_bend_the_ladder_more() -> None:
    levels = LadderDac.ideal(8, r_up=200, r_down=100).levels()
    assert np.abs(dnl(levels)).max() == pytest.approx(0.610, abs=5e-4)
    assert np.abs(inl_endpoint(levels)).max() == pytest.approx(0.516, abs=5e-4)
    gain = (levels[0, -1] - levels[0, 0]) * 256 / 255
    assert gain == pytest.approx(0.999886, abs=5e-7)


# A spread over n runs is known to 1/√(2n): four of these are allowed.
@pytest.mark.parametrize("bits", [8, 10])
def test_capacitor_mismatch_spreads_as_pelgrom_says(bits: int) -> None:
    runs, sigma = 4000, 0.01
    levels = CapacitorDac.draw(bits, sigma, runs, np.random.default_rng(7)).levels()
    tolerance = 4 / np.sqrt(2 * runs)
    steps, middle = dnl(levels), 2 ** (bits - 1)
    expected = np.sqrt(2**bits - 1) * sigma
    assert steps[:, middle - 1].std() == pytest.approx(expected, rel=tolerance)
    expected = np.sqrt(2 ** (bits - 1) - 1) * sigma
    assert steps[:, middle // 2 - 1].std() == pytest.approx(expected, rel=tolerance)
    spread = inl_endpoint(levels)[:, middle].std()
    assert spread == pytest.approx(2 ** (bits / 2 - 1) * sigma, rel=tolerance)


def test_ladder_mismatch_spreads_as_its_closed_form() -> None:
    runs, sigma = 4000, 1e-3
    levels = LadderDac.draw(8, sigma, runs, np.random.default_rng(8)).levels()
    expected = 2**7 * np.sqrt(4 / 3) * sigma
    assert expected / sigma == pytest.approx(147.8, abs=0.05)
    spread = dnl(levels)[:, 127].std()
    assert spread == pytest.approx(expected, rel=4 / np.sqrt(2 * runs))


def test_pelgrom_scales_with_the_root_of_the_area() -> None:
    units = np.array([1.0, 4.0, 256.0])
    drawn = pelgrom(units, 0.02, 20_000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.std(0), 0.02 * np.sqrt(units), rtol=0.02)
    np.testing.assert_allclose(drawn.mean(0), units, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_draws_the_same_instances(kind: type) -> None:
    first = kind.draw(6, 0.01, 4, np.random.default_rng(1))
    again = kind.draw(6, 0.01, 4, np.random.default_rng(1))
    other = kind.draw(6, 0.01, 4, np.random.default_rng(2))
    assert (first.levels() == again.levels()).all()
    assert (first.levels() != other.levels()).any()


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_the_instances(kind: type) -> None:
    dac = kind.draw(5, 0.05, 6, np.random.default_rng(4))
    part = dac.take(slice(2, 5))
    assert (part.instances, part.bits) == (3, 5)
    assert (part.levels() == dac.levels()[2:5]).all()


def test_totals_and_steps() -> None:
    dac = CapacitorDac.ideal(8, unit=1e-15)
    assert dac.total * 1e15 == pytest.approx(256)
    assert lsb(dac) == 1 / 256
    assert mid_bins(8, 0.5)[[0, 255]] == pytest.approx([0.5 / 512, 0.5 - 0.5 / 512])


def test_elements_are_a_read_only_copy() -> None:
    values = binary_units(4)[None].copy()
    dac = CapacitorDac(values)
    values[:] = 1
    assert dac.capacitors[0, 0] == 8
    with pytest.raises(ValueError, match="read-only"):
        dac.capacitors[0, 0] = 1


@pytest.mark.parametrize("bits", [0, 17, -1, 2.5, "8", None])
def test_refuses_bits(bits: object) -> None:
    with pytest.raises(OptionError):
        check_bits(bits)  # type: ignore[arg-type]
    for kind in KINDS:
        with pytest.raises(OptionError):
            kind.ideal(bits)


def test_refuses_bits_in_the_shape_of_elements() -> None:
    with pytest.raises(OptionError, match="17 bits"):
        CapacitorDac(np.ones((1, 18)))
    with pytest.raises(OptionError, match="0 bits"):
        LadderDac(np.ones((1, 1)), np.ones((1, 0)))


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf])
def test_refuses_elements(value: float) -> None:
    bad = np.ones((2, 2))
    bad[1, 1] = value
    for build in (
        lambda: CapacitorDac(bad),
        lambda: LadderDac(bad, np.ones((2, 0))),
        lambda: LadderDac(np.ones((2, 4)), bad),
        lambda: SerialDac(4, bad),
    ):
        with pytest.raises(InputError, match="element 1 of instance 1"):
            build()


def test_refuses_shapes() -> None:
    with pytest.raises(InputError, match=r"give \(instance, elements\)"):
        CapacitorDac(np.ones(9))
    with pytest.raises(InputError, match=r"give \(instance, elements\)"):
        CapacitorDac(np.ones((0, 9)))
    with pytest.raises(InputError, match="one resistor between two nodes"):
        LadderDac(np.ones((1, 9)), np.ones((1, 8)))
    with pytest.raises(InputError, match="two per instance"):
        SerialDac(8, np.ones((1, 3)))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_refuses_references_and_units(value: float) -> None:
    with pytest.raises(OptionError):
        check_positive(value, "here")
    for kind in KINDS:
        with pytest.raises(OptionError, match="v_ref"):
            kind.ideal(4, v_ref=value)
        with pytest.raises(OptionError, match="unit"):
            kind.ideal(4, unit=value)
    with pytest.raises(OptionError, match="v_ref"):
        mid_bins(4, value)


@pytest.mark.parametrize("name", ["r_up", "r_down"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_refuses_switches(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        LadderDac.ideal(4, **{name: value})


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_draws(kind: type) -> None:
    rng = np.random.default_rng(0)
    for sigma in (-0.1, np.nan, np.inf):
        with pytest.raises(OptionError, match="spread"):
            kind.draw(4, sigma, 2, rng)
    with pytest.raises(OptionError, match="at least one instance"):
        kind.draw(4, 0.1, 0, rng)
    with pytest.raises(InputError, match="smaller spread"):
        kind.draw(4, 5.0, 100, rng)
