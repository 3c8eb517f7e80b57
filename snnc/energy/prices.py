"""Price tables: TOML files with their sources, in `tables/` or from a user.

A table has `name`, `bits`, `number`, `source`, optionally `notes`, a table `[operations]` with pJ
by operation (the values of `snnc.energy.counts.Op`), and any number of `[[memory]]` with `bytes`
and `pj` per access of 64 bits. What a table has no price for is left out of a figure, and said.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnc.energy.counts import Op
from snnc.errors import InputError, OptionError

TABLES = Path(__file__).with_name("tables")
_KEYS = ("name", "bits", "number", "source", "notes", "operations", "memory")
_OPTIONAL = ("notes", "memory")


@dataclass(frozen=True)
class Prices:
    """Energy per operation.

    Attributes:
        name: of the table: `45nm-fp32`.
        bits: width of the operands and of a stored value.
        number: what the operands are, in words: `32-bit float`.
        operations: pJ by operation (`Op` values).
        memory: (bytes, pJ per access of 64 bits) of memories of growing size; empty without.
        source: where the numbers come from.
        notes: what a reader must know.
    """

    name: str
    bits: int
    number: str
    operations: Mapping[str, float]
    memory: tuple[tuple[float, float], ...]
    source: str
    notes: tuple[str, ...] = ()

    @property
    def per_event(self) -> bool:
        """Whether a neuron has one price per update: then `ac` is the price of a synaptic event,
        not of an addition."""
        return Op.UPDATE in self.operations


def price_tables() -> tuple[str, ...]:
    """Names of the built-in tables."""
    return tuple(sorted(path.stem for path in TABLES.glob("*.toml")))


def load_prices(name_or_path: str | Path) -> Prices:
    """A built-in table by its name, or a user's own by the path of its TOML file.

    Raises:
        OptionError: no built-in table has that name and there is no such file.
        InputError: the file can't be read, or a key in it is unknown, missing or out of range.
    """
    name = str(name_or_path)
    if name in price_tables():
        return _read(TABLES / f"{name}.toml")
    path = Path(name)
    if not name or not _exists(path):
        raise OptionError(
            "prices",
            f"there is no price table or file {name!r}",
            f"give one of {', '.join(price_tables())}, or the path of a TOML file",
        )
    prices = _read(path)
    if prices.name in price_tables() and prices != _read(TABLES / f"{prices.name}.toml"):
        raise _bad(path, "name", f"{prices.name!r} is a built-in table with other prices")
    return prices


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _bad(path: Path, key: str, cause: str) -> InputError:
    return InputError(
        str(path), f"{key}: {cause}", f"{TABLES / '45nm-fp32.toml'} shows the form of a table"
    )


def _read(path: Path) -> Prices:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            str(path), f"not a readable TOML file: {error}", "give a price table in TOML"
        ) from error
    _check_keys(path, "", table, _KEYS, _OPTIONAL)
    return Prices(
        name=_text(path, "name", table["name"]),
        bits=_bits(path, table["bits"]),
        number=_text(path, "number", table["number"]),
        operations=_operations(path, table["operations"]),
        memory=_memory(path, table.get("memory", [])),
        source=_text(path, "source", table["source"]),
        notes=_notes(path, table.get("notes", [])),
    )


def _check_keys(
    path: Path, prefix: str, table: Mapping[str, Any], keys: tuple[str, ...], optional: Any = ()
) -> None:
    for key in table:
        if key not in keys:
            raise _bad(path, prefix + key, f"unknown; the keys are {', '.join(keys)}")
    for key in keys:
        if key not in table and key not in optional:
            raise _bad(path, prefix + key, "missing")


def _text(path: Path, key: str, value: object) -> str:
    """One line; texts of several lines become one."""
    if not isinstance(value, str) or not value.strip():
        raise _bad(path, key, f"{_short(value)} is no text")
    line = " ".join(value.split())
    if not line.isprintable():
        raise _bad(path, key, f"{_short(value)} holds control characters")
    return line


def _short(value: object) -> str:
    words = repr(value)
    return words if len(words) <= 40 else words[:40] + "…"


def _notes(path: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _bad(path, "notes", f"{_short(value)} is no list of texts")
    return tuple(_text(path, f"notes[{index}]", note) for index, note in enumerate(value))


def _bits(path: Path, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 128:
        raise _bad(path, "bits", f"{_short(value)} is no whole number of 1 to 128")
    return value


def _number(path: Path, key: str, value: object) -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(path, key, f"{_short(value)} is no number")
    # An integer beyond the range of floats can't be converted; TOML has inf and nan.
    if not 0 <= value <= 1e300 or not math.isfinite(value):
        raise _bad(path, key, f"{_short(value)} is no price: give 0 or more, in pJ")
    return float(value)


def _operations(path: Path, value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise _bad(path, "operations", "has no price")
    ops = tuple(op.value for op in Op)
    _check_keys(path, "operations.", value, ops, ops)
    return {key: _number(path, f"operations.{key}", price) for key, price in value.items()}


def _memory(path: Path, value: object) -> tuple[tuple[float, float], ...]:
    if not isinstance(value, list):
        raise _bad(path, "memory", "is no list of tables: write [[memory]]")
    anchors: list[tuple[float, float]] = []
    for index, entry in enumerate(value):
        key = f"memory[{index}]."
        if not isinstance(entry, dict):
            raise _bad(path, key.rstrip("."), "is no table: write [[memory]]")
        _check_keys(path, key, entry, ("bytes", "pj"))
        size = _number(path, key + "bytes", entry["bytes"])
        if size <= (anchors[-1][0] if anchors else 0):
            raise _bad(path, key + "bytes", "sizes must grow from entry to entry, from above 0")
        pj = _number(path, key + "pj", entry["pj"])
        if anchors and pj < anchors[-1][1]:
            raise _bad(path, key + "pj", "a larger memory must not cost less per access")
        anchors.append((size, pj))
    return tuple(anchors)


__all__ = ["TABLES", "Prices", "load_prices", "price_tables"]
