"""The spike camera: every pixel integrates light and fires at a threshold.

Sources: *SCI: Spike Coding for Intelligence*, equations 3 to 5; *SpikeCodec*, equations 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.errors import InputError, OptionError


@dataclass(frozen=True)
class SpikeCamera:
    """A pixel array of integrate-and-fire cells.

    At step t, with luminance I: v ← v + α·I; s = (v ≥ θ); where it fired, v ← 0 (hard reset) or
    v ← v − θ (soft reset). A cell fires once per step at most: with α·I > θ a soft-reset cell
    fires always and v grows.

    For a constant α·I ≤ θ the soft reset fires ⌊(v₀ + n·α·I)/θ⌋ times in n steps, the hard reset
    from v₀ = 0 once every ⌈θ/(α·I)⌉ steps.

    Attributes:
        gain: α, membrane per unit of luminance and step.
        threshold: θ, in the unit of the membrane.
        reset: "soft" keeps what exceeds θ, "hard" drops it.

    Raises:
        OptionError: a gain or threshold that isn't positive and finite, or an unknown reset.
    """

    gain: float = 1.0
    threshold: float = 1.0
    reset: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        for name, value in (("gain", self.gain), ("threshold", self.threshold)):
            if not (np.isfinite(value) and value > 0):
                raise OptionError(name, f"{value} isn't positive and finite", "give one that is")
        if self.reset not in ("soft", "hard"):
            raise OptionError("reset", f"{self.reset!r} is unknown", 'take "soft" or "hard"')

    def random_phase(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
        """Membranes drawn uniformly from [0, θ), as cells have that have been running.

        Args:
            shape: of the image.
        """
        return self.threshold * rng.random(shape)

    def record(
        self, luminance: ArrayLike, membrane: ArrayLike = 0.0
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The spikes of a scene, and the membranes that a next block of it starts from.

        Args:
            luminance: (step, …) ≥ 0; `encodings.direct(scene, steps)` for a scene at rest.
            membrane: v₀ ≥ 0 before the first step, a number or (…); see `random_phase`.

        Returns:
            spikes (step, …) and membranes (…).

        Raises:
            InputError: luminance or membranes negative, NaN or of shapes that don't fit.
        """
        light = _non_negative("luminance", luminance)
        if light.ndim == 0:
            raise InputError("luminance", "has no step axis", "give (step, …)")
        start = _non_negative("membrane", membrane)
        try:
            v = np.broadcast_to(start, light.shape[1:])
        except ValueError as cause:
            raise InputError(
                "membrane", f"{start.shape} doesn't fit pixels {light.shape[1:]}", "give one each"
            ) from cause
        spikes = np.empty(light.shape, np.uint8)
        for t, step in enumerate(light):
            v = v + self.gain * step
            fired = v >= self.threshold
            spikes[t] = fired
            v = np.where(fired, 0.0 if self.reset == "hard" else v - self.threshold, v)
        return spikes, v


def _non_negative(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise InputError(name, f"holds {array.dtype}, not numbers", "give real numbers")
    if not np.all(np.isfinite(array) & (array >= 0)):
        raise InputError(name, "has a negative or non-finite value", "give values of at least 0")
    return array.astype(np.float64)
