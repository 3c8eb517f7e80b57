"""snnc: trained PyTorch spiking networks on neuromorphic hardware, spike for spike.

snnc.export(module, example_input, "model.pt")      writes a safe model file
snnc.compile(module, example_input=x).verify(x)     the whole way from Python
snnc.load("artefact/")                              a compiled network from its folder
snnc.energy(module, data).table()                   what it does, counted and priced
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.api import Compiled, compile, load  # noqa: A004
    from snnc.energy.run import energy_of as energy
    from snnc.errors import SnncError
    from snnc.frontends.model_file import export

__version__ = "0.5.0"

__all__ = ["Compiled", "SnncError", "__version__", "compile", "energy", "export", "load"]

_HOMES = {
    "Compiled": "snnc.api",
    "SnncError": "snnc.errors",
    "compile": "snnc.api",
    "export": "snnc.frontends.model_file",
    "load": "snnc.api",
}


def __getattr__(name: str) -> Any:
    """Loads the public names when they are first used, so that `import snnc` stays light."""
    if name == "energy":
        return import_module("snnc.energy")
    if name not in _HOMES:
        raise AttributeError(f"module 'snnc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
