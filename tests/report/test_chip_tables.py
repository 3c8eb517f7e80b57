"""Figures of a chip's file, as they are shown and as docs/architecture.md explains them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from snnc.errors import ChipFileError
from snnc.passes.limits import NAMES
from snnc.report.chip_tables import NUMBERS, chip_tables, read_figures
from snnc.report.tables import WIDTH, rendered
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import SECTIONS

SCHEMA = Path(__file__).parents[2] / "docs" / "architecture.md"
KEY = re.compile(r"^\| `([a-z_.]+)` \| [^|]+ \| [^|]+ \|$", re.M)


def test_the_documentation_has_every_key_and_no_other() -> None:
    known = [
        "chip",
        "summary",
        *NAMES,
        *(f"{name}.{item.name}" for name, kind in SECTIONS.items() for item in fields(kind)),
    ]
    assert KEY.findall(SCHEMA.read_text(encoding="utf-8")) == known


@pytest.mark.parametrize("path", sorted(CHIPS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_figure_is_shown_with_source_and_note(path: Path) -> None:
    chip = read_figures(path)
    assert set(chip.sections) == {NUMBERS, *SECTIONS}
    text = rendered(chip_tables(chip))
    assert max(map(len, text.splitlines())) <= WIDTH
    flat = "".join(text.split())
    for found in chip.sections.values():
        for key, (_, figure) in found.items():
            note = f"note: {figure.note}" if figure.note else ""
            assert key in flat
            for part in f"{figure.source} {note}".split():
                assert part in flat


def test_values_read_well() -> None:
    text = rendered(chip_tables(read_figures(CHIPS / "loihi1.toml")))
    for row in (
        "in_axons 4,096",
        "neuron_programs no",
        "weight_min -256",
        "chips 8, 4",
        "barrier [1, 1130]",
        "delay_slots 8,192",
    ):
        key, value = row.split(" ", 1)
        assert re.search(rf"^  {key} +{re.escape(value)}  ", text, re.M), row
    assert re.search(r"^ +\[32, 4650\]  ", text, re.M)


def test_a_file_with_number_formats_only_is_no_chip_of_cores(tmp_path: Path) -> None:
    text = (CHIPS / "array.toml").read_text(encoding="utf-8")
    file = tmp_path / "half.toml"
    file.write_text(text[: text.index("[core.")], encoding="utf-8")
    with pytest.raises(ChipFileError, match="no figures of \\[core\\]"):
        read_figures(file)
