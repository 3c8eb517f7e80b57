"""Opens any source of models by its name: `.pt`, `.nir`, `.net`, or `package.module:factory`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from snnc.errors import ModelFileError, OptionError, ToolError
from snnc.frontends.model import Model
from snnc.frontends.nir import NirOptions, read_nir

_FACTORY = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


@dataclass(frozen=True)
class SourceOptions:
    """What a source may need besides its name.

    Attributes:
        nir: what a plain `.nir` file doesn't say.
        weights: state dict for a factory.
        example: input arrays for a factory, by name or one array.
        steps, time_axis: how a factory's module is stepped, see `snnc.export`.
    """

    nir: NirOptions
    weights: str | None = None
    example: Mapping[str, Any] | Any | None = None
    steps: int | None = None
    time_axis: int | None = None


def is_factory(source: str) -> bool:
    """Whether a source is `package.module:factory`, the user's own code, and no file."""
    return bool(_FACTORY.match(source)) and not Path(source).exists()


def need_torch(source: str) -> None:
    """Raises ToolError where a source needs torch and there is none."""
    if find_spec("torch") is None:
        raise ToolError(source, "needs torch, which is not installed", "pip install torch==2.13.0")


def _check_used(path: Path, options: SourceOptions) -> None:
    """No option is ignored: those of a factory and of plain NIR need such a source."""
    for label, value in (
        ("--weights", options.weights),
        ("--example", options.example),
        ("--time-axis", options.time_axis),
    ):
        if value is not None:
            raise OptionError(label, "goes with package.module:factory only", "leave it away")
    if path.suffix != ".nir":
        check_nir_options(options, f"a {path.suffix} file")


def check_nir_options(options: SourceOptions, what: str) -> None:
    """Raises OptionError where options of plain NIR are given for something else."""
    if options.nir != NirOptions():
        raise OptionError(
            "--dt, --reset, --reset-at, --order, --compare",
            f"say what a plain .nir file leaves open; {what} says it itself",
            "leave them away",
        )


def load_source(source: str, options: SourceOptions) -> Model:
    """Reads a model.

    Raises:
        ModelFileError: no such file, or a kind that is not known.
        ToolError: the source needs torch, and there is none.
        TraceError, GraphError: what the source's own frontend raises.
    """
    if is_factory(source):
        need_torch(source)
        from snnc.frontends.factory import load_factory

        return load_factory(source, options)
    path = Path(source)
    _check_used(path, options)
    if not path.is_file():
        raise ModelFileError(
            source, "no such file", "give a .pt, .nir or .net file, or package.module:factory"
        )
    match path.suffix:
        case ".pt" | ".pth":
            need_torch(source)
            from snnc.frontends.model_file import load_model

            return load_model(path)
        case ".nir":
            return Model(read_nir(path, options.nir), source={"nir": path.suffix})
        case ".net":
            from snnc.frontends.net import read_net

            return Model(read_net(path), source={"lava-dl": path.suffix})
        case suffix:
            raise ModelFileError(
                source,
                f"unknown kind of model file {suffix!r}",
                "give a .pt, .nir or .net file, or package.module:factory",
            )
