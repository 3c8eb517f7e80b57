"""Reports: numbers by hand, files there and back, damage, CSV, tables and differences."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.energy.conventions.base import Settings
from snnc.energy.counts import Cause, Line, Op
from snnc.energy.difference import difference
from snnc.energy.encoder import EncoderEnergy, encoder_energy
from snnc.energy.report import CSV_COLUMNS, Report, _digest, build_report, read_report
from snnc.errors import InputError, ModelFileError, OptionError
from snnc.ir import Kind
from tests.energy.examples import PRICES, Plain, large_report, layer, small_counts, small_report


def flat(report: Report) -> str:
    return " ".join(report.table().split())


def test_energies_by_hand() -> None:
    # Per step: 24 MAC + 8 MAC norm + 8 MAC and 8 compares of neurons; 12 or 24 AC.
    fixed = 40 * 4.6 + 8 * 0.9
    per_step, once = small_report().figure().readings
    assert per_step.energy.best == pytest.approx(fixed + 12 * 0.9)
    assert per_step.energy.worst == pytest.approx(fixed + 24 * 0.9)
    assert (per_step.energy.best_sample, per_step.energy.worst_sample) == (0, 1)
    # Once: the first layer and the norm lose one of two evaluations, 12 + 4 MAC.
    assert per_step.energy.mean - once.energy.mean == pytest.approx(16 * 4.6)
    assert per_step.ann == once.ann == pytest.approx(24 * 4.6)
    assert per_step.ratio == pytest.approx(24 * 4.6 / (fixed + 18 * 0.9))


def test_counts_by_hand() -> None:
    report = small_report()
    first, second = report.layers
    assert (first.op, second.op) == ("mac", "ac")
    assert (first.per_step.effective, first.once.effective) == (24.0, 12.0)
    assert (first.per_step.dense, first.once.dense) == (24, 12)
    # Not static: both readings are the same. 1 + 2 and 3 + 3 of 3 inputs in 2 steps.
    assert second.per_step == second.once
    assert second.events == 4.5
    assert second.input_rate == pytest.approx(0.75)
    assert second.per_step.rate_formula == pytest.approx(0.75 * 2 * 12)
    assert second.per_step.effective_nonzero == pytest.approx((9 + 18) / 2)
    assert first.spikes_per_synapse is None
    assert second.spikes_per_synapse == pytest.approx(18 / 12)
    assert report.lines[0].per_step == {"mac": 8.0}
    assert report.lines[0].once == {"mac": 4.0}
    assert report.rates[0].rates == (0.5, 0.5)
    assert (report.rates[0].spikes, report.rates[0].rate) == (4.0, 0.5)


def test_saved_and_read_is_the_same(tmp_path: Path) -> None:
    for number, report in enumerate((small_report(), large_report(layers=3, samples=1))):
        path = tmp_path / f"{number}.json"
        report.save(path)
        assert read_report(path) == report
        assert path.read_bytes().endswith(b"\n")
        assert json.loads(path.read_text()) == json.loads(json.dumps(report.to_dict()))
    assert json.loads((tmp_path / "0.json").read_text())["format"] == "snnc-energy-1"


def test_same_report_same_bytes(tmp_path: Path) -> None:
    small_report().save(tmp_path / "a.json")
    small_report().save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A report with its checksum made right again behind the change."""
    data = small_report().to_dict()
    del data["sha256"]
    change(data)
    return json.dumps({**data, "sha256": _digest(data)}).encode()


def plain() -> bytes:
    return json.dumps(small_report().to_dict()).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not whole JSON"),
        (b"[1, 2]", "no energy report"),
        (b'{"a": 1}', "no energy report"),
        (b"\xff\xfe\x00", "not whole JSON"),
        (b"[" * 100_000, "not whole JSON"),
        (plain()[:-20], "not whole JSON"),
        (plain().replace(b'"mean": 207', b'"mean": NaN, "x": 207', 1), "not whole JSON"),
        (plain().replace(b'"samples": 2', b'"samples": 3', 1), "checksum"),
        (plain().replace(b"small.pt", b"other.pt", 1), "checksum"),
        (changed(lambda d: d.update(format="snnc-energy-9")), "'snnc-energy-9'"),
        (changed(lambda d: d.update(samples=2.5)), "Expected `int`, got `float` - at `$.samples`"),
        (changed(lambda d: d.update(samples=True)), "got `bool` - at `$.samples`"),
        (changed(lambda d: d.update(model=None)), "got `null` - at `$.model`"),
        (changed(lambda d: d.update(extra=1)), "fields that no report has"),
        (changed(lambda d: d.pop("layers")), "missing required field `layers`"),
        (changed(lambda d: d["layers"].append(1)), "got `int` - at `$.layers[2]`"),
        (changed(lambda d: d["figures"][0]["once"]["items"][0].update(cause="luck")), "luck"),
        (changed(lambda d: d["settings"].update(first_layer="twice")), "'twice' - at `$.settings"),
        (changed(lambda d: d["figures"][0]["prices"]["memory"][0].append(1)), "of length 2, got 3"),
        (changed(lambda d: d.update(uncounted=[])), "got `array` - at `$.uncounted`"),
    ],
)  # fmt: skip
def test_what_is_no_report(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_report(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_report(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="can't be read"):
        read_report(tmp_path / "none.json")
    with pytest.raises(ModelFileError, match="can't be read"):
        read_report(tmp_path)


def test_a_report_is_json(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.json"):
        small_report().save(tmp_path / "r.txt")
    with pytest.raises(OptionError, match="can't be written"):
        small_report().save(tmp_path / "none" / "r.json")
    assert not list(tmp_path.iterdir())


def test_csv_has_every_line_of_both_readings() -> None:
    report = small_report()
    rows = list(csv.DictReader(io.StringIO(report.csv(), newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 2 * 5
    for reading in report.figure().readings:
        mine = [row for row in rows if row["first_layer"] == reading.first_layer]
        assert sum(float(row["mean_energy_pJ"]) for row in mine) == pytest.approx(
            reading.energy.mean
        )
    assert {row["bits"] for row in rows} == {"32"}
    assert report.csv().count("\r\n") == 11


def test_csv_quotes_names_and_leaves_unknown_cells_empty() -> None:
    counts = small_counts(
        samples=1,
        synapses=(),
        lines=(
            Line('a "b", c', Cause.NORM, "softmax", False, 4, 4, 2, {Op.FUNCTION: np.asarray([3])}),
        ),
    )
    text = build_report("m", counts, [Plain()], PRICES, Settings()).csv()
    row = next(csv.DictReader(io.StringIO(text, newline="")))
    assert row["layer"] == 'a "b", c'
    assert (row["sd_count"], row["price_pJ"], row["mean_energy_pJ"]) == ("", "", "")
    assert row["mean_count"] == "3.0"


def test_no_samples() -> None:
    none = small_counts(
        samples=0, synapses=(layer("first", np.zeros((0, 2))),), lines=(), populations=()
    )
    with pytest.raises(InputError, match="no samples"):
        build_report("m", none, [Plain()], PRICES, Settings())


def test_table_says_what_was_counted() -> None:
    words = flat(small_report())
    for said in (
        "energy of small.pt: 207.4 pJ per sample (95 % CI 138.8 … 276 pJ)",
        "effective, 45nm-fp32 (32-bit float); stage s1, 2 samples, T = 2",
        "18 AC (18 in synapses) and 40 MAC (24 in synapses) per sample",
        "are counted per step; counted once: 133.8 pJ per sample",
        "per step 207.4",
        "once 133.8",
        "Horowitz, ISSCC 2014",
        "effective: what was counted (a paper)",
        "best sample 0 with 202 pJ, worst sample 1 with 212.8 pJ",
        "norm norm (foldable) 8",
        "said once",
        "analog (direct, static)",
        "spikes per synapse and inference: here 1.5",
        "5.111 (E_MAC/E_AC of 45nm-fp32, operations alone): below it, which favours the SNN",
        "0.15–1.38 (Dampfhoffer et al. 2023, IEEE TETCI 7(3), depends on the dataflow of the ANN):"
        " above it, which favours the ANN",
        "do not apply: T = 2",
        "by operations alone (effective): the ANN needs less, by 1.879× (SNN 207.4 pJ, ANN of the"
        " same shape 110.4 pJ) ",
        "with memory accesses (lemaire2022): the ANN needs less",
    ):
        assert said in words, said
    assert "INCOMPLETE" not in words


def test_the_other_reading_of_static_layers_can_turn_the_verdict() -> None:
    fixed = small_counts()
    still = layer("first", [[40, 40], [40, 40]], kind=Kind.ANALOG, direct=True, static=True,
                  dense=48, taps=48)  # fmt: skip
    counts = replace(fixed, synapses=(still, fixed.synapses[1]), lines=())
    report = build_report("m", counts, [Plain()], PRICES, Settings())
    ann = 60 * 4.6
    assert report.figure().per_step.energy.mean > ann > report.figure().once.energy.mean
    words = flat(report)
    assert "the ANN needs less, by 1.392× " in words
    assert "; with static layers once the SNN does (SNN 200.2 pJ)" in words
    once = flat(build_report("m", counts, [Plain()], PRICES, Settings("once")))
    assert "the SNN needs less, by 1.379× " in once
    assert "; with static layers per step the ANN does (SNN 384.2 pJ)" in once


def test_what_conventions_have_in_common_is_said_once() -> None:
    report = large_report(layers=1)
    assert flat(report).count("- a note") == 1
    text = report.table()
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_many_layers_left_out_for_one_reason_are_named_in_one_line() -> None:
    report = replace(large_report(layers=1), uncounted={})
    gaps = tuple(f"bn{index}: affine: outside the model" for index in range(12))
    main = report.figures[0]
    short = replace(main, per_step=replace(main.per_step, left_out=gaps))
    words = flat(replace(report, figures=(short,)))
    assert "bn6, bn7 and 4 more: affine: outside the model" in words


def test_the_encoder_is_a_line_of_its_own() -> None:
    def made(encoder: EncoderEnergy | None) -> Report:
        return build_report("m", small_counts(), [Plain()], PRICES, Settings(), encoder)

    report = made(encoder_energy(784))
    assert report.encoder is not None
    assert report.encoder.typical == pytest.approx(784 * 2.8)
    assert report.figure() == made(None).figure()
    assert (
        "encoder, in no total: 784 conversions of 8 bits per sample: 2.195 nJ, published range"
        " 862.4 pJ to 11.37 nJ"
    ) in flat(report)


def test_one_sample_says_that_it_has_no_interval() -> None:
    assert "none (n = 1)" in flat(large_report(layers=1, samples=1))


def test_incomplete_is_said_and_named() -> None:
    report = large_report(layers=1)
    assert not report.complete
    words = flat(report)
    title = words[: words.index("effective,")]
    assert title.startswith("energy of resnet18.pt: ")
    assert title.endswith("INCOMPLETE ")
    assert "left out: head.softmax: softmax over classes: no rule" in words
    # No price is as incomplete as no rule.
    prices = replace(PRICES, operations={"ac": 0.9, "mac": 4.6})
    other = build_report("m", small_counts(), [Plain()], prices, Settings())
    assert not other.complete
    words = flat(other)
    assert "(95 % CI 131.6 … 268.8 pJ) INCOMPLETE" in words
    assert "left out of every figure: lif: compare" in words
    assert "lif neuron 8 8 compare > 36.8 pJ" in words
    unpriced = replace(PRICES, operations={"ac": 0.9, "compare": 0.9})
    words = flat(build_report("m", small_counts(), [Plain()], unpriced, Settings()))
    assert "first synapses 24 no price" in words


def test_only_the_main_figure_makes_the_title_incomplete() -> None:
    """A convention beside it says so in its own row."""
    fine = replace(large_report(layers=1), uncounted={})
    fine = replace(fine, verdicts=replace(fine.verdicts, signs=()))
    assert fine.complete
    main, other, *_ = fine.figures
    short = replace(other, once=replace(other.once, left_out=("pool: outside the model",)))
    report = replace(fine, figures=(main, short))
    assert not report.complete
    words = flat(report)
    assert words.count("INCOMPLETE") == 1
    assert words.index("conventions side by side") < words.index("INCOMPLETE")
    assert "left out of spikinghash_eq26: pool: outside the model" in words
    swapped = flat(replace(fine, figures=(short, main)))
    assert swapped.index("INCOMPLETE") < swapped.index("static layers")


def test_rows_of_a_layer_stand_together() -> None:
    counts = small_counts()
    bias = Line("first", Cause.BIAS, "bias", True, 4, 4, 2, {Op.AC: np.full(2, 8)})
    more = replace(counts, lines=(*counts.lines, bias))
    words = build_report("m", more, [Plain()], PRICES, Settings()).table()
    table = words[: words.index("synaptic operations")]
    assert table.index("bias") < table.index("second")


def test_tables_fit_100_columns() -> None:
    for report in (small_report(), large_report(layers=4), large_report(layers=2, steps=300)):
        lines = report.table().splitlines()
        assert max(map(len, lines)) <= 100
        assert any("spikinghash_eq26" in line for line in lines) == (report.model != "small.pt")


def test_a_report_without_spiking_layers_has_a_table() -> None:
    counts = small_counts(synapses=(), lines=(), populations=())
    words = flat(build_report("m", counts, [Plain()], PRICES, Settings()))
    assert "0 pJ" in words
    assert "firing rates" not in words


def test_main_figure_and_others() -> None:
    report = large_report(layers=1)
    assert report.figure().convention == "effective"
    assert report.figure("syops").convention == "syops"
    with pytest.raises(OptionError, match="this report holds effective"):
        report.figure("none")


def test_difference_of_the_same_is_none() -> None:
    found = difference(small_report(), small_report())
    assert not found.warnings
    assert not found.only_first + found.only_second
    (comparison,) = found.comparisons
    assert comparison.ratio == 1.0
    assert not any(change.changed for change in comparison.changes)


def test_difference_by_layer_and_cause() -> None:
    counts = small_counts()
    third = layer("third", [[4, 4], [4, 4]])
    fewer = replace(
        counts,
        synapses=(counts.synapses[0], layer("second", [[4, 4], [4, 4]]), third),
        lines=counts.lines[1:],
    )
    after = build_report("after", fewer, [Plain()], PRICES, Settings())
    found = difference(small_report(), after)
    assert (found.only_first, found.only_second) == (("norm",), ("third",))
    rows = {(row.layer, row.op): row for row in found.comparisons[0].changes}
    second = rows["second", "ac"]
    assert second.cause is Cause.SYNAPSES
    assert second.count == (18.0, 8.0)
    assert second.energy == pytest.approx((16.2, 7.2))
    assert second.ratio == pytest.approx(8 / 18)
    assert (rows["norm", "mac"].count, rows["norm", "mac"].energy[1]) == ((8.0, None), None)
    assert rows["third", "ac"].ratio is None
    assert not rows["first", "mac"].changed
    plain_data = json.loads(json.dumps(found.to_dict()))
    assert plain_data["comparisons"][0]["changes"][1]["ratio"] == pytest.approx(8 / 18)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stage": "s2"}, "the stages differ: s1 / s2"),
        ({"settings": Settings("once")}, "static layers are counted differently: per_step / once"),
        (
            {"settings": Settings(zero_weights=False)},
            "weights of 0 are counted differently: True / False",
        ),
        ({"samples": 3}, "samples differ: 2 / 3"),
        ({"uncounted": {"x": "y"}}, "the second report is incomplete"),
        ({"figures": ()}, "conventions differ: effective / none"),
    ],
)
def test_difference_warns(change: dict[str, Any], words: str) -> None:
    small = replace(small_report(), model="small")
    found = difference(small, replace(small, model="other", **change))
    assert any(words in line for line in found.warnings), found.warnings


def test_difference_warns_of_prices() -> None:
    dear = replace(PRICES, operations={**PRICES.operations, "ac": 1.0})
    half = replace(PRICES, name="45nm-fp16", bits=16, number="16-bit float")
    for prices, words in ((dear, "same name, other numbers"), (half, "45nm-fp16 (16-bit float)")):
        other = build_report("m", small_counts(), [Plain()], prices, Settings())
        assert any(words in line for line in difference(small_report(), other).warnings)
