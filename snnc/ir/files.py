"""Graphs as plain data: a JSON-able tree plus named arrays, and the same as one `.npz` file.

Nothing here can hold code: a tree has strings, numbers, lists and dicts, arrays have numeric
dtypes, and `.npz` files are read with pickling off. Writing the same graph gives the same bytes.
"""

from __future__ import annotations

import io
import json
import struct
import types
import typing
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np

from snnc.errors import ModelFileError
from snnc.ir.graph import Graph
from snnc.ir.ops import OPS, Node

SCHEMA = 1
_UNREADABLE = (
    OSError, ValueError, EOFError, AttributeError, LookupError, TypeError, OverflowError,
    RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and zipfile raise on altered bytes."""
_TREE = "graph.json"
_INT_MAX = 2**63 - 1

Tree = dict[str, Any]
Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def to_tree(graph: Graph) -> tuple[Tree, Arrays]:
    """The graph as (JSON-able tree, arrays by `node/field`)."""
    arrays: Arrays = {}
    nodes: dict[str, Tree] = {}
    for name, node in graph.nodes.items():
        entry: Tree = {"op": type(node).__name__}
        for item in fields(node):
            value = getattr(node, item.name)
            if isinstance(value, np.ndarray):
                arrays[f"{name}/{item.name}"] = value
            else:
                entry[item.name] = value.value if isinstance(value, Enum) else value
        nodes[name] = entry
    tree: Tree = {
        "schema": SCHEMA,
        "steps": graph.steps,
        "dt": graph.dt,
        "notes": list(graph.notes),
        "nodes": nodes,
        "edges": [list(edge) for edge in graph.edges],
    }
    return tree, arrays


def from_tree(tree: Tree, arrays: Mapping[str, Any], where: str) -> Graph:
    """Rebuilds and checks a graph; `where` names its file in errors.

    Raises:
        ModelFileError: an unknown schema, node type or field, or a value of the wrong type.
        GraphError: the graph itself is malformed.
    """
    try:
        if tree["schema"] != SCHEMA:
            raise ModelFileError(
                where, f"graph schema {tree['schema']}, this snnc reads {SCHEMA}", "export again"
            )
        nodes = {
            str(name): _node(str(name), entry, arrays, where)
            for name, entry in tree["nodes"].items()
        }
        edges = tuple((str(a), str(b)) for a, b in tree["edges"])
        steps, dt = tree["steps"], tree["dt"]
        graph = Graph(
            nodes,
            edges,
            None if steps is None else _plain(int, steps, f"{where}: steps"),
            None if dt is None else _plain(float, dt, f"{where}: dt"),
            tuple(str(note) for note in tree["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            where, f"not a graph of snnc ({type(error).__name__}: {error})", "export it again"
        ) from error
    return graph.check()


def _node(name: str, entry: Tree, arrays: Mapping[str, Any], where: str) -> Node:
    cls = OPS.get(entry["op"])
    if cls is None:
        raise ModelFileError(where, f"node {name} has the unknown type {entry['op']!r}")
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for item in fields(cls):
        key = f"{name}/{item.name}"
        if key in arrays and "ndarray" in str(hints[item.name]):
            values[item.name] = _array(key, arrays[key], where)
        elif item.name in entry:
            values[item.name] = _plain(hints[item.name], entry[item.name], f"{where}: {key}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ModelFileError(where, f"node {name} lacks its field {item.name}")
    unknown = set(entry) - {"op"} - {item.name for item in fields(cls)}
    if unknown:
        raise ModelFileError(where, f"node {name} has unknown fields {sorted(unknown)}")
    return cls(**values)


def _array(key: str, value: Any, where: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ModelFileError(where, f"{key} has dtype {array.dtype}, not a number")
    return array


def _plain(hint: Any, value: Any, where: str) -> Any:
    """`value` as the field type `hint`: an int, float, bool, literal, enum, tuple or None."""
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        raise ModelFileError(where, f"{value!r} where an array should be")
    if origin is Literal:
        if value not in get_args(hint):
            raise ModelFileError(where, f"{value!r} is none of {get_args(hint)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ModelFileError(where, f"{value!r} is not a list of integers")
        return tuple(_plain(int, item, where) for item in value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> int | float | bool:
    if type(value) is int and abs(value) > _INT_MAX:
        raise ModelFileError(where, "holds an integer of more than 64 bits")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool) and type(value) is hint:
        return hint(value)
    raise ModelFileError(where, f"{value!r} is not a {getattr(hint, '__name__', hint)}")


def to_bytes(graph: Graph) -> bytes:
    """The graph as the bytes of an `.npz` file; equal graphs give equal bytes."""
    tree, arrays = to_tree(graph)
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    return npz_bytes({_TREE: np.frombuffer(text.encode(), np.uint8), **arrays})


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as the bytes of a compressed `.npz`, free of clock times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, value in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.save(member, np.asarray(value, order="C"), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path) -> Arrays:
    """All arrays of an `.npz` file.

    Raises:
        ModelFileError: missing, truncated, or holding pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise ModelFileError(str(path), "no such file") from error
    except _UNREADABLE as error:
        raise ModelFileError(
            str(path), f"not a readable .npz file ({error})", "write it again with numpy.savez"
        ) from error


def read_graph(path: Path) -> Graph:
    """Reads what `to_bytes` wrote.

    Raises:
        ModelFileError, GraphError: see `read_npz` and `from_tree`.
    """
    arrays = read_npz(path)
    if _TREE not in arrays:
        raise ModelFileError(str(path), "holds arrays but no graph")
    try:
        tree = json.loads(arrays.pop(_TREE).tobytes().decode())
    except ValueError as error:
        raise ModelFileError(str(path), f"its graph is not readable ({error})") from error
    if not isinstance(tree, dict):
        raise ModelFileError(str(path), "its graph is not readable")
    return from_tree(tree, arrays, str(path))


__all__ = ["from_tree", "npz_bytes", "read_graph", "read_npz", "to_bytes", "to_tree"]
