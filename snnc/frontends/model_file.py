"""Safe `.pt` model files: a graph, its tensors and an example; no code.

`export` traces in the user's own process and writes plain data and tensors. `load_model` reads them
with `weights_only=True`, which builds tensors, strings, numbers, lists and dicts and nothing else.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.atomic import write_whole
from snnc.errors import ModelFileError
from snnc.frontends.model import Example, Model, pack_spikes, unpack_spikes
from snnc.frontends.running import ExampleInput, InputKind
from snnc.frontends.trace import trace
from snnc.ir.files import from_tree, to_tree
from snnc.ir.nir_file import write_nir

FORMAT = "snnc-model"
VERSION = 1

TWO_WAYS = (
    'either write a model file in your own process: snnc.export(module, example_input, "model.pt")'
    "\n       or point at your own code: snnc compile package.module:factory --weights state.pt"
)

_UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError,
    AssertionError, OverflowError, zipfile.BadZipFile,
)  # fmt: skip
"""What torch raises on damaged files."""


def export(
    module: nn.Module,
    example_input: ExampleInput,
    path: str | os.PathLike[str],
    *,
    steps: int | None = None,
    time_axis: int | None = None,
    input_kind: InputKind = "analog",
) -> Model:
    """Traces a module and writes it as a model file that holds no code: `.pt`, or `.nir`.

    A `.nir` file is for other tools too; it has no room for the example, and what other tools will
    not see in it is warned about. snnc reads either back exactly.

    The graph is checked against the module's own spikes on the example first, so a wrong trace is
    never written. The file appears whole or not at all; the same model gives the same bytes.

    Args:
        module, example_input, steps, time_axis, input_kind: see `snnc.frontends.trace.trace`.
        path: file to write; the suffix `.nir` chooses that format.

    Raises:
        TraceError, InputError, GraphError: see `snnc.frontends.trace.trace`.
        ModelFileError: the file can't be written.
    """
    model = trace(module, example_input, steps=steps, time_axis=time_axis, input_kind=input_kind)
    if Path(path).suffix == ".nir":
        for unseen in write_nir(model.graph, Path(path)):
            warnings.warn(f"{path}: other tools won't see {unseen}", stacklevel=2)
    else:
        save_model(model, path)
    return model


def save_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes a model file atomically.

    Raises:
        ModelFileError: the file can't be written.
    """
    tree, arrays = to_tree(model.graph)
    example = model.example or Example()
    content = {
        "format": FORMAT,
        "version": VERSION,
        "tree": tree,
        "arrays": _tensors(arrays),
        "example": {
            "inputs": _tensors(example.inputs),
            "spikes": {k: _tensors(pack_spikes(v)) for k, v in example.spikes.items()},
            "outputs": _tensors(example.outputs),
        },
        "source": dict(model.source),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(Path(path), buffer.getbuffer(), ModelFileError)


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.array(value, order="C")) for key, value in arrays.items()}


def load_model(path: str | os.PathLike[str]) -> Model:
    """Reads a model file that `export` wrote. Nothing in it is executed.

    Raises:
        ModelFileError: missing, truncated, a pickled module, a state dict, or of another version.
        GraphError: the graph itself is malformed.
    """
    where = str(path)
    content = _content(Path(path), where)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _not_a_model(content, where)
    if content.get("version") != VERSION:
        raise ModelFileError(
            where,
            f"model file of version {content.get('version')}, this snnc reads {VERSION}",
            "export it again",
        )
    try:
        arrays = {str(key): value.numpy() for key, value in content["arrays"].items()}
        graph = from_tree(content["tree"], arrays, where)
        stored = content["example"]
        spikes = {str(k): unpack_spikes(_arrays(v)) for k, v in stored["spikes"].items()}
        example = Example(_arrays(stored["inputs"]), spikes, _arrays(stored["outputs"]))
        source = {str(key): str(value) for key, value in content["source"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelFileError(
            where, f"its content is damaged ({type(error).__name__}: {error})", "export it again"
        ) from error
    known = (set(graph.inputs), set(graph.neurons), set(graph.outputs))
    named = (set(example.inputs), set(example.spikes), set(example.outputs))
    if example.inputs and known != named:
        raise ModelFileError(where, "its example belongs to another graph", "export it again")
    return Model(graph, example if example.inputs else None, source)


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {str(key): value.numpy() for key, value in tensors.items()}


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Reads a state dict with `weights_only=True`.

    Raises:
        ModelFileError: missing, damaged, or something else than named tensors.
    """
    where = str(path)
    content = _content(Path(path), where)
    if not _is_state(content):
        raise ModelFileError(where, "is no state dict", "write torch.save(module.state_dict(), …)")
    return dict(content)


def _is_state(content: object) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def _not_a_model(content: object, where: str) -> ModelFileError:
    nested = content.values() if isinstance(content, dict) else ()
    if _is_state(content) or any(_is_state(item) for item in nested):
        return ModelFileError(
            where, "holds weights (a state dict) but not the structure of the network", TWO_WAYS
        )
    return ModelFileError(where, "holds no model of snnc", TWO_WAYS)


def _content(path: Path, where: str) -> Any:
    """What a torch file holds, with nothing but plain data and tensors allowed."""
    _check_container(path, where)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            where,
            "is a pickled module or another pickle; reading it would run code from it, which snnc"
            " never does",
            TWO_WAYS,
        ) from error
    except _UNREADABLE as error:
        raise ModelFileError(
            where, f"is damaged ({type(error).__name__})", "copy or export it again"
        ) from error


def _members(path: Path) -> list[str]:
    """Names in a zip container whose members all match their checksums."""
    with zipfile.ZipFile(path) as archive:
        spoilt = archive.testzip()
        if spoilt is not None:
            raise zipfile.BadZipFile(f"{spoilt} does not match its checksum")
        return archive.namelist()


def _check_container(path: Path, where: str) -> None:
    """Accepts torch's zip container only: everything else is older pickles or no torch file."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        names = _members(path) if start == b"PK\x03\x04" else None
    except FileNotFoundError as error:
        raise ModelFileError(where, "no such file", "check its name") from error
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise ModelFileError(
            where, f"can't be read, it may be cut short ({error})", "copy or export it again"
        ) from error
    if names is None and start[:1] == b"\x80":
        raise ModelFileError(where, "is a bare pickle, which could run code", TWO_WAYS)
    if names is None:
        raise ModelFileError(where, "is not a file of torch", TWO_WAYS)
    if any(name.endswith("/constants.pkl") for name in names):
        raise ModelFileError(where, "is a TorchScript archive, which holds code", TWO_WAYS)
