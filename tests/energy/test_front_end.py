"""What a converter in front of a network converts, and where none can stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnc
from snnc.circuits.encodings import uwe
from snnc.compiler import Options, compile_model
from snnc.energy.encoder import EncoderEnergy
from snnc.energy.front_end import Converter, converter
from snnc.energy.jobs import artefact_job
from snnc.energy.run import energy_of, model_job
from snnc.errors import OptionError
from snnc.ir import Kind, Rate
from tests import planes

IMAGES = planes.images(8)
PLANES = np.moveaxis(uwe(IMAGES), 0, 1)


def compiled(target: str, encoding: Any, **kind: Any) -> snnc.Compiled:
    return snnc.Compiled(compile_model(planes.model(8, **kind), Options(target, encoding=encoding)))


def encoder(model: Any, data: Any, bits: int = 8, **options: Any) -> EncoderEnergy:
    found = energy_of(model, data, encoder=f"sar:{bits}", **options).encoder
    assert found is not None
    return found


@pytest.mark.parametrize("stage", ["s1", "s2", "sim"])
@pytest.mark.parametrize(
    ("target", "encoding", "data"),
    [("uwe", "uwe", IMAGES), ("uwe", "none", PLANES), ("sim", "uwe", IMAGES)],
)
def test_a_pixel_is_converted_once_for_its_planes(
    target: str, encoding: Any, data: Any, stage: str
) -> None:
    assert encoder(compiled(target, encoding), data, stage=stage).pixels == 16


def test_longer_sequences_are_converted_again() -> None:
    twice = np.concatenate([PLANES, PLANES], axis=1)
    assert encoder(compiled("uwe", "none"), twice).pixels == 32
    assert Converter(8, 16).energy(1, 9).pixels == 32
    assert Converter(8, 16).energy(1, None).pixels == 16


@pytest.mark.parametrize(
    ("target", "encoding", "data"),
    [("uwe", "uwe", IMAGES), ("uwe", "none", PLANES), ("sim", "uwe", IMAGES)],
)
@pytest.mark.parametrize("bits", [6, 9])
def test_a_converter_has_a_bit_per_step(target: str, encoding: Any, data: Any, bits: int) -> None:
    with pytest.raises(OptionError, match=f"sar:{bits}, and a pixel is 8 spikes") as found:
        encoder(compiled(target, encoding), data, bits)
    assert found.value.fix == "give sar:8"


def test_spikes_are_no_pixels() -> None:
    for model in (compiled("sim", "none"), planes.model(8)):
        with pytest.raises(OptionError, match="nothing says that they are the bits of pixels"):
            encoder(model, PLANES)


@pytest.mark.parametrize("scheme", ["rate", "latency", "ttfs"])
def test_what_makes_other_spikes_is_said_to_be_left_out(scheme: Any) -> None:
    static = compiled("sim", scheme, kind=Kind.ANALOG, rate=Rate.SAMPLE)
    found = encoder(static, planes.images(1))
    assert found.pixels == 16
    assert f"what makes the {scheme} spikes of its codes is left out" in found.rule


@pytest.mark.parametrize(("rate", "said"), [(Rate.STEP, True), (Rate.SAMPLE, False)])
def test_every_value_of_a_sequence_is_converted(rate: Rate, said: bool) -> None:
    job = model_job(planes.Model(planes.graph(8, Kind.ANALOG, rate)), "direct", None)
    found = converter(job, "sar:8")
    assert found is not None
    assert ("every step" in found.energy(16, 8).rule) == said


def test_no_encoder_is_no_converter() -> None:
    assert converter(artefact_job(compiled("sim", "uwe").artefact, None), None) is None


def test_a_module_of_spikes_has_none() -> None:
    torch = pytest.importorskip("torch")

    class Compares(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return (x > 0.5).float()

    module = Compares()
    found = encoder(module, torch.rand(2, 1, 4, 4), steps=3)
    assert (found.pixels, "every step" in found.rule) == (16, False)
    found = encoder(module, torch.rand(3, 2, 1, 4, 4), time_axis=0)
    assert (found.pixels, "every step" in found.rule) == (48, True)
    with pytest.raises(OptionError, match="the data are spikes"):
        encoder(module, torch.ones(2, 1, 4, 4), steps=3, input_kind="spike")


@pytest.mark.parametrize("wrong", ["sar", "sar:", "flash:8", "sar:x", "sar:-1", "sar:99", "sar:²"])
def test_other_encoders_are_refused(wrong: str) -> None:
    with pytest.raises(OptionError, match="encoder"):
        converter(model_job(planes.model(8), "uwe", None), wrong)
