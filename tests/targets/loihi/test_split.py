"""Layers whose neurons differ, as several populations on Loihi 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import RefusedError
from snnc.ir import Conv, Flatten, Graph, Input, IntNeuron, Kind, Linear, Node, Output, Pool, Sparse
from snnc.ir.files import read_npz
from snnc.reference import run_int
from snnc.targets.cores import program as target
from snnc.targets.cores.program import Program
from snnc.targets.loihi import Loihi
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from snnc.targets.loihi.net_file import net_reasons
from snnc.targets.loihi.program_file import from_arrays, to_bytes
from snnc.targets.loihi.split import channels_of
from tests.targets.loihi.cases import readable, same_events
from tests.targets.loihi.nets import LOIHI1, LOIHI2, assert_same, chain, lif, spikes, whole

RNG = np.random.default_rng(1)


def even(*shape: int) -> Any:
    return whole(2 * RNG.integers(-20, 30, shape))


def agrees(graph: Graph) -> Program:
    program = lower(graph, LOIHI1)
    inputs, record = spikes(graph, 4), readable(graph, program)
    wanted = run_int(graph, inputs, record)
    for back_to_back in (False, True):
        found = run_model(program, graph, inputs, record, back_to_back=back_to_back)
        assert_same(found, wanted)
        same_events(graph, found, wanted)
    return program


def kinds(program: Program) -> set[str]:
    return {type(synapse).__name__ for synapse in program.synapses}


def image(middle: IntNeuron, groups: int = 1) -> Graph:
    """Two convolutions with `middle` (of 4 channels, 5×4) between them."""
    return chain(
        (2, 6, 5),
        Conv(even(4, 2 // groups, 2, 2), groups=groups),
        middle,
        Conv(even(3, 4 // groups if groups == 1 else 4, 3, 3), None, (2, 1), (1, 1)),
        lif(theta=whole(640)),
        Pool((1, 2), (1, 2), (0, 0), "sum"),
        Flatten(),
        Linear(even(3, 3 * 3 * 2)),
        lif(theta=whole(320)),
        steps=6,
    )


def per_channel(*values: int) -> Any:
    return whole(values).reshape(-1, 1, 1)


def test_channels_of_their_own_settings_keep_the_convolutions() -> None:
    graph = image(lif(dv=per_channel(0, 100, 0, 100), theta=per_channel(640, 640, 640, 1280)))
    program = agrees(graph)
    split = program.splits["n1"]
    assert split.shape == (4, 5, 4)
    assert [len(index) // 20 for index in split.parts.values()] == [2, 1, 1]
    assert [program.populations[name].shape for name in split.parts] == [
        (2, 5, 4), (1, 5, 4), (1, 5, 4),
    ]  # fmt: skip
    assert kinds(program) == {"Conv", "Dense"}
    whole_weights = 4 * 2 * 4 + 3 * 4 * 9 + 3 * 36
    assert sum(synapse.count for synapse in program.synapses) == whole_weights
    assert program.layers["n1"] == tuple(split.parts)


def test_a_split_in_both_layers_is_a_grid_of_pieces() -> None:
    graph = image(lif(dv=per_channel(0, 0, 7, 7)))
    graph = graph.with_nodes({"n3": lif(theta=per_channel(64, 640, 640))})
    program = agrees(graph)
    assert kinds(program) == {"Conv", "Dense"}
    assert len([s for s in program.synapses if s.target.startswith("n3")]) == 4


def test_settings_within_a_channel_are_written_out() -> None:
    dv = whole(RNG.choice([0, 50, 99], (4, 5, 4)))
    program = agrees(image(lif(dv=dv)))
    assert len(program.splits["n1"].parts) == 3
    assert {"Sparse"} == {
        type(s).__name__ for s in program.synapses if "n1" in s.target or "n1" in s.source
    }


def test_a_grouped_convolution_is_written_out() -> None:
    program = agrees(image(lif(dv=per_channel(0, 9, 0, 9)), groups=2))
    assert kinds(program) == {"Sparse", "Conv", "Dense"}


def test_dense_layers_split_by_neuron_with_all_their_numbers() -> None:
    middle = lif(
        du=whole([4096, 1000, 4096, 1000, 0]),
        dv=whole([0, 0, 30, 30, 0]),
        theta=whole([64, 64, 128, 640, 6400]),
        bias_v=whole([64, -3, 4095 << 7, 0, 1]),
    )
    graph = chain((6,), Linear(even(5, 6)), middle, Linear(even(2, 5)), lif(), steps=8)
    program = agrees(graph)
    assert len(program.splits["n1"].parts) == 5
    assert kinds(program) == {"Dense"}


def test_biases_of_different_exponents_are_split() -> None:
    middle = lif(bias_v=whole([1, 4095 << 7, 3, 4094 << 7]))
    program = agrees(chain((3,), Linear(even(4, 3)), middle, steps=5))
    parts = program.splits["n1"].parts
    assert [list(index) for index in parts.values()] == [[0, 2], [1, 3]]
    assert [program.populations[name].bias_exp for name in parts] == [0, 7]  # type: ignore[attr-defined]


def test_parts_may_run_as_different_kinds() -> None:
    middle = lif(dv=whole([0, 4096, 0]), reset="hard")
    program = agrees(chain((3,), Linear(even(3, 3)), middle, steps=5))
    found = [type(program.populations[name]).__name__ for name in program.splits["n1"].parts]
    assert found == ["Lif", "Compartment"]


def test_one_to_one_links_leave_out_the_pieces_without_weights() -> None:
    """Channel by channel: every part feeds one other."""
    middle = lif(dv=whole([[0], [1], [2], [3]]))
    own = Conv(whole(np.full((4, 1, 1), 64)), None, (1,), (0,), (1,), 4)
    graph = chain((4, 1), own, middle, own, lif(dv=whole([[5], [6], [5], [7]])), steps=4)
    assert len(agrees(graph).synapses) == 4 + 4


def test_a_part_that_nothing_reaches_keeps_a_weight_of_zero() -> None:
    weight = Conv(whole([[[0]], [[64]]]), None, (1,), (0,), (1,), 2)
    program = agrees(chain((2, 1), weight, lif(dv=whole([[0], [5]]), bias_v=whole(640)), steps=4))
    assert sorted(int(s.data[0]) for s in program.synapses if isinstance(s, target.Sparse)) == [
        0, 64,
    ]  # fmt: skip


def test_a_layer_that_no_part_reaches_keeps_a_weight_of_zero() -> None:
    none = Sparse(whole([0]), whole([0]), whole([0, 1, 1]), (2,), (2,))
    middle = lif(dv=whole([0, 5]), theta=whole(64))
    program = agrees(chain((2,), Linear(even(2, 2)), middle, none, lif(bias_v=whole(640)), steps=4))
    assert [s.count for s in program.synapses if s.target == "n3"] == [1]


def test_too_many_settings_are_refused_with_their_counts() -> None:
    node = lif(dv=whole(np.arange(300)), theta=whole(64 * (np.arange(300) % 7)))
    graph = chain((2,), Linear(even(300, 2)), node, steps=2)
    with pytest.raises(RefusedError, match="n1: has 300 settings of its neurons") as found:
        lower(graph, LOIHI1)
    assert "300 of dv, 7 of theta" in found.value.cause
    assert "loihi2" in found.value.fix
    assert not lower(graph, LOIHI2).splits


def test_a_split_layer_is_saved_named_and_has_one_lag(tmp_path: Any) -> None:
    loihi = Loihi()
    graph = image(lif(dv=per_channel(0, 100, 0, 100)))
    emitted = loihi.emit(graph, loihi.limits("loihi1"))
    assert emitted.lag == {"n1": 1, "n3": 2, "n7": 3}
    assert "n1: split into 2 populations of equal settings" in emitted.report
    assert emitted.facts["split"] == {"n1": 2}
    (tmp_path / "program.npz").write_bytes(emitted.files["program.npz"])
    program = from_arrays(read_npz(tmp_path / "program.npz"), "program.npz")
    assert to_bytes(program) == emitted.files["program.npz"]
    assert "n1 is split into 2 populations" in net_reasons(program)
    inputs, record = spikes(graph, 2), readable(graph, program)
    assert_same(run_model(program, graph, inputs, record), run_int(graph, inputs, record))


def test_names_of_parts_give_way_to_names_of_nodes() -> None:
    nodes: dict[str, Node] = {
        "in": Input((2,), Kind.SPIKE),
        "a[0]": Linear(even(2, 2)),
        "a": lif(dv=whole([0, 1])),
        "a[1]": Linear(even(2, 2)),
        "b": lif(),
        "out": Output(),
    }
    program = lower(Graph.chain(nodes, steps=3), LOIHI1)
    assert set(program.splits["a"].parts) == {"a[0]'", "a[1]'"}


def test_a_right_shift_behind_a_split_layer_is_refused() -> None:
    """Floors of parts of a sum are not the floor of the sum."""
    middle = lif(dv=whole([0, 1, 2]), theta=whole(64))

    def graph(exp: int) -> Graph:
        weight = Linear(whole([[2, 6, 4]]), exp=exp)
        return chain((2,), Linear(even(3, 2)), middle, weight, lif(theta=whole(64)), steps=5)

    agrees(graph(-1))
    with pytest.raises(RefusedError, match="n1: its neurons differ, so 3 populations") as found:
        lower(graph(-2), LOIHI1)
    assert "sum into n3 is shifted right by 2" in found.value.cause
    assert found.value.fix


@pytest.mark.parametrize(
    ("index", "shape", "wanted"),
    [
        ([0, 1, 2, 6, 7, 8], (3, 3), [0, 2]),
        ([0, 1, 2, 6, 7], (3, 3), None),
        ([1, 2, 3], (3, 3), None),
        ([0, 1, 5], (3, 3), None),
        ([0, 2], (3,), [0, 2]),
    ],
)
def test_whole_channels_are_recognised(index: Any, shape: Any, wanted: Any) -> None:
    found = channels_of(np.asarray(index), shape)
    assert (None if found is None else list(found)) == wanted
