"""Random integer graphs (S2) and inputs for them, as hypothesis strategies.

`int_cases()` draws (graph, inputs). The structure is drawn by hypothesis, so that it shrinks; the
numbers come from one seed. What is drawn covers dense, sparse, convolutional and transposed hops
(stride, padding, dilation, groups up to depthwise, non-square kernels, one or two axes), sum pools,
flatten, exponents of both signs, branches of different depth that sum into one neuron, hops fed by
several populations, by their concatenation, by reordered, cropped or padded values, products of two
populations, delays, loops over one or more layers, every setting of `IntNeuron` with thresholds,
decays and biases at and near their limits, binary and graded inputs given per step or once per
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Edge,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    MatMul,
    Node,
    Output,
    Place,
    Pool,
    Rate,
    Sparse,
    Sum,
)

A = NDArray[Any]
Draw = Callable[[Any], Any]
M = 1 << 23
THETA_MAX = 131071 << 6
RESETS = (("hard", "now"), ("hard", "after"), ("soft", "now"), ("soft", "after"),
          ("soft", "guarded"), ("none", "now"))  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a drawn graph may hold.

    Attributes:
        lif_only: only neurons that Lava's LIF can say.
        delays: Delay nodes in hops. loops: recurrent hops through a Delay, over any layers.
        graded: graded inputs and neurons that never fire but feed others.
        conv: convolutional layers. pools: sum pools. branches: hops that skip a layer.
        transposed: ConvTranspose. sparse: Sparse, over images too.
        arranged: hops fed by several populations: by their sum (Sum, or several edges into one
            node) or concatenation (Place), and Gather.
        products: MatMul of two populations.
        depth: most neuron layers. exps: exponents of synapses.
    """

    lif_only: bool = False
    delays: bool = True
    loops: bool = True
    graded: bool = True
    conv: bool = True
    pools: bool = True
    branches: bool = True
    transposed: bool = True
    sparse: bool = True
    arranged: bool = True
    products: bool = True
    depth: int = 4
    exps: tuple[int, ...] = (0, 0, 0, 1, 2, -1, -3)


@dataclass
class _Builder:
    draw: Draw
    want: Wanted
    rng: np.random.Generator
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    overlapping: bool = False
    """Whether weights add up, nine at most, under a pool with overlapping windows or a Gather that
    repeats values."""
    residual: bool = False
    """Whether layers of images keep their shape, and most are fed by several of those before."""
    lif: bool = False
    """Whether the neuron being drawn is one that Lava's LIF can say."""

    def add(self, stem: str, node: Node, *sources: str) -> str:
        name = f"{stem}{len(self.nodes)}"
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Output shape of a node, by the graph's own inference."""
        return Graph(self.nodes, tuple(self.edges)).signals[name].shape

    def sometimes(self, allowed: bool, one_in: int = 4) -> bool:
        return allowed and self.draw(st.integers(1, one_in)) == one_in

    def weights(self, shape: tuple[int, ...]) -> A:
        """Even weights of −256..254, sparse, one-signed or at the limits."""
        values = 2 * self.rng.integers(-128, 128, shape)
        if self.overlapping:
            return (2 * self.rng.integers(-14, 15, shape)).astype(np.int32)
        match self.draw(st.sampled_from(("full", "small", "positive", "negative", "sparse"))):
            case "small":
                values = 2 * self.rng.integers(-8, 9, shape)
            case "positive":
                values = np.minimum(np.abs(values), 254)
            case "negative":
                values = -np.abs(values)
            case "sparse":
                values = values * (self.rng.random(shape) < 0.3)
        return values.astype(np.int32)

    def exp(self) -> int:
        return int(self.draw(st.sampled_from(self.want.exps)))

    def maybe_delay(self, name: str) -> str:
        if not self.sometimes(self.want.delays, 6):
            return name
        return self.add("delay", Delay(self.draw(st.integers(1, 4))), name)

    def maybe_pool(self, name: str) -> str:
        shape = self.shape(name)
        if len(shape) == 1 or not self.sometimes(self.want.pools, 3):
            return name
        axes = len(shape) - 1
        kernel = tuple(self.draw(st.integers(1, 3)) for _ in range(axes))
        stride = tuple(self.draw(st.integers(1, 3)) for _ in range(axes))
        padding = tuple(self.draw(st.integers(0, k // 2)) for k in kernel)
        self.overlapping = any(k > s for k, s in zip(kernel, stride, strict=True))
        return self._fitting("pool", Pool(kernel, stride, padding, "sum"), name)

    def _fitting(self, stem: str, node: Node, source: str) -> str:
        """Adds a window operation, or leaves it out where it is larger than its input."""
        name = self.add(stem, node, source)
        try:
            self.shape(name)
        except GraphError:
            del self.nodes[name]
            self.edges.pop()
            return source
        return name

    def conv(self, source: str) -> str:
        shape = self.shape(source)
        groups = self.groups(shape)
        if self.residual:
            return self.same_conv(source, groups)
        if max(shape[1:]) <= 8 and self.sometimes(self.want.transposed, 3):
            return self.transposed(source)
        if self.draw(st.booleans()):
            return self.same_conv(source, groups)
        kernel = tuple(self.draw(st.integers(1, min(3, n))) for n in shape[1:])
        axes = len(kernel)
        options = self.settings(axes, stride=(1, 3), padding=(0, 2), dilation=(1, 2))
        weight = self.kernels(shape, groups, kernel)
        node = Conv(weight, None, groups=groups, exp=self.exp(), **options)
        name = self._fitting("conv", node, source)
        if name != source:
            return name
        plain = replace(node, stride=(1,) * axes, padding=(2,) * axes, dilation=(1,) * axes)
        return self.add("conv", plain, source)

    def same_conv(self, source: str, groups: int) -> str:
        """One that keeps its shape, as in residual networks."""
        shape = self.shape(source)
        kernel = tuple(self.draw(st.sampled_from((1, 3))) for _ in shape[1:])
        weight = self.weights((shape[0], shape[0] // groups, *kernel))
        ones, padding = (1,) * len(kernel), tuple(k // 2 for k in kernel)
        return self.add("conv", Conv(weight, None, ones, padding, ones, groups, self.exp()), source)

    def transposed(self, source: str) -> str:
        shape = self.shape(source)
        groups = self.groups(shape)
        kernel = tuple(self.draw(st.integers(1, 3)) for _ in shape[1:])
        weight = self.kernels(shape, groups, kernel)
        plain = ConvTranspose(weight, None, kernel, (0,) * len(kernel), (0,) * len(kernel),
                              (1,) * len(kernel), groups, self.exp())  # fmt: skip
        if self.draw(st.booleans()):
            return self.add("up", plain, source)
        options = self.settings(
            len(kernel), stride=(1, 3), padding=(0, 2), output_padding=(0, 2), dilation=(1, 2)
        )
        name = self._fitting("up", replace(plain, **options), source)
        return name if name != source else self.add("up", plain, source)

    def groups(self, shape: tuple[int, ...]) -> int:
        """A number of groups; one per channel is a common one."""
        some = [g for g in (1, 2, 3) if shape[0] % g == 0]
        return int(self.draw(st.sampled_from([*some, shape[0]] if shape[0] <= 8 else some)))

    def kernels(self, shape: tuple[int, ...], groups: int, kernel: tuple[int, ...]) -> A:
        out = groups * self.draw(st.integers(1, 3 if groups < 4 else 1))
        return self.weights((out, shape[0] // groups, *kernel))

    def settings(self, axes: int, **ranges: tuple[int, int]) -> dict[str, Any]:
        """A drawn integer per axis for each setting."""
        return {
            key: tuple(self.draw(st.integers(low, high)) for _ in range(axes))
            for key, (low, high) in ranges.items()
        }

    def sparse(self, source: str, out: tuple[int, ...] | None = None) -> str:
        shape, rng = self.shape(source), self.rng
        if out is None:
            axes = self.draw(st.integers(0, 2)) if self.want.conv else 0
            out = tuple(self.draw(st.integers(1, 4)) for _ in range(axes + 1))
        rows, columns = int(np.prod(out)), int(np.prod(shape))
        density = self.draw(st.sampled_from((0.1, 0.5, 1.0)))
        dense = rng.random((rows, columns)) < density
        dense[rng.integers(rows), rng.integers(columns)] = True
        at = np.nonzero(dense)[1].astype(np.int32)
        ends = np.concatenate([[0], np.cumsum(dense.sum(1))])
        node = Sparse(self.weights(at.shape), at, ends, shape, out, None, self.exp())
        return self.add("sparse", node, source)

    def linear(self, source: str, out: int | None = None) -> str:
        shape = self.shape(source)
        if len(shape) > 1:
            source = self.add("flatten", Flatten(), source)
        out = out or self.draw(st.integers(1, 8))
        weight = self.weights((out, int(np.prod(shape))))
        return self.add("linear", Linear(weight, None, self.exp()), source)

    def hop(self, source: str, flat: bool, others: Sequence[str] = ()) -> str:
        name = self.maybe_merge(self.maybe_delay(source), others)
        name = name if self.residual else self.maybe_gather(name)
        name = name if self.overlapping or self.residual else self.maybe_pool(name)
        if self.sometimes(self.want.sparse, 6):
            name = self.sparse(name)
        else:
            name = self.linear(name) if flat or len(self.shape(name)) == 1 else self.conv(name)
        self.overlapping = False
        return self.maybe_delay(name)

    def maybe_merge(self, name: str, others: Sequence[str]) -> str:
        """The sum or the concatenation of `name` with other populations."""
        shape = self.shape(name)
        alike = [other for other in others if self.shape(other) == shape]
        near = [other for other in others if self.shape(other)[1:] == shape[1:]]
        one_in = 1 if self.residual and near else 3
        if not others or not self.sometimes(self.want.arranged, one_in):
            return name
        add = bool(alike) and not self.sometimes(True)
        pool = st.sampled_from(alike if add else near or others)
        chosen = self.draw(st.lists(pool, min_size=1, max_size=2, unique=True))
        names = [name, *map(self.maybe_delay, chosen)]
        return self.add("sum", Sum(), *names) if add else self.concatenated(names)

    def concatenated(self, names: Sequence[str]) -> str:
        """One part behind the other, in any order, with or without a gap between them."""
        inner = {self.shape(name)[1:] for name in names}
        if len(inner) > 1:
            names = [self.flat(name) for name in names]
        names = self.draw(st.permutations(names))
        gap = int(self.sometimes(True))
        extent = gap + sum(self.shape(name)[0] for name in names)
        parts, start = [], self.draw(st.integers(0, gap))
        for name in names:
            parts.append(self.add("place", Place(start, extent), name))
            start += self.shape(name)[0]
        return self.add("sum", Sum(), *parts)

    def flat(self, name: str) -> str:
        return name if len(self.shape(name)) == 1 else self.add("flatten", Flatten(), name)

    def maybe_gather(self, name: str) -> str:
        if not self.sometimes(self.want.arranged, 4):
            return name
        shape = self.shape(name)
        index = np.arange(int(np.prod(shape))).reshape(shape)
        match self.draw(st.sampled_from(("turn", "crop", "pad", "shuffle", "repeat"))):
            case "turn":
                order = self.draw(st.permutations(range(len(shape))))
                index = np.flip(index.transpose(order), self.draw(st.integers(0, len(shape) - 1)))
            case "crop":
                index = index[tuple(slice(self.draw(st.integers(0, n - 1)), None) for n in shape)]
            case "pad":
                edges = [(self.draw(st.integers(0, 2)), self.draw(st.integers(0, 2)))
                         for _ in shape]  # fmt: skip
                index = np.pad(index, edges, constant_values=-1)
            case "shuffle":
                index = self.rng.permutation(index.ravel()).reshape(shape)
                index[self.rng.random(shape) < 0.2] = -1
            case "repeat":
                index = index.repeat(2, axis=-1)
                self.overlapping = True
        return self.add("gather", Gather(index), name)

    def product(self, a: str, b: str) -> str:
        """A·B of values picked from two populations."""
        heads, rows, inner, columns = (self.draw(st.integers(1, 3)) for _ in range(4))
        node = MatMul(heads, rows, inner, columns)
        parts, start = [], 0
        for source, size in zip((a, b), node.sizes, strict=True):
            count = int(np.prod(self.shape(source)))
            name = self.flat(self.maybe_delay(source))
            if count != size or self.draw(st.booleans()):
                index = self.rng.integers(-1, count, size)
                name = self.add("gather", Gather(index), name)
            parts.append(self.add("place", Place(start, sum(node.sizes)), name))
            start += size
        if self.draw(st.booleans()):
            parts = [self.add("sum", Sum(), *parts)]
        return self.add("product", node, *parts)

    def skip(self, source: str, shape: tuple[int, ...]) -> str | None:
        """A hop from `source` that ends in `shape`, or None where there is none."""
        if len(shape) == 1:
            return self.linear(self.maybe_delay(source), shape[0])
        own = self.shape(source)
        if own[1:] != shape[1:]:
            return self.sparse(self.maybe_delay(source), shape) if self.want.sparse else None
        weight = self.weights((shape[0], own[0], *(1,) * (len(own) - 1)))
        axes = (1,) * (len(own) - 1)
        node = Conv(weight, None, axes, (0,) * len(axes), axes, 1, self.exp())
        return self.add("skip", node, self.maybe_delay(source))

    def parameter(self, shape: tuple[int, ...], values: Callable[[tuple[int, ...]], A]) -> A:
        """One value, one per channel or one per neuron."""
        forms = [(), (shape[0], *(1,) * (len(shape) - 1)), shape]
        form = () if self.lif else self.draw(st.sampled_from(forms))
        return np.asarray(values(form), np.int64)

    def neuron(self, name: str, last: bool) -> str:
        shape, draw, rng = self.shape(name), self.draw, self.rng
        self.lif = lif = self.want.lif_only or draw(st.booleans())
        reset, reset_at = draw(st.sampled_from(RESETS[:1] if lif else RESETS))
        never = not lif and self.sometimes(last or self.want.graded, 4 if last else 12)
        decay = st.sampled_from((0, 1, 128, 1000, 2048, 4095) + (() if lif else (4096,)))
        scale = draw(st.sampled_from((1 << 10, 1 << 14, 1 << 18)))
        low = draw(st.integers(0, scale))
        theta = draw(st.sampled_from((0, THETA_MAX, -1, -1, -1, -1)))

        def thetas(form: tuple[int, ...]) -> A:
            drawn = np.full(form, theta) if theta >= 0 else low + rng.integers(0, scale, form)
            return np.minimum(drawn >> 6 << 6 if lif else drawn, THETA_MAX)

        def biases(form: tuple[int, ...]) -> A:
            exp = draw(st.integers(0, 7))
            drawn = rng.integers(-4096, 4096, shape if lif else form)
            return np.asarray((drawn >> draw(st.sampled_from((0, 3, 13)))) << exp)

        def small(form: tuple[int, ...]) -> A:
            wide = draw(st.sampled_from((1, 1000, M - 1)))
            return np.asarray(rng.integers(-wide, wide + 1, form))

        def current_decays(form: tuple[int, ...]) -> A:
            lasting = not self.sometimes(True)
            return np.full(form, draw(decay if lasting else st.sampled_from((4096, 1))))

        zero = np.asarray(0, np.int64)
        node = IntNeuron(
            du=self.parameter(shape, current_decays),
            dv=self.parameter(shape, lambda form: np.full(form, draw(decay))),
            theta=self.parameter(shape, thetas),
            bias_v=self.parameter(shape, biases),
            bias_u=zero if lif else self.parameter(shape, lambda form: small(form) >> 8),
            v_sub=zero if lif else self.parameter(shape, lambda form: np.abs(small(form)) >> 4),
            v_init=zero if lif else self.parameter(shape, small),
            shift=6 if lif else draw(st.sampled_from((6, 6, 0, 3))),
            reset="none" if never else reset,
            reset_at="now" if never else reset_at,
            order="uv" if lif else draw(st.sampled_from(("uv", "uv", "vu"))),
            fires=not never,
        )
        return self.add("neuron", node, name)


def _input(b: _Builder) -> str:
    axes = b.draw(st.sampled_from((0, 1, 2, 2))) if b.want.conv else 0
    shape = (b.draw(st.integers(1, 4)), *(b.draw(st.integers(3, 8)) for _ in range(axes)))
    if axes == 0:
        shape = (b.draw(st.integers(1, 12)),)
    rate = b.draw(st.sampled_from((Rate.STEP, Rate.STEP, Rate.SAMPLE)))
    if not b.sometimes(b.want.graded, 2):
        return b.add("input", Input(shape, Kind.SPIKE, rate))
    signed = b.draw(st.booleans())
    return b.add("input", Input(shape, Kind.GRADED, rate, 0.5, b.draw(st.integers(2, 8)), signed))


def _feeds_wide(b: _Builder, name: str) -> bool:
    """Whether a population sends 24-bit states rather than spikes."""
    node = b.nodes[name]
    return isinstance(node, IntNeuron) and not node.fires


def _read_outs(b: _Builder, populations: list[str]) -> None:
    fed = {source for source, _ in b.edges}
    for name in populations[1:]:
        if name in fed and name != populations[-1] and not b.sometimes(True):
            continue
        states = ("v", "u") if isinstance(b.nodes[name], IntNeuron) else ()
        port = b.draw(st.sampled_from(("s", "s", *states)))
        reduce = b.draw(st.sampled_from(("none", "none", "sum", "last")))
        b.add("output", Output(port, reduce), name)


def _neuron_layer(b: _Builder, populations: list[str], last: bool) -> str:
    previous = populations[-1]
    flat = len(b.shape(previous)) == 1 or b.sometimes(not b.residual)
    total = b.hop(previous, flat, populations[:-1])
    extra: list[str] = []
    if len(populations) > 1 and b.sometimes(b.want.branches, 2):
        skipped = b.skip(b.draw(st.sampled_from(populations[:-1])), b.shape(total))
        extra += [skipped] if skipped else []
    name = b.neuron(total, last)
    b.edges += [(other, name) for other in extra]
    if b.sometimes(b.want.loops, 6):
        _loop(b, name, name)
    return name


def _loop(b: _Builder, source: str, target: str) -> None:
    """A recurrent hop from a neuron layer to itself or to one before it."""
    if _feeds_wide(b, source):
        return
    delay = Delay(b.draw(st.integers(1, 3)))
    if b.draw(st.booleans()):
        late = b.add("loop", delay, source)
        recurrent = b.skip(late, b.shape(target))
        if recurrent is None:
            del b.nodes[late]
            b.edges.remove((source, late))
    else:
        recurrent = b.skip(source, b.shape(target))
        recurrent = recurrent and b.add("loop", delay, recurrent)
    if recurrent:
        b.edges.append((recurrent, target))


def _maybe_product(b: _Builder, populations: list[str]) -> None:
    """Adds a product of two populations, which then is one itself."""
    if b.sometimes(b.want.products, 6):
        pairs = st.lists(st.sampled_from(populations), min_size=2, max_size=2)
        populations.append(b.product(*b.draw(pairs)))


def _dissolved(b: _Builder, graph: Graph) -> Graph:
    """Some Sums left out: their sources then feed their targets directly."""
    for name, node in b.nodes.items():
        if isinstance(node, Sum) and b.draw(st.booleans()):
            fewer = graph.without(name)
            graph = fewer if len(set(fewer.edges)) == len(fewer.edges) else graph
    return graph


@st.composite
def int_graphs(draw: Draw, want: Wanted = Wanted()) -> Graph:
    """A checked integer graph whose every neuron layer is fed by populations before it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b = _Builder(draw, want, rng)
    b.residual = b.sometimes(want.arranged and want.conv, 3)
    populations = [_input(b)]
    depth = draw(st.integers(1, want.depth))
    for layer in range(depth):
        last = layer == depth - 1
        _maybe_product(b, populations)
        name = _neuron_layer(b, populations, last)
        if _feeds_wide(b, name) and not last:
            # A 24-bit state needs few and small weights behind it: 256·2·2²³·2⁻⁸⁺⁶ is in 32 bits.
            weight = np.full((2, int(np.prod(b.shape(name)))), 2, np.int32)
            weight[:, 256:] = 0
            source = name if len(b.shape(name)) == 1 else b.add("flatten", Flatten(), name)
            name = b.neuron(b.add("linear", Linear(weight, None, -8), source), last=True)
            populations.append(name)
            break
        populations.append(name)
    layers = [name for name in populations if isinstance(b.nodes[name], IntNeuron)]
    if len(layers) > 1 and b.sometimes(want.loops, 6):
        _loop(b, layers[-1], b.draw(st.sampled_from(layers[:-1])))
    _read_outs(b, populations)
    graph = Graph(b.nodes, tuple(b.edges), steps=draw(st.integers(1, 10)))
    return _dissolved(b, graph).check()


def int_inputs(graph: Graph, samples: int, seed: int) -> dict[str, A]:
    """Random inputs of the graph's own range, (sample, step, …) or (sample, …)."""
    rng = np.random.default_rng(seed)
    table: dict[str, A] = {}
    for name in graph.inputs:
        node = graph.nodes[name]
        assert isinstance(node, Input)
        low, high = node.range
        steps = () if node.rate is Rate.SAMPLE else (graph.steps or 1,)
        table[name] = rng.integers(low, high + 1, (samples, *steps, *node.shape))
    return table


@st.composite
def int_cases(draw: Draw, want: Wanted = Wanted(), samples: int = 3) -> tuple[Graph, dict[str, A]]:
    """(graph, inputs) for 1 to `samples` samples."""
    graph = draw(int_graphs(want))
    count = draw(st.integers(1, samples))
    return graph, int_inputs(graph, count, draw(st.integers(0, 2**32 - 1)))
