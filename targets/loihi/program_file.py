"""Programs as `.npz` files: their fields as JSON, their arrays by path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ModelFileError
from snnc.ir.files import npz_bytes
from snnc.targets.cores.program import (
    Canonical,
    Compartment,
    Conv,
    Dense,
    Lif,
    MultiCompartment,
    Population,
    Program,
    Source,
    Sparse,
    Split,
    Synapse,
)

A = NDArray[Any]
SCHEMA = 2
_TREE = "program.json"

KINDS: dict[str, type[Population] | type[Synapse]] = {
    cls.__name__: cls
    for cls in (Source, Lif, Canonical, Compartment, MultiCompartment, Dense, Sparse, Conv)
}


def to_bytes(program: Program) -> bytes:
    """The program as the bytes of an `.npz` file; equal programs give equal bytes."""
    arrays: dict[str, A] = {}
    tree = {
        "schema": SCHEMA,
        "steps": program.steps,
        "reads": [list(read) for read in program.reads],
        "notes": list(program.notes),
        "cleared": program.cleared,
        "splits": {
            name: _split_entry(name, split, arrays) for name, split in program.splits.items()
        },
        "populations": {
            name: _entry(f"populations/{name}", item, arrays)
            for name, item in program.populations.items()
        },
        "synapses": [
            _entry(f"synapses/{index}", item, arrays) for index, item in enumerate(program.synapses)
        ],
    }
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    return npz_bytes({_TREE: np.frombuffer(text.encode(), np.uint8), **arrays})


def _split_entry(name: str, split: Split, arrays: dict[str, A]) -> dict[str, Any]:
    for part, index in split.parts.items():
        arrays[f"splits/{name}/{part}"] = index
    return {"shape": split.shape, "parts": list(split.parts)}


def _entry(prefix: str, item: Population | Synapse, arrays: dict[str, A]) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": type(item).__name__}
    for slot in fields(item):
        value = getattr(item, slot.name)
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}/{slot.name}"] = value
        else:
            entry[slot.name] = value
    return entry


def from_arrays(arrays: Mapping[str, A], where: str) -> Program:
    """Rebuilds what `to_bytes` wrote from the arrays of its `.npz` file.

    Raises:
        ModelFileError: `where` doesn't hold a program.
    """
    try:
        tree = json.loads(arrays[_TREE].tobytes().decode())
        if tree["schema"] != SCHEMA:
            raise ModelFileError(where, f"program schema {tree['schema']}, not {SCHEMA}")
        return Program(
            {
                name: _item(Population, f"populations/{name}", entry, arrays)
                for name, entry in tree["populations"].items()
            },
            tuple(
                _item(Synapse, f"synapses/{index}", entry, arrays)
                for index, entry in enumerate(tree["synapses"])
            ),
            tree["steps"],
            tuple((str(a), str(b), str(c), str(d)) for a, b, c, d in tree["reads"]),
            tuple(tree["notes"]),
            {
                name: Split(
                    tuple(entry["shape"]),
                    {part: arrays[f"splits/{name}/{part}"] for part in entry["parts"]},
                )
                for name, entry in tree["splits"].items()
            },
            tree["cleared"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(where, f"not a program of snnc ({error})", "compile again") from error


def _item(base: type[Any], prefix: str, entry: dict[str, Any], arrays: Mapping[str, A]) -> Any:
    cls = KINDS[entry["kind"]]
    if not issubclass(cls, base):
        raise ValueError(f"{prefix} is a {cls.__name__}")
    values: dict[str, Any] = {}
    for slot in fields(cls):
        value = arrays.get(f"{prefix}/{slot.name}", entry.get(slot.name))
        values[slot.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)


__all__ = ["from_arrays", "to_bytes"]
