"""The timing engine against two plain simulations of docs/machine.md, packet by packet: one here
that knows nothing but axons, and the project's own of whole programs."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np
import pytest

from snnc.errors import RefusedError
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import Cycles, Mesh, read_architecture
from snnc.targets.cores.axons import HOST, Axons, Sender, build_axons
from snnc.targets.cores.mapping import Core, Mapping
from snnc.targets.cores.oracle.machine import run_machine
from snnc.targets.cores.timing import queues, streams, timer
from snnc.targets.cores.timing.timer import Timer
from tests.targets.cores.cases import case as program_case

ARRAY = read_architecture(CHIPS / "array.toml")


@dataclass
class Case:
    axons: Axons
    mapping: Mapping
    chip: object
    sent: list

    def time(self):
        return Timer(self.axons, self.mapping, self.chip).run(self.sent)


def random_cycles(rng):
    def upto(n, least=0):
        return int(rng.integers(least, n + 1))

    return Cycles(
        ns=1.0, update=upto(3), axon_out=upto(3, 1), host_out=upto(3, 1), link=upto(4, 1),
        hop_x=upto(3, 1), hop_y=upto(3, 1), local=upto(2), axon_in=upto(3), word=upto(2),
        synapse=upto(2), barrier=((1, 2), (8, upto(20, 2))), chip_barrier=upto(50),
    )  # fmt: skip


def random_sender(rng, size, cores, regular):
    """Neurons with random axons; regular ones in a few kinds, or all of one."""
    kinds = int(rng.integers(1, 4)) if regular else max(1, size)
    groups = int(rng.integers(1, 3))
    density = rng.random()
    lists = []
    for _ in range(kinds):
        pairs = [(t, g) for t in range(cores) for g in range(groups) if rng.random() < density]
        work = rng.integers(1, 9, (len(pairs), 2)).tolist()
        lists.append([(*pair, *each) for pair, each in zip(pairs, work, strict=True)])
    chosen = rng.integers(0, kinds, size)
    rows = [row for kind in chosen for row in lists[kind]]
    table = np.array(rows, np.int32).reshape(-1, 4)
    if regular and rng.random() < 0.3:
        table[:, 2:] = rng.integers(1, 9, (len(table), 2))
    counts = [len(lists[kind]) for kind in chosen]
    return Sender(
        (), rng.integers(1, 4, size), np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        *(np.ascontiguousarray(column) for column in table.T),
    )  # fmt: skip


def random_case(seed, episodes=3):
    rng = np.random.default_rng(seed)
    mesh = Mesh(
        columns=int(rng.integers(1, 4)), rows=int(rng.integers(1, 4)),
        cores_per_tile=int(rng.integers(1, 4)), chips=(int(rng.integers(1, 3)), 1), host=(0, 0),
    )  # fmt: skip
    across, up = mesh.extent
    mesh = replace(mesh, host=(int(rng.integers(across)), int(rng.integers(up))))
    places = [(x, y, s) for x in range(across) for y in range(up)
              for s in range(mesh.cores_per_tile)]  # fmt: skip
    cores = min(len(places), int(rng.integers(1, 9)))
    chosen = rng.permutation(len(places))[:cores]
    mapping = Mapping("random", tuple(Core(places[i][:2], places[i][2], ()) for i in chosen))
    regular = rng.random() < 0.6
    sizes = rng.integers(1, 24, cores + 1)
    senders = [random_sender(rng, int(size), cores, regular) for size in sizes]
    if rng.random() < 0.2:
        senders[-1] = random_sender(rng, 0, cores, True)
    senders[-1] = replace(senders[-1], compartments=np.zeros(senders[-1].size, np.int64))
    rate = rng.random() ** 2
    sent = [rng.random((episodes, sender.size)) < rate for sender in senders]
    chip = replace(ARRAY, mesh=mesh, cycles=random_cycles(rng))
    return Case(Axons(senders[:-1], senders[-1]), mapping, chip, sent)


class Plain:
    """One episode, event by event."""

    WEST, EAST, SOUTH, NORTH, OWN = range(5)

    def __init__(self, case, episode):
        self.mesh, self.cycles, self.cores = case.chip.mesh, case.chip.cycles, case.mapping.cores
        self.events, self.number = [], 0
        self.free, self.waiting = {}, defaultdict(list)
        self.longest = 0
        self.packets, self.operations, self.words, self.links = (Counter() for _ in range(4))
        self.update, self.send = [], []
        self.receive = [0] * len(self.cores)
        for number, sender in enumerate(case.axons.cores):
            ends = np.cumsum(sender.compartments) * self.cycles.update
            self.update.append(int(ends[-1]) if sender.size else 0)
            core, sent = self.cores[number], case.sent[number][episode]
            self.send.append(
                self.output(number, sender, sent, ends, self.cycles.axon_out, core.tile,
                            self.OWN + core.slot)
            )  # fmt: skip
        host, sent = case.axons.host, case.sent[-1][episode]
        self.host = self.output(
            HOST, host, sent, np.zeros(host.size), self.cycles.host_out, self.mesh.host,
            self.OWN + self.mesh.cores_per_tile,
        )  # fmt: skip
        while self.events:
            cycle, side, _, tile, packet = heappop(self.events)
            self.enter(cycle, side, tile, packet)
        self.length = max([*self.update, *self.send, *self.receive, self.host])

    def output(self, number, sender, sent, ready, takes, tile, side):
        clock, done = 0, 0
        for neuron in np.flatnonzero(sent):
            clock = max(clock, int(ready[neuron]))
            for axon in range(sender.indptr[neuron], sender.indptr[neuron + 1]):
                clock += takes
                done = clock
                flow = (int(sender.target[axon]), number, int(sender.group[axon]))
                work = (int(sender.operations[axon]), int(sender.words[axon]))
                self.packets[flow] += 1
                self.operations[flow] += work[0]
                self.words[flow] += work[1]
                self.push(clock, side, tile, (flow[0], *work))
        return done

    def push(self, cycle, side, tile, packet):
        self.number += 1
        heappush(self.events, (cycle, side, self.number, tile, packet))

    def port(self, name, cycle):
        """Cycle at which the port begins with a packet that joins its queue now."""
        self.waiting[name] = [begin for begin in self.waiting[name] if begin >= cycle]
        begin = max(cycle, self.free.get(name, 0))
        self.free[name] = begin + self.cycles.link
        self.waiting[name].append(begin)
        self.longest = max(self.longest, len(self.waiting[name]))
        return begin

    def enter(self, cycle, side, tile, packet):
        number, operations, words = packet
        core, c = self.cores[number], self.cycles
        (x, y), (to_x, to_y) = tile, core.tile
        if x < to_x:
            following, side, hop = (x + 1, y), self.WEST, c.hop_x
        elif x > to_x:
            following, side, hop = (x - 1, y), self.EAST, c.hop_x
        elif y < to_y:
            following, side, hop = (x, y + 1), self.SOUTH, c.hop_y
        elif y > to_y:
            following, side, hop = (x, y - 1), self.NORTH, c.hop_y
        else:
            at = self.port(number, cycle) + c.local
            work = c.axon_in + words * c.word + operations * c.synapse
            self.receive[number] = max(self.receive[number], at) + work
            return
        self.links[(x, y, *following)] += 1
        self.push(self.port((tile, following), cycle) + hop, side, following, packet)


def check(case):
    engine = Timer(case.axons, case.mapping, case.chip)
    found = engine.run(case.sent)
    chips = len(case.mapping.chips(case.chip))
    barrier = case.chip.cycles.barrier_of(len(case.mapping.tiles()), chips)
    flows = list(zip(*(column.tolist() for column in (
        engine.flows.target, engine.flows.sender, engine.flows.group)), strict=True))  # fmt: skip
    links = [tuple(link) for link in engine.routes.links.tolist()]
    crossed = engine.crossings(found.packets)
    longest = 0
    for episode in range(len(case.sent[0])):
        plain = Plain(case, episode)
        assert found.update[episode].tolist() == plain.update
        assert found.send[episode].tolist() == plain.send
        assert found.host[episode] == plain.host
        assert found.receive[episode].tolist() == plain.receive
        assert found.cycles[episode] == plain.length + barrier
        for name in ("packets", "operations", "words"):
            counts = dict(zip(flows, getattr(found, name)[episode].tolist(), strict=True))
            assert {k: n for k, n in counts.items() if n} == dict(getattr(plain, name))
        counts = dict(zip(links, crossed[episode].tolist(), strict=True))
        assert {k: n for k, n in counts.items() if n} == dict(plain.links)
        by_hops = found.packets[episode] @ engine.routes.hops
        assert by_hops.sum() == plain.links.total()
        longest = max(longest, plain.longest)
    assert found.longest_queue == longest


@pytest.mark.parametrize("seed", range(400))
def test_equal_to_the_plain_simulation(seed):
    check(random_case(seed))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 11000, 500))
def test_equal_to_the_plain_simulation_at_length(start):
    for seed in range(start, start + 500):
        check(random_case(seed))


@pytest.mark.parametrize("few", [0, 10**6])
def test_what_is_taken_as_irregular_changes_nothing(few, monkeypatch):
    monkeypatch.setattr(streams, "FEW", few)
    for seed in range(600, 700):
        check(random_case(seed))


@pytest.mark.parametrize("seed", range(500, 540))
def test_small_blocks_and_keys_that_do_not_fit_change_nothing(seed, monkeypatch):
    monkeypatch.setattr(timer, "BLOCK_PACKETS", 20)
    monkeypatch.setattr(queues, "KEY_BITS", int(np.random.default_rng(seed).integers(5, 30)))
    check(random_case(seed, episodes=7))


def sent_by(sender, case, run):
    """bool (sample · hardware step, neuron): which of a sender's neurons send a message."""
    columns = []
    for name, index in sender.parts:
        values = run.spikes[name] if name in run.spikes else case.streams[name]
        values = values.reshape(*values.shape[:2], -1)[:, :, index] != 0
        lag = case.program.populations[name].lag
        columns.append(np.pad(values, ((0, 0), (lag, case.program.max_lag - lag), (0, 0))))
    shape = run.cycles.size, sender.size
    return np.concatenate([np.zeros((*run.cycles.shape, 0), bool), *columns], 2).reshape(shape)


def check_program(seed):
    case = program_case(seed)
    plain = run_machine(case.program, case.mapping, case.architecture, case.streams, case.steps)
    axons = build_axons(case.program, case.mapping, case.architecture)
    engine = Timer(axons, case.mapping, case.architecture)
    found = engine.run([sent_by(sender, case, plain) for sender in (*axons.cores, axons.host)])
    cores = len(axons.cores)
    for name in ("update", "send", "receive", "host", "cycles"):
        expected = getattr(plain, name).reshape(getattr(found, name).shape)
        np.testing.assert_array_equal(getattr(found, name), expected, name)
    packets = np.zeros((found.cycles.size, cores + 1, cores), np.int64)
    work = {
        name: np.zeros((found.cycles.size, cores), np.int64) for name in ("operations", "words")
    }
    for flow, (sender, target) in enumerate(
        zip(engine.flows.sender, engine.flows.target, strict=True)
    ):
        packets[:, sender, target] += found.packets[:, flow]
        for name, total in work.items():
            total[:, target] += getattr(found, name)[:, flow]
    np.testing.assert_array_equal(packets, plain.packets.reshape(packets.shape))
    for name, total in work.items():
        np.testing.assert_array_equal(total, getattr(plain, name).reshape(total.shape), name)
    crossed = engine.crossings(found.packets)
    links = [((x, y), (to_x, to_y)) for x, y, to_x, to_y in engine.routes.links.tolist()]
    assert set(plain.links) <= set(links)
    for link, count in zip(links, crossed.T, strict=True):
        expected = plain.links[link].reshape(-1) if link in plain.links else 0 * count
        np.testing.assert_array_equal(count, expected)
    assert found.longest_queue == plain.longest_queue


@pytest.mark.parametrize("start", range(0, 100, 20))
def test_equal_to_the_machine(start):
    for seed in range(start, start + 20):
        check_program(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(100, 1100, 50))
def test_equal_to_the_machine_at_length(start):
    for seed in range(start, start + 50):
        check_program(seed)


def line(cores, sizes, link=1):
    """Cores in a row, one a tile, every neuron of each with an axon to the last core."""
    senders = [
        Sender(
            (), np.ones(n, np.int64), np.arange(n + 1),
            *np.full((4, n), [[cores - 1], [0], [5], [2]]),
        )
        for n in sizes
    ]  # fmt: skip
    host = Sender((), np.zeros(0, np.int64), np.zeros(1, np.int64), *np.zeros((4, 0), np.int32))
    cycles = replace(ARRAY.cycles, link=link)
    mapping = Mapping("array", tuple(Core((x, 0), 0, ()) for x in range(cores)))
    return Case(Axons(senders, host), mapping, replace(ARRAY, cycles=cycles), [])


def test_long_queues():
    case = line(4, [50, 50, 50, 0], link=7)
    case.sent = [np.ones((2, n), bool) for n in (50, 50, 50, 0, 0)]
    case.sent[1][1] = False
    check(case)
    assert case.time().longest_queue == 50


def test_ports_that_never_make_wait_are_no_stage():
    case = line(4, [3, 0, 0, 0])
    engine = Timer(case.axons, case.mapping, case.chip)
    assert len(engine.routes.stages) == 1
    merged = line(4, [3, 0, 3, 0])
    stages = Timer(merged.axons, merged.mapping, merged.chip).routes.stages
    assert [stage.ports for stage in stages] == [1, 4]
    tight = line(4, [3, 0, 0, 0], link=2)
    assert len(Timer(tight.axons, tight.mapping, tight.chip).routes.stages) == 2


@pytest.mark.parametrize("samples", [7, 14, 63, 64])
def test_quiet_ends_of_samples_do_not_make_large_blocks(monkeypatch, samples):
    steps = 9
    case = line(2, [50, 0])
    busy = np.ones((samples, steps, 50), bool)
    busy[:, 0] = busy[:, -1] = False
    case.sent = [busy.reshape(-1, 50), *(np.zeros((samples * steps, n), bool) for n in (0, 0))]
    monkeypatch.setattr(timer, "BLOCK_PACKETS", 2000)
    monkeypatch.setattr(timer, "processors", lambda: 1)
    blocks = Timer(case.axons, case.mapping, case.chip)._blocks(case.sent[:1], samples * steps)
    packets = [int(busy.reshape(-1, 50)[a:b].sum()) for a, b in blocks]
    assert sum(packets) == busy.sum()
    assert max(packets) <= 4000


def test_few_packets_are_not_dealt_out_to_many_processors(monkeypatch):
    case = line(2, [50, 0])
    case.sent = [np.ones((40, n), bool) for n in (50, 0, 0)]
    monkeypatch.setattr(timer, "processors", lambda: 64)
    engine = Timer(case.axons, case.mapping, case.chip)
    assert engine._blocks(case.sent[:1], 40) == [(0, 40)]
    monkeypatch.setattr(timer, "LEAST_PACKETS", 500)
    assert engine._blocks(case.sent[:1], 40) == [(0, 10), (10, 20), (20, 30), (30, 40)]


def test_nothing_sent_and_nothing_there():
    case = line(3, [4, 4, 0])
    case.sent = [np.zeros((5, n), bool) for n in (4, 4, 0, 0)]
    found = case.time()
    barrier = case.chip.cycles.barrier_of(3, 1)
    assert found.cycles.tolist() == [4 * case.chip.cycles.update + barrier] * 5
    assert found.longest_queue == found.packets.sum() == found.receive.sum() == 0
    case.sent = [part[:0] for part in case.sent]
    assert case.time().cycles.shape == (0,)
    case = line(2, [0, 0])
    case.sent = [np.zeros((2, 0), bool)] * 3
    assert case.time().cycles.tolist() == [case.chip.cycles.barrier_of(2, 1)] * 2


@pytest.mark.parametrize(
    "figure", ["update", "axon_out", "link", "hop_x", "axon_in", "word", "synapse"]
)
def test_times_that_can_not_be_counted_are_refused(figure):
    case = line(3, [4, 4, 0])
    case.sent = [np.ones((100, n), bool) for n in (4, 4, 0, 0)]
    for value in (10**15, 10**16):  # many episodes in a block would be too much
        case.chip = replace(case.chip, cycles=replace(case.chip.cycles, **{figure: value}))
        check(case)
    for value in (10**18, 10**30):
        case.chip = replace(case.chip, cycles=replace(case.chip.cycles, **{figure: value}))
        with pytest.raises(RefusedError, match="so many cycles"):
            case.time()


def test_size_of_a_call():
    case = random_case(3)
    engine = Timer(case.axons, case.mapping, case.chip)
    one = sum(part.nbytes for part in case.sent) // 3
    one += sum(
        getattr(engine.run(case.sent), name).nbytes // 3
        for name in ("send", "receive", "host", "cycles", "packets", "operations", "words")
    )
    assert one <= 1000 // engine.episodes(1000) <= 2 * one
    assert engine.episodes(100 * one) <= 100
    assert engine.episodes(0) == 1
