"""Verification: equal stages agree, and a single wrong spike is found and placed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnc.verify as module
from snnc.api import Compiled
from snnc.artefact import Artefact
from snnc.circuits.encodings import uwd, uwe
from snnc.compiler import Options, compile_model
from snnc.errors import InputError, OptionError
from snnc.frontends.model import Example, Model
from snnc.ir import Conv, Graph, Input, Kind, Linear, Neuron, Output, Rate
from snnc.quality import psnr
from snnc.reference import Inputs, Ports, Trace, run_float, run_int
from snnc.report.tables import rendered, verify_tables
from snnc.verify import run_stage, verify
from tests.conftest import make_model

EXACT = ["s0", "s1", "s2", "sim", "loihi"]


@pytest.fixture(scope="module")
def artefact(model: Model) -> Artefact:
    return compile_model(model, Options())


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_all_stages_agree_on_the_example(reset: str) -> None:
    artefact = compile_model(make_model(1, reset), Options())
    report = verify(artefact, stages=EXACT, labels=np.zeros(6, int))
    assert report.ok
    assert [(p.first, p.second, p.kind) for p in report.pairs] == [
        ("s0", "s1", "ties"),
        ("s1", "s2", "quantised"),
        ("s2", "sim", "exact"),
        ("s2", "loihi", "exact"),
    ]
    assert all(layer.compared for pair in report.pairs for layer in pair.layers.values())
    assert set(report.accuracy) == set(EXACT)
    assert "s2–sim: 0 of " in str(report)
    assert report.accuracy["sim"] == report.accuracy["s2"]


def broken(layer: str, sample: int, step: int) -> Callable[..., Trace]:
    """An engine that is right but for one spike."""

    def engine(
        graph: Graph, inputs: Inputs, record: Ports | None, progress: Any, chip: str | None
    ) -> Trace:
        trace = run_int(graph, inputs, record)
        if (layer, "s") in trace.records and len(next(iter(inputs.values()))) > 1:
            spikes = trace.records[layer, "s"].copy()
            spikes[sample, step, 0] ^= 1
            trace.records[layer, "s"] = spikes
        return trace

    return engine


def test_one_wrong_spike_is_found_and_placed(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.engines()
    monkeypatch.setattr(module, "engines", lambda: {**real, "sim": broken("lif2", 4, 7)})
    report = verify(artefact, stages=["s2", "sim"])
    assert not report.ok
    difference = report.pairs[0].difference
    assert difference is not None
    assert (difference.layer, difference.sample, difference.step) == ("lif2", 4, 7)
    assert difference.neuron == (0,)
    assert report.pairs[0].differing == 1


def test_a_framework_that_disagrees_is_not_called_a_tie(artefact: Artefact, model: Model) -> None:
    assert model.example is not None
    spikes = {name: value.copy() for name, value in model.example.spikes.items()}
    spikes["lif2"][0, 3] ^= 1
    wrong = Example(model.example.inputs, spikes, model.example.outputs)
    report = verify(artefact, model.example.inputs, ["s0", "s1"], framework=wrong)
    assert not report.ok


def test_stages_and_inputs_are_checked(artefact: Artefact) -> None:
    with pytest.raises(OptionError, match="no stage s9"):
        verify(artefact, stages=["s9"])
    with pytest.raises(OptionError, match="framework's own spikes"):
        verify(artefact, np.zeros((2, 1, 6, 6)), ["s0", "s1"])
    with pytest.raises(InputError, match="compiled input holds"):
        verify(artefact, np.full((2, 1, 6, 6), 9.0), ["s2"])
    with pytest.raises(InputError, match="labels"):
        verify(artefact, stages=["s2"], labels=np.zeros(5, int))


def test_batches_do_not_change_the_report(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(artefact, stages=EXACT).to_dict()
    monkeypatch.setattr(module, "BATCH", 4)
    assert verify(artefact, stages=EXACT).to_dict() == whole


@pytest.mark.parametrize("encoding", ["rate", "latency"])
@pytest.mark.parametrize("chip", ["loihi1", "loihi2"])
def test_encoded_inputs_run_on_both_chips(model: Model, encoding: str, chip: str) -> None:
    seed = 5 if encoding == "rate" else None
    options = Options(chip=chip, encoding=encoding, steps=12, seed=seed)  # type: ignore[arg-type]
    report = verify(
        compile_model(Model(model.graph), options, np.random.default_rng(0).random((8, 1, 6, 6))),
        np.random.default_rng(1).random((5, 1, 6, 6)),
        ["s1", "s2", "sim", "loihi"],
    )
    assert report.ok
    assert report.samples["sim"] == 5


def readout_model() -> Model:
    """A network whose output is the current of a linear layer."""
    rng = np.random.default_rng(3)
    nodes = {
        "input": Input((4,), rate=Rate.SAMPLE),
        "fc1": Linear(rng.normal(0.3, 0.5, (6, 4))),
        "lif": Neuron(np.asarray(0.9), np.asarray(1.0)),
        "fc2": Linear(rng.normal(0, 0.5, (3, 6)), rng.normal(size=3)),
        "output": Output(reduce="sum"),
    }
    return Model(Graph.chain(nodes, 8), Example({"input": rng.random((5, 4))}, {}, {}))


def test_real_outputs_are_measured_in_real_units() -> None:
    report = verify(compile_model(readout_model(), Options()), stages=["s1", "s2", "sim", "loihi"])
    assert report.ok
    assert 0 < report.pairs[0].outputs["output"] < 0.5


def test_a_framework_difference_is_placed(artefact: Artefact, model: Model) -> None:
    assert model.example is not None
    spikes = {name: value.copy() for name, value in model.example.spikes.items()}
    spikes["lif2"][3, 5, 2] ^= 1
    wrong = Example(model.example.inputs, spikes, model.example.outputs)
    difference = verify(
        artefact, model.example.inputs, ["s0", "s1"], framework=wrong
    ).pairs[0].difference  # fmt: skip
    assert difference is not None
    assert (difference.layer, difference.sample, difference.step) == ("lif2", 3, 5)
    assert difference.neuron == (2,)


@pytest.mark.parametrize(
    "labels", [np.zeros((6, 1), int), np.zeros((6, 5)), np.asarray(list("abcdef")), 5, [0.5] * 6]
)
def test_labels_must_be_one_class_per_sample(artefact: Artefact, labels: Any) -> None:
    with pytest.raises(InputError, match="labels"):
        verify(artefact, stages=["s2"], labels=labels)


def test_other_steps_or_codes_than_the_frameworks_leave_s0_out(model: Model) -> None:
    for options in (Options(steps=4), Options(encoding="rate"), Options(encoding="latency")):
        artefact = compile_model(model, options)
        assert verify(artefact, stages="s1,s2,sim").ok
        with pytest.raises(OptionError, match="s0"):
            verify(artefact, stages="s0,s1")


IMAGES = np.random.default_rng(8).integers(0, 256, (5, 1, 4, 4))


def denoiser(output: Output | None = None, name: str = "planes") -> Model:
    """A network from bit planes to bit planes, with the spikes of 5 samples."""
    rng = np.random.default_rng(2)
    nodes = {
        name: Input((1, 4, 4), kind=Kind.SPIKE, rate=Rate.STEP),
        "conv": Conv(rng.normal(0.25, 0.4, (1, 1, 3, 3)), rng.normal(0, 0.1, 1), (1, 1), (1, 1)),
        "lif": Neuron(np.asarray(0.6), np.asarray(1.0)),
        "out": output or Output(),
    }
    graph = Graph.chain(nodes, steps=8)
    inputs = {name: uwe(IMAGES).swapaxes(0, 1)}
    trace = run_float(graph, inputs, {"lif": ("s",)})
    spikes = {"lif": trace.records["lif", "s"].astype(np.uint8)}
    return Model(graph, Example(inputs, spikes, trace.outputs))


@pytest.fixture(scope="module")
def restorer() -> Artefact:
    return compile_model(denoiser(), Options())


def test_decoded_outputs_have_a_psnr_per_stage(
    restorer: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    report = verify(restorer, stages=EXACT, clean=IMAGES, decode="uwd", labels=np.zeros(5, int))
    assert report.ok
    assert list(report.psnr) == list(report.accuracy) == EXACT
    assert restorer.example is not None
    for stage in ("s1", "s2"):
        planes = run_stage(restorer, stage, dict(restorer.example.inputs)).outputs["out"]
        expected = psnr(uwd(planes.swapaxes(0, 1)), IMAGES)
        assert report.psnr[stage].mean == pytest.approx(expected.mean())
        assert report.psnr[stage].standard_error == pytest.approx(expected.std(ddof=1) / 5**0.5)
    assert report.psnr["s0"] == report.psnr["s1"]
    assert report.psnr["loihi"] == report.psnr["sim"] == report.psnr["s2"]
    figure = report.psnr["s1"].figure
    assert figure in rendered(verify_tables(report))
    assert f"s1: PSNR {report.psnr['s1'].mean:.2f} dB (±" in str(report)
    assert report.to_dict()["psnr"]["s1"] == report.psnr["s1"].to_dict()


def test_without_clean_images_there_is_no_psnr(restorer: Artefact) -> None:
    report = verify(restorer, stages=["s1", "s2"])
    assert report.to_dict()["psnr"] == {}
    assert "PSNR" not in rendered(verify_tables(report)) + str(report)


def test_a_framework_without_outputs_has_no_score(restorer: Artefact) -> None:
    assert restorer.example is not None
    known = Example(restorer.example.inputs, restorer.example.spikes, {})
    report = verify(
        restorer, known.inputs, ["s0", "s1"], np.zeros(5, int), known, clean=IMAGES, decode="uwd"
    )
    assert list(report.psnr) == list(report.accuracy) == ["s1"]
    assert report.samples["s0"] == 5


def test_images_that_are_clean_already_have_an_infinite_psnr(restorer: Artefact) -> None:
    assert restorer.example is not None
    same = Compiled(restorer).run(restorer.example.inputs, "s2", decode="uwd").outputs["out"]
    found = verify(restorer, stages=["s2"], clean=same, decode="uwd").psnr["s2"]
    assert (found.mean, found.identical) == (np.inf, 5)


def test_clean_images_and_decodings_are_checked_before_anything_runs(
    restorer: Artefact, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_stage", None)
    with pytest.raises(OptionError, match="nothing says how"):
        verify(restorer, stages=["s2"], clean=IMAGES)
    with pytest.raises(OptionError, match="no clean images"):
        verify(restorer, stages=["s2"], decode="uwd")
    with pytest.raises(OptionError, match="no decoding 'rate'"):
        verify(restorer, stages=["s2"], clean=IMAGES, decode="rate")
    with pytest.raises(InputError, match=r"clean: has shape \(4, 1, 4, 4\)"):
        verify(restorer, stages=["s2"], clean=IMAGES[:4], decode="uwd")
    with pytest.raises(InputError, match="scale 0…255"):
        verify(restorer, stages=["s2"], clean=IMAGES + 256, decode="uwd")
    summed = compile_model(denoiser(Output(reduce="sum")), Options())
    with pytest.raises(OptionError, match="out gives one array per sample"):
        verify(summed, stages=["s2"], clean=IMAGES, decode="uwd")


def test_the_scale_follows_the_steps_of_the_samples_or_of_the_encoder(restorer: Artefact) -> None:
    planes = uwe(IMAGES // 16, 4).swapaxes(0, 1)
    assert verify(restorer, planes, ["s2"], clean=IMAGES // 16, decode="uwd").psnr
    with pytest.raises(InputError, match="scale 0…15"):
        verify(restorer, planes, ["s2"], clean=IMAGES, decode="uwd")
    long = compile_model(make_model(), Options(encoding="rate", steps=12))
    with pytest.raises(InputError, match="scale 0…4095"):
        verify(long, stages=["s2"], clean=np.full((6, 5), 4096), decode="uwd")
    longer = compile_model(make_model(), Options(encoding="rate", steps=17))
    with pytest.raises(OptionError, match="17 steps"):
        verify(longer, stages=["s2"], clean=np.zeros((6, 5)), decode="uwd")


def test_the_first_output_is_scored_and_the_others_may_be_anything() -> None:
    model = denoiser()
    graph = model.graph
    nodes = {**graph.nodes, "membrane": Output(port="v")}
    both = Graph(nodes, (*graph.edges, ("lif", "membrane")), steps=8).check()
    artefact = compile_model(Model(both, model.example), Options())
    report = verify(artefact, stages=["s1", "s2", "sim"], clean=IMAGES, decode="uwd")
    assert list(report.psnr) == ["s1", "s2", "sim"]
    with pytest.raises(OptionError, match="membrane gives analog values"):
        Compiled(artefact).run(uwe(IMAGES).swapaxes(0, 1), decode="uwd")


def test_python_takes_clean_images_and_gives_decoded_ones(restorer: Artefact) -> None:
    torch = pytest.importorskip("torch")
    planes = uwe(IMAGES).swapaxes(0, 1)
    compiled = Compiled(restorer)
    spikes, images = (compiled.run(planes, decode=d).outputs["out"] for d in (None, "uwd"))
    np.testing.assert_array_equal(images, uwd(spikes.swapaxes(0, 1)))
    report = compiled.verify(
        torch.as_tensor(planes), "s1,sim", clean=torch.as_tensor(IMAGES), decode="uwd"
    )
    assert report.psnr["sim"].mean == pytest.approx(psnr(images, IMAGES).mean())


def test_a_framework_that_saw_the_encoders_spikes_is_compared_and_scored() -> None:
    artefact = compile_model(denoiser(), Options(encoding="uwe", steps=8))
    assert artefact.example is not None
    np.testing.assert_array_equal(artefact.example.inputs["planes"], IMAGES)
    report = verify(artefact, stages=["s0", "s1", "s2"], clean=IMAGES, decode="uwd")
    assert report.ok
    assert report.pairs[0].compared
    assert report.psnr["s0"] == report.psnr["s1"]


def test_every_output_is_decoded() -> None:
    model = denoiser()
    nodes = {**model.graph.nodes, "echo": Output()}
    both = Graph(nodes, (*model.graph.edges, ("planes", "echo")), steps=8).check()
    compiled = Compiled(compile_model(Model(both, model.example), Options()))
    images = compiled.run(uwe(IMAGES).swapaxes(0, 1), decode="uwd").outputs
    np.testing.assert_array_equal(images["echo"], IMAGES)
    assert images["out"].shape == IMAGES.shape
