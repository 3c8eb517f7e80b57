"""Netlists as text, and the same circuits in ngspice and in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.circuits.dac import CapacitorDac, LadderDac, lsb, mid_bins
from snnc.circuits.impairments import Impairments
from snnc.circuits.sar import SarAdc
from snnc.circuits.spice.netlists import ArraySwitching, LadderSweep, SarLoop
from snnc.circuits.spice.ngspice import available, simulate
from snnc.circuits.switching import SCHEMES, Scheme, SwitchedArrayDac
from snnc.errors import InputError, OptionError

needs_ngspice = pytest.mark.skipif(
    not available(), reason="needs ngspice (apt-get install ngspice)"
)

LADDER = """\
* R-2R ladder of 2 bits, every code
Vcode code 0 0
Bb0 b0 0 V = floor(v(code)/1) - 2*floor(v(code)/2)
Ed0 d0 0 b0 0 1.2
Bb1 b1 0 V = floor(v(code)/2) - 2*floor(v(code)/4)
Ed1 d1 0 b1 0 1.2
Rterm n0 0 20000.0
Vup0 up0 0 20100.0
Vdown0 down0 0 20050.0
Rleg0 d0 n0 r = 'v(b0) > 0.5 ? v(up0) : v(down0)'
Vup1 up1 0 20100.0
Vdown1 down1 0 20050.0
Rleg1 d1 x r = 'v(b1) > 0.5 ? v(up1) : v(down1)'
Rser0 n0 x 10000.0
.options reltol=1e-13 vntol=1e-15 abstol=1e-18
.save v(x)
.dc Vcode 0 3 1
.end
"""

ARRAY = """\
* capacitor array, 1 switchings
Vref ref 0 1.0
Vcm cm 0 0.5
Vrst rst 0 PWL(0.0 1.0
+ 5e-08 1.0
+ 5.1e-08 0.0)
Sx x 0 rst 0 reset
C0 x b0 2e-15
Vg0_0 g0_0 0 PWL(0.0 1.0
+ 1e-07 1.0
+ 1.0099999999999999e-07 0.0)
Sg0_0 b0 0 g0_0 0 rail
Vg0_ref g0_ref 0 PWL(0.0 0.0
+ 1.02e-07 0.0
+ 1.03e-07 1.0)
Sg0_ref b0 ref g0_ref 0 rail
C1 x b1 2e-15
Vg1_cm g1_cm 0 PWL(0.0 1.0)
Sg1_cm b1 cm g1_cm 0 rail
Fq 0 q Vref -1
Cq q 0 4e-15
Sq q 0 rst 0 reset
.model rail SW(VT=0.5 VH=0.1 RON=625000.0 ROFF=1e18)
.model reset SW(VT=0.5 VH=0.1 RON=62500.0 ROFF=1e18)
.options method=gear reltol=1e-4 abstol=1e-18 vntol=1e-9 chgtol=1e-21 gmin=1e-18
.save v(q) v(x)
.tran 1.9999999999999997e-09 2e-07 0 5e-09
.end
"""

LOOP = """\
* SAR of 1 bits, 2 conversions
Vin in 0 PWL(0.0 0.25
+ 2e-07 0.25
+ 2.0099999999999999e-07 0.75)
Vos seen in 0.0
Vrst rst 0 PULSE(0 1 2e-08 1e-09 1e-09 6e-08 2e-07)
Bcmp cmp 0 V = v(seen) >= v(x) ? 1 : 0
Vt0 t0 0 PULSE(0 1 1e-07 1e-09 1e-09 9.799999999999999e-08 2e-07)
Vl0 l0 0 PULSE(0 1 1.5e-07 1e-09 1e-09 3e-08 2e-07)
Sl0 cmp h0 l0 0 latch
Sr0 h0 0 rst 0 latch
Ch0 h0 0 1e-14
Bb0 b0 0 V = (v(t0) > 0.5) || (v(h0) > 0.5) ? 1 : 0
Ed0 d0 0 b0 0 1.0
Cterm x 0 1e-15
Sx x 0 rst 0 plate
.model plate SW(VT=0.5 VH=0.1 RON=125000.0 ROFF=1e18)
Rd0 d0 p0 125000.0
C0 p0 x 1e-15
.model latch SW(VT=0.5 VH=0.1 RON=1000.0 ROFF=1e15)
.options method=gear reltol=1e-4
.save v(h0)
.tran 2e-08 4e-07 0 2e-08
.end
"""


def test_golden_text() -> None:
    ladder = LadderSweep(LadderDac.ideal(2, r_up=100, r_down=50, v_ref=1.2)).netlist()
    array = ArraySwitching([2e-15, 2e-15], [[0, 0.5], [1, 0.5]]).netlist()  # type: ignore[arg-type]
    loop = SarLoop(CapacitorDac.ideal(1), mid_bins(1)).netlist()
    assert (ladder.text, ladder.stop) == (LADDER, 3)
    assert array.text == ARRAY
    assert (loop.text, loop.stop) == (LOOP, 4e-7)


def test_numbers_read_back_as_themselves() -> None:
    dac = LadderDac.draw(3, 0.01, 1, np.random.default_rng(0))
    text = LadderSweep(dac).netlist().text
    assert "np." not in text
    for ohm in (dac.legs * dac.unit).ravel():
        assert f" {float(ohm)!r}\n" in text


@needs_ngspice
@pytest.mark.parametrize(
    ("bits", "sigma", "v_ref", "switches"),
    [
        (1, 0.0, 1.0, (0.0, 0.0)),
        (8, 0.0, 1.0, (0.0, 0.0)),
        (8, 0.02, 1.0, (100.0, 100.0)),
        (8, 0.02, 1 / 3, (200.0, 100.0)),
        (10, 0.01, 1.8, (0.0, 55.5)),
        (12, 0.01, 1.8, (30.0, 55.0)),
    ],
)
def test_ladder_levels_agree_to_1e_12(
    bits: int, sigma: float, v_ref: float, switches: tuple[float, float]
) -> None:
    rng = np.random.default_rng(bits)
    up, down = switches
    dac = LadderDac.draw(bits, sigma, 2, rng, r_up=up, r_down=down, v_ref=v_ref)
    sweep = LadderSweep(dac, 1)
    found = sweep.read(simulate(sweep.netlist()))
    assert found.shape == (2**bits,)
    np.testing.assert_allclose(found, dac.levels()[1], rtol=0, atol=1e-12 * v_ref)


@needs_ngspice
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sigma", [0.0, 0.03])
def test_array_energy_agrees_to_1e_6(scheme: Scheme, sigma: float) -> None:
    array = SwitchedArrayDac.draw(scheme, 8, sigma, 1, np.random.default_rng(1), v_ref=1.3)
    expected = array.switching_energy()[0] * array.unit * array.v_ref**2
    for code in (0, 127, 128, 165, 255):
        energy = 0.0
        for side, plates in zip((array.up, array.down), array.plates(code), strict=True):
            if side is not None:
                switching = ArraySwitching(side[0] * array.unit, plates, array.v_ref)
                energy += float(switching.read(simulate(switching.netlist())).sum())
        assert energy == pytest.approx(expected[code], rel=1e-6)


@needs_ngspice
def test_array_energy_by_hand() -> None:
    """8 bits, single-ended, in C_u·v_ref²: two codes of the published table."""
    array = SwitchedArrayDac.ideal("single-ended", 8)
    for code, energy in ((0, 212.33203125), (165, 159.16015625)):
        switching = ArraySwitching(array.up[0] * 1e-15, array.plates(code)[0])
        found = switching.read(simulate(switching.netlist()))
        assert found.shape == (8,)
        assert found.sum() / 1e-15 == pytest.approx(energy, rel=1e-6)


DACS = {
    "capacitors": CapacitorDac.draw(8, 0.02, 2, np.random.default_rng(3)),
    "capacitors, 1 bit": CapacitorDac.ideal(1),
    "capacitors, 14 bits": CapacitorDac.draw(14, 0.002, 1, np.random.default_rng(3), v_ref=1.8),
    "ladder": LadderDac.draw(8, 0.01, 1, np.random.default_rng(3)),
    "ladder, switches": LadderDac.ideal(8, r_up=200, r_down=100, v_ref=1.2),
}


@needs_ngspice
@pytest.mark.parametrize("name", DACS)
@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_codes_of_the_loop_are_exact(name: str, offset: float) -> None:
    dac = DACS[name]
    last, volts = dac.instances - 1, offset * lsb(dac)
    inputs = mid_bins(dac.bits, dac.v_ref)[:: max(1, 2**dac.bits // 16)]
    loop = SarLoop(dac, inputs, last, volts)
    found = loop.read(simulate(loop.netlist()))
    expected = SarAdc(dac, Impairments(offset=volts)).convert(inputs)[last]
    np.testing.assert_array_equal(found, expected)


@needs_ngspice
@pytest.mark.slow
@pytest.mark.parametrize("kind", [CapacitorDac, LadderDac])
def test_every_code_of_8_bits(kind: type[CapacitorDac] | type[LadderDac]) -> None:
    loop = SarLoop(kind.ideal(8), mid_bins(8))
    np.testing.assert_array_equal(loop.read(simulate(loop.netlist())), np.arange(256))


def test_refusals() -> None:
    ladder = LadderDac.ideal(2)
    with pytest.raises(OptionError, match="isn't one of 1"):
        LadderSweep(ladder, 1)
    with pytest.raises(OptionError, match="isn't one of 1"):
        SarLoop(ladder, np.asarray([0.5]), -1)
    with pytest.raises(OptionError, match="nan"):
        SarLoop(ladder, np.asarray([0.5]), offset=float("nan"))
    for inputs in ([1.5], [-0.1], [np.nan], [], [[0.5]]):
        with pytest.raises(InputError, match=r"within 0…1\.0 V"):
            SarLoop(ladder, np.asarray(inputs))
    one = np.asarray([1e-15])
    for caps in (np.asarray([-1e-15]), np.asarray([np.nan]), np.asarray(1e-15)):
        with pytest.raises(InputError, match="finite and positive"):
            ArraySwitching(caps, np.zeros((2, 1)))
    with pytest.raises(InputError, match="don't fit"):
        ArraySwitching(one, np.zeros((2, 2)))
    with pytest.raises(InputError, match="don't fit"):
        ArraySwitching(one, np.zeros((1, 1)))
    with pytest.raises(InputError, match="other voltages"):
        ArraySwitching(one, np.asarray([[0.0], [0.3]]))
