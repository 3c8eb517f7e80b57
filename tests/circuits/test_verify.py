"""Verification of the encoding: limits, yields, and that each part of a report can fail."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from scipy.stats import binom

from snnc.circuits import failures
from snnc.circuits.design import DacKind, Design
from snnc.circuits.failures import ErrorRate, FirstFailure, error_rates, first_failures
from snnc.circuits.impairments import Impairments
from snnc.circuits.spice.crosscheck import CrossCheck, Simulator, cross_check
from snnc.circuits.spice.ngspice import available
from snnc.circuits.switching import SCHEMES
from snnc.circuits.verify import Check, compare, exact_checks, verify_encoding
from snnc.circuits.yields import Parameter, Share, measure_yield, sweep
from snnc.errors import InputError, OptionError, ToolError

KINDS: tuple[DacKind, ...] = (*SCHEMES, "ladder")


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("dac", ["single-ended", "ladder"])
def test_the_ideal_converter_is_uwe(bits: int, dac: DacKind) -> None:
    checks = exact_checks(Design(bits, dac, v_ref=1.3))
    assert [check for check in checks if not check.passed] == []
    codes = 2**bits
    assert [check.checked for check in checks] == [codes] + [codes - 1] * 3 + [codes] * 3


@pytest.mark.parametrize("dac", KINDS)
@pytest.mark.parametrize("v_ref", [1.0, 1.8, 1 / 3])
def test_so_is_every_kind_of_dac(dac: DacKind, v_ref: float) -> None:
    assert all(check.passed for check in exact_checks(Design(8, dac, v_ref=v_ref)))


def test_a_wrong_code_is_counted_and_told() -> None:
    check = compare("x", [0.1, 0.2, 0.3], " V", np.asarray([0, 2, 2]), np.asarray([0, 1, 3]))
    assert check == Check("x", 3, 2, "0.2 V gives 2, not 1")
    assert not check.passed


@pytest.mark.parametrize(
    "design",
    [
        Design(1),
        Design(1, "ladder"),
        Design(2, "ladder", v_ref=1.8),
        Design(3, "monotonic"),
        Design(8),
        Design(8, "ladder"),
        Design(8, "vcm", v_ref=0.6),
        Design(12, "split", slot=3e-9),
        Design(14),
    ],
    ids=lambda design: f"{design.bits}-{design.dac}",
)
def test_first_failures_equal_their_closed_forms(design: Design) -> None:
    found = first_failures(design)
    assert [entry for entry in found if not entry.passed] == []
    has_element_case = design.dac == "single-ended" or (design.dac == "ladder" and design.bits > 1)
    assert len(found) == 10 + has_element_case
    assert [entry for entry in error_rates(design) if not entry.passed] == []


def test_first_failures_of_8_bits_in_numbers() -> None:
    """1 V, 100 ns: the table of closed forms by hand."""
    found = {entry.name: entry.found for entry in first_failures(Design(8))}
    assert found["offset up"] == pytest.approx(1 / 512, rel=1e-9)
    assert found["gain down"] == pytest.approx(-0.5 / 255.5, rel=1e-9)
    assert found["droop"] == pytest.approx(1 / 512 / 800e-9, rel=1e-9)
    assert 100e-9 / found["settling time constant"] == pytest.approx(5.545177, rel=1e-6)
    assert found["MSB capacitor too large"] == pytest.approx(2 / 255, rel=1e-9)
    ladder = {entry.name: entry.found for entry in first_failures(Design(8, "ladder"))}
    assert ladder["MSB leg too large, levels fall"] == pytest.approx(0.00787402, rel=1e-6)


def test_a_model_that_fails_elsewhere_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    half = failures.first_failing_offset
    monkeypatch.setattr(failures, "first_failing_offset", lambda *a: half(*a) * (1 + 1e-8))
    found = {entry.name: entry for entry in first_failures(Design(8))}
    assert not found["offset up"].passed
    assert found["droop"].passed
    monkeypatch.setattr(failures, "first_failing_offset", lambda *a: half(*a) * 3)
    assert math.isnan(first_failures(Design(8))[0].found)
    assert not first_failures(Design(8))[0].passed


def test_an_error_rate_off_its_closed_form_does_not_pass() -> None:
    rate = error_rates(Design(8))[0]
    assert rate.expected == pytest.approx(math.erfc(0.5 / 0.25 / math.sqrt(2)) * 255 / 256)
    assert rate.passed
    assert not replace(rate, expected=rate.expected * 1.1).passed


@pytest.mark.parametrize(("count", "total"), [(0, 20), (20, 20), (7, 20), (999, 1000)])
def test_clopper_pearson_inverts_the_binomial_tails(count: int, total: int) -> None:
    low, high = Share(count, total, 0.9).interval
    assert low <= count / total <= high
    if count:
        assert binom.sf(count - 1, total, low) == pytest.approx(0.05, rel=1e-6)
    else:
        assert low == 0
    if count < total:
        assert binom.cdf(count, total, high) == pytest.approx(0.05, rel=1e-6)
    else:
        assert high == 1


def test_yield_against_closed_forms() -> None:
    """Random offsets: |offset| < ½ LSB. Sampling noise: every code right once."""
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 0.3 / 256, 4000)
    share = measure_yield(Design(8, impairments=Impairments(offset=offsets)), 4000)
    assert share.count == np.sum((offsets < 0.5 / 256) & (offsets >= -0.5 / 256))

    q = 0.5 * math.erfc(0.5 / 0.25 / math.sqrt(2))
    noisy = Design(4, impairments=Impairments(sampling_noise=0.25 / 16))
    low, high = measure_yield(noisy, 4000, 1, 0.9999).interval
    assert low <= (1 - 2 * q) ** 14 * (1 - q) ** 2 <= high


@pytest.mark.parametrize("dac", KINDS)
def test_yield_is_repeatable_and_falls_with_mismatch(dac: DacKind) -> None:
    points = sweep(Design(6, dac), "mismatch", [0.0, 0.01, 0.1, 0.2], 300, seed=5)
    counts = [point.share.count for point in points]
    assert counts[0] == 300
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]
    again = sweep(Design(6, dac), "mismatch", [0.1], 300, seed=5)
    assert again[0] == points[2]


def test_every_impairment_can_be_swept() -> None:
    lsb, slot = 1 / 16, 100e-9
    beyond: dict[Parameter, float] = {
        "offset": 0.6 * lsb,
        "gain": 0.1,
        "comparator_noise": lsb,
        "sampling_noise": lsb,
        "reference_noise": 2 * lsb,
        "tau": slot,
        "droop": lsb / slot,
        "metastable_window": 0.8 * lsb,
    }
    assert {"mismatch", *beyond} == set(get_args(Parameter))
    for name, value in beyond.items():
        good, bad = sweep(Design(4), name, [0.0, value], 100)
        assert (good.share.count, good.value) == (100, 0.0), name
        assert bad.share.count < 90, name


def test_yield_in_blocks_equals_yield_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = np.linspace(0, 2 / 256, 50)
    design = Design(8, impairments=Impairments(offset=offsets))
    whole = measure_yield(design, 50)
    monkeypatch.setattr("snnc.circuits.yields._BLOCK", 7 * 256)
    assert measure_yield(design, 50) == whole
    assert whole.count == np.sum(offsets < 0.5 / 256)


def test_a_report_passes_and_is_plain_data() -> None:
    report = verify_encoding(Design(8, mismatch=0.05), instances=500, seed=2)
    assert report.passed
    assert 0 < report.good.count < 500
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["passed"] is True
    assert plain["good"]["yield"] == report.good.value
    assert plain["good"]["interval"][0] < report.good.value < plain["good"]["interval"][1]
    assert all(entry["passed"] for entry in plain["checks"] + plain["first_failures"])
    assert report.spice == ()


@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("checks", Check("x", 2, 1, "so")),
        ("first_failures", FirstFailure("x", "V", 1.0, 1.1)),
        ("error_rates", ErrorRate("x", 0.25, Share(50, 100), 0.9)),
        ("spice", CrossCheck("x", 1, 1, 1e-3, 1e-6)),
    ],
)
def test_one_failure_fails_the_report(part: str, entry: object) -> None:
    report = verify_encoding(Design(3), instances=5)
    assert report.passed
    assert not replace(report, **{part: (*getattr(report, part), entry)}).passed  # type: ignore[arg-type]


@pytest.mark.skipif(not available(), reason="needs ngspice (apt-get install ngspice)")
@pytest.mark.parametrize("dac", KINDS)
def test_the_cross_check_with_ngspice_passes(dac: DacKind) -> None:
    design = Design(6, dac, mismatch=0.01, v_ref=1.2, r_up=90.0 * (dac == "ladder"))
    checks = cross_check(design, 3, Simulator(conversions=16))
    assert len(checks) == 1 + (dac in ("ladder", "single-ended"))
    assert [check for check in checks if not check.passed] == []


def test_the_cross_check_without_ngspice_is_refused_not_skipped() -> None:
    with pytest.raises(ToolError, match="apt-get install ngspice"):
        verify_encoding(Design(2), 5, simulator=Simulator(program="no-such-ngspice"))


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 0},
        {"bits": 17},
        {"dac": "flash"},
        {"mismatch": -0.1},
        {"mismatch": float("nan")},
        {"slot": 0.0},
        {"v_ref": -1.0},
        {"r_up": 10.0},
        {"dac": "ladder", "r_up": -10.0},
        {"sample_and_hold": False, "impairments": Impairments(droop=1.0)},
    ],
)
def test_designs_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Design(**options)  # type: ignore[arg-type]


def test_requests_that_make_no_sense() -> None:
    design = Design(4)
    with pytest.raises(OptionError, match="at least one"):
        measure_yield(design, 0)
    with pytest.raises(OptionError, match="between 0 and 1"):
        measure_yield(design, 5, confidence=1.0)
    with pytest.raises(OptionError, match="3 values for 5 instances"):
        measure_yield(replace(design, impairments=Impairments(offset=np.zeros(3))), 5)
    with pytest.raises(InputError, match="smaller spread"):
        measure_yield(replace(design, mismatch=5.0), 50)
    with pytest.raises(OptionError, match="at least one value"):
        sweep(design, "mismatch", [])
    with pytest.raises(OptionError, match="colour"):
        sweep(design, "colour", [1.0])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="count at least one"):
        Share(3, 2)
    with pytest.raises(OptionError, match="at least one"):
        Simulator(conversions=0)


def test_progress_counts_every_instance_once() -> None:
    """In blocks, and over all values of a sweep."""
    told: list[tuple[int, int]] = []
    measure_yield(Design(16), 130, progress=lambda *done: told.append(done))
    assert told == [(64, 130), (128, 130), (130, 130)]
    told.clear()
    sweep(Design(3), "mismatch", [0.0, 0.1], 7, progress=lambda *done: told.append(done))
    assert told == [(7, 14), (14, 14)]
