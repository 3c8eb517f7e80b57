"""The timed simulator against the event-by-event machine, and its counts among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import ConservationError, InputError
from snnc.ir import Graph, Rate
from snnc.reference import run_int
from snnc.targets.cores.axons import build_axons
from snnc.targets.cores.checks.validate import validate
from snnc.targets.cores.layout import Layout
from snnc.targets.cores.oracle.machine import MachineRun, run_machine
from snnc.targets.cores.timing.timer import Timing
from snnc.targets.sim import simulate
from snnc.targets.sim.simulate import Simulator
from snnc.targets.sim.simulation import Simulation, Spread
from tests.targets.cores.cases import Case, lowered_cases

A = NDArray[Any]
Found = tuple[Graph, dict[str, A], Case, Layout, Simulation, MachineRun]


def simulated(graph: Graph, inputs: dict[str, A], layout: Layout) -> Simulation:
    simulator = Simulator(graph, layout)
    trace = simulator.add(inputs)
    for name, values in run_int(graph, inputs).outputs.items():
        np.testing.assert_array_equal(trace.outputs[name], values)
    return simulator.result()


def laid_out(case: Case) -> Layout:
    axons = build_axons(case.program, case.mapping, case.architecture)
    usage = validate(case.program, case.mapping, axons, case.architecture)
    return Layout(case.program, case.architecture, "", case.mapping, axons, usage)


@pytest.fixture(scope="module")
def cases() -> list[Found]:
    """Random networks in random places, simulated and run event by event."""
    found = []
    for graph, inputs, case in lowered_cases(40, 3):
        layout = laid_out(case)
        result = simulated(graph, inputs, layout)
        machine = run_machine(
            case.program, case.mapping, case.architecture, case.streams, case.steps
        )
        found.append((graph, inputs, case, layout, result, machine))
    assert len(found) > 20
    return found


def test_steps_are_those_of_the_machine(cases: list[Found]) -> None:
    for _, _, case, _, result, machine in cases:
        counts, cores = result.counts, len(case.mapping.cores)
        assert result.steps == case.steps
        assert result.lag == case.program.max_lag
        np.testing.assert_array_equal(counts["cycles"], machine.cycles)
        np.testing.assert_array_equal(counts["messages"], machine.messages[..., :cores].sum(2))
        np.testing.assert_array_equal(counts["packets"], machine.packets.sum((2, 3)))
        np.testing.assert_array_equal(counts["host_packets"], machine.packets[:, :, -1].sum(2))
        np.testing.assert_array_equal(counts["operations"], machine.operations.sum(2))
        np.testing.assert_array_equal(counts["words"], machine.words.sum(2))
        links = {True: np.zeros_like(machine.cycles), False: np.zeros_like(machine.cycles)}
        for ((_, y), (_, to_y)), packets in machine.links.items():
            links[y == to_y] += packets
        np.testing.assert_array_equal(counts["hops_x"], links[True])
        np.testing.assert_array_equal(counts["hops_y"], links[False])
        assert result.longest_queue == machine.longest_queue


def test_cores_are_those_of_the_machine(cases: list[Found]) -> None:
    for _, _, case, _, result, machine in cases:
        cores = len(case.mapping.cores)
        samples = {
            "messages": machine.messages[..., :cores],
            "sent": machine.packets[:, :, :cores].sum(3),
            "received": machine.packets.sum(2),
            "operations": machine.operations,
            "words": machine.words,
            "update": machine.update,
            "send": machine.send,
            "receive": machine.receive,
        }
        for name, values in samples.items():
            np.testing.assert_allclose(result.cores[name].mean, values.sum(1).mean(0), atol=1e-9)
        last = np.maximum.reduce([machine.update, machine.send, machine.receive])
        critical = np.zeros(cores)
        for sample, step in np.ndindex(machine.cycles.shape):
            if last[sample, step].max() >= machine.host[sample, step]:
                critical[last[sample, step].argmax()] += 1 / len(machine.cycles)
        np.testing.assert_allclose(result.cores["critical"].mean, critical, atol=1e-9)


def test_links_are_those_of_the_machine(cases: list[Found]) -> None:
    crossed = 0
    for *_, result, machine in cases:
        means = {
            ((a, b), (c, d)): mean
            for (a, b, c, d), mean in zip(result.links.tolist(), result.crossings.mean, strict=True)
        }
        for link, packets in machine.links.items():
            assert means.pop(link) == pytest.approx(packets.sum(1).mean())
            crossed += 1
        assert not any(means.values())
    assert crossed > 20


def test_layers_add_up(cases: list[Found]) -> None:
    split = 0
    for graph, inputs, case, layout, result, machine in cases:
        spikes = run_int(graph, inputs, dict.fromkeys(graph.neurons, ("s",))).records
        split += bool(case.program.splits)
        assert list(result.layers) == [
            name for name in case.program.layers if name in graph.neurons
        ]
        for row, name in enumerate(result.layers):
            sent = np.count_nonzero(spikes[name, "s"]) / len(machine.cycles)
            assert result.layer["messages"].mean[row] == pytest.approx(sent)
            held = {
                number
                for number, core in enumerate(layout.mapping.cores)
                for part in core.slices
                if part.population in case.program.layers[name]
            }
            assert set(result.layer_cores[row]) == held
        sums = {"messages": "messages", "operations": "operations", "sent": "sent"}
        for of_layer, of_core in sums.items():
            assert result.layer[of_layer].mean.sum() == pytest.approx(
                result.cores[of_core].mean.sum()
            )
    assert split


def test_energy_is_counts_times_costs(cases: list[Found]) -> None:
    for _, _, case, layout, result, machine in cases:
        costs, hardware = case.architecture.energy, machine.cycles.shape[1]
        cores = len(case.mapping.cores)
        packets = machine.packets.sum((1, 2, 3))
        expected = {
            "neuron": costs.update * hardware * layout.usage.compartments.sum(),
            "spike": costs.spike * machine.messages[..., :cores].sum((1, 2)),
            "axon": costs.axon_out * machine.packets[:, :, :cores].sum((1, 2, 3)),
            "delivery": (costs.local + costs.axon_in) * packets,
            "synapse": costs.synapse * machine.operations.sum((1, 2))
            + costs.word * machine.words.sum((1, 2)),
            "barrier": costs.barrier * cores * hardware,
            "leakage": costs.leakage * len(case.mapping.chips(case.architecture))
            * machine.cycles.sum(1) * case.architecture.cycles.ns * 1e3,
        }  # fmt: skip
        for cause, energy in expected.items():
            np.testing.assert_allclose(result.energy[cause], energy, rtol=1e-12, err_msg=cause)
        hops = result.counts["hops_x"].sum(1) * costs.hop_x
        hops = hops + result.counts["hops_y"].sum(1) * costs.hop_y
        np.testing.assert_allclose(result.energy["hop"], hops)


def test_blocks_of_samples_make_no_difference(
    cases: list[Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "BLOCK_BYTES", 1)
    several = 0
    for graph, inputs, _, layout, result, _ in cases[:10]:
        again = simulated(graph, inputs, layout)
        several += result.samples > 1
        for name, values in result.counts.items():
            np.testing.assert_array_equal(again.counts[name], values)
        for name, spread in result.cores.items():
            np.testing.assert_allclose(again.cores[name].std, spread.std, atol=1e-6)
    assert several


def busy_host(cases: list[Found]) -> tuple[Graph, dict[str, A], Layout]:
    """A case in which the host's first axon is used."""
    for graph, inputs, case, layout, _, machine in cases:
        host = layout.axons.host
        if len(host.target) and machine.packets[:, :, -1, host.target[0]].any():
            used = {key: values for key, values in case.streams.items() if values.reshape(-1).any()}
            if len(used) == len(case.streams) and host.indptr[1]:
                return graph, inputs, layout
    pytest.fail("no host sends anything")


def with_host(layout: Layout, **changes: Any) -> Layout:
    return replace(layout, axons=replace(layout.axons, host=replace(layout.axons.host, **changes)))


def test_operations_that_the_program_does_not_have_are_noticed(cases: list[Found]) -> None:
    graph, inputs, layout = busy_host(cases)
    wrong = with_host(layout, operations=layout.axons.host.operations + 1)
    with pytest.raises(ConservationError, match="operations"):
        Simulator(graph, wrong).add(inputs)


def test_packets_that_get_lost_are_noticed(cases: list[Found]) -> None:
    graph, inputs, layout = busy_host(cases)
    simulator = Simulator(graph, layout)
    run = simulator.timer.run

    def losing(sent: Sequence[A]) -> Timing:
        timing = run(sent)
        timing.packets[timing.packets > 0] -= 1
        return timing

    simulator.timer.run = losing  # type: ignore[method-assign]
    with pytest.raises(ConservationError, match="sent"):
        simulator.add(inputs)


@pytest.mark.parametrize("batches", [[7], [1, 6], [3, 0, 4]])
def test_a_spread_is_that_of_all_values(batches: list[int]) -> None:
    values = np.random.default_rng(0).normal(1e6, 1.0, (7, 3))
    spread, at = Spread(3), 0
    for count in batches:
        spread.add(values[at : at + count])
        at += count
    np.testing.assert_allclose(spread.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(spread.std, values.std(0, ddof=1), rtol=1e-6)


def test_a_single_sample_has_no_spread() -> None:
    spread = Spread(1)
    spread.add(np.ones((1, 1)))
    assert spread.std.tolist() == [0.0]


def test_nothing_simulated_is_no_result(cases: list[Found]) -> None:
    graph, _, _, layout, *_ = cases[0]
    with pytest.raises(InputError, match="none"):
        Simulator(graph, layout).result()


def test_samples_of_another_length_are_refused(cases: list[Found]) -> None:
    for graph, inputs, case, layout, *_ in cases:
        sequences = [n for n in graph.inputs if graph.signals[n].rate is Rate.STEP]
        if case.steps < 2 or sequences != graph.inputs:
            continue
        simulator = Simulator(graph, layout)
        simulator.add(inputs)
        with pytest.raises(InputError, match="before"):
            simulator.add({name: values[:, :-1] for name, values in inputs.items()})
        return
    pytest.fail("no case takes sequences")
