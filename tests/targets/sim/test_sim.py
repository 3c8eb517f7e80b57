"""The target `sim` as the compiler sees it."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.errors import OptionError, RefusedError
from snnc.ir import Graph, Input, IntNeuron, Kind, Linear, Neuron, Normalise, Output
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
    assert sim.chips == loihi.chips
    for chip in sim.chips:
        assert sim.limits(chip) == loihi.limits(chip)


def test_an_unknown_chip_is_named() -> None:
    with pytest.raises(OptionError, match="loihi9"):
        Sim().limits("loihi9")


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
