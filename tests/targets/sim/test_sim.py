"""The target `sim` as the compiler sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snnc.artefact import load
from snnc.compiler import Options, compile_model
from snnc.errors import ChipFileError, OptionError, RefusedError
from snnc.frontends.model import Model
from snnc.ir import Graph, Input, IntNeuron, Kind, Linear, Neuron, Normalise, Output
from snnc.layouts import layout_of
from snnc.targets.cores import CHIPS
from snnc.targets.registry import target
from snnc.targets.sim import Sim
from snnc.targets.sim.blas import _openblas, single_threaded


def graph() -> Graph:
    nodes = {
        "in": Input((3,), Kind.SPIKE),
        "fc": Linear(np.ones((2, 3), np.int64)),
        "lif": IntNeuron(np.asarray(4096), np.asarray(0), np.asarray(64)),
        "out": Output(),
    }
    return Graph(nodes, (("in", "fc"), ("fc", "lif"), ("lif", "out"))).check()


def test_it_is_registered_and_has_the_number_formats_of_loihi() -> None:
    sim, loihi = target("sim"), target("loihi")
    assert sim.chips == (*loihi.chips, "array")
    for chip in loihi.chips:
        assert sim.limits(chip) == loihi.limits(chip)
    assert sim.limits("array").weight_step == 1


def test_an_unknown_chip_is_named() -> None:
    with pytest.raises(OptionError, match="loihi9"):
        Sim().limits("loihi9")


def own_chip(folder: Path, compartments: int) -> str:
    text = (CHIPS / "array.toml").read_text(encoding="utf-8")
    text = text.replace('chip = "array"', 'chip = "mine"')
    changed = text.replace(
        "[core.compartments]\nvalue = 1024", f"[core.compartments]\nvalue = {compartments}"
    )
    assert changed != text
    (folder / "mine.toml").write_text(changed, encoding="utf-8")
    return str(folder / "mine.toml")


def test_a_chip_of_ones_own_is_a_file(tmp_path: Path) -> None:
    chip = own_chip(tmp_path, compartments=1)
    artefact = compile_model(Model(graph()), Options(target="sim", chip=chip))
    assert artefact.manifest["chip"] == "mine"
    artefact.save(tmp_path / "out")
    (tmp_path / "mine.toml").unlink()
    layout = layout_of(load(tmp_path / "out"))
    assert layout.architecture.core.compartments == 1
    assert len(layout.mapping.cores) == graph().signals["lif"].size
    assert str(tmp_path) not in json.dumps(artefact.manifest)


def test_a_chip_of_ones_own_has_to_be_there_and_right(tmp_path: Path) -> None:
    with pytest.raises(ChipFileError, match=r"nowhere\.toml"):
        Sim().limits(str(tmp_path / "nowhere.toml"))
    with pytest.raises(ChipFileError, match="at least 1"):
        compile_model(Model(graph()), Options(target="sim", chip=own_chip(tmp_path, 0)))


def test_what_does_not_fit_runs_without_a_layout() -> None:
    wide = Graph.chain({
        "in": Input((17000,), Kind.SPIKE), "fc": Linear(np.full((2, 17000), 2)),
        "lif": graph().nodes["lif"], "out": Output(),
    })  # fmt: skip
    artefact = compile_model(Model(wide), Options(target="sim"))
    assert not artefact.files
    assert "not laid out on cores: lif" in artefact.manifest["report"][-1]
    with pytest.raises(RefusedError, match="17,000"):
        compile_model(Model(wide), Options(target="loihi"))


def test_emitting_adds_no_lag_and_no_files() -> None:
    emitted = Sim().emit(graph(), Sim().limits("loihi1"))
    assert emitted.lag == {"lif": 0}
    assert emitted.files == {}
    assert emitted.facts == {"chip": "loihi1"}


def test_real_neurons_are_refused() -> None:
    real = graph().with_nodes({"lif": Neuron(np.asarray(0.5), np.asarray(1.0))})
    with pytest.raises(RefusedError, match="lif"):
        Sim().emit(real, Sim().limits("loihi2"))


def test_what_only_the_host_computes_is_refused() -> None:
    host = graph().with_nodes({"fc": Normalise(1, "softmax")})
    with pytest.raises(RefusedError, match="fc"):
        Sim().emit(host, Sim().limits("loihi2"))


def test_doctor_says_how_many_threads() -> None:
    (check,) = Sim().checks()
    assert check.ok
    assert "threads" in check.detail


def test_the_threads_of_blas_are_set_back() -> None:
    threads = _openblas()
    if threads is None:
        pytest.skip("this numpy has another BLAS")
    before = threads._get()
    with single_threaded() as outer, single_threaded() as inner:
        assert outer
        assert inner
        assert threads._get() == 1
    assert threads._get() == before
