"""Chips as files: what is read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snnc.errors import ChipFileError
from snnc.passes.limits import read_limits
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import SECTIONS, read_architecture

BUILT_IN = sorted(CHIPS.glob("*.toml"))
ARRAY = (CHIPS / "array.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.stem)
def test_every_figure_of_a_built_in_chip_has_a_source(path: Path) -> None:
    chip = read_architecture(path)
    assert chip.chip == path.stem == read_limits(path).chip
    assert {key.split(".")[0] for key in chip.figures} == set(SECTIONS)
    assert all(figure.source for figure in chip.figures.values())


def test_loihi1_is_the_published_chip() -> None:
    chip = read_architecture(CHIPS / "loihi1.toml")
    assert chip.core.compartments == 1024
    assert chip.mesh.cores_per_chip == 128
    assert chip.core.words * chip.synapses.word_bits == 1_048_576
    assert (chip.energy.synapse, chip.energy.hop_x, chip.energy.hop_y) == (23.6, 3.0, 4.0)


def test_the_barrier_lies_on_the_lines_of_its_table() -> None:
    cycles = read_architecture(CHIPS / "loihi1.toml").cycles
    assert cycles.barrier == ((1, 1130), (32, 4650))
    assert cycles.barrier_of(1, 1) == 1130
    # 1130 + 3520·4/31 = 1584.2
    assert cycles.barrier_of(5, 1) == 1584
    assert cycles.barrier_of(32, 1) == cycles.barrier_of(90, 1) == 4650
    assert cycles.barrier_of(1, 2) == 1130 + cycles.chip_barrier


def replaced(key: str, value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        before, after = text.split(f"[{key}]\n")
        return f"{before}[{key}]\n" + value + after[after.index("\n") + 1 :]

    return change


FORMATS = {
    "weight_step": ("value = 3\n", "power of two"),
    "weight_max": ("value = 0\n", "contain 0"),
    "exp_min": ("value = 1\n", "contain 0"),
    "decay_bits": ("value = 8\n", "in which S2 is defined"),
    "state_bits": ("value = 64\n", "8 … 32"),
    "shift": ("value = -1\n", "other widths"),
    "message_bits": ("value = 1.5\n", "Expected `int`"),
}


@pytest.mark.parametrize("key", FORMATS)
def test_number_formats_that_make_no_sense_are_refused(key: str, tmp_path: Path) -> None:
    value, message = FORMATS[key]
    file = tmp_path / "mine.toml"
    file.write_text(replaced(key, value)(ARRAY), encoding="utf-8")
    with pytest.raises(ChipFileError, match=message):
        read_limits(file)


FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "no TOML": (lambda text: text + "\n[core", "can't be read as TOML"),
    "a table of no section": (
        lambda text: text + '\n[cost.x]\nvalue = 1\nsource = "s"\n', r"\[cost\] means nothing"
    ),
    "no name": (lambda text: text.replace('chip = "array"\n', ""), "chip is missing"),
    "a section is missing": (
        lambda text: text[: text.index("[mesh.")] + text[text.index("[cycles.") :],
        r"has no figures of \[mesh\]",
    ),
    "a figure is missing": (
        lambda text: text.replace("[mesh.rows]", "[mesh.lines]"), r"\[mesh.lines\] means nothing"
    ),
    "text for a number": (replaced("mesh.rows", 'value = "eight"\n'), r"\[mesh\]: Expected `int`"),
    "no source": (
        lambda text: text.replace(
            '[mesh.rows]\nvalue = 8\nsource = "definition of the snnc array"\n',
            "[mesh.rows]\nvalue = 8\n",
        ),
        "missing required field `source`",
    ),
    "negative": (replaced("core.words", "value = -1\n"), "at least 0"),
    "no cores": (replaced("mesh.cores_per_tile", "value = 0\n"), "at least 1"),
    "no time": (replaced("cycles.ns", "value = 0.0\n"), "takes some time"),
    "no format": (replaced("synapses.formats", 'value = ["packed"]\n'), "any of dense"),
    "no width of skips": (
        replaced("synapses.formats", 'value = ["runlength"]\n'), r"skip_bits\] is empty"
    ),
    "no way to share": (
        replaced("synapses.shared", 'value = "most"\n'), "one of nothing, patterns, kernels"
    ),
    "widths fall": (replaced("synapses.weight_bits", "value = [8, 4]\n"), "ascending"),
    "no barrier": (replaced("cycles.barrier", "value = []\n"), "tiles ascending"),
    "no chips": (replaced("mesh.chips", "value = [0, 1]\n"), "at least one chip"),
    "infinite": (replaced("energy.word", "value = inf\n"), "at least 0"),
    "no number": (replaced("energy.word", "value = nan\n"), "at least 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name: str, tmp_path: Path) -> None:
    change, message = FAULTS[name]
    changed = change(ARRAY)
    assert changed != ARRAY
    file = tmp_path / "mine.toml"
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(ChipFileError, match=message):
        read_architecture(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChipFileError, match=r"nothing\.toml"):
        read_architecture(tmp_path / "nothing.toml")
