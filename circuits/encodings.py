"""Ideal encodings of images as spikes, and their decodings.

Images have any shape (…) and hold codes 0…2^N−1; spike planes are (step, …) uint8 of 0 and 1, in
the order in which they are sent, so plane 0 is the first one (`SarAdc.planes` puts the step axis
after the instances). Nothing here loops over pixels.

Sources: Qiu et al., *VTSNN*, Front. Neurosci. 17:1091097 (2023): Algorithm 1 (UWE), equation 7
(TTFS), equation 8 (UWD), section 2.4.1 (MPD, after Kamata et al. 2022).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.circuits.dac import MAX_BITS, check_bits
from snnc.errors import InputError, OptionError

Order = Literal["msb", "lsb"]
Planes = NDArray[np.uint8]
Codes = NDArray[np.int64]
Reals = NDArray[np.float64]

MPD_DECAY = 0.8


def uwe(image: ArrayLike, bits: int = 8, order: Order = "msb") -> Planes:
    """Undistorted weighted encoding: the bits of every pixel, one plane per step.

    Algorithm 1 takes r_t = ⌊a_t / 2^t⌋ and a_{t−1} = a_t mod 2^t for t = N−1…0, which is bit t of
    the pixel; `order="lsb"` sends the same planes the other way round.

    Args:
        image: (…) integers 0…2^bits−1.

    Returns:
        (bits, …) spikes.

    Raises:
        InputError: the image isn't of integers, or a pixel is outside the range.
        OptionError: bits outside 1 to 16, or an unknown order.
    """
    codes = check_image(image, bits)
    return ((codes >> _shifts(bits, order, codes.ndim)) & 1).astype(np.uint8)


def uwd(planes: ArrayLike, order: Order = "msb") -> Codes:
    """Undistorted weighted decoding: Σ_t 2^t·s_t (equation 8), the inverse of `uwe`.

    Args:
        planes: (bits, …) spikes.

    Returns:
        (…) integers 0…2^bits−1.

    Raises:
        InputError: the planes hold anything but 0 and 1, or aren't 1…16 of them.
        OptionError: an unknown order.
    """
    spikes = check_planes(planes)
    if len(spikes) > MAX_BITS:
        raise InputError("planes", f"are {len(spikes)}, above {MAX_BITS} bits", "decode them apart")
    weights = 1 << _shifts(len(spikes), order, 0)
    return np.tensordot(weights, spikes.astype(np.int64), axes=1)


def ttfs(image: ArrayLike, steps: int = 8, bits: int = 8, peak: ArrayLike | None = None) -> Planes:
    """Time to first spike: one spike, the earlier the brighter the pixel.

    Equation 7 puts it at step t = T·(max − x)/max. Few pixels make t whole, so the spike comes at
    ⌊t⌋; black (t = T) never spikes. T steps leave T levels and "never": `ttfs_decode` is off by
    less than max/T, and exact only where t was whole.

    Args:
        image: (…) integers 0…2^bits−1.
        peak: max(x), an integer or an array of them that broadcasts with the image (one per
            image, say); left out, 2^bits−1.

    Returns:
        (steps, …) spikes.

    Raises:
        InputError: as `uwe`; or a pixel above `peak`, or a peak below 1.
        OptionError: bits outside 1 to 16, or no steps.
    """
    codes, count = check_image(image, bits), _check_steps(steps)
    top = _check_peak(bits, peak)
    if np.any(codes > top):
        raise InputError("peak", "is below the brightest pixel", "give the image's own maximum")
    first = (top - codes) * count // top
    return (first == _steps(count, codes.ndim)).astype(np.uint8)


def ttfs_decode(planes: ArrayLike, bits: int = 8, peak: ArrayLike | None = None) -> Reals:
    """The pixel that equation 7 solved for x gives: max·(1 − t/T), black where no spike came.

    It is never below the encoded pixel x, and x > result − max/T.

    Args:
        planes: (steps, …) spikes, at most one per pixel.
        peak: as in `ttfs`.

    Returns:
        (…) real values 0…peak.

    Raises:
        InputError: anything but 0 and 1, a pixel with several spikes, or a peak below 1.
        OptionError: bits outside 1 to 16.
    """
    spikes = check_planes(planes)
    if np.any(spikes.sum(axis=0, dtype=np.int64) > 1):
        raise InputError(
            "planes",
            "hold a pixel that spikes more than once",
            "decode them as rate or UWD (--decode uwd)",
        )
    left = len(spikes) - np.arange(len(spikes))
    fraction = np.tensordot(left, spikes.astype(np.int64), axes=1) / len(spikes)
    return _check_peak(bits, peak) * fraction


def mpd(planes: ArrayLike) -> Reals:
    """Membrane potential decoding: tanh(Σ_t 0.8^{T−1−t}·s_t) (section 2.4.1).

    The sum is the potential of a leaky neuron without threshold after the last step. Different
    spike trains decode to different values, but to no pixel values: it isn't the inverse of an
    encoding, a network has to be trained for it.

    Args:
        planes: (step, …) spikes, first to last.

    Returns:
        (…) values in [0, 1).

    Raises:
        InputError: the planes hold anything but 0 and 1.
    """
    spikes = check_planes(planes)
    weights = MPD_DECAY ** np.arange(len(spikes) - 1, -1, -1, dtype=np.float64)
    return np.tanh(np.tensordot(weights, spikes.astype(np.float64), axes=1))


def rate(image: ArrayLike, steps: int, rng: np.random.Generator, bits: int = 8) -> Planes:
    """Rate coding: an independent spike at every step with probability x/(2^bits−1).

    Args:
        image: (…) integers 0…2^bits−1.
        rng: where the spikes are drawn from; the same seed gives the same spikes.

    Returns:
        (steps, …) spikes.

    Raises:
        InputError: as `uwe`.
        OptionError: bits outside 1 to 16, or no steps.
    """
    codes, count = check_image(image, bits), _check_steps(steps)
    draws = rng.integers(0, 2**bits - 1, size=(count, *codes.shape))
    return (draws < codes).astype(np.uint8)


def rate_decode(planes: ArrayLike, bits: int = 8) -> Reals:
    """(2^bits−1) times the mean over the steps: unbiased for `rate`.

    Its standard deviation is √(x·(2^bits−1−x)/T), the binomial's.

    Args:
        planes: (step, …) spikes.

    Returns:
        (…) real values 0…2^bits−1.

    Raises:
        InputError: the planes hold anything but 0 and 1.
        OptionError: bits outside 1 to 16.
    """
    check_bits(bits)
    return (2**bits - 1) * check_planes(planes).mean(axis=0, dtype=np.float64)


def direct(image: ArrayLike, steps: int) -> NDArray[np.generic]:
    """Direct coding: the pixel itself at every step, as a graded input to the first layer.

    Args:
        image: (…) finite numbers.

    Returns:
        (steps, …), of the image's own dtype; a read-only view that takes no memory. Every step
        alone decodes it.

    Raises:
        InputError: the image isn't of finite numbers.
        OptionError: no steps.
    """
    values = np.asarray(image)
    if values.dtype.kind not in "buif" or not np.all(np.isfinite(values)):
        raise InputError("image", "isn't of finite numbers", "replace NaN and infinity first")
    return np.broadcast_to(values, (_check_steps(steps), *values.shape))


def check_image(image: ArrayLike, bits: int) -> Codes:
    """The codes (…) of an image of that depth.

    Raises:
        InputError: it isn't of integers, or a value is outside 0…2^bits−1.
        OptionError: bits outside 1 to 16.
    """
    check_bits(bits)
    codes = np.asarray(image)
    if codes.dtype.kind not in "bui":
        raise InputError(
            "image",
            f"holds {codes.dtype}, not integers",
            f"scale it to 0…{2**bits - 1}, round it and convert it to integers",
        )
    if codes.size and (codes.min() < 0 or codes.max() >= 2**bits):
        raise InputError(
            "image",
            f"has values {codes.min()}…{codes.max()}, and {bits} bits hold 0…{2**bits - 1}",
            "give the image's own depth as bits, or rescale it",
        )
    return codes.astype(np.int64)


def check_planes(planes: ArrayLike) -> Planes:
    """Spike planes (step, …) as uint8.

    Raises:
        InputError: no step, or anything but 0 and 1.
    """
    spikes = np.asarray(planes)
    if spikes.ndim == 0 or len(spikes) == 0:
        raise InputError("planes", f"have shape {spikes.shape}", "give (step, …), first to last")
    if spikes.dtype.kind not in "buif" or not np.all((spikes == 0) | (spikes == 1)):
        raise InputError("planes", "hold other values than 0 and 1", "give spikes")
    return spikes.astype(np.uint8)


def _shifts(bits: int, order: Order, ndim: int) -> Codes:
    """Weights' exponents in the order of sending, (bits, 1, …) for an image of ndim axes."""
    if order not in ("msb", "lsb"):
        raise OptionError("order", f"{order!r} is unknown", 'take "msb" or "lsb"')
    shifts = _steps(bits, ndim)
    return shifts[::-1] if order == "msb" else shifts


def _steps(steps: int, ndim: int) -> Codes:
    return np.arange(steps, dtype=np.int64).reshape(-1, *(1,) * ndim)


def _check_steps(steps: int) -> int:
    if not isinstance(steps, int | np.integer):
        raise OptionError("steps", f"{steps!r} is no whole number", "take at least one step")
    if steps < 1:
        raise OptionError("steps", f"{steps} is below 1", "take at least one step")
    return int(steps)


def _check_peak(bits: int, peak: ArrayLike | None) -> Codes:
    check_bits(bits)
    top = np.asarray(2**bits - 1 if peak is None else peak)
    if top.dtype.kind not in "ui" or np.any(top < 1):
        raise InputError("peak", "isn't an integer of at least 1", "give the image's maximum")
    return top.astype(np.int64)
