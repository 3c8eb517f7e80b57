"""Right layouts pass and are counted as in docs/mapping.md; whatever is altered is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import ArtefactError
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import (
    Architecture,
    CoreLimits,
    SynapseFormat,
    read_architecture,
)
from snnc.targets.cores.axons import Axons, Sender, build_axons
from snnc.targets.cores.checks import recount
from snnc.targets.cores.checks.validate import LIMITS, Usage, validate
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import (
    Conv,
    Dense,
    Lif,
    MultiCompartment,
    Program,
    Source,
    Sparse,
    Synapse,
    all_synapses,
)
from tests.targets.cores.cases import Case, case

A = NDArray[Any]
BIAS = np.asarray(0)
NO_LIMITS = CoreLimits(1 << 20, 0, 0, 0, 0, 0, 0)
LOIHI1 = read_architecture(CHIPS / "loihi1.toml")

# What is counted, synapse by synapse


@pytest.mark.parametrize("block", [1, recount.BLOCK])
@pytest.mark.parametrize("seed", range(60))
def test_random_layouts_are_counted(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recount, "BLOCK", block)
    drawn = case(seed)
    usage = validate(drawn.program, drawn.mapping, _axons(drawn), drawn.architecture)
    assert _table(usage) == _plain_usage(drawn.program, drawn.mapping, drawn.architecture)


def test_large_entries_and_kernels_are_counted() -> None:
    """A kernel of more taps than a word has bits; slices that are no boxes of its output."""
    kernel = np.ones((2, 1, 1, 70), np.int16)
    conv = Conv("in", "a", 0, 0, 0, 0, kernel, (1, 1, 300), (1, 3), (0, 40), (1, 2), 1)
    program = Program(
        {"in": Source((1, 300), 0, 0, False), "a": _lif((2, conv.out_shape[2]))}, (conv,)
    )
    boxes = [((0, 0), (2, 30)), ((0, 30), (1, 81)), ((1, 30), (2, 81))]
    assert conv.out_shape == (2, 1, 81)
    cores = [Core((x, 0), 0, (Slice("a", *box),)) for x, box in enumerate(boxes)]
    mapping = Mapping("loihi1", tuple(cores))
    usage = validate(program, mapping, build_axons(program, mapping, LOIHI1), LOIHI1)
    assert _table(usage) == _plain_usage(program, mapping, LOIHI1)


def _table(usage: Usage) -> dict[str, list[int]]:
    return {item.name: getattr(usage, item.name).tolist() for item in fields(usage)}


def _axons(drawn: Case) -> Axons:
    return build_axons(drawn.program, drawn.mapping, drawn.architecture)


def _plain_usage(
    program: Program, mapping: Mapping, architecture: Architecture
) -> dict[str, list[int]]:
    """What `Usage` should hold, from synapses one by one."""
    found = {item.name: [0] * len(mapping.cores) for item in fields(Usage)}
    owner: dict[tuple[str, int], int] = {}
    fan_in: Counter[tuple[str, int]] = Counter()
    for number, core in enumerate(mapping.cores):
        for part in core.slices:
            owner |= {(part.population, int(n)): number for n in _index(program, part)}
            found["neurons"][number] += part.size
            found["populations"][number] += 1
            compartments = program.populations[part.population].compartments
            found["compartments"][number] += part.size * compartments
    for group in all_synapses(program):
        fan_in.update((group.target, target) for _, target, _ in _synapses(group))
        for number, core in enumerate(mapping.cores):
            for part in core.slices:
                if part.population == group.target:
                    index = _index(program, part).tolist()
                    _add_lists(group, number, index, owner, architecture.synapses, found)
    for key, count in fan_in.items():
        found["fan_in"][owner[key]] = max(found["fan_in"][owner[key]], count)
    for number, delay in enumerate(found["delay_slots"]):
        slots = next(1 << n for n in range(99) if 1 << n >= delay + 2)
        found["delay_slots"][number] = slots * found["compartments"][number]
    return found


def _add_lists(
    group: Synapse, core: int, index: list[int], owner: dict[tuple[str, int], int],
    layout: SynapseFormat, found: dict[str, list[int]],
) -> None:  # fmt: skip
    """Adds what a group stores on a slice; the largest delay stands in the place of slots."""
    lists, shared = _lists(_synapses(group), index), _shared(group, index, layout)
    counts = dict.fromkeys(lists, layout.axon_entries if shared == "nothing" else 0)
    for source in _bearers(group, lists, shared):
        counts[source] = layout.shared_axon_entries
    if shared == "kernels":
        found["words"][core] += _kernel_words(group, index, layout)
    else:
        kinds = {_kind(group, source, held, shared): held for source, held in lists.items()}
        places = [[place for place, _ in held] for held in kinds.values()]
        found["words"][core] += _fewest(places, group, len(index), layout)
    found["synapses"][core] += sum(map(len, lists.values()))
    found["in_axons"][core] += sum(counts.values())
    found["delay_slots"][core] = max(found["delay_slots"][core], group.delay if lists else 0)
    if shared == "kernels":
        heads = [source for source in lists if _starts_entry(group, source, owner)]
        counts = dict.fromkeys(heads, layout.shared_axon_entries)
    for source, entries in counts.items():
        if (group.source, source) in owner:
            found["out_axons"][owner[group.source, source]] += entries


def _index(program: Program, part: Slice) -> A:
    shape = program.populations[part.population].shape
    inside = np.zeros(shape, bool)
    inside[tuple(map(slice, part.start, part.stop))] = True
    return np.flatnonzero(inside)


def _synapses(group: Synapse) -> list[tuple[int, int, tuple[int, int]]]:
    """(source, target, tap along y and x) of each."""
    if isinstance(group, Dense):
        out, into = group.weight.shape
        return [(i, o, (0, 0)) for o in range(out) for i in range(into)]
    if isinstance(group, Sparse):
        rows = np.repeat(np.arange(len(group.indptr) - 1), np.diff(group.indptr))
        return [(int(i), int(o), (0, 0)) for i, o in zip(group.indices, rows, strict=True)]
    assert isinstance(group, Conv)
    out, per_group, height, width = group.weight.shape
    found = []
    for o, c, ky, kx in np.ndindex(out, per_group, height, width):
        channel = o // (out // group.groups) * per_group + c
        for oy, ox in np.ndindex(*group.out_shape[1:]):
            y = oy * group.stride[0] - group.padding[0] + ky * group.dilation[0]
            x = ox * group.stride[1] - group.padding[1] + kx * group.dilation[1]
            if 0 <= y < group.in_shape[1] and 0 <= x < group.in_shape[2]:
                source = (channel * group.in_shape[1] + y) * group.in_shape[2] + x
                target = (o * group.out_shape[1] + oy) * group.out_shape[2] + ox
                found.append((source, target, (ky, kx)))
    return found


Held = list[tuple[int, tuple[int, int]]]


def _lists(synapses: Sequence[tuple[int, int, tuple[int, int]]], index: list[int]) -> dict[
    int, Held
]:  # fmt: skip
    """By source neuron, (place in the slice, tap) of its synapses there, in order."""
    place = {neuron: n for n, neuron in enumerate(index)}
    here = sorted((s, place[t], tap) for s, t, tap in synapses if t in place)
    return {
        source: [(place, tap) for _, place, tap in held]
        for source, held in groupby(here, lambda row: row[0])
    }


def _shared(group: Synapse, index: list[int], layout: SynapseFormat) -> str:
    """What a slice shares: something if it is a box of a kernel's output."""
    if not isinstance(group, Conv):
        return "nothing"
    places = np.unravel_index(index, group.out_shape)
    box = len(index) == np.prod([len(set(axis.tolist())) for axis in places])
    return layout.shared if box else "nothing"


def _bearers(group: Synapse, lists: dict[int, Held], shared: str) -> list[int]:
    """The source neurons whose axons take the entries of shared ones where they end."""
    if shared != "kernels":
        return list(lists) if shared == "patterns" else []
    assert isinstance(group, Conv)
    first: dict[tuple[int, int, int], int] = {}
    for source in sorted(lists):
        channel, y, x = map(int, np.unravel_index(source, group.in_shape))
        first.setdefault((channel // group.weight.shape[1], y, x), source)
    return list(first.values())


def _starts_entry(group: Synapse, source: int, owner: dict[tuple[str, int], int]) -> bool:
    """Whether the channel before isn't of the same group, or starts on another core."""
    assert isinstance(group, Conv)
    before = source - group.in_shape[1] * group.in_shape[2]
    if source // (source - before) % group.weight.shape[1] == 0:
        return True
    return owner.get((group.source, before)) != owner.get((group.source, source))


def _kernel_words(group: Synapse, index: list[int], layout: SynapseFormat) -> int:
    """Words of a kernel: of each input channel, for the slice's channels in its group."""
    assert isinstance(group, Conv)
    channels = {neuron // (group.out_shape[1] * group.out_shape[2]) for neuron in index}
    bits, words = _weight_bits(group, layout) + _delay_bits(group), 0
    for channel in range(group.in_shape[0]):
        block = channel // group.weight.shape[1]
        reached = [c for c in channels if c // (len(group.weight) // group.groups) == block]
        words += group.weight[0, 0].size * -(-len(reached) * bits // layout.word_bits)
    return words


def _kind(group: Synapse, source: int, held: Held, shared: str) -> Any:
    if shared == "nothing":
        return source
    assert isinstance(group, Conv)
    channel = source // (group.in_shape[1] * group.in_shape[2])
    return channel, frozenset(y for _, (y, _) in held), frozenset(x for _, (_, x) in held)


def _fewest(lists: list[list[int]], group: Synapse, size: int, layout: SynapseFormat) -> int:
    bits = _weight_bits(group, layout) + _delay_bits(group)
    found = []
    for form in layout.formats:
        for r in layout.skip_bits if form == "runlength" else [0]:
            item = bits + {"dense": 0, "sparse": max(1, len(f"{size - 1:b}")), "runlength": r}[form]
            found.append(sum(_words(_items(held, form, r), item, layout) for held in lists))
    return min(found)


def _delay_bits(group: Synapse) -> int:
    return len(f"{group.delay:b}") if group.delay else 0


def _weight_bits(group: Synapse, layout: SynapseFormat) -> int:
    assert isinstance(group, Dense | Sparse | Conv)
    stored = group.data if isinstance(group, Sparse) else group.weight
    weights = set(stored.reshape(-1).tolist())
    while any(weights) and all(w % 2 == 0 for w in weights):
        weights = {w // 2 for w in weights}
    for bits in layout.weight_bits:
        low = -(2 ** (bits - 1)) if min(weights, default=0) < 0 else 0
        if all(low <= w < low + 2**bits for w in weights):
            return bits
    raise AssertionError(weights)


def _items(held: list[int], form: str, r: int) -> int:
    if form == "dense":
        return sum(max(1, held.count(place)) for place in range(held[0], held[-1] + 1))
    if form == "sparse":
        return len(held)
    skipped = [max(0, b - a - 1) for a, b in pairwise(held)]
    return len(held) + sum(g >> r for g in skipped)


def _words(items: int, bits: int, layout: SynapseFormat) -> int:
    words = 0
    while items:
        entry = min(items, layout.entry_synapses)
        words += -(-(layout.header_bits + entry * bits) // layout.word_bits)
        items -= entry
    return words


# Shared kernels by hand


def _kernel_chip(**limits: int) -> Architecture:
    """Words of 4 bits, headers that would show, an axon of 5 entries and shared ones of 2."""
    layout = replace(
        LOIHI1.synapses, word_bits=4, header_bits=99, formats=("dense",), shared="kernels",
        axon_entries=5, shared_axon_entries=2,
    )  # fmt: skip
    return replace(LOIHI1, synapses=layout, core=replace(NO_LIMITS, **limits))


def _row_kernel(weight: Any, columns: int, **window: int) -> Conv:
    """A kernel (out, in / groups, columns) from `a` to `b`, over rows of so many columns."""
    weight = np.asarray(weight, np.int16)[:, :, None]
    groups, stride, padding = (window.get(name, n) for name, n in WINDOW.items())
    shape = (weight.shape[1] * groups, 1, columns)
    return Conv("a", "b", 0, 0, 0, 0, weight, shape, (1, stride), (0, padding), (1, 1), groups)


WINDOW = {"groups": 1, "stride": 1, "padding": 0}
Box = tuple[tuple[int, ...], tuple[int, ...]]


def _used(conv: Conv, a: list[Box], b: list[Box], chip: Architecture, *flat: int) -> Usage:
    """What is used of a core for every box of the kernel's inputs and, behind them, of its outputs,
    whose shape is `flat` where they have another."""
    inputs = (conv.in_shape[0], conv.in_shape[2])
    shape = flat or (conv.out_shape[0], conv.out_shape[2])
    populations = {"in": Source((1,), 0, 0, False), "a": _lif(inputs), "b": _lif(shape, 2)}
    slices = [*(Slice("a", *box) for box in a), *(Slice("b", *box) for box in b)]
    cores = [Core((x, 0), 0, (part,)) for x, part in enumerate(slices)]
    program, mapping = Program(populations, (conv,)), Mapping("loihi1", tuple(cores))
    return validate(program, mapping, build_axons(program, mapping, chip), chip)


def _grouped(**limits: int) -> Usage:
    """Two groups of 2 channels to 3, of 2 bits, 3 taps every 2 columns; 7 columns become 3."""
    conv = _row_kernel(np.full((6, 2, 3), 3), 7, groups=2, stride=2)
    a: list[Box] = [((0, 0), (1, 7)), ((1, 0), (4, 7))]
    b: list[Box] = [((0, 0), (4, 3)), ((4, 0), (6, 3))]
    return _used(conv, a, b, _kernel_chip(**limits))


def test_a_kernel_is_stored_tap_by_tap() -> None:
    used = _grouped()
    # All of the first group, in 2 words for each of 3 taps of 2 channels, and a channel of the
    # second, in one; then two channels of the second, in one, too.
    assert used.words.tolist() == [0, 0, 2 * 3 * 2 + 2 * 3, 2 * 3]
    # 9 synapses for each pair of channels.
    assert used.synapses.tolist() == [0, 0, 9 * 2 * 4, 9 * 2 * 2]


def test_the_axons_of_a_position_and_a_group_are_counted_together_core_by_core() -> None:
    used = _grouped()
    # 7 positions, of both groups on the first core of b, of the second group on the other.
    assert used.in_axons.tolist() == [0, 0, 2 * 7 * 2, 7 * 2]
    # Channel 0 sends to the first core. So does channel 1, of the same group, from another core
    # than channel 0. Channels 2 and 3 send to both, from one core, and count once.
    assert used.out_axons.tolist() == [7 * 2, 7 * 2 + 2 * 7 * 2, 0, 0]


@pytest.mark.parametrize(("name", "core", "used"), [
    ("words", 2, 18), ("in_axons", 2, 28), ("out_axons", 1, 42), ("fan_in", 2, 6),
])  # fmt: skip
def test_limits_of_shared_kernels(name: str, core: int, used: int) -> None:
    _grouped(**{name: used})
    with pytest.raises(ArtefactError, match=f"core {core}: {used} {name}, the chip has {used - 1}"):
        _grouped(**{name: used - 1})


def test_a_depthwise_kernel_takes_a_word_for_each_tap() -> None:
    conv = _row_kernel(np.full((3, 1, 2), 3), 4, groups=3)
    used = _used(conv, [((0, 0), (3, 4))], [((0, 0), (3, 1)), ((0, 1), (3, 3))], _kernel_chip())
    # A tap of 2 bits a word; both are stored even where one is not valid.
    assert used.words.tolist() == [0, 3 * 2, 3 * 2]
    # Columns 0 and 1 lead to the first core, 1, 2 and 3 to the other, channel by channel.
    assert used.in_axons.tolist() == [0, 3 * 2 * 2, 3 * 3 * 2]
    assert used.out_axons.tolist() == [3 * 5 * 2, 0, 0]


def test_a_slice_at_the_border_stores_all_taps() -> None:
    # 3 taps with 2 columns of padding: output 0 sees one column, by the last tap.
    conv = _row_kernel(np.full((2, 1, 3), 3), 4, padding=2)
    used = _used(conv, [((0, 0), (1, 4))], [((0, 0), (2, 1)), ((0, 1), (2, 6))], _kernel_chip())
    assert used.words.tolist() == [0, 3, 3]
    assert used.in_axons.tolist() == [0, 2, 4 * 2]
    assert used.synapses.tolist() == [0, 2, 2 * (2 + 3 + 3 + 2 + 1)]


def test_a_slice_that_sees_only_padding_stores_its_kernel_too() -> None:
    conv = _row_kernel([[[1]]], 3, padding=1)
    used = _used(conv, [((0, 0), (1, 3))], [((0, 0), (1, 1)), ((0, 1), (1, 5))], _kernel_chip())
    assert used.words.tolist() == [0, 1, 1]
    assert used.in_axons.tolist() == [0, 0, 3 * 2]


def test_a_flattened_population_shares_no_kernel() -> None:
    # 2 channels of 3 outputs as 6 neurons: the first four of them are no box, the others are.
    conv = _row_kernel(np.full((2, 1, 2), 3), 4)
    used = _used(conv, [((0, 0), (1, 4))], [((0,), (4,)), ((4,), (6,))], _kernel_chip(), 6)
    # From the first neuron to the last, inputs 0…3 have 4, 4, 2 and 1 items of 2 bits on the first
    # core, behind 99 of a header. On the second are the two taps of the kernel.
    assert used.words.tolist() == [0, 27 + 27 + 26 + 26, 2]
    assert used.in_axons.tolist() == [0, 4 * 5, 3 * 2]
    assert used.out_axons.tolist() == [4 * 5 + 3 * 2, 0, 0]


# What is altered


def _lif(shape: tuple[int, ...], lag: int = 1) -> Lif:
    return Lif(shape, lag, 0, 0, 10, BIAS, 0)


def _program() -> Program:
    rng = np.random.default_rng(0)
    loop = MultiCompartment((10,), 2, 0, 0, 10, BIAS, 0, BIAS, (-3,), (0,), True, 0)
    populations = {"in": Source((3, 6, 6), 0, 0, False), "a": _lif((4, 6, 6)), "b": loop}
    weights = [rng.integers(-9, 9, shape).astype(np.int16) for shape in ((4, 3, 3, 3), (10, 144))]
    skip = Sparse(
        "in", "b", 1, 0, 0, 0, np.arange(1, 21, dtype=np.int16),
        np.arange(20, dtype=np.int32) * 5, np.arange(11, dtype=np.int32) * 2, (10, 108),
    )  # fmt: skip
    conv = Conv("in", "a", 0, 0, 0, 0, weights[0], (3, 6, 6), (1, 1), (1, 1), (1, 1), 1)
    return Program(populations, (conv, Dense("a", "b", 0, 0, 0, 0, weights[1]), skip))


PROGRAM = _program()
MAPPING = Mapping(
    "loihi1",
    (
        Core((0, 0), 0, (Slice("a", (0, 0, 0), (2, 6, 6)),)),
        Core((0, 0), 1, (Slice("a", (2, 0, 0), (4, 3, 6)), Slice("b", (0,), (4,)))),
        Core((3, 2), 0, (Slice("a", (2, 3, 0), (4, 6, 6)),)),
        Core((9, 5), 3, (Slice("b", (4,), (10,)),)),
    ),
)
AXONS = build_axons(PROGRAM, MAPPING, LOIHI1)


def _check(mapping: Mapping = MAPPING, axons: Axons = AXONS, chip: Architecture = LOIHI1) -> Usage:
    return validate(PROGRAM, mapping, axons, chip)


def test_the_unaltered_layout_passes() -> None:
    assert _table(_check()) == _plain_usage(PROGRAM, MAPPING, LOIHI1)


def _with_core(number: int, **changes: Any) -> Mapping:
    cores = list(MAPPING.cores)
    cores[number] = replace(cores[number], **changes)
    return replace(MAPPING, cores=tuple(cores))


B0, B3 = Slice("b", (0,), (4,)), Slice("b", (4,), (10,))
A0, A1 = MAPPING.cores[0].slices[0], MAPPING.cores[1].slices[0]


@pytest.mark.parametrize(
    ("number", "changes", "says"),
    [
        (3, {"slices": (Slice("b", (5,), (10,)),)}, "b: 1 neurons lie on no core, the first is 4"),
        (3, {"slices": (Slice("b", (3,), (10,)),)}, "b: 1 neurons of core 3 lie on core 1, too"),
        (3, {"slices": (Slice("b", (4,), (11,)),)}, "core 3: holds .* whose shape is"),
        (3, {"slices": (Slice("b", (6,), (6,)),)}, "core 3: holds .* whose shape is"),
        (3, {"slices": (Slice("b", (4, 0), (10, 1)),)}, "core 3: holds .* whose shape is"),
        (3, {"slices": (B3, Slice("in", (0, 0, 0), (3, 6, 6)))}, "core 3: holds in, no popul"),
        (3, {"slices": (B3, Slice("c", (0,), (1,)))}, "core 3: holds c, no population"),
        (3, {"slices": ()}, "core 3: holds no neurons"),
        (3, {"slices": (Slice("b", (4,), (7,)), Slice("b", (7,), (10,)))}, "several slices of b"),
        (1, {"slices": (B0, A1)}, "core 1: sends for a, b, it holds b, a"),
        (1, {"slot": 0}, r"core 1: tile \(0, 0\), slot 0 is that of core 0, too"),
        (1, {"slot": 4}, r"core 1: tile \(0, 0\), slot 4: there are 64 × 16 tiles of 4"),
        (1, {"slot": -1}, "core 1: tile"),
        (2, {"tile": (64, 2)}, r"core 2: tile \(64, 2\), slot 0: there are"),
        (2, {"tile": (3, 16)}, r"core 2: tile \(3, 16\)"),
        (2, {"tile": (3, -1)}, r"core 2: tile \(3, -1\)"),
    ],
)
def test_altered_mappings_are_found(number: int, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ArtefactError, match=says):
        _check(_with_core(number, **changes))


def test_other_places_need_other_axons() -> None:
    """A legal mapping with the axons of another."""
    cores = list(MAPPING.cores)
    cores[0], cores[2] = (
        replace(cores[0], slices=(Slice("a", (0, 0, 0), (2, 3, 6)),)),
        replace(cores[2], slices=(Slice("a", (0, 3, 0), (2, 6, 6)),)),
    )
    cores.append(Core((4, 4), 0, (Slice("a", (2, 3, 0), (4, 6, 6)),)))
    mapping = replace(MAPPING, cores=tuple(cores))
    with pytest.raises(ArtefactError, match="axons: of 4 cores, there are 5"):
        _check(mapping)
    validate(PROGRAM, mapping, build_axons(PROGRAM, mapping, LOIHI1), LOIHI1)


def test_another_chip_is_found() -> None:
    with pytest.raises(ArtefactError, match="is for chip other, not loihi1"):
        _check(replace(MAPPING, chip="other"))


def _with_sender(number: int, change: Callable[[Sender], Sender]) -> Axons:
    """`AXONS` with one sender changed; −1 is the host."""
    if number < 0:
        return replace(AXONS, host=change(AXONS.host))
    cores = list(AXONS.cores)
    cores[number] = change(cores[number])
    return replace(AXONS, cores=cores)


def _set(name: str, axon: int, value: Callable[[int], int]) -> Callable[[Sender], Sender]:
    def change(sender: Sender) -> Sender:
        column = getattr(sender, name).copy()
        column[axon] = value(int(column[axon]))
        return replace(sender, **{name: column})

    return change


def _taken(order: Callable[[int], list[int]], more: int) -> Callable[[Sender], Sender]:
    """Axons by their former numbers; the first neuron has `more` of them."""

    def change(sender: Sender) -> Sender:
        kept = order(len(sender.target))
        names = ("target", "group", "operations", "words")
        indptr = sender.indptr.copy()
        indptr[1:] += more
        return replace(sender, indptr=indptr, **{n: getattr(sender, n)[kept] for n in names})

    return change


def _half(sender: Sender) -> Sender:
    return replace(sender, compartments=sender.compartments + 1)


def _other_neurons(sender: Sender) -> Sender:
    (name, index), *others = sender.parts
    return replace(sender, parts=((name, index[::-1]), *others))


def _nothing_sent(sender: Sender) -> Sender:
    """As many axons as before, all of them from the first neuron."""
    indptr = np.full_like(sender.indptr, len(sender.target))
    indptr[0] = 0
    return replace(sender, indptr=indptr)


def _exchanged(sender: Sender) -> Sender:
    """Axons of equal operations of a neuron above the cut and of one below, to the other's core."""
    above, below = int(sender.indptr[6]) + 1, int(sender.indptr[24]) + 1
    target = sender.target.copy()
    assert (*target[[above, below]], *sender.operations[[above, below]]) == (1, 2, 12, 12)
    target[[above, below]] = 2, 1
    return replace(sender, target=target)


def _moved(sender: Sender) -> Sender:
    """A neuron without one of its axons, whose synapses another takes over; all sums are right."""
    one, two = int(sender.indptr[12]), int(sender.indptr[13])
    operations = sender.operations.copy()
    assert operations[[one + 1, one + 2]].tolist() == [8, 4]
    assert sender.target[[one + 1, one + 2, two + 1, two + 2]].tolist() == [1, 2, 1, 2]
    operations[[one + 1, two + 1, two + 2]] += [4, -4, 4]
    kept = np.delete(np.arange(len(operations)), one + 2)
    indptr = sender.indptr - (np.arange(sender.size + 1) > 12)
    return Sender(
        sender.parts, sender.compartments, indptr, sender.target[kept], sender.group[kept],
        operations[kept], sender.words[kept],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "change", "says"),
    [
        (0, _taken(lambda n: list(range(1, n)), -1), "group 1, a → b: the axons of neuron 0 lead"),
        (-1, _taken(lambda n: list(range(1, n)), -1), "group 0, in → a: the axons of neuron 0"),
        (0, _taken(lambda n: [0, *range(n)], 1), "core 0: the axons of its neuron 0 are doubled"),
        (0, _taken(lambda n: [1, 0, *range(2, n)], 0), "its neuron 0 are doubled or in no order"),
        (0, _taken(lambda n: list(range(n - 1)), 0), "core 0: its lists of axons don't make up"),
        (0, _nothing_sent, "core 0: the axons of its neuron 0 are doubled or in no order"),
        (0, _set("target", 1, lambda _: 4), "core 0: an axon names core 1 or 4, there are 4"),
        (0, _set("target", 0, lambda _: -1), "core 0: an axon names core -1 or 3"),
        (0, _set("target", 1, lambda _: 2), "group 1, a → b: the axons of core 2 lead to 6 of"),
        (-1, _exchanged, "group 0, in → a: target of neuron 6: 2, should be 1"),
        (-1, _moved, "group 0, in → a: axons of neuron 12: 2, should be 3"),
        (0, _set("group", 0, lambda _: 4), "core 0: an axon names group 1 or 4, there are 4"),
        (0, _set("group", 1, lambda _: 0), "core 0: a has an axon of group 0, not one of its own"),
        (0, _set("operations", 3, lambda n: n - 1), "neuron 1 lead to 9 of its 10 synapses; 1 n"),
        (0, _set("operations", 3, lambda n: n + 1), "neuron 1 lead to 11 of its 10 synapses; 1 n"),
        (0, _set("operations", 3, lambda _: 0), "core 0: an axon leads to a list of less than one"),
        (0, _set("words", 3, lambda n: n + 1), "group 1, a → b: words of neuron 1: 2, should be 1"),
        (
            -1,
            _set("words", 5, lambda n: n + 1),
            "group 0, in → a: words of neuron 2: 3, should be 2",
        ),
        (3, _set("words", 2, lambda n: n + 1), "group 3, b → b: words of neuron 6: 2, should be 1"),
        (2, _half, "core 2: its neurons have other than"),
        (2, _other_neurons, "core 2: sends for other neurons of a than it holds"),
        (-1, _other_neurons, "host: sends for other neurons of in than it holds"),
    ],
)
def test_altered_axons_are_found(
    number: int, change: Callable[[Sender], Sender], says: str
) -> None:
    with pytest.raises(ArtefactError, match=says):
        _check(axons=_with_sender(number, change))


def test_synapses_exchanged_between_cores_are_found() -> None:
    """All sums are right: two neurons have each other's operations to both cores."""
    first = AXONS.host
    rows = [slice(int(a), int(b)) for a, b in zip(first.indptr, first.indptr[1:], strict=False)]
    counts = {n: tuple(first.operations[row].tolist()) for n, row in enumerate(rows)}
    one, two = next(
        (m, n) for m, a in counts.items() for n, b in counts.items()
        if len(a) == len(b) and sum(a) == sum(b) and a != b
        and np.array_equal(first.target[rows[m]], first.target[rows[n]])
        and np.array_equal(first.group[rows[m]], first.group[rows[n]])
    )  # fmt: skip
    operations = first.operations.copy()
    operations[rows[one]], operations[rows[two]] = counts[two], counts[one]
    with pytest.raises(ArtefactError, match=r"group 0, in → a: operations of neuron"):
        _check(axons=replace(AXONS, host=replace(first, operations=operations)))


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_kept_to_the_last_one(name: str) -> None:
    used = getattr(_check(), name)
    at = replace(LOIHI1, core=replace(LOIHI1.core, **{name: int(used.max())}))
    over = replace(LOIHI1, core=replace(LOIHI1.core, **{name: int(used.max()) - 1}))
    _check(chip=at)
    says = f"core {np.argmax(used)}: {used.max():,} {name}, the chip has {used.max() - 1:,}"
    with pytest.raises(ArtefactError, match=says):
        _check(chip=over)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"delay_bits": 0}, "in → b: a delay of 1 takes 1 bits of 0"),
        ({"weight_bits": (1, 4)}, "in → a: its weights are -9…8, the widest has 4 bits"),
    ],
)
def test_what_does_not_fit_a_synapse_is_found(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ArtefactError, match=says):
        _check(chip=replace(LOIHI1, synapses=replace(LOIHI1.synapses, **changes)))


@pytest.mark.parametrize("host", [(64, 0), (0, 16), (-1, 3)])
def test_routes_stay_inside_the_mesh(host: tuple[int, int]) -> None:
    with pytest.raises(ArtefactError, match="routes: a packet comes to"):
        _check(chip=replace(LOIHI1, mesh=replace(LOIHI1.mesh, host=host)))
