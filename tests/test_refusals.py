"""Every refusal of the compiler and the targets, provoked: it names the node, limit and remedy.

One case for each place in the sources that makes a `RefusedError`; the last test compares the
places that the cases reached with those that stand in the sources, so that a new refusal needs a
case here. What the frontends refuse is provoked by their own tests; `test_errors.py` checks that
each of those names a remedy, too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc import errors
from snnc.clocks import Builder, slowed
from snnc.compiler import Options, compile_model
from snnc.errors import RefusedError
from snnc.frontends.model import Model
from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    Kind,
    Linear,
    Map,
    MatMul,
    Neuron,
    Node,
    Output,
    Place,
    Pool,
    Rate,
    Scale,
    Sum,
)
from snnc.layouts import layout_of
from snnc.passes.quantise import quantise
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import read_architecture
from snnc.targets.cores.axons import build_axons
from snnc.targets.cores.mapper.mapper import map_program
from snnc.targets.cores.timing.timer import Timer
from snnc.targets.loihi import lava_run
from snnc.targets.loihi.lower import lower
from snnc.targets.registry import target as find_target
from snnc.wavelets import haar
from tests.targets.loihi import nets
from tests.targets.loihi.nets import LOIHI1, LOIHI2, whole

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "snnc").rglob("*.py"), *(ROOT / "targets").rglob("*.py")])

Site = tuple[str, int]
"""A file, as a path below the project, and the line where a constructor is called."""


@dataclass(frozen=True)
class Trial:
    """What a user does with a graph; `adding` is the name of what that would add to it."""

    graph: Graph
    run: Callable[[], object]
    adding: str = ""


@dataclass(frozen=True)
class Case:
    """A refusal: what provokes it, the place it names, and patterns of its cause and its fix."""

    provoke: Callable[[], Trial]
    where: str
    cause: str
    fix: str


CASES: dict[str, Case] = {}


def refusal(where: str, cause: str, fix: str) -> Callable[[Callable[[], Trial]], None]:
    def register(provoke: Callable[[], Trial]) -> None:
        CASES[provoke.__name__.strip("_")] = Case(provoke, where, cause, fix)

    return register


def compiled(graph: Graph, data: Any = None, **options: Any) -> Trial:
    """A float graph through the whole compiler, with calibration data or without."""
    return Trial(graph, lambda: compile_model(Model(graph.check()), Options(**options), data))


def emitted(graph: Graph, target: str = "loihi", chip: str | None = None) -> Trial:
    """A graph given to a target as it is."""
    backend = find_target(target)
    return Trial(graph, lambda: backend.emit(graph, backend.limits(chip)))


def spikes(*shape: int) -> Input:
    return Input(shape, Kind.SPIKE)


def neuron(**changes: Any) -> Neuron:
    settings: dict[str, Any] = {"a_v": 0.5, "theta": 1.0}
    numbers = {
        key: np.asarray(value, float) if not isinstance(value, str) else value
        for key, value in {**settings, **changes}.items()
    }
    return Neuron(**numbers)


def integrator(**changes: Any) -> Neuron:
    return neuron(reset="none", compare="never", **changes)


def wired(nodes: Mapping[str, Node], *chains: str) -> Graph:
    """Nodes with edges along each of `chains`, "a b c": a → b → c."""
    edges = [edge for names in chains for edge in pairwise(names.split())]
    return Graph(nodes, tuple(dict.fromkeys(edges)), steps=4)


def layer(lif: Neuron, output: Output | None = None, weight: Any = None) -> Graph:
    """in → fc → lif → out."""
    shape = (2, 3) if weight is None else np.shape(weight)
    nodes: dict[str, Node] = {
        "in": spikes(shape[1]), "fc": Linear(np.ones(shape) if weight is None else weight),
        "lif": lif, "out": output or Output(),
    }  # fmt: skip
    return wired(nodes, "in fc lif out")


# ---- parts of float graphs that can't be built


@refusal("lif", "at 1/2 of the rate: without a hard reset it can fire again", "use a hard reset")
def _neuron_of_half_the_rate() -> Trial:
    soft = neuron(reset="soft")
    return Trial(layer(soft), lambda: slowed(soft, 2, "lif"))


@refusal("haar.1.t", "values of in through, which are real .* no neuron multiplies", "range of its")
def _wavelet_in_time_of_real_values() -> Trial:
    net = Builder({"in": Input((4,))}, [])
    return Trial(layer(neuron()), lambda: haar(net, "haar", "in", "t"), "haar")


# ---- what the compiler refuses before it knows the target's program


@refusal("lif", r"membrane keeps a_v = 1\.5 .* not between 0 and 1: .* 12 bits", "between 0 and 1")
def _membrane_that_grows() -> Trial:
    return compiled(layer(neuron(a_v=1.5)))


@refusal("lif", r"current keeps a_u = -0\.5 .* not between 0 and 1", "between 0 and 1")
def _current_that_alternates() -> Trial:
    return compiled(layer(neuron(a_u=[0.5, -0.5])))


@refusal("lif", r"threshold lies below the value that it resets to, by 0\.5;", "above the value")
def _threshold_below_the_reset() -> Trial:
    return compiled(layer(neuron(theta=0.5, v_reset=1.0)))


@refusal("lif", r"threshold lies below 0, by 1;", "above 0")
def _threshold_below_0() -> Trial:
    return compiled(layer(neuron(theta=-1.0, reset="soft")))


@refusal("lif", r"add up to [\d,]+, more than the 32 bits", "--input-bits")
def _sum_of_a_wide_layer() -> Trial:
    graph = layer(neuron(a_v=1.0), weight=np.full((1, 5000), 100.0))
    nodes = {**graph.nodes, "in": Input((5000,), rate=Rate.SAMPLE)}
    dark = np.zeros((1, 5000))
    return compiled(graph.with_(nodes=nodes), dark, input_bits=16, input_range=(0.0, 1.0))


@refusal(
    "lif",
    r"up to 0\.5, does not fit a register of 13 bits times 2\^5",
    "smaller biases or --chip loihi2",
)
def _bias_beyond_its_register() -> Trial:
    """No chip of ours: one whose bias can't reach the unit of the membrane."""
    graph = layer(neuron(a_v=1.0, b=0.5))
    return Trial(graph, lambda: quantise(graph, replace(LOIHI1, bias_exp_max=5)))


def _host_between(name: str, **options: Any) -> Trial:
    nodes = {
        "in": spikes(4), "lif0": neuron(), "relu": Map("relu"), "lif1": neuron(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in lif0 relu lif1 out"), **options)


@refusal("relu", "a Map between spiking layers: no core computes relu", "--host relu")
def _function_between_spiking_layers() -> Trial:
    return _host_between("relu")


@refusal("relu, lif1", "no spiking layer is left for the cores", "use spiking layers")
def _nothing_left_for_the_cores() -> Trial:
    return _host_between("relu", host=("relu", "lif1"))


def _attention(before: Node | None) -> Graph:
    """lif → [before →] both operands of a product → lif1."""
    nodes: dict[str, Node] = {
        "in": spikes(4), "lif": neuron(), "a": Place(0, 8), "b": Place(4, 8),
        "matmul": MatMul(1, 2, 2, 2), "lif1": neuron(), "out": Output(),
    }  # fmt: skip
    if before is not None:
        nodes["before"] = before
    start = "in lif" if before is None else "in lif before"
    last = start.rsplit(maxsplit=1)[-1]
    return wired(nodes, f"{start} a matmul lif1 out", f"{last} b matmul")


@refusal("before", "real values for the product matmul, which multiplies spikes", "a spiking")
def _weights_before_a_product() -> Trial:
    return compiled(_attention(Linear(np.ones((4, 4), np.int64))), target="sim")


@refusal("in", "does not say which of the two", "from Place nodes alone")
def _product_of_unplaced_operands() -> Trial:
    nodes = {"in": spikes(8), "matmul": MatMul(1, 2, 2, 2), "lif": neuron(), "out": Output()}
    return compiled(wired(nodes, "in matmul lif out"), target="sim")


@refusal("fc", "bias passes a delay", "put the delay before this layer")
def _bias_before_a_delay() -> Trial:
    nodes = {
        "in": spikes(3), "fc": Linear(np.ones((2, 3)), np.ones(2)), "late": Delay(2),
        "lif": neuron(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in fc late lif out"))


@refusal("one", "are 150,994,944 synapses, more than 16,777,216", "put a neuron between them")
def _chain_too_large_to_write_out() -> Trial:
    padded = Conv(np.ones((64, 64, 3, 3)), None, (1, 1), (1, 1))
    nodes = {
        "in": spikes(64, 64, 64), "one": padded, "two": padded, "lif": neuron(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in one two lif out"))


@refusal("add", r"a loop without a neuron \(add, late, half\)", "put a neuron into the loop")
def _filter_without_a_neuron() -> Trial:
    nodes = {
        "in": spikes(3), "add": Sum(), "late": Delay(1), "half": Scale(np.full(3, 0.5)),
        "fc": Linear(np.ones((2, 3))), "lif": neuron(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in add fc lif out", "add late half add"))


@refusal("li", "integers have no unit of their own", "let a spiking neuron close the loop")
def _membrane_that_feeds_itself() -> Trial:
    nodes = {
        "in": spikes(3), "fc": Linear(np.ones((2, 3))), "li": integrator(), "late": Delay(1),
        "back": Linear(np.eye(2)), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in fc li out", "li late back li"))


@refusal("matmul", "sums a, b, whose integers have different units", "a spiking neuron behind")
def _operand_of_two_units() -> Trial:
    nodes = {
        "fine": Input((2,), Kind.GRADED, bits=4, scale=0.5), "a": Place(0, 8),
        "coarse": Input((2,), Kind.GRADED, bits=4, scale=2.0), "b": Place(2, 8),
        "in": spikes(4), "c": Place(4, 8), "matmul": MatMul(1, 2, 2, 2), "lif": neuron(),
        "out": Output(),
    }  # fmt: skip
    return compiled(
        wired(nodes, "fine a matmul lif out", "coarse b matmul", "in c matmul"), target="sim"
    )


@refusal("out", "sums small, large, whose integers have different units", "its own output")
def _output_of_two_units() -> Trial:
    nodes = {
        "in": spikes(2), "fc0": Linear(np.eye(2) * 0.01), "small": integrator(),
        "fc1": Linear(np.eye(2) * 10), "large": integrator(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in fc0 small out", "in fc1 large out"))


@refusal("lif", "in units of its gain g, which is 0 or not one number", r"read its membrane \(port")
def _current_of_several_gains() -> Trial:
    return compiled(layer(neuron(g=[1.0, 2.0], a_u=0.5), Output("u")))


@refusal("in", "real-valued input has no integers", "--encoding direct, rate, latency or host")
def _real_input_without_an_encoding() -> Trial:
    """A step that `snnc.compile` never leaves out."""
    graph = layer(neuron()).with_nodes({"in": Input((3,))})
    return Trial(graph, lambda: quantise(graph, LOIHI2))


@refusal("in", "graded spikes of 8 bits, loihi1 carries binary spikes only", "--encoding rate")
def _graded_input_on_loihi1() -> Trial:
    graph = layer(neuron()).with_nodes({"in": Input((3,))})
    return compiled(graph, chip="loihi1", input_range=(0.0, 1.0))


@refusal("in", "feeds the neurons lif without weights", r"merge-hops\), as snnc\.compile does")
def _passes_left_out() -> Trial:
    graph = wired({"in": spikes(2), "lif": neuron(), "out": Output()}, "in lif out")
    return Trial(graph, lambda: quantise(graph, LOIHI2))


@refusal("lif", "gain differs within a channel, but a kernel is shared", "one gain per channel")
def _gains_within_a_channel() -> Trial:
    nodes = {
        "in": spikes(1, 2, 2), "conv": Conv(np.ones((1, 1, 1, 1))),
        "lif": neuron(g=[[[1, 2], [3, 4]]]), "out": Output("v"),
    }  # fmt: skip
    return compiled(wired(nodes, "in conv lif out"))


# ---- float graphs that a chip can't hold


@refusal("matmul", "a MatMul between spiking layers: .* would need 8 of them", "--target sim")
def _product_on_loihi() -> Trial:
    return compiled(_attention(None))


@refusal("out", "reads v of lif, which resets hard/after", "--chip loihi2")
def _membrane_of_a_refractory_neuron() -> Trial:
    return compiled(layer(neuron(reset_at="after"), Output("v")), chip="loihi1")


@refusal("li", "integers of 16 bits, loihi1 carries no bits, only spikes", "that spikes in its")
def _membrane_that_feeds_a_layer_on_loihi1() -> Trial:
    nodes = {
        "in": spikes(3), "fc": Linear(np.ones((2, 3))), "li": integrator(),
        "fc1": Linear(np.ones((2, 2))), "lif": neuron(), "out": Output(),
    }  # fmt: skip
    return compiled(wired(nodes, "in fc li fc1 lif out"), chip="loihi1")


@refusal("lif", r"300 settings .*\(1 of du, 300 of dv, .* 256 at most", "share them per channel")
def _leak_of_its_own_for_every_neuron() -> Trial:
    leaks = np.linspace(0.1, 0.9, 300)
    return compiled(layer(neuron(a_v=leaks), weight=np.ones((300, 3))), chip="loihi1")


@refusal(
    "lif", "compartments of loihi1 .*: it updates v before u", "u of the same step, or compile"
)
def _membrane_before_current_on_loihi1() -> Trial:
    return compiled(layer(neuron(order="vu", a_u=0.5)), chip="loihi1")


def _loop(late: int) -> Graph:
    nodes = {
        "in": spikes(3), "fc0": Linear(np.ones((3, 3))), "lif0": neuron(),
        "fc1": Linear(np.ones((3, 3))), "lif1": neuron(), "late": Delay(late),
        "back": Linear(np.ones((3, 3))), "out": Output(),
    }  # fmt: skip
    return wired(nodes, "in fc0 lif0 fc1 lif1 out", "lif1 late back lif0")


@refusal("lif0", r"lif1 → lif0 → lif1, which takes 2 steps .* by 1", "run it on --target sim")
def _loop_faster_than_the_chip() -> Trial:
    return compiled(_loop(1))


@refusal("back", "a synaptic delay of 64 steps, the chip has 62", "shorten the delay")
def _delay_longer_than_the_chip_s() -> Trial:
    return compiled(_loop(66))


@refusal("in.lif", "a synaptic delay of 69 steps, the chip has 62", "shorten the delay")
def _delay_of_a_link_without_a_layer() -> Trial:
    nodes = {"in": spikes(2), "late": Delay(70), "lif": neuron(), "out": Output()}
    return compiled(wired(nodes, "in late lif out"))


# ---- integer graphs that a target can't hold


@refusal("fc", "a Scale computes real numbers, sim runs integers", r"snnc\.compile")
def _real_numbers_on_sim() -> Trial:
    nodes = {"in": spikes(2), "fc": Scale(np.ones(2)), "n": nets.lif(), "out": Output()}
    return emitted(wired(nodes, "in fc n out"), "sim")


@refusal("n1", "reaches 545452523520, beyond the 32 bits in which Lava computes", "--input-bits")
def _sum_beyond_32_bits_at_run_time() -> Trial:
    source = Input((4,), Kind.GRADED, bits=16)
    wide = Linear(whole([[254] * 4]), exp=7)
    graph = nets.chain((4,), wide, nets.lif(), source=source, steps=2)
    data = {"in": np.full((1, 2, 4), 65535)}
    run = find_target("loihi").engines["loihi"]
    return Trial(graph, lambda: run(graph, data, None, lambda _: None, None))


@refusal("out", "reads n0, a Linear: only populations", "a neuron that never fires behind it")
def _output_of_a_sum() -> Trial:
    return emitted(nets.chain((2,), Linear(whole([[2, 4]])), steps=2))


@refusal("in", "sends integers of 25 bits, loihi2 carries 24 bits at most", "fewer bits")
def _input_wider_than_a_message() -> Trial:
    source = Input((2,), Kind.GRADED, bits=25)
    return emitted(nets.chain((2,), Linear(whole([[2, 4]])), nets.lif(), source=source, steps=2))


@refusal("b", "not connected to the rest of the network, and Lava runs one", "the stage loihi")
def _two_networks_in_lava() -> Trial:
    nodes = {
        "a": spikes(1), "b": spikes(1), "n": nets.lif(), "m": nets.lif(), "x": Output(),
        "y": Output(),
    }  # fmt: skip
    graph = wired(nodes, "a n x", "b m y")
    program = nets.lower(graph, LOIHI2)
    return Trial(graph, lambda: lava_run.run_lava(program, graph, nets.spikes(graph, 1), None))


@refusal("back", "in a loop without a neuron", "put a neuron into the loop")
def _integer_filter_without_a_neuron() -> Trial:
    nodes = {
        "in": spikes(2), "keep": Delay(1), "back": Sum(), "w": Linear(whole([[2, 4]])),
        "n": nets.lif(), "out": Output(),
    }  # fmt: skip
    return emitted(wired(nodes, "in back w n out", "back keep back"))


@refusal("matmul", "would need 8 of them", "--target sim, or keep that block on the host")
def _integer_product_on_loihi() -> Trial:
    nodes = {
        "in": spikes(4), "a": Place(0, 8), "b": Place(4, 8), "matmul": MatMul(1, 2, 2, 2),
        "flat": Flatten(), "w": Linear(whole([[2] * 4])), "n": nets.lif(), "out": Output(),
    }  # fmt: skip
    return emitted(wired(nodes, "in a matmul flat w n out", "in b matmul"))


@refusal("pool", "a Pool node has no place on Loihi", "quantise the graph first; pools must sum")
def _average_on_loihi() -> Trial:
    nodes = {
        "in": spikes(1, 4, 4), "pool": Pool((2, 2), (2, 2), (0, 0)),
        "conv": Conv(whole(np.full((1, 1, 2, 2), 2))), "n": nets.lif(), "out": Output(),
    }  # fmt: skip
    return emitted(wired(nodes, "in pool conv n out"))


@refusal("n0", "shifted right and then goes through n1", "an exponent of 0 or more")
def _shift_between_weights() -> Trial:
    weight = whole([[2, 4], [6, 2]])
    return emitted(nets.chain((2,), Linear(weight, exp=-2), Linear(weight), nets.lif(), steps=2))


@refusal("w", "right (.*in 0 steps late, in 1 steps late.*); on the chip each", "or one input")
def _shift_of_a_sum() -> Trial:
    nodes = {
        "in": spikes(2), "late": Delay(1), "w": Linear(whole([[2, 5]]), exp=-1), "n": nets.lif(),
        "out": Output(),
    }  # fmt: skip
    return emitted(wired(nodes, "in w n out", "in late w"))


@refusal("n1", "3 populations .* into n3 is shifted right by 2", "an exponent of 0 or more")
def _shift_behind_a_split_layer() -> Trial:
    middle = nets.lif(dv=whole([0, 1, 2]), theta=whole(64))
    last = Linear(whole([[2, 6, 4]]), exp=-2)
    first = Linear(whole(np.full((3, 2), 2)))
    return emitted(nets.chain((2,), first, middle, last, nets.lif(), steps=2), chip="loihi1")


@refusal("n1", "theta needs more than 32 bits: it reaches 4294967296", "use smaller values")
def _threshold_beyond_32_bits() -> Trial:
    vast = nets.lif(theta=whole(1 << 32))
    return emitted(nets.chain((2,), Linear(whole([[2, 4]])), vast, steps=2))


@refusal("n0", r"0…255 in steps of 1, .* don't fit into -256…254 in steps of 2", "fewer bits")
def _weights_off_the_grid() -> Trial:
    return emitted(nets.chain((2,), Linear(whole([[255, 1]])), nets.lif(), steps=2))


@refusal("n1", r"written out as \d[\d,]+ synapses, more than 16,777,216", "a smaller map")
def _pool_too_large_to_write_out() -> Trial:
    pool = Pool((2, 2), (2, 2), (0, 0), "sum")
    conv = Conv(whole(np.full((64, 64, 3, 3), 2)), None, (1, 1), (1, 1), exp=-2)
    return emitted(nets.chain((64, 65, 65), pool, conv, nets.lif(), steps=2))


# ---- networks that no converter can stand before


# ---- networks that don't fit on the cores of a chip


def mapped(graph: Graph, chip: str = "loihi2", **sections: Mapping[str, Any]) -> Trial:
    """An integer graph laid out on a chip, with some of its figures changed by section."""
    architecture = read_architecture(CHIPS / f"{chip}.toml")
    changed = {name: replace(getattr(architecture, name), **new) for name, new in sections.items()}
    program = lower(graph, LOIHI2)
    return Trial(graph, lambda: map_program(program, replace(architecture, **changed)))


def fully_connected(inputs: int, neurons: int, weight: int = 2) -> Graph:
    return nets.chain((inputs,), Linear(np.full((neurons, inputs), weight, np.int64)), nets.lif())


@refusal("n1", r"5,000 entries for input axons .*; a core of loihi1 has 4,096", "fewer inputs")
def _more_inputs_than_a_core_takes() -> Trial:
    return mapped(fully_connected(5000, 2), "loihi1")


@refusal("n1", r"takes 65 compartments .*, which fill 3 cores of 32; loihi2 has 2", "layer smaller")
def _more_neurons_of_a_layer_than_all_cores_hold() -> Trial:
    two = {"columns": 1, "rows": 1, "cores_per_tile": 2, "chips": (1, 1)}
    return mapped(fully_connected(2, 65), core={"compartments": 32}, mesh=two)


@refusal("n1", r"no split of its 12 neurons over the 2 cores .* core.words \(2\)", "layer smaller")
def _no_split_keeps_the_words() -> Trial:
    two = {"columns": 1, "rows": 1, "cores_per_tile": 2, "chips": (1, 1)}
    return mapped(fully_connected(2, 12, 254), core={"words": 2}, mesh=two)


@refusal("n3", r"the network fills 3 cores, 2 of them with this layer; loihi2 has 2", "layers")
def _more_layers_than_cores() -> Trial:
    two = {"columns": 1, "rows": 1, "cores_per_tile": 2, "chips": (1, 1)}
    eye = np.full((40, 2), 2, np.int64)
    graph = nets.chain(
        (2,), Linear(eye[:20]), nets.lif(), Linear(np.full((40, 20), 2, np.int64)), nets.lif()
    )
    return mapped(graph, core={"compartments": 20}, mesh=two)


@refusal("in.n1", "its weights take 7 bits, synapses of the chip have 4", "quantise to fewer bits")
def _weights_wider_than_a_synapse() -> Trial:
    return mapped(fully_connected(2, 2, 254), synapses={"weight_bits": (2, 4)})


@refusal("in.n2", "its delay of 4 takes 3 bits, synapses of the chip have 2", "delay it by less")
def _a_delay_longer_than_a_synapse_says() -> Trial:
    graph = nets.chain((2,), Linear(np.full((2, 2), 2, np.int64)), Delay(5), nets.lif())
    return mapped(graph, synapses={"delay_bits": 2})


@refusal("loihi2", r"numbers up to \d[\d,]+ would be needed", "a longer cycle")
def _a_step_that_can_not_be_counted() -> Trial:
    graph = fully_connected(2, 2)
    architecture = read_architecture(CHIPS / "loihi2.toml")
    cycles = replace(architecture.cycles, axon_in=10**14 * 100000)
    slow = replace(architecture, cycles=cycles)
    program = lower(graph, LOIHI2)
    mapping = map_program(program, slow)
    axons = build_axons(program, mapping, slow)
    return Trial(graph, lambda: Timer(axons, mapping, slow), "loihi2")


@refusal("artefact", "not laid out on cores: n1: one of its neurons takes 17,000", "chip")
def _an_artefact_without_a_layout() -> Trial:
    graph = fully_connected(17000, 2)
    compiled = compile_model(Model(graph), Options(target="sim"))
    return Trial(graph, lambda: layout_of(compiled), "artefact")


@refusal("in", "takes spike values once per sample; a converter puts out spikes", "--encoding uwe")
def _spikes_once_per_sample_behind_a_converter() -> Trial:
    graph = layer(neuron()).with_nodes({"in": Input((3,), Kind.SPIKE, Rate.SAMPLE)})
    return compiled(graph.with_(steps=8), target="uwe")


@refusal("in", "nothing says how many steps there are", "--steps 1 to 16")
def _a_converter_without_a_number_of_bits() -> Trial:
    return compiled(layer(neuron()).with_(steps=None), target="uwe")


@refusal("in", "takes 17 steps, and a converter has one bit per step, 1 to 16", "another target")
def _more_steps_than_a_converter_has_bits() -> Trial:
    return compiled(layer(neuron()).with_(steps=17), target="uwe")


# ---- the checks


@dataclass(frozen=True)
class Found:
    """What a case led to: what was raised, and where refusals were made on the way."""

    trial: Trial
    error: BaseException
    sites: frozenset[Site]


@cache
def found(name: str) -> Found:
    """Runs a case, watching who calls the constructor of `RefusedError`."""
    sites: set[Site] = set()
    build = errors.SnncError.__init__

    def watched(self: errors.SnncError, *args: Any, **kwargs: Any) -> None:
        caller = sys._getframe(1)
        sites.add((_below_root(Path(caller.f_code.co_filename)), caller.f_lineno))
        build(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        # What Lava refuses, it refuses before Lava itself is started.
        patch.setattr(lava_run, "require_lava", lambda: None)
        trial = CASES[name].provoke()
        patch.setattr(RefusedError, "__init__", watched, raising=False)
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - its type is checked below
            trial.run()
    return Found(trial, raised.value, frozenset(sites))


def _below_root(file: Path) -> str:
    return file.resolve().relative_to(ROOT).as_posix()


def is_of(trial: Trial, name: str) -> bool:
    """Whether a name is a node's, that of the link `source.target` between two of them, or of a
    part of what the trial adds (or the chip's or the artefact's that it is about)."""
    nodes = trial.graph.nodes
    link = "." in name and all(end in nodes for end in name.split("."))
    return name in nodes or link or (bool(trial.adding) and name.startswith(trial.adding))


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_names_the_node_the_limit_and_the_remedy(name: str) -> None:
    case, error = CASES[name], found(name).error
    assert type(error) is RefusedError, repr(error)
    assert error.exit_code == 4
    assert error.where == case.where
    assert all(is_of(found(name).trial, part) for part in error.where.split(", "))
    assert re.search(case.cause, error.cause), error.cause
    assert re.search(case.fix, error.fix), error.fix
    assert str(error) == f"{error.where}: {error.cause}\n  fix: {error.fix}"


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_reads_as_one_sentence_each(name: str) -> None:
    """Whole and in words: no full stops, stray blanks or reprs of Python objects."""
    error = found(name).error
    assert isinstance(error, RefusedError)
    for text in (error.where, error.cause, error.fix):
        assert text == text.strip()
        assert not re.search(r"  |\.$|\n|<|array\(|None|np\.|nan", text.replace(" << ", " ")), text
    assert len(error.cause) > 20
    assert len(error.fix) > 10


def in_sources() -> Iterator[tuple[str, range]]:
    """(file, lines) of every call of the constructor in the sources."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node.func) == "RefusedError":
                yield _below_root(file), range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _called(function: ast.expr) -> str:
    return getattr(function, "id", "") or getattr(function, "attr", "")


def test_every_refusal_of_the_sources_is_provoked() -> None:
    reached = {site for name in CASES for site in found(name).sites}
    unreached = [
        f"{file}:{lines.start}"
        for file, lines in in_sources()
        if not any(place == file and line in lines for place, line in reached)
    ]
    assert not unreached


def test_nothing_else_makes_a_refusal() -> None:
    """No alias and no subclass of the error escapes the list above."""
    places = list(in_sources())
    assert len(places) > 30
    for name in CASES:
        for file, line in found(name).sites:
            assert any(file == place and line in lines for place, lines in places), (file, line)
