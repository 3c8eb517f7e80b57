"""Random graphs whose neurons the built-in compartments of Loihi 1 can be, and helpers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnc.ir import Graph, IntNeuron, Node, Output
from snnc.reference import Trace
from snnc.targets.cores.program import Program
from tests.targets.graphs import Wanted, int_graphs, int_inputs

A = NDArray[Any]
Case = tuple[Graph, dict[str, A]]
Draw = Callable[[Any], Any]
SPIKING = Wanted(lif_only=True, graded=False, products=False)
RESETS = (("hard", "now"), ("hard", "after"), ("none", "now"), ("soft", "after"), ("soft", "now"))


def form(draw: Draw, shape: tuple[int, ...], values: list[int]) -> A:
    """One of the values, or some of them per channel or per neuron."""
    forms = [(), (), (shape[0], *(1,) * (len(shape) - 1)), shape]
    size = draw(st.sampled_from(forms))
    picked = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return np.asarray(rng.choice(picked, size), np.int64)


def chip_neuron(draw: Draw, shape: tuple[int, ...], last: bool) -> IntNeuron:
    """A neuron within the rules of `compartments`, its settings different between neurons."""
    reset, reset_at = draw(st.sampled_from(RESETS))
    fires = not (last and draw(st.integers(1, 4)) == 4)
    scale = draw(st.sampled_from((1 << 8, 1 << 12, 1 << 16)))
    theta = 64 * form(draw, shape, [0, scale // 3, scale, 2 * scale - 1])
    dv = form(draw, shape, [0, 0, 1, 128, 2048, 4095, 4096])
    v_sub = 64 * form(draw, shape, [0, 1, 127, 129, 16384, 32767])
    if reset == "soft" and reset_at == "now":
        dv = form(draw, shape, [0, 2048, 3072, 4096])
        theta = 64 * form(draw, shape, [256, 512, 5120])
        v_sub = np.minimum(theta, 64 * form(draw, shape, [4, 64, 256]))
    exp = draw(st.integers(0, 7))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    bias = rng.integers(-4096, 4096, shape) >> draw(st.sampled_from((0, 3, 13))) << exp
    if draw(st.booleans()):
        bias = np.where(rng.random(shape) < 0.5, bias, rng.integers(-3, 4, shape))
    start = form(draw, shape, [0, 0, -5000, 100_000])
    return IntNeuron(
        du=form(draw, shape, [4096, 4096, 4096, 0, 1000]),
        dv=dv,
        theta=theta,
        bias_v=np.asarray(bias, np.int64),
        v_sub=v_sub if reset == "soft" else np.asarray(0),
        v_init=start,
        reset=reset,
        reset_at=reset_at,
        fires=fires,
    )


@st.composite
def chip_cases(draw: Draw, want: Wanted = SPIKING, samples: int = 3) -> Case:
    """(graph, inputs) whose neurons Loihi 1 has."""
    graph = draw(int_graphs(want))
    changes: dict[str, Node] = {}
    for name in graph.neurons:
        targets = (graph.nodes[target] for target in graph.targets(name))
        last = all(isinstance(target, Output) for target in targets)
        changes[name] = chip_neuron(draw, graph.signals[name].shape, last)
    for name in graph.outputs:
        node = graph.nodes[name]
        assert isinstance(node, Output)
        sources = [changes.get(source) for source in graph.sources(name)]
        if node.port == "v" and any(
            isinstance(item, IntNeuron) and (item.reset, item.reset_at) == ("hard", "after")
            for item in sources
        ):
            changes[name] = replace(node, port="u")
    graph = graph.with_nodes(changes).check()
    count = draw(st.integers(1, samples))
    return graph, int_inputs(graph, count, draw(st.integers(0, 2**32 - 1)))


def readable(graph: Graph, program: Program) -> dict[str, tuple[str, ...]]:
    """All ports of all neuron layers that the program can read."""
    return {name: tuple(sorted(program.ports(name))) for name in graph.neurons}


def same_events(graph: Graph, found: Trace, wanted: Trace) -> None:
    """Equal counts; the clip of a membrane that a reset then swallows happens in S2 only."""
    for name, counts in wanted.events.items():
        node = graph.nodes[name]
        assert isinstance(node, IntNeuron)
        swallowed = {"clip"} if (node.reset, node.reset_at) == ("hard", "after") else set()
        for kind in counts.keys() - swallowed:
            assert found.events[name][kind] == counts[kind], (name, kind)


def drawn(count: int, start: int, strategy: Any) -> list[Case]:
    """So many random cases from one seed."""
    cases: list[Case] = []

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(case: Case) -> None:
        cases.append(case)

    draw()
    return cases
