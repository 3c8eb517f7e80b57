"""Verification: equal stages agree, and a single wrong spike is found and placed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnc.verify as module
from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.errors import InputError, OptionError
from snnc.frontends.model import Example, Model
from snnc.ir import Graph, Input, Linear, Neuron, Output, Rate
from snnc.reference import Inputs, Ports, Trace, run_int
from snnc.verify import verify
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
