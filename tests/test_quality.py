"""Decoded images and their PSNR, and what is refused as one."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snnc.circuits.encodings import mpd, ttfs, ttfs_decode, uwe
from snnc.errors import InputError, OptionError
from snnc.ir import Graph, Input, Linear, Neuron, Output, Rate
from snnc.quality import Decoder, MeanPsnr, check_clean, check_decodable, psnr

SHAPE = (3, 1, 2, 4)


def codes(bits: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.int64, SHAPE, elements=st.integers(0, 2**bits - 1))


@given(st.data(), st.integers(1, 16))
def test_uwd_gives_back_what_uwe_encoded(data: st.DataObject, bits: int) -> None:
    clean = data.draw(codes(bits))
    images = Decoder("uwd", bits).images(uwe(clean, bits).swapaxes(0, 1))
    np.testing.assert_array_equal(images, clean)
    assert images.dtype == (np.uint8 if bits <= 8 else np.uint16)


@given(arrays(np.int8, (3, 5, 2, 4), elements=st.integers(0, 1)))
def test_mpd_is_put_on_the_scale_of_the_bits(planes: np.ndarray) -> None:
    images = Decoder("mpd", 5).images(planes)
    np.testing.assert_array_equal(images, 31 * mpd(planes.swapaxes(0, 1)))
    assert images.max() <= 31


@given(codes(8), st.integers(1, 20))
def test_ttfs_has_eight_bits_at_any_length(clean: np.ndarray, steps: int) -> None:
    planes = ttfs(clean, steps)
    decoder = Decoder("ttfs", steps)
    images = decoder.images(planes.swapaxes(0, 1))
    np.testing.assert_array_equal(images, ttfs_decode(planes))
    assert decoder.peak == 255
    assert np.all((images >= clean) & (images - clean < 255 / steps))


@given(st.data(), st.integers(1, 16))
def test_psnr_is_that_of_the_scale(data: st.DataObject, bits: int) -> None:
    images, clean = data.draw(codes(bits)), data.draw(codes(bits))
    found = Decoder("uwd", bits).psnr(images, clean)
    errors = ((images - clean) ** 2).reshape(3, -1).mean(1)
    for value, error in zip(found, errors, strict=True):
        expected = 20 * math.log10(2**bits - 1) - 10 * math.log10(error) if error else math.inf
        assert value == pytest.approx(expected, abs=1e-9)


def test_eight_bits_are_scored_as_psnr_does() -> None:
    rng = np.random.default_rng(0)
    images, clean = rng.integers(0, 256, (2, 5, 1, 4, 4))
    np.testing.assert_array_equal(Decoder("uwd", 8).psnr(images, clean), psnr(images, clean))


def test_low_precision_is_not_carried_into_the_error() -> None:
    clean = np.arange(12.0).reshape(3, 1, 2, 2)
    decoder = Decoder("uwd", 5)
    assert np.all(np.isinf(decoder.psnr(clean.astype(np.uint8), clean.astype(np.float16))))


def test_the_step_axis_is_the_second_one() -> None:
    planes = np.zeros((2, 3, 1), np.int8)
    planes[0, 0], planes[1, 2] = 1, 1
    np.testing.assert_array_equal(Decoder("uwd", 3).images(planes), [[4], [1]])


def test_unknown_decodings_and_too_many_steps_are_refused() -> None:
    with pytest.raises(OptionError, match="no decoding 'rate'"):
        Decoder("rate", 8)
    for decoding in ("uwd", "mpd"):
        assert Decoder(decoding, 16).peak == 65535
        with pytest.raises(OptionError, match="17 steps give images of 17 bits, above 16"):
            Decoder(decoding, 17)
    assert Decoder("ttfs", 17).peak == 255


@pytest.mark.parametrize(
    ("planes", "match"),
    [
        (np.zeros((2, 7, 3)), "has shape"),
        (np.zeros(8), "has shape"),
        (np.full((2, 8, 3), 2), "hold other values than 0 and 1"),
        (np.ones((2, 8, 3)), "hold a pixel that spikes more than once"),
    ],
)
def test_planes_that_are_none_name_the_output(planes: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match) as error:
        Decoder("ttfs", 8).images(planes, "out")
    assert error.value.where == "out"


def network(output: Output, rate: Rate = Rate.STEP, neuron: bool = True) -> Graph:
    nodes: dict[str, Any] = {"in": Input((3,), rate=rate), "fc": Linear(np.eye(3))}
    if neuron:
        nodes["lif"] = Neuron(np.asarray(0.9), np.asarray(1.0))
    return Graph.chain({**nodes, "out": output}, steps=4)


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (network(Output(reduce="sum")), "out gives one array per sample"),
        (network(Output(reduce="last")), "out gives one array per sample"),
        (network(Output(), Rate.SAMPLE, neuron=False), "out gives one array per sample"),
        (network(Output(port="v")), "out gives analog values"),
        (network(Output(), neuron=False), "out gives analog values"),
    ],
)
def test_outputs_without_spikes_at_every_step_are_refused(graph: Graph, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        check_decodable(graph, graph.outputs)
    check_decodable(graph, [])


def test_outputs_of_neurons_are_decodable() -> None:
    check_decodable(network(Output()), ["out"])


CLEAN = np.full((2, 3), 200)


@pytest.mark.parametrize(
    ("clean", "match"),
    [
        (CLEAN[:1], r"has shape \(1, 3\)"),
        (CLEAN[:, None], r"has shape \(2, 1, 3\)"),
        (CLEAN + 56, "has values 256…256"),
        (CLEAN - 201, "has values -1…-1"),
        (np.where(CLEAN, np.nan, 1), "NaN"),
        (np.where(CLEAN, np.inf, 1), "infinite"),
        (CLEAN.astype(str), "dtype"),
        (CLEAN / 255, "has values from 0 to 1"),
        (CLEAN > 100, "truth values"),
    ],
)
def test_clean_images_that_do_not_fit_are_refused(clean: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match) as error:
        check_clean(clean, (2, 3), Decoder("uwd", 8))
    assert error.value.where == "clean"


def test_clean_images_need_a_decoding() -> None:
    with pytest.raises(OptionError, match="nothing says how the output becomes an image"):
        check_clean(CLEAN, (2, 3), None)


@pytest.mark.parametrize(
    ("clean", "decoder"),
    [
        (CLEAN, Decoder("uwd", 8)),
        (CLEAN * 0, Decoder("uwd", 8)),
        (CLEAN // 200, Decoder("uwd", 8)),
        (CLEAN > 100, Decoder("uwd", 1)),
        (CLEAN / 255, Decoder("uwd", 1)),
        (CLEAN.astype(np.float16), Decoder("ttfs", 3)),
        (CLEAN + 300, Decoder("mpd", 9)),
    ],
)
def test_clean_images_on_the_scale_are_taken(clean: np.ndarray, decoder: Decoder) -> None:
    np.testing.assert_array_equal(check_clean(clean, (2, 3), decoder), clean)


@given(arrays(np.float64, st.integers(2, 20), elements=st.floats(0, 60)))
def test_the_error_is_that_of_the_mean(values: np.ndarray) -> None:
    found = MeanPsnr.of(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / len(values) ** 0.5)
    assert f"{found.mean:.2f} dB (± {found.standard_error:.2f} of the mean" in str(found)


def test_one_image_has_no_error() -> None:
    found = MeanPsnr.of([20.0])
    assert (str(found), found.figure) == ("PSNR 20.00 dB (1 image)", "20.00")
    assert found.to_dict() == {"mean": 20.0, "standard_error": None, "identical": 0}


def test_an_infinite_mean_is_said_and_stays_json() -> None:
    found = MeanPsnr.of([20.0, math.inf, 30.0])
    assert math.isinf(found.mean)
    assert str(found) == "PSNR infinite (1 of 3 images equal to the clean ones)"
    assert found.figure == "∞ (1 equal)"
    plain = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(plain) == {"mean": None, "standard_error": None, "identical": 1}
