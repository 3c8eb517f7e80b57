"""Where a tensor that no watched function made comes from: the program, or out of sight.

Scripted functions, threads, numpy and the like give tensors that depend on the inputs without a
function of torch being seen. Constants of the program look the same; they are told by who holds
them.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

DEPTH = 4
"""How deep objects in attributes of a module are searched."""


def held(module: nn.Module) -> dict[int, Tensor]:
    """All tensors that a module and its submodules hold, by id."""
    return {id(x): x for part in module.modules() for x in _within(vars(part), DEPTH)}


def _within(item: Any, depth: int) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        yield item
        return
    if isinstance(item, _PLAIN) or depth == 0:
        return
    if isinstance(item, Mapping):
        parts: Any = item.values()
    elif isinstance(item, list | tuple | set):
        parts = item
    elif isinstance(item, types.FunctionType | types.MethodType):
        cells = getattr(item, "__closure__", None) or ()
        parts = [c.cell_contents for c in cells if c != types.CellType()]
    else:
        parts = getattr(item, "__dict__", {}).values()
    for part in parts:
        yield from _within(part, depth - 1)


_PLAIN = (nn.Module, type, types.ModuleType, str, int, float, type(None))


def of_program(x: Tensor) -> bool:
    """Whether a running function reads a tensor from outside of itself: a global, a variable of
    the function around it, an attribute of a class."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        outside = [frame.f_locals.get(name) for name in frame.f_code.co_freevars]
        owner = type(frame.f_locals.get("self"))
        classes = [value for cls in owner.__mro__ for value in vars(cls).values()]
        if any(x is value for value in (*outside, *classes, *frame.f_globals.values())):
            return True
        frame = frame.f_back
    return False
