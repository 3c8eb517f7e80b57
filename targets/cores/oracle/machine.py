"""A plain simulator of the machine of docs/machine.md: synapse by synapse, event by event.

It is slow, and there to be right: the fast program (`axons`, `timing`) is compared with it, cycle
for cycle. It and `expand` are written from docs/machine.md and docs/mapping.md, and share no code
with the fast one, save for the update of a neuron's state. Spikes are what its own packets lead to,
so that a wrong axon gives a wrong spike.

Each sample runs alone, from a cleared machine, for T + L steps. A gate (see `program`) keeps a
sample's last messages from the next sample; here there is none, and they come after their target's
last step. So gates are ignored: those messages are sent, and cost what others cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnc.targets.cores.architecture import Architecture
from snnc.targets.cores.mapping import Mapping
from snnc.targets.cores.oracle.expand import Axon, Layout
from snnc.targets.cores.program import Neurons, Program, Source, all_synapses
from snnc.targets.loihi.states import MultiCompartmentState, neuron_state

A = NDArray[Any]
Tile = tuple[int, int]
Message = tuple[int, str, int]
"""(cycle, population, neuron): a message in an output queue."""
HOST = -1
"""The host where cores are numbered: the last row of an array."""


@dataclass(eq=False)
class MachineRun:
    """What happened in every sample and hardware step. All arrays are int64; times are cycles from
    the beginning of the step.

    Attributes:
        spikes: by population of neurons, (sample, step of the network, neuron): what it sent.
        update: (sample, hardware step, core): when the neuron unit was done.
        send: (sample, hardware step, core): when the output unit's last packet entered the router,
            0 if there was none.
        receive: (sample, hardware step, core): when the input unit was done, 0 if nothing came.
        host: (sample, hardware step): when the host's last packet entered its router, or 0.
        cycles: (sample, hardware step): length of the step, barrier included.
        messages: (sample, hardware step, core + 1): messages sent by each core's neurons, whether
            they have axons or not; the last column is the host's.
        packets: (sample, hardware step, core + 1, core): by source and target; the last row is the
            host's.
        operations, words: (sample, hardware step, core): synaptic operations and words read, by
            the core on which they lie.
        links: by directed link (tile, tile), (sample, hardware step): packets that crossed it;
            links that none ever crossed are left out.
        longest_queue: most packets in a port's queue over the whole run: a packet that joins at
            cycle a finds those in front of it with which the port begins at a or later, and
            counts itself, so that the least is 1, and 0 where nothing was ever sent.
    """

    spikes: dict[str, A]
    update: A
    send: A
    receive: A
    host: A
    cycles: A
    messages: A
    packets: A
    operations: A
    words: A
    links: dict[tuple[Tile, Tile], A] = field(default_factory=dict)
    longest_queue: int = 0


def run_machine(
    program: Program, mapping: Mapping, architecture: Architecture, streams: Table[str, A],
    steps: int,
) -> MachineRun:  # fmt: skip
    """Runs `program` as `mapping`, which must be legal, lays it out on the cores.

    Args:
        streams: by source, the host's data (sample, step, …), `steps` steps each.
        steps: T, steps of the network.

    Raises:
        RefusedError: a state leaves 32 bits.
    """
    samples, cores = len(next(iter(streams.values()))), len(mapping.cores)
    size = (samples, steps + program.max_lag)

    def zeros(*more: int) -> A:
        return np.zeros((*size, *more), np.int64)

    run = MachineRun(
        {name: np.zeros((samples, steps, node.size), np.int64)
         for name, node in program.populations.items() if isinstance(node, Neurons)},
        update=zeros(cores), send=zeros(cores), receive=zeros(cores), host=zeros(), cycles=zeros(),
        messages=zeros(cores + 1), packets=zeros(cores + 1, cores), operations=zeros(cores),
        words=zeros(cores), links=defaultdict(zeros),
    )  # fmt: skip
    layout = Layout(program, mapping, architecture)
    for sample in range(samples):
        network = _Network(program, {name: data[sample] for name, data in streams.items()}, steps)
        for step in range(size[1]):
            values = {name: network.messages(name, step) for name in program.populations}
            for name in run.spikes:
                t = step - program.populations[name].lag
                if 0 <= t < steps:
                    run.spikes[name][sample, t] = values[name]
            for packet in _Step(layout, values, run, (sample, step)).packets():
                network.take(packet.axon, packet.value, step)
    run.links = dict(run.links)
    return run


class _Network:
    """The network itself over one sample: states, and the sums that wait to be delivered."""

    def __init__(self, program: Program, streams: Table[str, A], steps: int) -> None:
        self.program, self.streams, self.steps = program, streams, steps
        self.groups = all_synapses(program)
        self.states = {
            name: neuron_state(name, node, 1)
            for name, node in program.populations.items() if isinstance(node, Neurons)
        }  # fmt: skip
        self.sums: dict[tuple[int, int], A] = {}

    def arriving(self, group: int, step: int) -> A:
        """Sums (target neuron,), not shifted, that a group delivers at a hardware step."""
        size = self.program.populations[self.groups[group].target].size
        return self.sums.setdefault((group, step), np.zeros(size, np.int64))

    def take(self, axon: Axon, value: int, step: int) -> None:
        """A packet at its list. What feeds a reset back says only that there was a spike."""
        group = self.groups[axon.group]
        sums = self.arriving(axon.group, step + 1 + group.delay)
        for neuron, weight in axon.synapses:
            spike = axon.group >= len(self.program.synapses)
            sums[neuron] += 1 if spike else weight * (value if group.message_bits else 1)

    def messages(self, name: str, step: int) -> A:
        """What a population's neurons send at a hardware step; 0 is no message."""
        node = self.program.populations[name]
        t = step - node.lag
        if not 0 <= t < self.steps:
            return np.zeros(node.size, np.int64)
        if isinstance(node, Source):
            return self.streams[name][t].reshape(-1)
        state = self.states[name]
        total, fed_back = np.zeros((2, 1, node.size), np.int64)
        if t == 0:
            state.reset(begun=True)
        for number, group in enumerate(self.groups):
            if group.target != name:
                continue
            sums = self.arriving(number, step)
            if number < len(self.program.synapses):
                total += sums << group.exp if group.exp >= 0 else sums >> -group.exp
            else:
                fed_back += sums
        if isinstance(state, MultiCompartmentState):
            state.spikes = fed_back > 0
        return state.step(total, valid=True)[0].astype(np.int64)


class _Packet(NamedTuple):
    """A packet, the core that sent it, and its message."""

    source: int
    axon: Axon
    value: int


class _Step:
    """One step of all units: writes times and counts into the row `at` = (sample, step) of a run.

    The queue of a port is known by the cycles at which it begins with its packets. Packets are
    handled in the order in which they enter routers: since from one router to the next takes at
    least a cycle, all that enter at a cycle are there before the first of them is handled.
    """

    WEST, EAST, SOUTH, NORTH, CORES = range(5)
    """Where a packet entered from, in order of precedence; after the cores comes the host."""

    def __init__(
        self, layout: Layout, values: Table[str, A], run: MachineRun, at: tuple[int, int]
    ) -> None:
        self.layout, self.values, self.run, self.at = layout, values, run, at
        self.cycles, self.mesh = layout.architecture.cycles, layout.architecture.mesh
        self.entering: list[tuple[int, int, int, Tile, _Packet]] = []
        self.number = count()
        self.begun: dict[tuple[Tile, Any], list[int]] = defaultdict(list)

    def packets(self) -> list[_Packet]:
        """Runs the step; all packets that arrived."""
        run, at = self.run, self.at
        for number, core in enumerate(self.layout.mapping.cores):
            queue = self._neuron_unit(number)
            run.send[at][number] = self._output_unit(
                number, queue, self.cycles.axon_out, core.tile, self.CORES + core.slot
            )
        sent = [(0, name, n) for name, n in self.layout.host if self.values[name][n]]
        side = self.CORES + self.mesh.cores_per_tile
        run.host[at] = self._output_unit(HOST, sent, self.cycles.host_out, self.mesh.host, side)
        arrived = list(self._travel())
        for cycle, packet in arrived:
            self._input_unit(cycle, packet)
        last = max(done[at].max(initial=0) for done in (run.update, run.send, run.receive))
        run.cycles[at] = max(last, run.host[at]) + self._barrier()
        return [packet for _, packet in arrived]

    def _neuron_unit(self, core: int) -> list[Message]:
        done, queue = 0, []
        for name, neuron in self.layout.neurons[core]:
            done += self.cycles.update * self.layout.program.populations[name].compartments
            if self.values[name][neuron]:
                queue.append((done, name, neuron))
        self.run.update[self.at][core] = done
        return queue

    def _output_unit(
        self, source: int, queue: list[Message], takes: int, tile: Tile, side: int
    ) -> int:
        """Returns when its last packet entered the router of `tile` from `side`."""
        self.run.messages[self.at][source] = len(queue)
        free = 0
        for ready, name, neuron in queue:
            for axon in self.layout.axons.get((name, neuron), ()):
                free = max(free, ready) + takes
                self._enter(free, side, tile, _Packet(source, axon, int(self.values[name][neuron])))
                self.run.packets[self.at][source, axon.core] += 1
        return free

    def _enter(self, cycle: int, side: int, tile: Tile, packet: _Packet) -> None:
        heappush(self.entering, (cycle, side, next(self.number), tile, packet))

    def _travel(self) -> Iterator[tuple[int, _Packet]]:
        """(cycle, packet) at the input queue of its core, for each core in order of arrival."""
        while self.entering:
            cycle, _, _, tile, packet = heappop(self.entering)
            core = self.layout.mapping.cores[packet.axon.core]
            if tile == core.tile:
                yield self._begin((tile, core.slot), cycle) + self.cycles.local, packet
                continue
            (x, y), (to_x, to_y) = tile, core.tile
            if x != to_x:
                following = (x + 1, y) if to_x > x else (x - 1, y)
                side, hop = (self.WEST if to_x > x else self.EAST), self.cycles.hop_x
            else:
                following = (x, y + 1) if to_y > y else (x, y - 1)
                side, hop = (self.SOUTH if to_y > y else self.NORTH), self.cycles.hop_y
            self.run.links[tile, following][self.at] += 1
            self._enter(self._begin((tile, following), cycle) + hop, side, following, packet)

    def _begin(self, port: tuple[Tile, Any], cycle: int) -> int:
        """The cycle at which a port begins with a packet that joins its queue at `cycle`."""
        begun = self.begun[port]
        begun.append(max(cycle, begun[-1] + self.cycles.link) if begun else cycle)
        queue = sum(start >= cycle for start in begun)
        self.run.longest_queue = max(self.run.longest_queue, queue)
        return begun[-1]

    def _input_unit(self, cycle: int, packet: _Packet) -> None:
        axon, run = packet.axon, self.run
        size = len(axon.synapses)
        takes = self.cycles.axon_in + axon.words * self.cycles.word + size * self.cycles.synapse
        free = run.receive[self.at]
        free[axon.core] = max(free[axon.core], cycle) + takes
        run.operations[self.at][axon.core] += size
        run.words[self.at][axon.core] += axon.words

    def _barrier(self) -> int:
        """The table's value for the used tiles: linear between its lines, flat beyond them."""
        used = self.layout.mapping.tiles()
        chips = {(x // self.mesh.columns, y // self.mesh.rows) for x, y in used}
        more = self.cycles.chip_barrier if len(chips) > 1 else 0
        table = self.cycles.barrier
        for (a, before), (b, after) in pairwise(table):
            if a <= len(used) <= b:
                return before + (after - before) * (len(used) - a) // (b - a) + more
        return table[0 if len(used) < table[0][0] else -1][1] + more


__all__ = ["MachineRun", "run_machine"]
