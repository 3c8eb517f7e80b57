"""Images that networks give as spikes, and how good a denoised image is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.circuits.dac import MAX_BITS
from snnc.circuits.encodings import mpd, ttfs_decode, uwd
from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Output, Rate
from snnc.ir import Kind as SignalKind
from snnc.reference import Trace
from snnc.samples import CLEAN

PEAK = 255

Decoding = Literal["uwd", "mpd", "ttfs"]
DECODINGS: tuple[Decoding, ...] = get_args(Decoding)
"""Decoders of `snnc.circuits.encodings`, the most significant bit first."""


def psnr(images: ArrayLike, clean: ArrayLike) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of every image, dB: −10·log₁₀ of the mean squared error over 255².

    Averages over a data set are means of these, not the ratio of the mean error, which is some
    0.3 dB lower.

    Args:
        images, clean: (N, …), codes or reals on the scale 0…255.

    Returns:
        (N,); infinite where an image is equal to the clean one.
    """
    error = (np.asarray(images, np.float64) - np.asarray(clean, np.float64)) / PEAK
    with np.errstate(divide="ignore"):
        return -10 * np.log10(np.mean(error.reshape(len(error), -1) ** 2, axis=1))


@dataclass(frozen=True)
class Decoder:
    """Reads the spikes of an output as images.

    Attributes:
        decoding: one of `DECODINGS`.
        steps: T, spike planes per image.

    Raises:
        OptionError: no such decoding, or more than 16 planes where each is worth a bit.
    """

    decoding: str
    steps: int

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise OptionError(
                "--decode", f"no decoding {self.decoding!r}", f"one of {', '.join(DECODINGS)}"
            )
        if self.decoding != "ttfs" and self.steps > MAX_BITS:
            raise OptionError(
                "--decode",
                f"{self.steps} steps give images of {self.steps} bits, above {MAX_BITS}",
                f"run the network for {MAX_BITS} steps at most, or take ttfs",
            )

    @property
    def peak(self) -> int:
        """The value of white: 2^T − 1, or 255 for `ttfs`, whose T is no number of bits."""
        return PEAK if self.decoding == "ttfs" else 2**self.steps - 1

    def images(self, planes: ArrayLike, name: str = "planes") -> NDArray[Any]:
        """Images of an output, on the scale 0…peak.

        Args:
            planes: (sample, step, …) spikes, 0 or 1.
            name: of the output, for errors.

        Returns:
            (sample, …): uint8, or uint16 above 8 bits, for `uwd`; float64 for the others.

        Raises:
            InputError: another T, other values than 0 and 1, or a pixel that spikes twice (`ttfs`).
        """
        spikes = np.asarray(planes)
        if spikes.ndim < 2 or spikes.shape[1] != self.steps:
            raise InputError(name, f"has shape {spikes.shape}", f"give (sample, {self.steps}, …)")
        steps_first = spikes.swapaxes(0, 1)
        try:
            if self.decoding == "uwd":
                return uwd(steps_first).astype(np.uint8 if self.steps <= 8 else np.uint16)
            if self.decoding == "mpd":
                return self.peak * mpd(steps_first)
            return ttfs_decode(steps_first)
        except InputError as error:
            raise InputError(name, f"its spike planes {error.cause}", error.fix) from error

    def decoded(self, trace: Trace) -> Trace:
        """The trace with every output as images.

        Raises:
            InputError: as `images`.
        """
        images = {name: self.images(planes, name) for name, planes in trace.outputs.items()}
        return replace(trace, outputs=images)

    def psnr(self, images: ArrayLike, clean: ArrayLike) -> NDArray[np.float64]:
        """As `snnc.quality.psnr`, (N,) in dB, for images on the scale 0…peak."""
        scale = PEAK / self.peak
        return psnr(scale * np.asarray(images, np.float64), scale * np.asarray(clean, np.float64))


def check_decodable(graph: Graph, outputs: Sequence[str]) -> None:
    """Checks that outputs give a spike plane at every step.

    Raises:
        OptionError: one of them does not.
    """
    for name in outputs:
        node, signal = graph.nodes[name], graph.signals[name]
        assert isinstance(node, Output)
        if node.reduce != "none" or signal.rate is not Rate.STEP:
            found = "one array per sample"
        elif signal.kind is not SignalKind.SPIKE:
            found = f"{signal.kind.value} values"
        else:
            continue
        raise OptionError(
            "--decode",
            f"output {name} gives {found}, and images are decoded from spikes at every step",
            "leave it out, or let the network end in neurons whose spikes are its output",
        )


def check_clean(clean: Any, shape: tuple[int, ...], decoder: Decoder | None) -> NDArray[Any]:
    """Clean images for what an output is compared with.

    Args:
        shape: (sample, …) of the decoded images.
        decoder: of the output; None where none was chosen.

    Raises:
        OptionError: nothing says how the output is decoded.
        InputError: other shapes, no numbers, NaN, values outside 0…peak, or from 0 to 1 on a
            larger scale.
    """
    if decoder is None:
        raise OptionError(
            "--decode",
            "there are clean images, and nothing says how the output becomes an image",
            f"give --decode ({', '.join(DECODINGS)}), or leave `clean` away",
        )
    array = np.asarray(clean)
    if array.dtype.kind not in "fiub":
        raise InputError(CLEAN, f"has dtype {array.dtype}", "give numbers")
    if array.dtype.kind == "b" and decoder.peak > 1:
        raise InputError(
            CLEAN, "holds truth values", f"store integers: multiply by {decoder.peak}, white"
        )
    if array.shape != shape:
        expected = ", ".join(map(str, shape))
        raise InputError(
            CLEAN, f"has shape {array.shape}", f"give images as the output has them, ({expected})"
        )
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(CLEAN, "holds NaN or infinite values")
    if low < 0 or high > decoder.peak:
        raise InputError(
            CLEAN,
            f"has values {low:g}…{high:g}",
            f"{decoder.decoding} of {decoder.steps} steps gives images on the scale"
            f" 0…{decoder.peak}, put the clean ones on it",
        )
    if high <= 1 < decoder.peak and np.any((array > 0) & (array < 1)):
        raise InputError(
            CLEAN, "has values from 0 to 1", f"multiply by {decoder.peak}, which is white"
        )
    return array


@dataclass(frozen=True)
class MeanPsnr:
    """The mean PSNR of a set of images.

    Attributes:
        mean: dB; infinite as soon as one image is equal to the clean one.
        standard_error: of the mean, dB; None for one image or an infinite mean.
        images: number of images.
        identical: how many of them are equal to the clean ones.
    """

    mean: float
    standard_error: float | None
    images: int
    identical: int

    @classmethod
    def of(cls, values: ArrayLike) -> MeanPsnr:
        """From the PSNR of every image, (N,) with N ≥ 1."""
        each = np.asarray(values, np.float64)
        count, identical = len(each), int(np.count_nonzero(np.isinf(each)))
        if identical:
            return cls(math.inf, None, count, identical)
        error = float(each.std(ddof=1)) / math.sqrt(count) if count > 1 else None
        return cls(float(each.mean()), error, count, 0)

    @property
    def figure(self) -> str:
        """The mean in dB, short enough for a table."""
        if self.identical:
            return f"∞ ({self.identical:,} equal)"
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2f}"
        return f"{self.mean:.2f}{error}"

    def __str__(self) -> str:
        count = f"{self.images:,} image{'s' * (self.images != 1)}"
        if self.identical:
            return f"PSNR infinite ({self.identical:,} of {count} equal to the clean ones)"
        error = "" if self.standard_error is None else f"± {self.standard_error:.2f} of the mean, "
        return f"PSNR {self.mean:.2f} dB ({error}{count})"

    def to_dict(self) -> dict[str, float | int | None]:
        """As plain data; JSON has no infinity, so an infinite mean is None."""
        return {
            "mean": None if self.identical else self.mean,
            "standard_error": self.standard_error,
            "identical": self.identical,
        }
