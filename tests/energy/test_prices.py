"""Price tables: published figures, and what a user's own file may not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnc.energy.prices import TABLES, load_prices, price_tables
from snnc.errors import InputError, OptionError

GOOD = """
name = "mine"
bits = 12
number = "12-bit integer"
source = "measured"
[operations]
ac = 0.5
mac = 2
[[memory]]
bytes = 1024
pj = 3.0
[[memory]]
bytes = 4096
pj = 7.5
"""


def test_there_are_tables_of_45_nm_and_of_loihi() -> None:
    assert price_tables() == ("45nm-fp16", "45nm-fp32", "45nm-int32", "45nm-int8", "loihi")


@pytest.mark.parametrize(
    ("name", "bits", "mul", "ac", "mac", "ratio"),
    [
        ("45nm-fp32", 32, 3.7, 0.9, 4.6, 5.11),
        ("45nm-fp16", 16, 1.1, 0.4, 1.5, 3.75),
        ("45nm-int32", 32, 3.1, 0.1, 3.2, 32),
        ("45nm-int8", 8, 0.2, 0.03, 0.23, 7.67),
    ],
)
def test_a_mac_is_a_multiplication_and_an_addition(
    name: str, bits: int, mul: float, ac: float, mac: float, ratio: float
) -> None:
    prices = load_prices(name)
    assert prices.operations == {"mul": mul, "ac": ac, "mac": mac, "compare": ac}
    assert mac == pytest.approx(mul + ac)
    assert mac / ac == pytest.approx(ratio, abs=0.005)
    assert prices.bits == bits
    assert prices.memory == ((8192, 10), (32768, 20), (1048576, 100))
    assert not prices.per_event
    assert "Horowitz" in prices.source


def test_int8_says_that_its_accumulator_has_eight_bits() -> None:
    assert any(
        "accumulator" in note and "0.3 pJ" in note for note in load_prices("45nm-int8").notes
    )


def test_loihi_prices_events_and_a_firing_update_is_an_active_one() -> None:
    prices = load_prices("loihi")
    assert prices.operations == {"ac": 23.6, "update": 52, "spike": pytest.approx(1.7 + 81 - 52)}
    assert prices.per_event
    assert prices.memory == ()
    assert any("81 - 52" in note for note in prices.notes)


def test_a_user_table_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    prices = load_prices(path)
    assert prices.name == "mine"
    assert prices.operations == {"ac": 0.5, "mac": 2.0}
    assert prices.memory == ((1024.0, 3.0), (4096.0, 7.5))
    assert prices.notes == ()
    assert load_prices(str(path)) == prices


def test_a_copy_of_a_built_in_table_is_fine_but_not_another_one_of_its_name(tmp_path: Path) -> None:
    path, text = tmp_path / "copy.toml", (TABLES / "45nm-fp32.toml").read_text()
    path.write_text(text)
    assert load_prices(path) == load_prices("45nm-fp32")
    path.write_text(text.replace("ac = 0.9", "ac = 0.1"))
    with pytest.raises(InputError, match=r"copy\.toml.*built-in"):
        load_prices(path)


@pytest.mark.parametrize("name", ["45nm", "no/such.toml", "a\0b", "x" * 5000, ""])
def test_a_name_that_is_no_table_is_refused_with_the_names(name: str) -> None:
    with pytest.raises((OptionError, InputError), match="45nm-fp32"):
        load_prices(name)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("ac = 0.5", "ac = -0.5", "operations.ac"),
        ("ac = 0.5", "ac = nan", "operations.ac"),
        ("ac = 0.5", "ac = inf", "operations.ac"),
        ("ac = 0.5", "ac = true", "operations.ac"),
        ("ac = 0.5", 'ac = "0.5"', "operations.ac"),
        ("ac = 0.5", f"ac = {'9' * 400}", "operations.ac"),
        ("ac = 0.5", "acc = 0.5", "operations.acc: unknown"),
        ("ac = 0.5\nmac = 2", "", "operations"),
        ("[operations]", "[ops]", "ops: unknown"),
        ('name = "mine"', "", "name: missing"),
        ('name = "mine"', 'name = " "', "name"),
        ('name = "mine"', "name = 3", "name"),
        ('name = "mine"', r'name = "a\u001b[31m"', "name: .* control characters"),
        ("bits = 12", "", "bits: missing"),
        ("bits = 12", "bits = 0", "bits"),
        ("bits = 12", "bits = 12.5", "bits"),
        ("bits = 12", "bits = true", "bits"),
        ('source = "measured"', "", "source: missing"),
        ('source = "measured"', 'source = "m"\nnotes = "one"', "notes"),
        ('source = "measured"', 'source = "m"\nnotes = [1]', r"notes\[0\]"),
        ("bytes = 4096", "bytes = 512", r"memory\[1\]\.bytes"),
        ("bytes = 1024", "bytes = 0", r"memory\[0\]\.bytes"),
        ("pj = 7.5", "pj = 1.0", r"memory\[1\]\.pj"),
        ("pj = 7.5", "", r"memory\[1\]\.pj: missing"),
        ("pj = 7.5", "pj = 7.5\nnJ = 1", r"memory\[1\]\.nJ: unknown"),
        ("[operations]\nac = 0.5\nmac = 2", "operations = 3", "operations"),
    ],
)  # fmt: skip
def test_a_bad_key_is_named_with_its_file(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert old in GOOD
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=rf"bad\.toml: {key}"):
        load_prices(path)


def test_texts_of_several_lines_become_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"measured"', '"""measured\non\ta board"""'))
    assert load_prices(path).source == "measured on a board"


def test_endless_numbers_are_cut_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace("ac = 0.5", f"ac = {'9' * 400}"))
    with pytest.raises(InputError) as caught:
        load_prices(path)
    assert len(caught.value.cause) < 120


@pytest.mark.parametrize("memory", ["memory = 3", "memory = [3]"])
def test_memory_is_a_list_of_tables(tmp_path: Path, memory: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(memory + GOOD[: GOOD.index("[[memory]]")])
    with pytest.raises(InputError, match=r"memory.*\[\[memory\]\]"):
        load_prices(path)


@pytest.mark.parametrize(
    "content", [b"", b"name = ", b"\xff\xfe", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000]
)
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.toml"):
        load_prices(path)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TOML"):
        load_prices(tmp_path)
