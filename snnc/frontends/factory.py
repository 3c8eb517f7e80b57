"""`package.module:factory`: users' own code, run because they point at it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from snnc.errors import ModelFileError, OptionError
from snnc.frontends.model import Model
from snnc.frontends.model_file import read_state
from snnc.frontends.trace import trace

if TYPE_CHECKING:
    from snnc.frontends.load import SourceOptions


def load_factory(spec: str, options: SourceOptions) -> Model:
    """Builds a module with the user's factory and traces it.

    Args:
        spec: `package.module:factory`; the current folder is searched first.
        options: `example` is required; `weights` is loaded with `weights_only=True`.

    Raises:
        OptionError: no example.
        ModelFileError: see `build_module`.
        TraceError: see `snnc.frontends.trace.trace`.
    """
    if options.example is None:
        raise OptionError(
            "--example", "a module is traced with an example, and there is none", "--example x.npy"
        )
    module = build_module(spec, options.weights)
    example = _tensors(options.example)
    return trace(module, example, steps=options.steps, time_axis=options.time_axis)


def build_module(spec: str, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """Imports and calls the factory, and loads a state dict into the module.

    Raises:
        OptionError: `spec` is not of the form `package.module:factory`.
        ModelFileError: the code can't be imported or fails, returns no module, or the weights
            don't fit it.
    """
    name, colon, attribute = spec.partition(":")
    if not (name and colon and attribute):
        raise OptionError(spec, "is not package.module:factory", "for example mynet.models:build")
    module = _called(spec, name, attribute)
    if weights is not None:
        _load_weights(module, read_state(weights), str(weights))
    return module


def _called(spec: str, name: str, attribute: str) -> nn.Module:
    with _current_folder_first():
        try:
            made = getattr(importlib.import_module(name), attribute)
            module = made if isinstance(made, nn.Module) else made()
        except Exception as error:
            raise ModelFileError(
                spec,
                f"fails with {type(error).__name__}: {error}",
                "it must be a function without arguments that returns the module",
            ) from error
    if not isinstance(module, nn.Module):
        raise ModelFileError(spec, f"returns a {type(module).__name__}, not a torch module")
    return module


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _load_weights(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelFileError(
            where, f"does not fit the module: {error}", "check the sizes"
        ) from error
    if missing or unexpected:
        raise ModelFileError(
            where,
            f"does not fit the module: missing {missing or 'nothing'},"
            f" unexpected {unexpected or 'nothing'}",
            "build the module that the weights were trained with",
        )


def _tensors(example: Mapping[str, Any] | Any) -> Tensor | tuple[Tensor, ...]:
    arrays = list(example.values()) if isinstance(example, Mapping) else [example]
    tensors = tuple(torch.from_numpy(np.array(array)) for array in arrays)
    return tensors[0] if len(tensors) == 1 else tensors
