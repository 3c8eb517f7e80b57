"""The artefact: one folder with the graphs, the numbers, what was assumed, and checksums.

    manifest.json   schema, target, chip, encoding, steps, dt, quantisation, lag, limits with
                    sources, notes, and the SHA-256 of every other file
    float.npz       S1
    integer.npz     S2
    stem.npz        what the host computes before the cores, head.npz behind them, if anything
    example.npz     samples and the framework's own spikes for them (S0), if the model had any
    <target>/…      what the target wrote

The same model and options give the same bytes: no clock times, no paths.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnc.encoding import SCHEMES, Encoding
from snnc.errors import ArtefactError, SnncError
from snnc.frontends.model import Example, pack_spikes, unpack_spikes
from snnc.host import Host
from snnc.ir import Graph
from snnc.ir.files import npz_bytes, read_graph, read_npz, to_bytes

SCHEMA = 1
MANIFEST = "manifest.json"
LEFT_OUT = "the model's example is left out: "
"""Start of the note that says why an artefact has no example, though its model has one."""


@dataclass(frozen=True)
class Artefact:
    """A compiled network.

    Attributes:
        manifest: what `manifest.json` holds, without the checksums.
        float_graph: S1 behind the encoder; None where the source was integers already (.net).
        int_graph: S2.
        encoding: what turns samples into its inputs.
        example: samples with the framework's own spikes, if the model came with them.
        files: bytes by path of what the target wrote.
        host: the host's share of S2 and what runs it.
        origin: where it was read from, for errors.
    """

    manifest: Mapping[str, Any]
    float_graph: Graph | None
    int_graph: Graph
    encoding: Encoding
    example: Example | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    host: Host = field(default_factory=Host)
    origin: str = "artefact"

    @property
    def network(self) -> Graph:
        """The graph whose inputs and outputs a user knows, host parts included: S1, or S2 where
        there is none."""
        return self.float_graph or self.int_graph

    @property
    def why_no_example(self) -> str:
        """Why there is no example."""
        notes: Sequence[str] = self.manifest.get("notes", ())
        said = (note for note in notes if note.startswith(LEFT_OUT))
        return next(said, "the model came without an example")

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Writes the folder; it appears whole or not at all.

        Raises:
            ArtefactError: the folder exists and `force` is off, or it can't be written.
        """
        folder = Path(path)
        check_free(folder, force)
        try:
            _write_folder(folder, self._contents())
        except OSError as error:
            fix = "free some space" if error.errno == errno.ENOSPC else "choose another folder"
            raise ArtefactError(
                str(folder), f"can't be written ({error.strerror or error})", fix
            ) from error
        return folder

    def _contents(self) -> dict[str, bytes]:
        contents = {
            "integer.npz": to_bytes(self.int_graph),
            **{f"{self.manifest['target']}/{name}": data for name, data in self.files.items()},
        }
        graphs = {"float": self.float_graph, "stem": self.host.stem, "head": self.host.head}
        contents |= {
            f"{k}.npz": to_bytes(graph) for k, graph in graphs.items() if graph is not None
        }
        if self.example is not None:
            contents["example.npz"] = npz_bytes(_example_arrays(self.example))
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
        manifest = {"schema": SCHEMA, **self.manifest, "files": sums}
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        return {**contents, MANIFEST: text.encode()}


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        built = staging / "new"
        for name, data in contents.items():
            file = built / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        _swap(folder, built, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(folder: Path, built: Path, old: Path) -> None:
    """Puts `built` in the place of `folder`; whatever interrupts it, one of them stands there."""
    try:
        if folder.exists():
            os.rename(folder, old)
        os.rename(built, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise


def check_free(path: str | Path, force: bool) -> None:
    """Raises ArtefactError if an artefact can't take the place of what is there."""
    folder = Path(path)
    if not folder.name:
        raise ArtefactError(str(folder), "is no name for a folder", "give the artefact a name")
    if not folder.exists():
        return
    if not force:
        raise ArtefactError(str(folder), "exists already", "choose another folder or --force")
    if not (folder / MANIFEST).is_file():
        raise ArtefactError(
            str(folder), "is not an artefact of snnc, so it is not replaced", "choose another"
        )


def load(path: str | Path) -> Artefact:
    """Reads an artefact after checking its schema and checksums.

    Raises:
        ArtefactError: missing, incomplete, altered, or of another schema.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    sums = manifest.pop("files")
    contents = {name: _checked(folder, name, digest) for name, digest in sums.items()}
    try:
        example = None
        if "example.npz" in contents:
            example = _read_example(folder / "example.npz")
        prefix = f"{manifest['target']}/"
        float_graph, stem, head = (
            read_graph(folder / f"{name}.npz") if f"{name}.npz" in contents else None
            for name in ("float", "stem", "head")
        )
        int_graph, host = read_graph(folder / "integer.npz"), Host(stem, head)
        _check_belongs(manifest, float_graph, int_graph, host)
        return Artefact(
            manifest,
            float_graph,
            int_graph,
            _read_encoding(manifest["encoding"]),
            example,
            {n.removeprefix(prefix): d for n, d in contents.items() if n.startswith(prefix)},
            host,
            str(folder),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(
            str(folder), f"its manifest is incomplete or wrong ({error})", "compile again"
        ) from error
    except SnncError as error:
        raise ArtefactError(str(folder), str(error), "compile again") from error


def _read_encoding(stored: Mapping[str, Any]) -> Encoding:
    scheme, steps, seed = stored["scheme"], stored["steps"], stored["seed"]
    if scheme not in SCHEMES or type(seed) is not int or seed < 0:
        raise ValueError(f"encoding {dict(stored)}")
    if steps is not None and (type(steps) is not int or steps < 1):
        raise ValueError(f"encoding {dict(stored)}")
    return Encoding(scheme, steps, seed)


def _check_belongs(
    manifest: Mapping[str, Any], floats: Graph | None, integers: Graph, host: Host
) -> None:
    if set(manifest["layers"]) != set(integers.neurons):
        raise ValueError("its layers are not those of integer.npz")
    if floats is None:
        return
    behind = set() if host.head is None else set(host.head.outputs)
    crossing = set(manifest["host"]["units"]) if "host" in manifest else set()
    if set(manifest["outputs"]) != (set(integers.outputs) - crossing) | behind:
        raise ValueError("its outputs are not those of its graphs")
    parts = [graph for graph in (host.stem, integers, host.head) if graph is not None]
    neurons = {name for graph in parts for name in graph.neurons}
    if not set(floats.neurons) <= neurons:
        raise ValueError("float.npz and integer.npz are of different networks")
    made = set() if host.stem is None else set(host.stem.nodes)
    if set(floats.inputs) != (set(integers.inputs) - made) | (made & set(floats.inputs)):
        raise ValueError("float.npz and integer.npz are of different networks")


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.is_file():
        raise ArtefactError(str(folder), f"has no {MANIFEST}", "compile a model with -o first")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        schema, sums = manifest["schema"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(str(file), f"is not readable ({error})", "compile again") from error
    if schema != SCHEMA:
        raise ArtefactError(
            str(file), f"artefact schema {schema}, this snnc reads {SCHEMA}", "compile again"
        )
    if not isinstance(sums, dict) or "integer.npz" not in sums:
        raise ArtefactError(str(file), "lists no graph", "compile again")
    return dict(manifest)


def _checked(folder: Path, name: str, digest: str) -> bytes:
    file = folder / name
    if "\0" in name or not file.resolve().is_relative_to(folder.resolve()):
        raise ArtefactError(str(folder), f"names a file outside of it ({name})", "compile again")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ArtefactError(str(file), "is missing", "compile again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ArtefactError(
            str(file), "differs from its checksum: it was changed or cut short", "compile again"
        )
    return data


def _example_arrays(example: Example) -> dict[str, Any]:
    arrays: dict[str, Any] = {f"input/{k}": v for k, v in example.inputs.items()}
    for name, spikes in example.spikes.items():
        arrays |= {f"{part}/{name}": value for part, value in pack_spikes(spikes).items()}
    return {**arrays, **{f"output/{k}": v for k, v in example.outputs.items()}}


def _read_example(path: Path) -> Example:
    groups: dict[str, dict[str, Any]] = {"input": {}, "bits": {}, "shape": {}, "output": {}}
    for key, value in read_npz(path).items():
        group, _, name = key.partition("/")
        groups[group][name] = value
    spikes = {
        name: unpack_spikes({"bits": bits, "shape": groups["shape"][name]})
        for name, bits in groups["bits"].items()
    }
    return Example(groups["input"], spikes, groups["output"])
