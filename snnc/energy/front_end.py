"""The SAR ADC in front of what is counted: what it converts, and whether it makes the spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snnc.energy.encoder import EncoderEnergy, encoder_bits, encoder_energy
from snnc.energy.jobs import FloatJob, IntegerJob, Job, ModuleJob
from snnc.errors import OptionError
from snnc.ir import Kind, Rate

_EVERY_STEP = "every value of every step is converted"


@dataclass(frozen=True)
class Converter:
    """A SAR ADC in front of a network.

    Attributes:
        bits: resolution.
        pixels: conversions per `bits` steps, where the data are its decisions; None where it
            converts the data.
        note: what a reader must know of its energy.
    """

    bits: int
    pixels: int | None = None
    note: str = ""

    def energy(self, values: int, steps: int | None) -> EncoderEnergy:
        """Energy per sample, of so many values in the data and T `steps`.

        Raises:
            OptionError: no values.
        """
        words = -(-(steps or self.bits) // self.bits)
        count = values if self.pixels is None else self.pixels * words
        found = encoder_energy(count, self.bits)
        return replace(found, rule="; ".join(filter(None, (found.rule, self.note))))


def converter(job: Job, encoder: str | None) -> Converter | None:
    """The converter `sar:BITS` in front of a job; None for none.

    Raises:
        OptionError: no such encoder, another resolution than the network has steps, or data that
            are spikes of which nothing says that a converter made them.
    """
    if encoder is None:
        return None
    bits = encoder_bits(encoder)
    if isinstance(job, ModuleJob):
        if job.input_kind == "spike":
            raise _no_codes()
        return Converter(bits, note="" if job.sequence_axis is None else _EVERY_STEP)
    assert isinstance(job, FloatJob | IntegerJob)
    scheme = job.encoding.scheme
    made = job.facts.get("conversions", {})
    if made or scheme == "uwe":
        steps = job.facts["bits"] if made else job.encoding.steps
        if bits != steps:
            raise OptionError(
                "--encoder",
                f"sar:{bits}, and a pixel is {steps} spikes, one per bit",
                f"give sar:{steps}",
            )
        return Converter(bits, None if scheme == "uwe" else sum(made.values()))
    if job.encoding.makes_spikes:
        return Converter(bits, note=f"what makes the {scheme} spikes of its codes is left out")
    signals = [job.graph.signals[name] for name in job.graph.inputs]
    if any(signal.kind is Kind.SPIKE for signal in signals):
        raise _no_codes()
    every = any(signal.rate is Rate.STEP for signal in signals)
    return Converter(bits, note=_EVERY_STEP if every else "")


def _no_codes() -> OptionError:
    return OptionError(
        "--encoder",
        "the data are spikes, and nothing says that they are the bits of pixels",
        "give images with --encoding uwe, or leave the encoder away",
    )
