"""Networks whose first or last operations run on the host."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from snnc import artefact as artefacts
from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.errors import InputError, OptionError, RefusedError
from snnc.frontends.model import Example, Model
from snnc.ir import (
    Conv,
    Flatten,
    Graph,
    Input,
    Kind,
    Linear,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Place,
    Rate,
    Sum,
)
from snnc.passes.regions import cut
from snnc.verify import check_inputs, run_stage, verify

RNG = np.random.default_rng(0)


def lif(theta: float = 1.0) -> Neuron:
    return Neuron(np.asarray(0.9), np.asarray(theta), compare=">=")


def body() -> dict[str, Node]:
    return {
        "conv": Conv(RNG.normal(0, 0.4, (4, 3, 3, 3)), RNG.normal(0, 0.1, 4), padding=(1, 1)),
        "lif": lif(),
        "conv2": Conv(RNG.normal(0, 0.4, (4, 4, 3, 3)), padding=(1, 1)),
        "lif2": lif(),
        "flat": Flatten(),
        "fc": Linear(RNG.normal(0, 0.3, (5, 64)), RNG.normal(0, 0.1, 5)),
    }


def stem() -> dict[str, Node]:
    return {
        "input": Input((2, 8, 8), Kind.ANALOG, Rate.SAMPLE),
        "first": Conv(RNG.normal(0, 0.5, (3, 2, 3, 3)), RNG.normal(0, 0.1, 3), padding=(1, 1)),
        "relu": Map("relu"),
        "pool": MaxPool((2, 2), (2, 2), (0, 0), (1, 1)),
    }


HEAD: dict[str, Node] = {"softmax": Normalise(1, "log_softmax"), "output": Output("s", "mean")}


def compiled(nodes: dict[str, Node], **options: object) -> tuple[Artefact, np.ndarray]:
    graph = Graph.chain(nodes, 6)
    x = RNG.normal(0.3, 0.5, (5, *graph.signals["input"].shape))
    model = Model(graph, Example({"input": x}, {}, {}))
    return compile_model(model, Options(**options), x), x  # type: ignore[arg-type]


def test_stem_and_head_run_on_the_host_and_every_stage_agrees() -> None:
    artefact, x = compiled({**stem(), **body(), **HEAD})
    assert artefact.host.stem is not None
    assert artefact.host.head is not None
    assert set(artefact.int_graph.neurons) >= {"lif", "lif2"}
    host = artefact.manifest["host"]
    assert [(c["node"], c["into"], c["shape"]) for c in host["crossings"]] == [
        ("pool", "cores", [3, 4, 4]),
        ("fc", "host", [5]),
    ]
    reasons = {"relu": "relu of a real value", "pool": "12.9 %", "softmax": "logarithms"}
    assert list(host["why"]) == list(reasons)
    assert all(reasons[name] in why for name, why in host["why"].items())
    report = verify(artefact, x, ["s1", "s2", "sim", "loihi"])
    assert report.ok
    float_run, integer_run = (
        run_stage(artefact, stage, check_inputs(artefact, x)) for stage in ("s1", "sim")
    )
    assert list(integer_run.outputs) == list(float_run.outputs) == ["output"]
    close = np.abs(integer_run.outputs["output"] - float_run.outputs["output"])
    assert np.median(close) < 0.05, "log-probabilities behind the quantised core"
    assert np.ptp(float_run.outputs["output"]) > 0.5


def test_an_artefact_with_host_parts_reads_back(tmp_path: Path) -> None:
    artefact, x = compiled({**stem(), **body(), **HEAD})
    artefact.save(tmp_path / "a")
    again = artefacts.load(tmp_path / "a")
    first, second = (run_stage(a, "sim", check_inputs(a, x)).outputs for a in (artefact, again))
    np.testing.assert_array_equal(first["output"], second["output"])
    again.save(tmp_path / "b")
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.npz"))
    assert {"stem.npz", "head.npz"} <= {str(name) for name in names}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_chip_with_binary_spikes_gets_spikes_from_the_host() -> None:
    artefact, x = compiled({**stem(), **body(), "output": Output("s", "mean")}, chip="loihi1")
    assert artefact.host.stem is not None
    assert artefact.host.stem.neurons == ["lif"]
    assert all(signal.kind is Kind.SPIKE for signal in _inputs(artefact.int_graph))
    assert verify(artefact, x, ["s1", "s2", "sim", "loihi"]).ok


def _inputs(graph: Graph) -> list[Input]:
    return [node for node in graph.nodes.values() if isinstance(node, Input)]


def test_the_host_can_be_the_encoder() -> None:
    plain = {"input": Input((3, 4, 4), Kind.ANALOG, Rate.SAMPLE), **body()}
    for chip in ("loihi1", "loihi2"):
        artefact, x = compiled({**plain, "output": Output("s", "sum")}, chip=chip, encoding="host")
        assert artefact.host.stem is not None
        assert artefact.host.stem.neurons == ["lif"]
        assert verify(artefact, x, ["s1", "s2", "sim", "loihi"]).ok


def test_a_node_can_be_forced_to_the_host() -> None:
    plain = {"input": Input((3, 4, 4), Kind.ANALOG, Rate.SAMPLE), **body(), "output": Output()}
    artefact, x = compiled(plain, host=("fc",))
    assert artefact.host.head is not None
    assert "fc" in artefact.host.head.nodes
    assert verify(artefact, x, ["s1", "s2", "sim"]).ok


def test_a_host_operation_between_spiking_layers_is_refused_with_the_remedy() -> None:
    nodes = {**stem(), **body()}
    order = list(nodes)
    order.insert(order.index("lif2"), "norm")
    nodes["norm"] = Normalise(1, "layer", 1e-5)
    with pytest.raises(RefusedError, match="--host norm") as error:
        compiled({name: nodes[name] for name in order} | {"output": Output()})
    assert error.value.where == "norm"


BETWEEN: dict[str, tuple[Node, str, str]] = {
    "maximum": (MaxPool((2, 2), (2, 2), (0, 0), (1, 1)), "12.9 %", "pool the neuron's spikes"),
    "function": (Map("gelu"), "no core computes gelu", "a spiking neuron take its place"),
    "layer norm": (Normalise(1, "layer", 1e-5), "values of each sample", "batch norm"),
    "l2": (Normalise(1, "l2"), "divides by a length", "behind the last spiking layer"),
    "softmax": (Normalise(4, "softmax"), "exponentials or divides", "attention without softmax"),
    "log softmax": (Normalise(1, "log_softmax"), "logarithms", "at the end only"),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_the_remedy_belongs_to_the_node(what: str) -> None:
    node, cause, fix = BETWEEN[what]
    nodes = {
        "input": Input((2, 4, 4), Kind.SPIKE), "lif": lif(), "node": node, "flat": Flatten(),
        "fc": Linear(np.ones((3, 8 if what == "maximum" else 32))), "lif2": lif(),
        "output": Output(),
    }  # fmt: skip
    with pytest.raises(RefusedError, match=r"\(--host node\)") as error:
        cut(Graph.chain(nodes, 4), lambda _: "", True)
    assert error.value.where == "node"
    assert cause in error.value.cause
    assert fix in error.value.fix


def product(node: Node, kind: Kind) -> Graph:
    """A product of a layer's values with themselves, before the second neuron."""
    weight = np.ones((4, 4)) if kind is Kind.ANALOG else None
    nodes: dict[str, Node] = {
        "input": Input((4,), Kind.SPIKE), "lif": lif(), "a": Place(0, 8), "b": Place(4, 8),
        "product": node, "flat": Flatten(), "fc": Linear(np.ones((3, 4))), "lif2": lif(),
        "output": Output(),
    }  # fmt: skip
    source = "lif"
    edges = [("input", "lif"), ("a", "product"), ("b", "product"), ("product", "flat"),
             ("flat", "fc"), ("fc", "lif2"), ("lif2", "output")]  # fmt: skip
    if weight is not None:
        nodes["currents"], source = Linear(weight), "currents"
        edges.append(("lif", "currents"))
    return Graph(nodes, (*edges, (source, "a"), (source, "b")), 4).check()


@pytest.mark.parametrize("node", [Multiply(), MatMul(1, 2, 2, 2)], ids=["Multiply", "MatMul"])
def test_products_of_real_values_are_the_host_s(node: Node) -> None:
    with pytest.raises(RefusedError, match="no core multiplies real values") as error:
        cut(product(node, Kind.ANALOG), lambda _: "", True)
    assert "put a spiking neuron before both" in error.value.fix


def test_a_matrix_product_of_spikes_is_a_core_s() -> None:
    assert cut(product(MatMul(1, 2, 2, 2), Kind.SPIKE), lambda _: "", True).head is None


def test_all_that_stands_between_is_named_at_once() -> None:
    nodes = {"input": Input((4,), Kind.SPIKE), "a": lif(), "x": Map("relu"), "b": lif(),
             "y": Map("tanh"), "c": lif(), "output": Output()}  # fmt: skip
    graph = Graph.chain(nodes, 4)
    with pytest.raises(RefusedError, match="so are y") as error:
        cut(graph, lambda _: "", True)
    assert "--host x --host y" in error.value.fix
    with pytest.raises(RefusedError, match="y: a Map between"):
        cut(graph, lambda _: "", True, ["x"])
    regions = cut(graph, lambda _: "", True, ["x", "y"])
    assert (regions.stem.neurons, regions.core.neurons) == (["a"], ["b"])


def test_what_is_before_a_node_that_was_asked_for_needs_no_asking() -> None:
    nodes = {"input": Input((4,), Kind.SPIKE), "a": lif(), "x": Map("relu"), "b": lif(),
             "y": Map("tanh"), "c": lif(), "d": lif(), "output": Output()}  # fmt: skip
    regions = cut(Graph.chain(nodes, 4), lambda _: "", True, ["y"])
    assert list(regions.stem.nodes)[:-1] == ["input", "a", "x", "b", "y"]


def test_a_neuron_that_only_adds_up_runs_behind_a_function() -> None:
    counter = Neuron(np.asarray(1.0), np.asarray(0.0), reset="none", compare="never")
    nodes = {"input": Input((4,), Kind.SPIKE), "lif": lif(), "x": Map("exp"), "total": counter,
             "y": Map("tanh"), "output": Output("s", "last")}  # fmt: skip
    regions = cut(Graph.chain(nodes, 4), lambda _: "", True)
    assert (regions.core.neurons, regions.head.neurons) == (["lif"], ["total"])


def test_everything_on_the_host_is_refused() -> None:
    nodes = {**stem(), "flat": Flatten(), "fc": Linear(RNG.normal(size=(3, 48))), "lif": lif()}
    with pytest.raises(RefusedError, match="no spiking layer is left"):
        compiled({**nodes, "output": Output()}, host=("lif",))


def test_spikes_of_the_samples_don_t_go_with_a_stem() -> None:
    with pytest.raises(OptionError, match="the host computes on the samples: relu, pool\n"):
        compiled({**stem(), **body(), **HEAD}, encoding="latency")


def test_other_samples_may_reach_further_in_what_the_host_computes() -> None:
    artefact, x = compiled({**stem(), **body(), **HEAD})
    assert verify(artefact, 1.9 * x, ["s1", "s2", "sim"]).ok
    (pool,) = _inputs(artefact.int_graph)
    reached = artefact.host.front({"input": x})["pool"].max()
    assert pool.range[1] * pool.scale == pytest.approx(2 * reached, rel=0.01)
    assert pool.bits == 9
    with pytest.raises(InputError, match="--input-range"):
        verify(artefact, 3 * x, ["s2"])


def test_spikes_that_the_host_makes_pass_by_the_cores_too() -> None:
    """A skip connection from the encoder, on the host, to a sum behind the cores."""
    nodes = {"input": Input((3, 4, 4), Kind.ANALOG, Rate.SAMPLE), **body(), "output": Output()}
    nodes |= {"add": Sum(), "last": Conv(RNG.normal(size=(2, 4, 3, 3)))}
    order = ["input", "conv", "lif", "conv2", "lif2", "add", "last", "output"]
    edges = (*itertools.pairwise(order), ("lif", "add"))
    graph = Graph({name: nodes[name] for name in order}, edges, 6).check()
    x = RNG.normal(0.3, 0.5, (5, 3, 4, 4))
    model = Model(graph, Example({"input": x}, {}, {}))
    artefact = compile_model(model, Options(chip="loihi1", encoding="host", host=("add",)), x)
    assert artefact.host.head is not None
    assert artefact.host.head.inputs == ["lif", "lif2"]
    assert list(artefact.manifest["host"]["units"]) == ["lif2.out"]
    assert verify(artefact, x, ["s1", "s2", "sim", "loihi"]).ok


def test_what_is_the_same_at_every_step_reaches_a_head_at_every_step() -> None:
    rng = np.random.default_rng(1)
    nodes = {
        "input": Input((3,), Kind.SPIKE, Rate.SAMPLE), "fc": Linear(rng.normal(size=(4, 3))),
        "lif": lif(), "fc2": Linear(rng.normal(size=(2, 4))), "short": Linear(np.eye(2, 3)),
        "add": Sum(), "relu": Map("relu"), "output": Output(),
    }  # fmt: skip
    edges = (
        ("input", "fc"), ("fc", "lif"), ("lif", "fc2"), ("fc2", "add"), ("input", "short"),
        ("short", "add"), ("add", "relu"), ("relu", "output"),
    )  # fmt: skip
    x = rng.integers(0, 2, (5, 3))
    model = Model(Graph(nodes, edges, 4).check(), Example({"input": x}, {}, {}))
    artefact = compile_model(model, Options("sim", host=("add",)), x)
    first, second = (
        run_stage(artefact, stage, check_inputs(artefact, x)).outputs["output"]
        for stage in ("s1", "sim")
    )
    np.testing.assert_allclose(first, second, atol=0.05)


def test_an_unknown_node_is_named() -> None:
    plain = {"input": Input((3, 4, 4)), **body(), "output": Output()}
    with pytest.raises(OptionError, match="no node 'nothing'"):
        cut(Graph.chain(plain, 4), lambda _: "", True, ["nothing"])
