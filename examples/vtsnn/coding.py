"""The encodings and decodings of `snnc.circuits.encodings` in torch, so that gradients pass.

Codes are integers 0…255 of any shape (…), planes (step, …) of 0.0 and 1.0 in the order in which
they are sent, decoded images real values in 0…1. The decoders are linear (UWD) or smooth (MPD) in
the spikes: the authors' published decoder copies its input, so that no gradient passes it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from snnc.circuits.encodings import MPD_DECAY

BITS = 8
TOP = 2**BITS - 1

Encoding = Literal["uwe", "ttfs"]
Decoding = Literal["uwd", "mpd"]


def encode(codes: Tensor, encoding: Encoding) -> Tensor:
    """Spike planes (8, …), float32: UWE is MSB first (Algorithm 1), TTFS is equation 7 with
    max(x) = 255 and t rounded down."""
    steps = torch.arange(BITS, device=codes.device).view(-1, *(1,) * codes.dim())
    if encoding == "uwe":
        return (codes >> (BITS - 1 - steps) & 1).float()
    return ((TOP - codes) * BITS // TOP == steps).float()


def decode(planes: Tensor, decoding: Decoding) -> Tensor:
    """Images (…) of spike planes (8, …): UWD is equation 8 over 255, MPD section 2.4.1."""
    if decoding == "uwd":
        return torch.tensordot(plane_weights().to(planes), planes, dims=1) / TOP
    decay = MPD_DECAY ** torch.arange(BITS - 1, -1, -1).to(planes)
    return torch.tanh(torch.tensordot(decay, planes, dims=1))


def plane_weights() -> Tensor:
    """2^t of every step (8,), MSB first."""
    return 2.0 ** torch.arange(BITS - 1, -1, -1)
