"""Sizes of lists: worked examples, and against synapses written out one by one."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import RefusedError
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import SHARED, SynapseFormat, read_architecture
from snnc.targets.cores.mapper.grids import cut
from snnc.targets.cores.mapping import Slice
from snnc.targets.cores.program import Conv, Dense, Sparse, Synapse
from snnc.targets.cores.storage.kernels import box_of
from snnc.targets.cores.storage.sizes import ends, fan_in, sources, starts, totals
from tests.targets.cores.stored import lists

A = NDArray[Any]
LOIHI1 = read_architecture(CHIPS / "loihi1.toml").synapses
LOIHI2 = read_architecture(CHIPS / "loihi2.toml").synapses
ARRAY = read_architecture(CHIPS / "array.toml").synapses
Tap = tuple[int, int] | None


def written_out(group: Synapse) -> list[tuple[int, int, Tap]]:
    """(source, target, tap of the kernel) of every synapse, in plain loops."""
    match group:
        case Dense():
            pairs = itertools.product(*map(range, group.weight.shape))
            return [(source, target, None) for target, source in pairs]
        case Sparse():
            rows = itertools.pairwise(group.indptr)
            return [
                (int(source), target, None)
                for target, (start, stop) in enumerate(rows)
                for source in group.indices[start:stop]
            ]
    assert isinstance(group, Conv)
    found: list[tuple[int, int, Tap]] = []
    _, height, width = group.in_shape
    _, rows_out, columns_out = group.out_shape
    share = len(group.weight) // group.groups
    for o, y, x in itertools.product(*map(range, group.out_shape)):
        for c, j, i in itertools.product(*map(range, group.weight.shape[1:])):
            row = y * group.stride[0] - group.padding[0] + j * group.dilation[0]
            column = x * group.stride[1] - group.padding[1] + i * group.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                channel = o // share * group.weight.shape[1] + c
                source = (channel * height + row) * width + column
                found.append((source, (o * rows_out + y) * columns_out + x, (j, i)))
    return found


@dataclass
class Found:
    """What the rules say of a group on a slice."""

    operations: list[int]
    words: list[int]
    entries: list[int]
    fan_in: list[int]
    stored: int
    best: str


def by_the_rules(group: Synapse, index: Sequence[int], layout: SynapseFormat, box: bool) -> Found:
    """docs/mapping.md, list by list; `box`: the slice is one of a kernel's output."""
    place = {neuron: number for number, neuron in enumerate(index)}
    held: dict[int, list[int]] = {}
    taps: dict[int, list[tuple[int, int]]] = {}
    fan = [0] * len(index)
    for source, target, tap in written_out(group):
        if target in place:
            held.setdefault(source, []).append(place[target])
            fan[place[target]] += 1
            if tap is not None:
                taps.setdefault(source, []).append(tap)
    base = weight_bits(group, layout) + len(f"{group.delay:b}") * (group.delay > 0)
    ends_of = range(source_size(group))
    shared = layout.shared if isinstance(group, Conv) and box else "nothing"
    if shared == "kernels":
        assert isinstance(group, Conv)
        return replace(whole_kernel(group, index, layout, base, taps), fan_in=fan)
    keys: dict[int, Any] = {source: source for source in held}
    if shared == "patterns":
        assert isinstance(group, Conv)
        inner = group.in_shape[1] * group.in_shape[2]
        for source, met in taps.items():
            valid = tuple(frozenset(tap[axis] for tap in met) for axis in (0, 1))
            keys[source] = (source // inner, *valid)
    each = layout.axon_entries if shared == "nothing" else layout.shared_axon_entries
    bits = {"dense": base, "sparse": base + max(1, len(f"{len(index) - 1:b}"))}
    bits |= {f"runlength {r}": base + r for r in layout.skip_bits}
    best: tuple[int, dict[int, int], str] | None = None
    for name in bits:
        if name.split()[0] not in layout.formats:
            continue
        words = {s: packed(items(name, sorted(at)), bits[name], layout) for s, at in held.items()}
        stored = sum({keys[source]: count for source, count in words.items()}.values())
        if best is None or stored < best[0]:
            best = stored, words, name
    assert best is not None
    return Found(
        [len(held.get(source, ())) for source in ends_of],
        [best[1].get(source, 0) for source in ends_of],
        [each * (source in held) for source in ends_of],
        fan,
        best[0],
        best[2].split()[0],
    )


def whole_kernel(
    group: Conv, index: Sequence[int], layout: SynapseFormat, bits: int,
    taps: dict[int, list[tuple[int, int]]],
) -> Found:  # fmt: skip
    """The same where the kernel is stored; `taps`: of each source, one for each synapse."""
    inner, plane = math.prod(group.in_shape[1:]), math.prod(group.out_shape[1:])
    per_group, share = group.weight.shape[1], len(group.weight) // group.groups
    outputs = {int(neuron) // plane for neuron in index}
    words: dict[int, int] = {}
    for channel in range(group.in_shape[0]):
        met = sum(o // share == channel // per_group for o in outputs)
        if met:
            words[channel] = -(-met * bits // layout.word_bits)
    found = Found([], [], [], [], 0, "kernel")
    found.stored = sum(words.values()) * group.weight.shape[2] * group.weight.shape[3]
    counted = set()
    for source in range(source_size(group)):
        channel, position = divmod(source, inner)
        met_by = taps.get(source, [])
        found.operations.append(len(met_by))
        found.words.append(len(set(met_by)) * words.get(channel, 0))
        shares_entry = (channel // per_group, position)
        counts = bool(met_by) and shares_entry not in counted
        found.entries.append(layout.shared_axon_entries * counts)
        counted |= {shares_entry} if met_by else set()
    return found


def source_size(group: Synapse) -> int:
    match group:
        case Dense():
            return group.weight.shape[1]
        case Sparse():
            return group.matrix_shape[1]
    assert isinstance(group, Conv)
    return int(np.prod(group.in_shape))


def items(name: str, at: list[int]) -> int:
    """Items of a list to the ascending positions `at`."""
    if name == "dense":
        return sum(max(1, at.count(neuron)) for neuron in range(at[0], at[-1] + 1))
    skip = int(name.split()[1]) if name != "sparse" else 64
    between = (sum(a < n < b for n in range(at[-1])) for a, b in itertools.pairwise(at))
    return len(at) + sum(run >> skip for run in between)


def packed(count: int, bits: int, layout: SynapseFormat) -> int:
    """Words of a list, entry by entry."""
    words = 0
    while count:
        taken = min(count, layout.entry_synapses)
        filled = layout.header_bits + taken * bits
        words += filled // layout.word_bits + (filled % layout.word_bits > 0)
        count -= taken
    return words


def weight_bits(group: Synapse, layout: SynapseFormat) -> int:
    weights = group.data if isinstance(group, Sparse) else group.weight  # type: ignore[attr-defined]
    values = [int(value) for value in np.ravel(weights)]
    while any(values) and all(value % 2 == 0 for value in values):
        values = [value // 2 for value in values]
    signed = any(value < 0 for value in values)
    for bits in layout.weight_bits:
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if all(low <= value <= high for value in values):
            return bits
    raise AssertionError(values)


# Random groups, slices and layouts


def pick(rng: np.random.Generator, *values: Any) -> Any:
    return values[rng.integers(len(values))]


def layouts(rng: np.random.Generator) -> SynapseFormat:
    """Any formats, words so small that lists differ in size."""
    formats = [name for name in ("runlength", "dense", "sparse") if rng.random() < 0.6]
    return SynapseFormat(
        word_bits=pick(rng, 1, 8, 16, 64),
        header_bits=pick(rng, 0, 3, 10),
        entry_synapses=pick(rng, 1, 2, 5, 60),
        weight_bits=pick(rng, (1, 2, 3, 4, 5, 6, 8), (2, 8), (9,)),
        delay_bits=6,
        formats=tuple(formats or ["sparse"]),
        skip_bits=pick(rng, (1,), (2, 3, 4, 5), (1, 3)),
        shared=pick(rng, *SHARED),
        axon_entries=2,
        shared_axon_entries=3,
    )


def values(rng: np.random.Generator, shape: Sequence[int]) -> A:
    """Weights of up to 8 bits after common factors, now and then all of one sign or 0."""
    low, high = pick(rng, (0, 1), (0, 2), (0, 200), (-1, 1), (-128, 128), (-7, 0))
    return (rng.integers(low, high, shape) << pick(rng, 0, 0, 1, 3)).astype(np.int16)


def common(rng: np.random.Generator) -> tuple[str, str, int, int, int, int]:
    return "a", "b", pick(rng, 0, 0, 1, 5, 62), 0, 0, 0


def convolution(rng: np.random.Generator, axes: int = 2) -> Conv:
    """A kernel of up to 3×3 with any stride, padding, dilation and groups; with one axis, along
    the columns."""
    groups, into, out = pick(rng, 1, 1, 2, 3), pick(rng, 1, 2), pick(rng, 1, 2, 3)

    def pair(first: int, *choices: int) -> tuple[int, int]:
        return pick(rng, *choices) if axes == 2 else first, pick(rng, *choices)

    kernel = pair(1, 1, 2, 3)
    stride, padding, dilation = pair(1, 1, 1, 2, 3), pair(0, 0, 1, 2), pair(1, 1, 1, 2, 3)
    least = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    height, width = (max(1, n) + int(rng.integers(5)) for n in least)
    return Conv(
        *common(rng),
        values(rng, (groups * out, into, *kernel)),
        (groups * into, height if axes == 2 else 1, width),
        stride,
        padding,
        dilation,
        groups,
    )


def matrix(rng: np.random.Generator, size: int, sources: int = 8) -> Sparse:
    """Rows of up to 6 synapses, in no order and several to a pair."""
    counts = rng.integers(0, pick(rng, 1, 3, 7), size)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    indices = rng.integers(0, sources, indptr[-1]).astype(np.int32)
    return Sparse(
        *common(rng), values(rng, indices.shape), indices, indptr, matrix_shape=(size, sources)
    )


def box(rng: np.random.Generator, shape: Sequence[int]) -> Slice:
    ends_of = [np.sort(rng.choice(extent + 1, 2, replace=False)) for extent in shape]
    return Slice("b", tuple(int(a) for a, _ in ends_of), tuple(int(b) for _, b in ends_of))


def compare(
    group: Synapse, shape: Sequence[int], part: Slice, layout: SynapseFormat, whole: bool = True
) -> str:
    """Compares everything with the rules; returns the format."""
    wanted = by_the_rules(group, [int(x) for x in part.index(shape)], layout, whole)
    found = lists(group, shape, part, layout)
    assert found.operations.tolist() == wanted.operations
    assert found.words.tolist() == wanted.words
    assert found.entries.tolist() == wanted.entries
    assert found.fan_in.tolist() == fan_in(group, shape, part).tolist() == wanted.fan_in
    assert found.stored == wanted.stored
    short = ends(group, shape, part, layout)
    np.testing.assert_array_equal(short.source, np.flatnonzero(found.operations))
    np.testing.assert_array_equal(short.operations, found.operations[short.source])
    np.testing.assert_array_equal(short.words, found.words[short.source])
    np.testing.assert_array_equal(short.entries, found.entries[short.source])
    summed = totals(group, shape, part, layout)
    assert (summed.axons, summed.entries, summed.stored) == (
        found.axons, sum(wanted.entries), found.stored,
    )  # fmt: skip
    return wanted.best


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_kernels_are_stored_as_written_out(start: int) -> None:
    formats = set()
    for seed in range(start, start + 100):
        rng = np.random.default_rng(seed)
        group = convolution(rng)
        part = box(rng, group.out_shape)
        formats.add(compare(group, group.out_shape, part, layouts(rng)))
    assert formats == {"dense", "sparse", "runlength", "kernel"}


def test_a_kernel_over_one_axis_shares_its_lists() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = convolution(rng, axes=1)
        shape = (group.out_shape[0], group.out_shape[2])
        compare(group, shape, box(rng, shape), layouts(rng))


def test_a_range_of_a_flattened_map_is_shared_where_it_is_a_box() -> None:
    boxes = set()
    for seed in range(120):
        rng = np.random.default_rng(seed)
        group = convolution(rng)
        shape = (int(np.prod(group.out_shape)),)
        part = box(rng, shape)
        low, high = (np.unravel_index(at, group.out_shape) for at in part.index(shape)[[0, -1]])
        whole = np.prod(np.subtract(high, low) + 1) == part.size
        compare(group, shape, part, layouts(rng), bool(whole))
        boxes.add(bool(whole))
    assert boxes == {True, False}


@pytest.mark.parametrize("start", range(0, 300, 100))
def test_matrices_are_stored_as_written_out(start: int) -> None:
    formats = set()
    for seed in range(start, start + 100):
        rng = np.random.default_rng(seed)
        shape = pick(rng, (int(rng.integers(1, 40)),), (2, 3, 4))
        size = int(np.prod(shape))
        full = Dense(*common(rng), values(rng, (size, int(rng.integers(1, 5)))))
        group: Synapse = full if rng.random() < 0.2 else matrix(rng, size)
        formats.add(compare(group, shape, box(rng, shape), layouts(rng)))
    assert formats == {"dense", "sparse", "runlength"}


@pytest.mark.parametrize("start", range(0, 240, 80))
def test_what_axons_take_where_they_start(start: int) -> None:
    """Against the axons that end on the slices, one slice after the other."""
    apart = 0
    for seed in range(start, start + 80):
        rng = np.random.default_rng(seed)
        layout, group = layouts(rng), convolution(rng)
        shape: tuple[int, ...] = pick(rng, group.out_shape, (int(np.prod(group.out_shape)),))
        if rng.random() < 0.3:
            shape = (2, 3, 4)
            full = Dense(*common(rng), values(rng, (24, int(rng.integers(1, 5)))))
            group = pick(rng, full, matrix(rng, 24))
        parts = cut("b", shape, [int(rng.integers(1, n + 1)) for n in shape])
        owner = rng.integers(0, 3, sources(group)).repeat(2)[: sources(group)]
        together = isinstance(group, Conv) and layout.shared == "kernels"
        plane = math.prod(group.in_shape[1:]) if isinstance(group, Conv) else 1
        least, most, on = np.zeros((3, sources(group)), int)
        for part in parts:
            found = ends(group, shape, part, layout)
            least[found.source] += found.entries
            boxed = together and box_of(group, shape, part) is not None
            for source, entries in zip(found.source, found.entries, strict=True):
                alone = layout.shared_axon_entries if boxed else entries
                first = not boxed or source // plane % group.weight.shape[1] == 0
                most[source] += alone
                on[source] += alone * (first or owner[source] != owner[source - plane])
        taken = starts(group, shape, parts, layout)
        assert taken.least.tolist() == least.tolist()
        assert taken.most.tolist() == most.tolist()
        assert taken.on(owner).tolist() == on.tolist()
        apart += on.sum() > least.sum()
    assert apart >= 3


def test_many_sources_and_many_slices_are_told_apart() -> None:
    size, count = 1_100_000, 2_000
    index = np.arange(size, dtype=np.int32)
    group = Sparse(
        "a", "b", 0, 0, 0, 0, np.ones(size, np.int8), index,
        np.arange(size + 1, dtype=np.int32), (size, size),
    )  # fmt: skip
    taken = starts(group, (size,), cut("b", (size,), (count,)), LOIHI1)
    assert set(taken.most.tolist()) == {LOIHI1.axon_entries}


def test_no_slices_take_no_axons() -> None:
    rng = np.random.default_rng(0)
    for group in (convolution(rng), matrix(rng, 24), dense([[1], [2]])):
        for chip in (LOIHI1, LOIHI2):
            assert not starts(group, (24,), (), chip).most.any()


# Worked examples


def dense(weight: Any) -> Dense:
    return Dense("a", "b", 0, 0, 0, 0, np.asarray(weight, np.int16))


def columns(size: int, *targets: Sequence[int], weight: int = -127) -> Sparse:
    """A synapse from source n to each of `targets[n]`."""
    pairs = sorted((row, source) for source, rows in enumerate(targets) for row in rows)
    counts = np.bincount([row for row, _ in pairs], minlength=size)
    return Sparse(
        "a", "b", 0, 0, 0, 0, np.full(len(pairs), weight, np.int16),
        np.asarray([source for _, source in pairs], np.int32),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int32), (size, len(targets)),
    )  # fmt: skip


def whole(size: int) -> Slice:
    return Slice("b", (0,), (size,))


def test_a_dense_list_of_several_entries() -> None:
    # 60, 60 and 8 of 8 bits with 10 in front: 490, 490 and 74 bits are 8, 8 and 2 words.
    group = dense(np.repeat([[-128], [127]], 64, 0))
    found = lists(group, (128,), whole(128), LOIHI1)
    assert (found.words.tolist(), found.stored, found.entries.tolist()) == ([18], 18, [1])
    assert found.fan_in.tolist() == [1] * 128


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ((0, 1023), 1),  # Two of 8 + 10 bits, sparse; 33 of run length would be 7 words.
        (range(0, 180, 3), 10),  # 60 of 8 + 2 bits, run length; sparse 18 words, dense 24.
        (range(100, 160), 8),  # 60 of 8 bits, dense.
        ((5, 5, 5, 6), 1),  # 4 of 8 bits and the header, dense.
    ],
)
def test_the_format_of_fewest_words_is_taken(targets: Sequence[int], words: int) -> None:
    found = lists(columns(1024, targets), (1024,), whole(1024), LOIHI1)
    assert (found.words.tolist(), found.stored) == ([words], words)


def test_of_equal_formats_the_first_is_taken() -> None:
    # Of 4 bits each in words of 8: dense 8 and 4 items, sparse twice as wide 2 and 4.
    layout = replace(ARRAY, word_bits=8, header_bits=0, formats=("sparse", "dense"))
    group = columns(16, (0, 7), (0, 1, 2, 3), weight=-7)
    found = lists(group, (16,), whole(16), layout)
    assert (found.words.tolist(), found.stored) == ([4, 2], 6)


def test_the_smallest_skip_of_equal_ones_is_taken() -> None:
    # Gaps of 5 and of none: 3 + 2 bits twice and one skip, or 3 + 3 bits, and 6 of 3 + 2 or 3 + 3.
    layout = replace(LOIHI1, word_bits=1, header_bits=0, formats=("runlength",), skip_bits=(2, 3))
    group = columns(16, (0, 6), (0, 1, 2), weight=-3)
    found = lists(group, (16,), whole(16), layout)
    assert (found.words.tolist(), found.stored) == ([15, 15], 30)


def test_a_kernel_is_stored_once_for_positions_with_the_same_taps() -> None:
    # Corners have 4 taps: 4 items and one more for the skip of 6, each of 8 + 2 bits, are 60 bits
    # with the header; edges have 6 taps, the inner positions 9: two words each.
    group = Conv(
        "a", "b", 0, 0, 0, 0, np.arange(-127, -118, dtype=np.int16).reshape(1, 1, 3, 3),
        (1, 8, 8), (1, 1), (1, 1), (1, 1), 1,
    )  # fmt: skip
    part = Slice("b", (0, 0, 0), (1, 8, 8))
    found = lists(group, group.out_shape, part, LOIHI1)
    words = np.full((8, 8), 2)
    words[::7, ::7] = 1
    assert (found.stored, found.axons) == (4 * 1 + 5 * 2, 64)
    assert found.entries.tolist() == [2] * 64
    np.testing.assert_array_equal(found.words.reshape(8, 8), words)
    alone = lists(group, group.out_shape, part, replace(LOIHI1, shared="nothing"))
    assert (alone.stored, alone.entries.tolist()) == (4 * 1 + 60 * 2, [1] * 64)


def test_a_kernel_stored_as_such() -> None:
    # Of two groups, output channels 9 to 18: one of the first (8 bits: 1 word a tap) and nine of
    # the second (72 bits: 2 words), each of 2 input channels and 9 taps.
    weight = np.full((20, 2, 3, 3), -127, np.int16)
    group = Conv("a", "b", 0, 0, 0, 0, weight, (4, 5, 5), (1, 1), (1, 1), (1, 1), 2)
    part = Slice("b", (9, 2, 0), (19, 3, 5))
    found = lists(group, group.out_shape, part, LOIHI2)
    assert found.stored == 2 * 9 * 1 + 2 * 9 * 2
    entries, words, operations = (
        item.reshape(4, 5, 5) for item in (found.entries, found.words, found.operations)
    )
    row = np.asarray([2, 3, 3, 3, 2])
    reached = np.asarray([[0], [1], [1], [1], [0]])
    for channel, (outputs, each) in enumerate([(1, 1), (1, 1), (9, 2), (9, 2)]):
        np.testing.assert_array_equal(operations[channel], reached * row * outputs)
        np.testing.assert_array_equal(words[channel], reached * row * each)
        np.testing.assert_array_equal(entries[channel], reached * (channel % 2 == 0) + 0 * row)
    assert totals(group, group.out_shape, part, LOIHI2).entries == 2 * 15


@pytest.mark.parametrize(("into", "out", "bits", "words"), [(3, 24, 8, 81), (64, 64, 5, 2880)])
def test_kernels_take_the_words_of_published_tables(
    into: int, out: int, bits: int, words: int
) -> None:
    """Two layers of PilotNet in the utilisation tables of lava-dl."""
    weight = np.full((out, into, 3, 3), -1 << (bits - 1), np.int16)
    weight[0, 0, 0, 0] = 1
    group = Conv("a", "b", 0, 0, 0, 0, weight, (into, 9, 9), (1, 1), (0, 0), (1, 1), 1)
    part = Slice("b", (0, 0, 0), group.out_shape)
    assert totals(group, group.out_shape, part, LOIHI2).stored == words


@pytest.mark.parametrize(
    ("weights", "delay", "bits"),
    [
        ([0], 0, 1),
        ([-128], 0, 1),
        ([-64, 64], 0, 2),
        ([0, 7], 0, 3),
        ([0, 32], 0, 1),
        ([255], 0, 8),
        ([-254, 254], 0, 8),
        ([-256, 2], 0, 8),
        ([63, 64], 0, 8),
        ([1], 1, 1 + 1),
        ([1], 62, 1 + 6),
    ],
)
def test_widths_of_weights_and_delays(weights: list[int], delay: int, bits: int) -> None:
    layout = replace(LOIHI1, word_bits=1, header_bits=0, formats=("dense",))
    group = replace(dense([weights]), delay=delay)
    assert lists(group, (1,), whole(1), layout).words.tolist() == [bits] * len(weights)


def test_what_no_synapse_can_hold_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"a\.b: .*9 bits.*have 8"):
        lists(dense([[256, 1]]), (1,), whole(1), LOIHI1)
    with pytest.raises(RefusedError, match=r"delay of 64 takes 7 bits.*have 6"):
        lists(replace(dense([[1]]), delay=64), (1,), whole(1), LOIHI1)


def test_a_kernel_of_a_million_neurons_is_never_written_out() -> None:
    weight = np.ones((64, 64, 3, 3), np.int16)
    group = Conv("a", "b", 0, 0, 0, 0, weight, (64, 128, 128), (1, 1), (1, 1), (1, 1), 1)
    part = Slice("b", (0, 0, 0), group.out_shape)
    tracemalloc.start()
    assert totals(group, group.out_shape, part, LOIHI1).axons == 1 << 20
    summed = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found = ends(group, group.out_shape, part, LOIHI1)
    listed = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    synapses = int(fan_in(group, group.out_shape, part).sum())
    assert int(found.operations.sum()) == synapses == 64 * 64 * (3 * 128 - 2) ** 2
    assert (summed < 1e6, listed < 60e6) == (True, True), (summed, listed)
