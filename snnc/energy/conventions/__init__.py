"""Counting conventions by name. Each is a pure function of counts, prices and settings."""

from __future__ import annotations

from snnc.energy.conventions.base import Convention, Figure, Item, Settings
from snnc.energy.conventions.effective import Effective
from snnc.energy.conventions.lemaire2022 import Lemaire2022
from snnc.energy.conventions.neurobench import Neurobench
from snnc.energy.conventions.spikformer import Spikformer
from snnc.energy.conventions.spikinghash_eq26 import SpikinghashEq26
from snnc.energy.conventions.syops import Syops
from snnc.energy.conventions.vtsnn_table3 import VtsnnTable3


def conventions() -> dict[str, Convention]:
    """All conventions, the default first."""
    every: tuple[Convention, ...] = (
        Effective(),
        SpikinghashEq26(),
        VtsnnTable3(),
        Spikformer(),
        Syops(),
        Neurobench(),
        Lemaire2022(),
    )
    return {convention.name: convention for convention in every}


__all__ = ["Convention", "Figure", "Item", "Settings", "conventions"]
