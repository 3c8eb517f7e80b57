"""Energy of the encoder: one conversion of a successive-approximation ADC per pixel.

The figures are those of the ADC survey of B. Murmann (github.com/bmurmann/ADC-survey): of its 101
pure SAR converters, nine have an ENOB of 6.8 to 8.2 bits. They take 1.09 to 14.5 pJ per conversion
(P/f_snyq), median 2.78 pJ; their Walden figure of merit is 6.03 to 85.9 fJ per conversion step,
median 18.9. C·V² of the capacitor array alone is some 6 % of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnc.errors import OptionError

SOURCE = (
    "B. Murmann, ADC performance survey (ISSCC and VLSI), pure SAR converters of ENOB 6.8 to 8.2"
)
EIGHT_BITS = (1.1, 2.8, 14.5)
"""pJ per conversion of 8 bits: lowest, median, highest of nine converters."""
WALDEN = (6.03, 18.9, 85.9)
"""fJ per conversion step: lowest, median, highest of the same nine."""
_MAX_BITS = 24


@dataclass(frozen=True)
class EncoderEnergy:
    """What encoding one sample costs; never part of a network's total.

    Attributes:
        pixels: conversions per sample.
        bits: of each conversion.
        low, typical, high: pJ per sample.
        source: of the figures.
        rule: how they were used, in words.
    """

    pixels: int
    bits: int
    low: float
    typical: float
    high: float
    source: str
    rule: str

    @property
    def per_pixel(self) -> tuple[float, float, float]:
        """pJ per conversion: low, typical, high."""
        return self.low / self.pixels, self.typical / self.pixels, self.high / self.pixels


def encoder_energy(pixels: int, bits: int = 8) -> EncoderEnergy:
    """Energy of the SAR ADC of a front end that converts every pixel of a sample once.

    8 bits have the survey's energy per conversion. Other widths have FOM_W·2^bits with the Walden
    figures of merit of the same converters, which takes ENOB = bits and holds the figure of merit
    beyond the ENOBs where it was measured.

    Args:
        pixels: conversions per sample; for frames of several steps, of all steps.
        bits: resolution.

    Raises:
        OptionError: no pixel, or a width outside 1..24.
    """
    if pixels < 1:
        raise OptionError("encoder", f"{pixels} pixels", "give at least one")
    if not 1 <= bits <= _MAX_BITS:
        raise OptionError("encoder", f"{bits} bits", f"give 1 to {_MAX_BITS}")
    if bits == 8:
        each, rule = EIGHT_BITS, "energy per conversion of the survey's 8-bit converters"
    else:
        low, typical, high = (fj * 1e-3 * 2**bits for fj in WALDEN)
        each = (low, typical, high)
        rule = (
            f"Walden figure of merit × 2^{bits}, with ENOB = {bits}: extrapolated from ENOB 7 to 8"
        )
    low, typical, high = (pj * pixels for pj in each)
    return EncoderEnergy(pixels, bits, low, typical, high, SOURCE, rule)


def encoder_bits(encoder: str) -> int:
    """Bits of an encoder circuit by its name, `sar:BITS`.

    Raises:
        OptionError: no such encoder.
    """
    kind, _, bits = encoder.partition(":")
    # The length keeps `int` from digits without end.
    if kind != "sar" or not (bits.isascii() and bits.isdigit() and len(bits) <= 4):
        short = encoder if len(encoder) <= 40 else encoder[:40] + "…"
        raise OptionError("--encoder", f"there is no encoder {short!r}", "sar:BITS, as sar:8")
    return encoder_energy(1, int(bits)).bits


__all__ = ["EncoderEnergy", "encoder_bits", "encoder_energy"]
