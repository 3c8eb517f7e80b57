"""Finds the installed targets."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from snnc.errors import OptionError
from snnc.targets.base import Engine, Target

GROUP = "snnc.targets"


@cache
def targets() -> dict[str, Target]:
    """Every registered target by name; the built-in ones come in by the same door.

    The simulator stands first: it is what the others are compared beside.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name != "sim", point.name))
    return {point.name: point.load()() for point in points}


def target(name: str) -> Target:
    """The target called `name`.

    Raises:
        OptionError: no such target is installed.
    """
    known = targets()
    if name not in known:
        raise OptionError("--target", f"no target {name!r}", f"one of {', '.join(known)}")
    return known[name]


def engines() -> dict[str, Engine]:
    """Every engine of every target, by stage name."""
    return {stage: run for item in targets().values() for stage, run in item.engines.items()}
