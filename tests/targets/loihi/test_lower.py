"""Lowering: which neuron, which synapse, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import ModelFileError, OptionError, RefusedError
from snnc.ir import Conv, Delay, Flatten, Graph, Input, IntNeuron, Kind, Linear, Output, Pool
from snnc.ir.files import read_npz
from snnc.reference import run_int
from snnc.targets.cores import program as target
from snnc.targets.loihi import Loihi
from snnc.targets.loihi.compose import fit_weights
from snnc.targets.loihi.lower import lower
from snnc.targets.loihi.model import run_model
from snnc.targets.loihi.neurons import lif_reasons
from snnc.targets.loihi.numbers import split_bias
from snnc.targets.loihi.program_file import from_arrays, to_bytes
from tests.targets.loihi.nets import (
    LOIHI1,
    LOIHI2,
    assert_same,
    chain,
    everything,
    lif,
    spikes,
    whole,
)

TWO = whole([[2, -4], [6, 254]])


def kinds(graph: Graph) -> list[str]:
    return [type(synapse).__name__ for synapse in lower(graph, LOIHI2).synapses]


def agrees(graph: Graph) -> None:
    inputs, record = spikes(graph, 3), everything(graph)
    found = run_model(lower(graph, LOIHI2), graph, inputs, record)
    assert_same(found, run_int(graph, inputs, record))


def test_lif_takes_the_extremes_of_its_ranges() -> None:
    bias = whole([4095 << 7, -4096 << 7, 0])
    node = lif(du=whole(0), dv=whole(4095), theta=whole(131071 << 6), bias_v=bias)
    assert lif_reasons(node, LOIHI1) == []
    graph = chain((2,), Linear(whole([[2, 4], [6, 8], [0, 2]])), node, steps=4)
    made = lower(graph, LOIHI1).populations["n1"]
    assert isinstance(made, target.Lif)
    assert (made.du, made.dv, made.vth, made.bias_exp) == (-1, 4095, 131071, 7)
    agrees(graph)


CARRIED_ON_LOIHI1: list[tuple[dict[str, Any], str]] = [
    ({"reset": "soft", "v_sub": whole(640)}, "it resets soft/now, not hard/now"),
    ({"reset_at": "after"}, "it resets hard/after, not hard/now"),
    ({"reset": "none"}, "it resets none/now, not hard/now"),
    ({"reset": "none", "fires": False}, "it never fires"),
    ({"theta": whole([64, 128])}, "its threshold differs between neurons"),
    ({"du": whole([1, 2])}, "its current decay differs between neurons"),
    ({"dv": whole([1, 2])}, "its membrane decay differs between neurons"),
    ({"dv": whole(4096)}, "its membrane decay 4096 is outside 0…4095"),
    ({"v_init": whole(1)}, "its membrane does not start at 0"),
    ({"bias_v": whole([1, 1 << 15])}, "its bias is no 13-bit mantissa"),
]


@pytest.mark.parametrize(("changes", "reason"), CARRIED_ON_LOIHI1)
def test_what_lif_can_not_say_is_a_program_on_loihi2_and_compartments_on_loihi1(
    changes: dict[str, Any], reason: str
) -> None:
    graph = chain((2,), Linear(TWO), lif(**changes), steps=3)
    node = graph.nodes["n1"]
    assert isinstance(node, IntNeuron)
    assert any(found.startswith(reason) for found in lif_reasons(node, LOIHI2))
    assert isinstance(lower(graph, LOIHI2).populations["n1"], target.Canonical)
    program = lower(graph, LOIHI1)
    assert any(note.startswith(("n1: runs on", "n1: split into")) for note in program.notes)
    inputs = spikes(graph, 3)
    record = {"n1": tuple(program.ports("n1"))}
    assert_same(run_model(program, graph, inputs, record), run_int(graph, inputs, record))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reset": "soft", "reset_at": "guarded"}, "it resets soft/guarded"),
        ({"order": "vu"}, "it updates v before u"),
        ({"theta": whole(65)}, "its threshold 65 is no multiple of 64 in 0…8388544"),
        ({"theta": whole(131072 << 6)}, "its threshold 8388608 is no multiple"),
        ({"theta": whole(-64)}, "its threshold -64 is no multiple"),
        ({"bias_u": whole(1)}, "it has a current bias"),
        ({"v_init": whole(1 << 23)}, "its membrane "),
        ({"bias_v": whole([4096 << 7, 0])}, "its bias is no 13-bit mantissa times 2^0…2^7"),
        ({"shift": 5}, "it shifts sums by 5, not 6"),
        ({"state_bits": 20}, "its states have 20 bits"),
    ],
)
def test_what_lif_can_not_say_is_a_program_on_loihi2_and_refused_on_loihi1(
    changes: dict[str, Any], reason: str
) -> None:
    graph = chain((2,), Linear(TWO), lif(**changes), steps=3)
    node = graph.nodes["n1"]
    assert isinstance(node, IntNeuron)
    assert any(found.startswith(reason) for found in lif_reasons(node, LOIHI2))
    program = lower(graph, LOIHI2)
    assert isinstance(program.populations["n1"], target.Canonical)
    assert any(note.startswith("n1: runs as snnc's neuron program") for note in program.notes)
    with pytest.raises(RefusedError, match="n1: the compartments of loihi1") as found:
        lower(graph, LOIHI1)
    assert reason in found.value.cause
    assert "loihi2" in found.value.fix


def test_one_value_in_many_is_one_value() -> None:
    node = lif(theta=whole([64, 64]), dv=whole([[7], [7]]))
    assert lif_reasons(node, LOIHI2) == []


def test_a_bias_takes_the_smallest_exponent() -> None:
    mantissa, exp = split_bias(whole([4096, -64]), LOIHI2) or (None, None)
    assert exp == 1
    np.testing.assert_array_equal(mantissa, [2048, -32])


def test_odd_weights_are_doubled_and_shifted_back() -> None:
    graph = chain((3,), Linear(whole([[1, -3, 127]]), exp=-1), lif(), steps=4)
    (synapse,) = lower(graph, LOIHI2).synapses
    assert isinstance(synapse, target.Dense)
    np.testing.assert_array_equal(synapse.weight, [[2, -6, 254]])
    assert synapse.exp == -2
    agrees(graph)


def test_large_even_weights_are_halved_and_shifted() -> None:
    weight, exp = fit_weights("w", whole([[508, -4]]), 0, LOIHI2)
    np.testing.assert_array_equal(weight, [[254, -2]])
    assert exp == 1


@pytest.mark.parametrize("weight", [[[255, 1]], [[256, 2]], [[-258, 2]], [[3, 200]]])
def test_weights_out_of_range_are_refused(weight: Any) -> None:
    graph = chain((2,), Linear(whole(weight)), lif(), steps=3)
    with pytest.raises(RefusedError, match=r"n0: weights .* don't fit into -256…254"):
        lower(graph, LOIHI2)


def test_exponents_out_of_range_are_refused() -> None:
    graph = chain((2,), Linear(whole([[254, 2]]), exp=8), lif(), steps=3)
    with pytest.raises(RefusedError, match="n0: weights"):
        lower(graph, LOIHI2)


def test_weights_of_zero_have_any_exponent() -> None:
    agrees(chain((2,), Linear(whole([[0, 0]]), exp=-20), lif(bias_v=whole(640)), steps=3))


def test_a_population_without_weights_is_an_identity() -> None:
    graph = chain((2,), lif(theta=whole(0)), steps=3)
    (synapse,) = lower(graph, LOIHI2).synapses
    assert isinstance(synapse, target.Sparse)
    assert (list(synapse.data), synapse.exp) == ([2, 2], -1)
    agrees(graph)


def conv(out: int, channels: int, kernel: tuple[int, ...], seed: int = 0, **options: Any) -> Conv:
    rng = np.random.default_rng(seed)
    ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
    return Conv(
        whole(2 * rng.integers(-20, 21, (out, channels, *kernel))),
        **{"stride": ones, "padding": zeros, "dilation": ones} | options,
    )


@pytest.mark.parametrize(
    ("pool", "node", "wanted"),
    [
        (Pool((2, 2), (2, 2), (0, 0), "sum"), conv(2, 2, (3, 2)), "Conv"),
        (Pool((2, 2), (2, 2), (0, 0), "sum"), conv(2, 2, (3, 3), padding=(1, 1)), "Conv"),
        (Pool((2, 3), (1, 2), (1, 0), "sum"), conv(2, 2, (2, 2), stride=(1, 2)), "Conv"),
        (Pool((2, 2), (2, 2), (0, 0), "sum"), conv(2, 2, (2, 2), dilation=(1, 2)), "Conv"),
        (Pool((3, 1), (3, 1), (0, 0), "sum"), conv(2, 1, (2, 2), groups=2), "Conv"),
        # Nine rows pooled by two leave one out, which the padding of the convolution would meet.
        (Pool((2, 2), (2, 2), (0, 0), "sum"), conv(2, 2, (2, 2), padding=(1, 0)), "Sparse"),
        # Windows that overlap reach back from the convolution's padding into the input.
        (Pool((3, 3), (1, 1), (1, 1), "sum"), conv(2, 2, (2, 2), padding=(1, 1)), "Sparse"),
    ],
)  # fmt: skip
def test_a_pool_joins_the_convolution_where_that_is_exact(
    pool: Pool, node: Conv, wanted: str
) -> None:
    rows = 9 if wanted == "Sparse" else 8
    graph = chain((2, rows, 10), pool, node, lif(dv=whole(100), theta=whole(64)), steps=4)
    assert kinds(graph) == [wanted]
    agrees(graph)


def test_pool_flatten_linear_is_one_matrix() -> None:
    weight = whole(2 * np.random.default_rng(0).integers(-20, 21, (5, 2 * 4 * 3)))
    graph = chain((2, 9, 7), Pool((2, 2), (2, 2), (0, 0), "sum"), Flatten(), Linear(weight),
                  lif(theta=whole(640)), steps=4)  # fmt: skip
    assert kinds(graph) == ["Dense"]
    agrees(graph)


def test_one_axis_is_two_with_an_extent_of_one() -> None:
    graph = chain((2, 9), Pool((2,), (2,), (0,), "sum"), conv(3, 2, (3,), padding=(1,)),
                  lif(theta=whole(640)), steps=4)  # fmt: skip
    program = lower(chain((2, 8), *list(graph.nodes.values())[1:-1], steps=4), LOIHI2)
    assert isinstance(program.synapses[0], target.Conv)
    assert program.synapses[0].in_shape == (2, 1, 8)
    agrees(graph)


@pytest.mark.parametrize(
    ("exp", "wanted"), [(0, "Conv"), (3, "Conv"), (-1, "Conv"), (-2, "Sparse")]
)
def test_a_convolution_that_lava_can_not_shift_is_written_out(exp: int, wanted: str) -> None:
    graph = chain((2, 6, 5), conv(3, 2, (3, 2), exp=exp), lif(theta=whole(640)), steps=4)
    assert kinds(graph) == [wanted]
    notes = lower(graph, LOIHI2).notes
    assert any("can't shift its sums right by 2" in note for note in notes) == (wanted == "Sparse")
    agrees(graph)


def test_a_convolution_whose_sums_lava_would_wrap_is_written_out() -> None:
    node = Conv(whole(np.full((1, 2, 3, 3), 254)))
    source = Input((2, 4, 4), Kind.GRADED, bits=12)
    assert kinds(chain((2, 4, 4), node, lif(), source=source, steps=2)) == ["Sparse"]


def test_two_weights_in_a_row_are_multiplied() -> None:
    second = Linear(whole([[2, -4]]), exp=-3)
    agrees(chain((2,), Linear(whole([[1, 2], [3, -5]]), exp=1), second, lif(), steps=4))


def fork(**changes: Any) -> Graph:
    """Two branches into one neuron, one a layer longer."""
    nodes: dict[str, Any] = {
        "in": Input((2,), Kind.SPIKE),
        "w1": Linear(TWO),
        "a": lif(theta=whole(64)),
        "w2": Linear(TWO),
        "skip": Linear(TWO, exp=-2),
        "b": lif(dv=whole(50)),
        "out": Output(),
    }
    edges = (("in", "w1"), ("w1", "a"), ("a", "w2"), ("w2", "b"), ("in", "skip"), ("skip", "b"),
             ("b", "out"))  # fmt: skip
    return Graph({**nodes, **changes}, edges, steps=5).check()


def test_branches_of_different_depth_meet_again() -> None:
    program = lower(fork(), LOIHI2)
    assert {s.source + s.target: s.delay for s in program.synapses} == {"ina": 0, "ab": 0, "inb": 1}
    agrees(fork())


def test_a_program_can_be_read_back_and_is_the_same_bytes(tmp_path: Any) -> None:
    graph = fork(b=lif(reset="soft", v_sub=whole(640)))
    data = to_bytes(lower(graph, LOIHI2))
    assert data == to_bytes(lower(graph, LOIHI2))
    (tmp_path / "program.npz").write_bytes(data)
    program = from_arrays(read_npz(tmp_path / "program.npz"), "program.npz")
    assert to_bytes(program) == data
    inputs, record = spikes(graph, 2), everything(graph)
    assert_same(run_model(program, graph, inputs, record), run_int(graph, inputs, record))


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(ModelFileError, match=r"x\.npz: not a program of snnc"):
        from_arrays({"a": np.zeros(3)}, "x.npz")


def refused(graph: Graph, where: str, cause: str, limits: Any = LOIHI2) -> None:
    with pytest.raises(RefusedError, match=cause) as found:
        lower(graph, limits)
    assert found.value.where == where
    assert found.value.fix


def test_an_average_pool_is_refused() -> None:
    graph = chain((1, 4, 4), Pool((2, 2), (2, 2), (0, 0)), conv(1, 1, (2, 2)), steps=2)
    nodes = {**graph.nodes, "n2": lif()}
    edges = (("in", "n0"), ("n0", "n1"), ("n1", "n2"), ("n2", "out"))
    with pytest.raises(RefusedError, match="n0: a Pool node has no place on Loihi"):
        lower(Graph(nodes, edges, steps=2), LOIHI2)


def test_a_shift_right_between_weights_is_refused() -> None:
    graph = chain((2,), Linear(TWO, exp=-2), Linear(TWO), lif(), steps=2)
    refused(graph, "n0", "shifted right and then goes through n1")


def test_a_shift_right_of_a_sum_of_populations_is_refused() -> None:
    graph = fork(w2=Linear(TWO, exp=-2))
    edges = tuple(e for e in graph.edges if e[0] != "skip" and e[1] != "skip")
    nodes = {name: node for name, node in graph.nodes.items() if name != "skip"}
    refused(Graph(nodes, (*edges, ("in", "w2")), steps=3).check(), "w2", "sum of several inputs")


def test_an_output_of_a_sum_is_refused() -> None:
    refused(chain((2,), lif(), Linear(TWO), steps=2), "out", "reads n1, a Linear")


def test_graded_messages_are_refused_on_loihi1_and_when_too_wide() -> None:
    source = Input((2,), Kind.GRADED, bits=8)
    refused(
        chain((2,), Linear(TWO), lif(), source=source, steps=2), "in", "carries no bits", LOIHI1
    )
    wide = Input((2,), Kind.GRADED, bits=25)
    refused(chain((2,), Linear(TWO), lif(), source=wide, steps=2), "in", "carries 24 bits")
    silent = lif(fires=False, reset="none", state_bits=32)
    graph = chain((2,), Linear(TWO), silent, Linear(TWO), lif(), steps=2)
    refused(graph, "n1", "sends integers of 32 bits")


def test_delays_take_gates_on_loihi2_and_a_cleared_chip_on_loihi1() -> None:
    graph = chain((2,), Linear(TWO), lif(), Delay(2), Linear(TWO), lif(), steps=4)
    agrees(graph)
    assert not lower(graph, LOIHI2).cleared
    program = lower(graph, LOIHI1)
    assert program.cleared
    assert {synapse.gate for synapse in program.synapses} == {0}
    assert any("n1 feeds delays" in note for note in program.notes)
    inputs, record = spikes(graph, 3), everything(graph)
    assert_same(run_model(program, graph, inputs, record), run_int(graph, inputs, record))


def test_long_delays_are_refused() -> None:
    refused(chain((2,), Delay(64), Linear(TWO), lif(), steps=4), "n1", "delay of 63 steps")


def test_too_many_synapses_to_write_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnc.targets.loihi.matrices.MATRIX_MAX", 100)
    graph = chain((2, 6, 5), conv(3, 2, (3, 2), exp=-2), lif(), steps=4)
    refused(graph, "n0", "has to be written out as 576 synapses")
    pooled = chain((2, 8, 8), Pool((2, 2), (2, 2), (0, 0), "sum"), Flatten(),
                   Linear(whole(np.full((5, 32), 2))), lif(), steps=4)  # fmt: skip
    refused(pooled, "n2", "has to be written out as")


def test_parameters_beyond_32_bits_are_refused() -> None:
    graph = chain((2,), Linear(TWO), lif(theta=whole(1 << 40)), steps=2)
    refused(graph, "n1", "theta needs more than 32 bits")


def test_the_target_emits_the_same_bytes_and_says_what_it_did() -> None:
    loihi = Loihi()
    graph = fork(b=lif(reset="soft", v_sub=whole(640)))
    emitted = loihi.emit(graph, loihi.limits("loihi2"))
    assert emitted.files == loihi.emit(graph, loihi.limits("loihi2")).files
    assert set(emitted.files) == {"program.npz"}
    assert emitted.lag == {"a": 1, "b": 2}
    assert emitted.facts["neuron_programs"] == ["b"]
    text = "\n".join(emitted.report)
    assert "b: runs as snnc's neuron program, since it resets soft/now" in text
    assert "no .net file: in stands at a branch" in text


def test_limits_name_their_sources_and_unknown_chips_are_refused() -> None:
    loihi = Loihi()
    for chip in loihi.chips:
        limits = loihi.limits(chip)
        assert limits.chip == chip
        assert all(len(source) > 20 for source in limits.sources.values())
    with pytest.raises(OptionError, match="no chip 'loihi3'"):
        loihi.limits("loihi3")
