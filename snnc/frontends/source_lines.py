"""Which line of the user's own source an error is about."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import FrameType


def is_library(filename: str) -> bool:
    """Whether a source file belongs to a framework or to the tracer."""
    modules = (sys.modules.get(n) for n in ("torch", "snntorch", "spikingjelly", __package__))
    files = (getattr(module, "__file__", None) for module in modules)
    return any(filename.startswith(str(Path(file).parent)) for file in files if file)


def user_line() -> str:
    """file:line of the innermost frame of the user's module, '' if it has no own code."""
    outermost = str(Path(__file__).with_name("trace.py"))
    current: FrameType | None = sys._getframe(1)
    while current is not None and current.f_code.co_filename != outermost:
        if not is_library(current.f_code.co_filename):
            return f"{current.f_code.co_filename}:{current.f_lineno}"
        current = current.f_back
    return ""


def line_of(error: BaseException) -> str:
    """file:line of the user's code that an error comes from, '' if it is all a framework's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not is_library(f.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""
