"""Chips as TOML files in which every figure is a table: its value, its source, perhaps a note."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from snnc.errors import ChipFileError

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Where a figure comes from: the document, and what is to be said of it."""

    source: str
    note: str = ""


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """A figure in the file."""

    value: Any
    source: str
    note: str = ""


def load(path: Path) -> Table:
    """The tables of the file at `path`.

    Raises:
        ChipFileError: it can't be read, or is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChipFileError(str(path), f"can't be read ({error})", "check its name") from error
    return parse(text, str(path))


def parse(text: str, origin: str) -> Table:
    """The file's tables.

    Raises:
        ChipFileError: no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChipFileError(origin, f"can't be read as TOML ({error})") from error


def text_of(table: Table, key: str, origin: str) -> str:
    """A text at the top of the file."""
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ChipFileError(origin, f"{key} is missing", f'write {key} = "…" at its top')
    return value


def figures(
    given: Table, names: Sequence[str], prefix: str, origin: str
) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Values and provenance of the figures `names`, by name.

    Args:
        prefix: the section with a dot behind it, '' at the top.

    Raises:
        ChipFileError: one is missing or no figure.
    """
    for name in names:
        if name not in given:
            raise ChipFileError(
                origin, f"[{prefix}{name}] is missing", "write its value and its source"
            )
    stored = {name: _stored(given[name], f"{prefix}{name}", origin) for name in names}
    values = {name: item.value for name, item in stored.items()}
    return values, {name: Figure(item.source, item.note) for name, item in stored.items()}


def _stored(table: Any, key: str, origin: str) -> _Stored:
    try:
        return msgspec.convert(table, _Stored)
    except msgspec.ValidationError as error:
        raise ChipFileError(
            origin, f"[{key}]: {error}", 'write value = …, source = "…" and, if need be, a note'
        ) from error


__all__ = ["Figure", "figures", "load", "parse", "text_of"]
