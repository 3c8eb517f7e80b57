"""The circuits around the network: a SAR ADC that turns pixels into spikes, a DAC that turns them
back, both with what real ones suffer from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snnc.circuits.dac import LadderDac
from snnc.circuits.design import Design
from snnc.circuits.encodings import uwd
from snnc.circuits.impairments import Impairments
from snnc.circuits.metrics.dynamic import coherent_cycles, enob_from_fit, sine_fit_4
from snnc.circuits.sar import SarAdc

A = NDArray[np.float64]
Codes = NDArray[np.uint8]

BITS = 8
LSB = 1 / 2**BITS
"""V; the reference is 1 V."""
SLOT = 100e-9
"""Time of one decision, s."""
RECORD = 4096
"""Samples of the sine that ENOB is fitted to."""
SWING = 0.85
"""Of that sine, in units of full scale."""


@dataclass(frozen=True)
class Front:
    """One row of the table: a design of converter and decoder, made `chips` times.

    Attributes:
        name: what it suffers from.
        design: of the ADC.
        ladder: relative spread of the resistors of the R-2R DAC.
    """

    name: str
    design: Design = field(default_factory=Design)
    ladder: float = 0.0

    def converters(self, chips: int, seed: int) -> SarAdc:
        """One ADC per chip, with mismatch drawn from the seed."""
        return self.design.make(chips, np.random.default_rng([seed, 0]))

    def encode(self, pixels: A, chips: int, seed: int) -> Codes:
        """Codes of images of real pixels 0…255, (N, …) with N a multiple of `chips`.

        Pixel x stands at (x + ½)·LSB, in the middle of the bin of its code. Every chip converts
        its own share of the images. Converters of fewer bits leave the low bits 0.
        """
        adc = self.converters(chips, seed)
        volts = (pixels + 0.5) * LSB
        rng = np.random.default_rng([seed, 1])
        codes = adc.convert(volts.reshape(chips, -1), rng, clip=True) << BITS - adc.bits
        return codes.reshape(pixels.shape).astype(np.uint8)

    def decode(self, planes: NDArray[np.integer], chips: int, seed: int) -> A:
        """Pixels 0…255 (N, …) of spike planes (N, 8, …): the voltages of the DACs, over LSB."""
        rng = np.random.default_rng([seed, 2])
        levels = LadderDac.draw(BITS, self.ladder, chips, rng).levels()
        codes = uwd(planes.swapaxes(0, 1))
        chip = np.arange(chips)[:, None]
        return (levels[chip, codes.reshape(chips, -1)] / LSB).reshape(codes.shape)

    def enob(self, chips: int, seed: int) -> A | None:
        """Effective bits of every chip's ADC (chips,): a sine and its four-parameter fit.

        The sine is short of full scale, so that an offset moves it and doesn't clip it. None for
        resolutions whose error is no noise beside a sine.
        """
        if self.design.bits < 3:
            return None
        adc = self.converters(chips, seed)
        cycles = coherent_cycles(RECORD, 0.031 * RECORD)
        phase = 2 * np.pi * cycles * np.arange(RECORD) / RECORD
        volts = 0.5 + SWING / 2 * np.sin(phase)
        codes = adc.convert(volts, np.random.default_rng([seed, 3]))
        fit = sine_fit_4(np.broadcast_to(codes, (chips, RECORD)), cycles / RECORD)
        return enob_from_fit(fit.rms, adc.bits, 1.0)


def impaired(name: str, *, mismatch: float = 0.0, bits: int = BITS, **impairments: float) -> Front:
    """A front with a converter that suffers from these; see `snnc.circuits.impairments`."""
    found = Impairments(**impairments)
    return Front(name, Design(bits=bits, mismatch=mismatch, impairments=found, slot=SLOT))


FRONTS = (
    Front("none"),
    *(impaired(f"caps {100 * s:g} %", mismatch=s) for s in (0.01, 0.03, 0.1)),
    *(impaired(f"offset {n:+d} LSB", offset=n * LSB) for n in (-16, -4, -1, 1, 4, 16)),
    *(impaired(f"noise {n:g} LSB", comparator_noise=n * LSB) for n in (0.5, 1, 2, 4, 8)),
    *(impaired(f"v_ref {n:g} LSB", reference_noise=n * LSB) for n in (1, 4)),
    *(impaired(f"settling {n:g} τ", tau=SLOT / n) for n in (4, 3, 2, 1)),
    *(impaired(f"{n} bits", bits=n) for n in (6, 4, 3, 2)),
    impaired("1 bit", bits=1),
    *(Front(f"DAC {100 * s:g} %", ladder=s) for s in (0.001, 0.01, 0.05)),
)
"""Nothing; spread of the ADC's unit capacitors, offset and noise of its comparator, noise of its
reference, time constants that a slot lasts, resolution; spread of the DAC's resistors."""
