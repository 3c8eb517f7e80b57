import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.circuits.dac import CapacitorDac, LadderDac, SerialDac, mid_bins
from snnc.circuits.impairments import Impairments
from snnc.circuits.metrics.static import missing_codes, transition_levels
from snnc.circuits.sar import SarAdc
from snnc.circuits.switching import SCHEMES, SwitchedArrayDac
from snnc.errors import InputError, OptionError
from tests.circuits import oracle

WEIGHT = st.floats(0.05, 20.0)
IDEAL = [CapacitorDac.ideal, LadderDac.ideal, SerialDac.ideal]


@st.composite
def arrays(draw: st.DrawFn) -> CapacitorDac:
    """Arrays far from binary: most miss codes and are not monotonic."""
    bits = draw(st.integers(1, 6))
    rows = draw(st.integers(1, 3))
    row = st.lists(WEIGHT, min_size=bits + 1, max_size=bits + 1)
    return CapacitorDac(np.array(draw(st.lists(row, min_size=rows, max_size=rows))))


def _probes(dac: CapacitorDac) -> np.ndarray:
    """Every level, its neighbours and the middle between two of them, sorted."""
    levels = np.sort(dac.levels(), axis=1)
    inside = (levels[:, 1:] + levels[:, :-1]) / 2
    near = [np.nextafter(levels, way) for way in (-np.inf, np.inf)]
    ends = np.tile([0.0, dac.v_ref], (dac.instances, 1))
    return np.sort(np.hstack([levels, inside, *near, ends]).clip(0, dac.v_ref), axis=1)


@pytest.mark.parametrize("ideal", IDEAL)
@pytest.mark.parametrize("bits", [1, 2, 8, 12, 16])
def test_ideal_converter_is_floor(ideal: object, bits: int) -> None:
    adc = SarAdc(ideal(bits))  # type: ignore[operator]
    codes = np.arange(2**bits)
    thresholds = codes / 2**bits
    assert (adc.convert(mid_bins(bits))[0] == codes).all()
    assert (adc.convert(thresholds)[0] == codes).all()
    below = np.nextafter(thresholds[1:], 0)
    assert (adc.convert(below)[0] == codes[:-1]).all()
    assert (adc.convert(np.nextafter(thresholds, 1))[0] == codes).all()
    assert adc.convert([1.0])[0, 0] == 2**bits - 1


@settings(deadline=None)
@given(arrays())
def test_equals_the_search_by_hand(dac: CapacitorDac) -> None:
    inputs = _probes(dac)
    codes = SarAdc(dac).convert(inputs)
    for instance in range(dac.instances):
        levels = dac.levels()[instance].tolist()
        expected = [oracle.sar(levels, v) for v in inputs[instance]]
        assert codes[instance].tolist() == expected


@settings(deadline=None)
@given(arrays())
def test_level_of_the_code_is_not_above_the_input(dac: CapacitorDac) -> None:
    inputs = _probes(dac)
    codes = SarAdc(dac).convert(inputs)
    assert (np.take_along_axis(dac.levels(), codes, 1) <= inputs).all()


@settings(deadline=None)
@given(arrays())
def test_code_does_not_fall_when_the_input_rises(dac: CapacitorDac) -> None:
    assert (np.diff(SarAdc(dac).convert(_probes(dac))) >= 0).all()


@settings(deadline=None)
@given(arrays())
def test_code_is_missing_when_a_later_level_is_not_above_it(dac: CapacitorDac) -> None:
    levels = dac.levels()
    codes = SarAdc(dac).convert(_probes(dac))
    missing = missing_codes(transition_levels(levels))
    for instance in range(dac.instances):
        row = levels[instance]
        expected = [bool((row[k + 1 :] <= row[k]).any()) for k in range(len(row))]
        seen = set(codes[instance].tolist())
        assert [k not in seen for k in range(len(row))] == expected
        assert missing[instance].tolist() == expected


def test_non_monotonic_arrays_are_among_the_probes() -> None:
    dac = CapacitorDac(np.array([[3.0, 3.0, 0.5, 1.0]]))
    assert (np.diff(dac.levels()) < 0).any()
    assert missing_codes(transition_levels(dac.levels())).any()


@settings(deadline=None)
@given(arrays(), st.integers(0, 2**32), st.floats(-0.3, 0.3), st.floats(-0.02, 0.02))
def test_offset_and_drift_equal_the_search_by_hand(
    dac: CapacitorDac, seed: int, offset: float, drift: float
) -> None:
    inputs = np.random.default_rng(seed).random((dac.instances, 20))
    held = SarAdc(dac, Impairments(offset=offset, droop=-drift), slot=1.0).convert(inputs)
    moving = SarAdc(dac, Impairments(offset=offset), sample_and_hold=False, slot=1.0)
    slid = moving.convert(inputs, slope=drift)
    for instance in range(dac.instances):
        levels = dac.levels()[instance].tolist()
        expected = [oracle.sar(levels, v, offset, drift) for v in inputs[instance]]
        assert held[instance].tolist() == expected
        assert slid[instance].tolist() == expected


@settings(deadline=None)
@given(arrays(), st.integers(0, 2**32), st.floats(0.5, 8))
def test_settling_equals_the_search_by_hand(dac: CapacitorDac, seed: int, slots: float) -> None:
    inputs = np.random.default_rng(seed).random((dac.instances, 20))
    codes = SarAdc(dac, Impairments(tau=1.0), slot=slots).convert(inputs)
    residue = float(np.exp(-slots))
    for instance in range(dac.instances):
        levels = dac.levels()[instance].tolist()
        expected = [oracle.settling_sar(levels, v, residue) for v in inputs[instance]]
        assert codes[instance].tolist() == expected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_switching_scheme_converts(scheme: str) -> None:
    adc = SarAdc(SwitchedArrayDac.ideal(scheme, 8))  # type: ignore[arg-type]
    assert (adc.convert(mid_bins(8))[0] == np.arange(256)).all()


def test_planes_are_the_bits_msb_first() -> None:
    dac = CapacitorDac.draw(6, 0.1, 3, np.random.default_rng(3))
    inputs = np.linspace(0, 1, 50)
    adc = SarAdc(dac)
    planes, codes = adc.planes(inputs), adc.convert(inputs)
    assert planes.shape == (3, 6, 50)
    assert planes.dtype == np.uint8
    weights = np.array([32, 16, 8, 4, 2, 1])[:, None]
    assert ((planes * weights).sum(1) == codes).all()


def test_impairments_may_differ_between_instances() -> None:
    dac = CapacitorDac(np.repeat(CapacitorDac.ideal(8).capacitors, 3, axis=0))
    offsets = np.array([-1.0, 0.0, 1.0]) / 256
    codes = SarAdc(dac, Impairments(offset=offsets)).convert(mid_bins(8))
    shifts = codes - np.arange(256)
    assert (shifts[:, 1:-1] == np.array([[-1], [0], [1]])).all()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    dac = CapacitorDac.draw(6, 0.1, 7, rng)
    flaws = Impairments(offset=rng.normal(0, 0.01, 7), tau=20e-9, gain=0.01)
    inputs, slopes = rng.random((7, 40)), rng.normal(0, 1e4, (7, 40))
    adc = SarAdc(dac, flaws, sample_and_hold=False)
    whole = adc.convert(inputs, slope=slopes)
    alike = adc.convert(inputs[0], slope=slopes[0])
    one = SarAdc(CapacitorDac.ideal(6)).convert(inputs)
    monkeypatch.setattr("snnc.circuits.sar._BLOCK", 16)
    assert (adc.convert(inputs, slope=slopes) == whole).all()
    assert (adc.convert(inputs[0], slope=slopes[0]) == alike).all()
    assert (SarAdc(CapacitorDac.ideal(6)).convert(inputs) == one).all()
    assert (one == np.floor(inputs * 64)).all()


def test_same_seed_gives_the_same_codes() -> None:
    adc = SarAdc(CapacitorDac.ideal(8), Impairments(comparator_noise=0.5 / 256))
    inputs = np.random.default_rng(0).random(5000)
    first, again, other = (adc.convert(inputs, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_no_pixels_give_no_codes() -> None:
    assert SarAdc(CapacitorDac.ideal(4)).convert(np.zeros((1, 0))).shape == (1, 0)


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 5))
def test_clipping_limits_to_the_reference(voltage: float) -> None:
    adc = SarAdc(CapacitorDac.ideal(8, v_ref=2.0))
    expected = min(max(int(np.floor(voltage * 128)), 0), 255)
    assert adc.convert([voltage], clip=True)[0, 0] == expected


@pytest.mark.parametrize("voltage", [-1e-9, 1 + 1e-9, np.inf, -np.inf])
def test_refuses_inputs_out_of_range(voltage: float) -> None:
    adc = SarAdc(CapacitorDac.ideal(8))
    with pytest.raises(InputError, match="outside 0 to 1"):
        adc.convert([0.5, voltage])
    assert adc.convert([voltage], clip=True)[0, 0] in (0, 255)


def test_refuses_nan_even_if_clipping() -> None:
    with pytest.raises(InputError, match="NaN"):
        SarAdc(CapacitorDac.ideal(8)).convert([np.nan], clip=True)


def test_refuses_shapes() -> None:
    dac = CapacitorDac.draw(4, 0.01, 3, np.random.default_rng(0))
    with pytest.raises(InputError, match="3 instances"):
        SarAdc(dac).convert(np.zeros((2, 5)))
    with pytest.raises(InputError, match="pixel"):
        SarAdc(dac).convert(np.zeros((3, 5, 1)))
    with pytest.raises(InputError, match="doesn't fit"):
        SarAdc(dac).convert(np.zeros(5), slope=np.zeros(4))
    with pytest.raises(InputError, match="slope"):
        SarAdc(dac).convert(np.zeros(5), slope=np.nan)


@pytest.mark.parametrize("values", [["a"], [[0.1], [0.1, 0.2]], [0.1j], [None, "x"]])
def test_refuses_what_is_no_array_of_numbers(values: object) -> None:
    adc = SarAdc(CapacitorDac.ideal(4))
    with pytest.raises(InputError, match="v_in"):
        adc.convert(values)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="slope"):
        adc.convert([0.5], slope=values)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="capacitors"):
        CapacitorDac(values)  # type: ignore[arg-type]


def test_refuses_noise_without_a_generator() -> None:
    for name in ("comparator_noise", "sampling_noise", "reference_noise", "metastable_window"):
        adc = SarAdc(CapacitorDac.ideal(4), Impairments(**{name: 1e-3}))
        for rng in (None, 7):
            with pytest.raises(OptionError, match="Generator"):
                adc.convert([0.5], rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("slot", [0.0, -1.0, np.nan])
def test_refuses_slots(slot: float) -> None:
    with pytest.raises(OptionError, match="slot"):
        SarAdc(CapacitorDac.ideal(4), slot=slot)


def test_refuses_impairments_of_other_instances() -> None:
    dac = CapacitorDac.draw(4, 0.01, 3, np.random.default_rng(0))
    with pytest.raises(OptionError, match="2 values for 3 instances"):
        SarAdc(dac, Impairments(offset=np.zeros(2)))


@pytest.mark.parametrize("name", ["droop", "sampling_noise"])
def test_refuses_flaws_of_a_hold_that_is_not_there(name: str) -> None:
    with pytest.raises(OptionError, match="nothing is held"):
        SarAdc(CapacitorDac.ideal(4), Impairments(**{name: 1.0}), sample_and_hold=False)
