"""What a user is told when a program does not fit the cores of a chip."""

from __future__ import annotations

from collections.abc import Collection

from snnc.errors import RefusedError
from snnc.targets.cores.architecture import Architecture

NOUNS = {
    "compartments": "compartments",
    "words": "words of memory for synapses",
    "in_axons": "entries for input axons",
    "out_axons": "entries for output axons",
    "fan_in": "synapses",
    "delay_slots": "slots for delays",
}
REMEDIES = {
    "compartments": "take a chip whose cores hold more compartments",
    "words": "give its neurons fewer inputs (fewer channels, pooling before it), or its weights"
    " fewer bits",
    "in_axons": "give its neurons fewer inputs: a smaller kernel, fewer channels, groups, or"
    " pooling before it",
    "out_axons": "let it lead to fewer or smaller layers, so that these lie on fewer cores",
    "fan_in": "give its neurons fewer inputs: a smaller kernel, fewer channels, pooling before it",
    "delay_slots": "delay its inputs by less",
}
"""What helps where a limit of a core is met."""
LARGER = "take a larger chip, or add chips to mesh.chips of the chip's file"


def neuron(name: str, key: str, taken: int, chip: Architecture) -> RefusedError:
    """One neuron takes more of the limit core.`key` than there is."""
    limit = getattr(chip.core, key)
    return RefusedError(
        name,
        f"one of its neurons takes {taken:,} {NOUNS[key]} (core.{key}); a core of {chip.chip} has"
        f" {limit:,}",
        f"{REMEDIES[key]}; or take a chip with more",
    )


def layer(name: str, key: str, taken: int, needed: int, chip: Architecture) -> RefusedError:
    """A layer takes more of the limit core.`key` than all cores have, `needed` of them."""
    cores, limit = chip.mesh.cores, getattr(chip.core, key)
    return RefusedError(
        name,
        f"it takes {taken:,} {NOUNS[key]} (core.{key}), which fill {needed:,} cores of {limit:,};"
        f" {chip.chip} has {cores:,}",
        f"make the layer smaller; {REMEDIES[key]}; or {LARGER}",
    )


def split(name: str, size: int, keys: Collection[str], chip: Architecture) -> RefusedError:
    """No split of a layer over the chip's cores, or into its neurons, keeps the limits `keys`."""
    broken = [key for key in NOUNS if key in keys]
    return RefusedError(
        name,
        f"no split of its {size:,} neurons over the {chip.mesh.cores:,} cores of {chip.chip} keeps"
        f" {' and '.join(f'core.{key} ({getattr(chip.core, key):,})' for key in broken)}",
        f"make the layer smaller; {REMEDIES[broken[-1]]}; or {LARGER}",
    )


def network(most: str, share: int, cores: int, chip: Architecture) -> RefusedError:
    """All layers fill `cores` cores, more than there are; `share` of them the layer `most`."""
    return RefusedError(
        most,
        f"the network fills {cores:,} cores, {share:,} of them with this layer; {chip.chip} has"
        f" {chip.mesh.cores:,}",
        f"make layers smaller, give weights fewer bits; or {LARGER}",
    )


__all__ = ["NOUNS", "REMEDIES", "layer", "network", "neuron", "split"]
