import numpy as np
import pytest

from snnc.circuits.dac import LadderDac
from snnc.circuits.metrics.energy import (
    SURVEY_CONVERSION,
    SURVEY_WALDEN,
    conversion_energy,
    walden,
)
from snnc.circuits.switching import SwitchedArrayDac, mean_switching_energy
from snnc.errors import OptionError

LOADS = {"slot": 100e-9, "comparator_load": 5e-15, "logic_load": 20e-15, "v_logic": 0.9}


def test_array_converter_by_cause() -> None:
    dac = SwitchedArrayDac.ideal("monotonic", 8, unit=2e-15, v_ref=0.5)
    energy = conversion_energy(dac, **LOADS)
    femto = 1e15
    expected = mean_switching_energy("monotonic", 8) * 2 * 0.25
    assert energy.array.mean() * femto == pytest.approx(expected)
    assert (energy.ladder == 0).all()
    assert energy.comparator * femto == pytest.approx(np.full((1, 256), 8 * 5 * 0.81))
    assert energy.logic * femto == pytest.approx(np.full((1, 256), 8 * 20 * 0.81))
    rest = 8 * 25 * 0.81
    assert energy.total.mean() * femto == pytest.approx(expected + rest)


def test_ladder_converter_by_cause() -> None:
    energy = conversion_energy(LadderDac.ideal(8), **LOADS)
    assert energy.ladder.mean() == pytest.approx(41.5e-12, abs=5e-14)
    assert (energy.array == 0).all()
    assert energy.total.mean() > energy.ladder.mean()


def test_walden_of_a_published_converter_lies_in_the_survey() -> None:
    # 40 nm, 2013: 2.22 pJ per conversion at 7.05 effective bits
    figure = walden(2.22e-12, 7.05)
    assert figure * 1e15 == pytest.approx(16.75, rel=1e-3)
    assert SURVEY_WALDEN.holds(figure)
    assert SURVEY_CONVERSION.holds(2.22e-12)


def test_array_alone_is_far_below_the_survey() -> None:
    array = mean_switching_energy("single-ended", 8) * 1e-15
    assert not SURVEY_CONVERSION.holds(array)
    assert array / SURVEY_CONVERSION.median == pytest.approx(0.06, abs=5e-3)


@pytest.mark.parametrize("name", ["slot", "v_logic", "comparator_load", "logic_load"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_refuses_numbers(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        conversion_energy(LadderDac.ideal(4), **{**LOADS, name: value})


def test_walden_refuses() -> None:
    for energy in (0.0, -1.0, np.nan):
        with pytest.raises(OptionError, match="energy"):
            walden(energy, 8.0)
    with pytest.raises(OptionError, match="enob"):
        walden(1e-12, np.nan)
