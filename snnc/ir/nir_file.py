"""Float graphs as `.nir` files (HDF5) and the safe reading of such files.

A file holds the plain NIR graph, which any tool reads, and in its metadata, under `snnc`, what
NIR can't say: with it the very same graph comes back. Layout as of nir 1.0.8
(nir/serialization.py).
"""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from snnc.atomic import write_whole
from snnc.errors import GraphError, ModelFileError
from snnc.ir.files import to_tree
from snnc.ir.graph import Graph
from snnc.ir.nir_nodes import Plain, plain_nodes, unsaid
from snnc.ir.ops import Input, Sum
from snnc.ir.signals import Kind, Signal

KEY = "snnc"
"""Name of our entry in a metadata group; our arrays are `snnc_<field>`."""

DEFAULT_DT = 1e-4
"""Seconds per step where a graph doesn't say: what snnTorch and SpikingJelly assume for NIR."""

_COMPRESS_ABOVE = 256
_DEPTH_MAX = 32


def write_nir(graph: Graph, path: Path) -> tuple[str, ...]:
    """Writes a float graph (S1) to a `.nir` file, whole or not at all.

    The same graph gives the same bytes. Before the file takes its place, nir itself reads it with
    its type check on.

    Returns:
        What other tools won't see, because only snnc's metadata says it.

    Raises:
        GraphError: the graph is malformed, holds integers, or NIR has no node for a part of it.
        ModelFileError: the file can't be written.
    """
    plain, keys = plain_graph(graph.check())
    data = _hdf5({"version": nir.version, "node": _with_metadata(graph, plain, keys)})
    try:
        nir.read(io.BytesIO(data))
    except (ValueError, AssertionError, NotImplementedError, LookupError, TypeError) as error:
        raise GraphError(str(path), f"nir {nir.version} can't read this graph: {error}") from error
    write_whole(Path(path), data, ModelFileError)
    lost = [text for name, node in graph.nodes.items() for text in unsaid(name, node)]
    if graph.dt is None:
        lost.append(f"dt: the model doesn't say; time constants are for {DEFAULT_DT:g} s")
    return tuple(lost)


def plain_graph(graph: Graph) -> tuple[Plain, dict[str, str]]:
    """The graph in plain NIR, and the name in the file of each node that has one there: edges
    stand for a Sum wherever that takes no edge twice.

    Raises:
        GraphError: NIR has no node for a part of it.
    """
    dt = DEFAULT_DT if graph.dt is None else graph.dt
    graph = graph.joined(name for name, node in graph.nodes.items() if isinstance(node, Sum))
    keys = {name: _key(name) for name in graph.nodes}
    nodes: dict[str, Plain] = {}
    first: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    for name, node in graph.nodes.items():
        source = isinstance(node, Input)
        x = Signal(Kind.ANALOG, ()) if source else graph.input_signal(name)
        *before, last = plain_nodes(name, node, x, graph.signals[name], dt)
        chain = [*(f"{keys[name]}%{index}" for index in range(len(before))), keys[name]]
        nodes |= dict(zip(chain, [*before, last], strict=True))
        edges += itertools.pairwise(chain)
        first[name] = chain[0]
    edges += [(keys[a], first[b]) for a, b in graph.edges]
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}, keys


def _key(name: str) -> str:
    """A name that HDF5 takes, different for every node name; `%<digit>` stays free."""
    escaped = name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return {"": "%", ".": "%2E"}.get(escaped, escaped)


def _with_metadata(graph: Graph, plain: Plain, keys: dict[str, str]) -> Plain:
    tree, arrays = to_tree(graph)
    nodes = {key: dict(node) for key, node in plain["nodes"].items()}
    for name, key in keys.items():
        nodes[key]["metadata"] = {KEY: json.dumps(tree["nodes"][name])}
    for path, value in arrays.items():
        name, _, field = path.rpartition("/")
        node = nodes[keys[name]]
        if not _identical(node.get(field), value):
            node["metadata"][f"{KEY}_{field}"] = value
    header = {**tree, "nodes": {name: keys.get(name) for name in graph.nodes}}
    return {**plain, "nodes": nodes, "metadata": {KEY: json.dumps(header)}}


def _identical(stored: Any, value: Any) -> bool:
    if not isinstance(stored, np.ndarray):
        return False
    same = stored.dtype == value.dtype and stored.shape == value.shape
    return same and stored.tobytes() == value.tobytes()


def _hdf5(tree: Plain) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _store(file, tree)
    return buffer.getvalue()


def _store(group: Any, tree: Plain) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            _store(group.create_group(key), value)
        elif isinstance(value, str | list):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        else:
            packed = {"compression": "gzip"} if value.size > _COMPRESS_ABOVE else {}
            group.create_dataset(key, data=value, **packed)


def read_tree(path: Path) -> Plain:
    """A `.nir` file as nested dicts of strings, arrays, and for edges lists of pairs of strings.

    Metadata of other tools is left out. Nothing is followed that leads out of the file.

    Raises:
        ModelFileError: missing, truncated, no HDF5, or values that are no text and no numbers.
    """
    if not Path(path).is_file():
        raise ModelFileError(str(path), "no such file")
    try:
        with h5py.File(path, "r") as file:
            return _load(file, str(path), _DEPTH_MAX)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise ModelFileError(
            str(path), f"not a readable .nir file ({error})", "write it again with nir.write"
        ) from error


def _load(group: Any, where: str, depth: int) -> Plain:
    if depth == 0:
        raise ModelFileError(where, f"its groups are nested deeper than {_DEPTH_MAX} levels")
    tree: Plain = {}
    metadata = str(group.name).endswith("/metadata")
    for key in group:
        if metadata and key != KEY and not key.startswith(f"{KEY}_"):
            continue
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ModelFileError(where, f"{group.name}/{key} is a link, which is not followed")
        item = group[key]
        tree[key] = (
            _load(item, where, depth - 1) if isinstance(item, h5py.Group) else _value(item, where)
        )
    return tree


def _value(item: Any, where: str) -> Any:
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ModelFileError(where, f"{item.name} keeps its data in another file")
    if h5py.check_string_dtype(item.dtype) is not None:
        text = item.asstr()[()]
        return text.tolist() if isinstance(text, np.ndarray) else str(text)
    if item.dtype.kind not in "fiu" or item.shape is None:
        raise ModelFileError(where, f"{item.name} has the type {item.dtype}, no number or text")
    return np.asarray(item[...])


__all__ = ["DEFAULT_DT", "KEY", "plain_graph", "read_tree", "write_nir"]
