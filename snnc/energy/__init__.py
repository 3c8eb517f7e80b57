"""Energy by counting: what a network did on its inputs, priced by a named convention.

The package can be called: `snnc.energy(module, data).table()`; see `snnc.energy.run.energy_of`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.energy.report import Report


class _Callable(ModuleType):
    """Both the name of the package and the function that users look for."""

    def __call__(self, model: Any, data: Any, **options: Any) -> Report:
        from snnc.energy.run import energy_of

        return energy_of(model, data, **options)


sys.modules[__name__].__class__ = _Callable
