"""A small layout made by hand: two chips of 3 × 2 tiles with two slots each, and three layers, one
of them split."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Architecture, Mesh, read_architecture
from snnc.targets.cores.axons import build_axons
from snnc.targets.cores.checks.validate import Usage
from snnc.targets.cores.layout import Layout
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import Conv, Dense, Lif, Program, Source, Split

USED = {
    "compartments": (8, 8, 2, 2, 1),
    "neurons": (8, 8, 2, 2, 1),
    "populations": (1, 1, 1, 2, 1),
    "words": (9, 9, 16, 20, 16),
    "synapses": (50, 50, 32, 20, 16),
    "in_axons": (12, 12, 16, 20, 16),
    "out_axons": (24, 24, 2, 1, 1),
    "fan_in": (9, 9, 16, 16, 16),
    "delay_slots": (16, 16, 4, 4, 2),
}
"""Counted by hand: a kernel has 3 × 3 kinds of positions, all other lists take a word each."""


def neurons(*shape: int) -> Lif:
    """A population whose settings don't matter."""
    return Lif(shape, 0, 0, 0, 1, np.zeros(shape, np.int64), 0)


def small_program() -> Program:
    """in (1, 4, 4) → conv (1, 4, 4) → b (4), held by b.0 and b.1 → out (1)."""
    one = np.ones
    return Program(
        {
            "in": Source((1, 4, 4), 0, 0, False),
            "conv": neurons(1, 4, 4),
            "b.0": neurons(2),
            "b.1": neurons(2),
            "out": neurons(1),
        },
        (
            Conv("in", "conv", 0, 0, 0, 0, one((1, 1, 3, 3), np.int64), (1, 4, 4), (1, 1), (1, 1),
                 (1, 1), 1),
            Dense("conv", "b.0", 0, 0, 0, 0, one((2, 16), np.int64)),
            Dense("conv", "b.1", 0, 0, 0, 0, one((2, 16), np.int64)),
            Dense("b.0", "out", 0, 0, 0, 0, one((1, 2), np.int64)),
            Dense("b.1", "out", 0, 0, 0, 0, one((1, 2), np.int64)),
        ),
        splits={"b": Split((4,), {"b.0": np.asarray([0, 2]), "b.1": np.asarray([1, 3])})},
    )  # fmt: skip


def small_chip() -> Architecture:
    """The array's chip, but for its mesh and some limits."""
    chip = read_architecture(CHIPS / "array.toml")
    core = replace(
        chip.core,
        compartments=10,
        populations=4,
        words=80,
        in_axons=32,
        out_axons=24,
        delay_slots=0,
    )
    return replace(chip, chip="small", core=core, mesh=Mesh(3, 2, 2, (2, 1), (0, 0)))


def small_mapping() -> Mapping:
    """Five cores: the convolution's two halves at tile 0, 0; b on the first chip and, with the
    output, on the second one."""
    return Mapping(
        "small",
        (
            Core((0, 0), 0, (Slice("conv", (0, 0, 0), (1, 2, 4)),)),
            Core((0, 0), 1, (Slice("conv", (0, 2, 0), (1, 4, 4)),)),
            Core((2, 1), 1, (Slice("b.0", (0,), (2,)),)),
            Core((4, 0), 0, (Slice("b.1", (0,), (1,)), Slice("out", (0,), (1,)))),
            Core((1, 1), 0, (Slice("b.1", (1,), (2,)),)),
        ),
    )


def small_layout() -> Layout:
    """All of it together."""
    return layout(small_mapping(), small_chip())


def layout(mapping: Mapping, chip: Architecture) -> Layout:
    """The small program laid out in another way, on five cores as well."""
    program = small_program()
    usage = Usage(*(np.asarray(USED[item.name]) for item in fields(Usage)))
    return Layout(program, chip, "", mapping, build_axons(program, mapping, chip), usage)
