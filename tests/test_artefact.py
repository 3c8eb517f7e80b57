"""The artefact folder: whole or not at all, the same bytes for one input, checked when read."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnc.artefact import MANIFEST, Artefact, load
from snnc.compiler import Options, compile_model
from snnc.errors import ArtefactError
from snnc.frontends.model import Model
from snnc.ir.files import to_bytes
from tests.conftest import make_model


@pytest.fixture(scope="module")
def artefact(model: Model) -> Artefact:
    return compile_model(model, Options())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_reads_back_what_was_written(artefact: Artefact, tmp_path: Path) -> None:
    back = load(artefact.save(tmp_path / "a"))
    assert to_bytes(back.int_graph) == to_bytes(artefact.int_graph)
    assert back.float_graph is not None
    assert artefact.float_graph is not None
    assert to_bytes(back.float_graph) == to_bytes(artefact.float_graph)
    assert back.encoding == artefact.encoding
    assert back.files == artefact.files
    assert back.example is not None
    assert artefact.example is not None
    for name, spikes in artefact.example.spikes.items():
        np.testing.assert_array_equal(back.example.spikes[name], spikes)


def test_two_compiles_are_byte_identical(model: Model, tmp_path: Path) -> None:
    folders = [compile_model(model, Options()).save(tmp_path / name) for name in ("a", "b")]
    first, second = map(contents, folders)
    assert first == second
    assert not any(str(tmp_path).encode() in data for data in first.values())


def test_manifest_says_what_was_chosen(artefact: Artefact, tmp_path: Path) -> None:
    manifest = json.loads((artefact.save(tmp_path / "a") / MANIFEST).read_text())
    assert manifest["target"] == "loihi"
    assert manifest["chip"] == "loihi2"
    assert manifest["steps"] == 10
    assert manifest["encoding"]["scheme"] == "direct"
    assert manifest["layers"]["lif1"]["quantisation"]["weight_bits"] <= 8
    assert manifest["lag"]["lif2"] > manifest["lag"]["lif1"] > 0
    assert all(manifest["limits"]["sources"].values())


def test_existing_folder_is_left_alone(artefact: Artefact, tmp_path: Path) -> None:
    folder = artefact.save(tmp_path / "a")
    before = contents(folder)
    with pytest.raises(ArtefactError, match="exists already"):
        artefact.save(folder)
    assert contents(folder) == before
    artefact.save(folder, force=True)
    assert contents(folder) == before


def test_force_never_replaces_a_folder_that_is_not_an_artefact(
    artefact: Artefact, tmp_path: Path
) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("…")
    with pytest.raises(ArtefactError, match="not an artefact"):
        artefact.save(precious, force=True)
    assert (precious / "chapter1.tex").exists()


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_full_disk_or_interrupt_leaves_everything_as_it_was(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    folder = artefact.save(tmp_path / "a")
    before = contents(tmp_path)
    written: list[Path] = []
    original = Path.write_bytes

    def fail_later(self: Path, data: bytes) -> int:
        written.append(self)
        if len(written) == 3:
            raise failure
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail_later)
    expected = ArtefactError if isinstance(failure, OSError) else KeyboardInterrupt
    for target in (folder, tmp_path / "new"):
        written.clear()
        with pytest.raises(expected):
            artefact.save(target, force=True)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def damage_missing(folder: Path) -> None:
    (folder / "integer.npz").unlink()


def damage_cut(folder: Path) -> None:
    file = folder / "integer.npz"
    file.write_bytes(file.read_bytes()[:100])


def damage_bit(folder: Path) -> None:
    file = folder / "float.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def damage_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def damage_schema(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema": 99}))


def damage_outside(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../../etc/passwd"] = "0"
    (folder / MANIFEST).write_text(json.dumps(manifest))


def damage_keys(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["encoding"]
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (damage_missing, "is missing"),
        (damage_cut, "checksum"),
        (damage_bit, "checksum"),
        (damage_manifest, "not readable"),
        (damage_schema, "schema 99"),
        (damage_outside, "outside"),
        (damage_keys, "incomplete"),
    ],
)
def test_damage_is_found(artefact: Artefact, tmp_path: Path, damage, match: str) -> None:  # type: ignore[no-untyped-def]
    folder = artefact.save(tmp_path / "a")
    damage(folder)
    with pytest.raises(ArtefactError, match=match):
        load(folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="compile a model"):
        load(tmp_path / "none")


def test_interrupt_between_the_renames_keeps_the_old_artefact(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = artefact.save(tmp_path / "a")
    before = contents(tmp_path)
    original = os.rename
    calls: list[object] = []

    def interrupted(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr("snnc.artefact.os.rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artefact.save(folder, force=True)
    assert contents(tmp_path) == before


def test_graphs_of_different_networks_are_refused(artefact: Artefact, tmp_path: Path) -> None:
    other = compile_model(make_model(5, "soft"), Options())
    mixed = replace(
        artefact, manifest={**artefact.manifest, "layers": {}}, int_graph=other.int_graph
    )
    with pytest.raises(ArtefactError, match="layers are not those"):
        load(mixed.save(tmp_path / "a"))
