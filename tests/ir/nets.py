"""Small graphs that the tests of `snnc.ir` share."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from snnc.ir import (
    Conv,
    ConvTranspose,
    Delay,
    Flatten,
    Gather,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Map,
    MatMul,
    MaxPool,
    Multiply,
    Neuron,
    Node,
    Normalise,
    Output,
    Place,
    Pool,
    Rate,
    Scale,
    Sparse,
    Sum,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def number(value: float) -> np.ndarray:
    return np.asarray(value)


def whole(value: Any) -> np.ndarray:
    return np.asarray(value, np.int64)


def chain(nodes: Mapping[str, Node], **settings: Any) -> Graph:
    """The nodes one after the other."""
    names = list(nodes)
    return Graph(nodes, tuple(itertools.pairwise(names)), **settings)


def everything() -> Graph:
    """Every operation of S1, odd kernels, groups, every reset, branches and awkward names."""
    nodes: dict[str, Node] = {
        "in/put": Input((2, 8, 9), rate=Rate.SAMPLE),
        "conv %1": Conv(normal(4, 1, 3, 5), normal(4), (2, 1), (1, 2), groups=2),
        "lif.1": Neuron(number(0.9), number(1.0), reset="soft", reset_at="after"),
        "even×odd": Conv(normal(4, 4, 2, 3), None, (1, 2), (0, 1), (2, 1)),
        "if": Neuron(np.float32([0.5]).reshape(1, 1, 1), number(1.0), v_reset=number(0.125)),
        "tall": Conv(normal(4, 4, 2, 1), None, (2, 1), (1, 1), (1, 1)),
        "pool": Pool((1, 2), (1, 2), (0, 0)),
        "flat": Flatten(),
        "fc": Linear(normal(10, 24)),
        "cuba": Neuron(
            np.linspace(0.8, 1, 10), number(1), number(0.5), b=number(-0.25), g=number(0.1),
            compare=">=", v_init=number(0.5),
        ),
        "delay": Delay(2),
        "scale": Scale(normal(10), normal(10, seed=1)),
        "plain scale": Scale(normal(10, seed=2)),
        "li": Neuron(number(1), number(0), order="vu", compare="never", reset="none"),
        "guarded": Neuron(number(0.5), number(1), reset="soft", reset_at="guarded"),
        "affine": Linear(normal(10, 10), normal(10)),
        "threshold": Neuron(number(0.0), number(0.25), reset="none"),
        "out": Output(reduce="sum"),
        "membrane": Output("v", "last"),
    }  # fmt: skip
    edges = (
        ("in/put", "conv %1"), ("conv %1", "lif.1"), ("lif.1", "even×odd"), ("even×odd", "if"),
        ("if", "tall"), ("tall", "pool"), ("pool", "flat"), ("flat", "fc"), ("fc", "cuba"),
        ("cuba", "delay"), ("cuba", "scale"), ("delay", "scale"), ("scale", "plain scale"),
        ("plain scale", "li"), ("scale", "guarded"), ("guarded", "affine"),
        ("affine", "threshold"), ("threshold", "out"), ("guarded", "out"), ("li", "membrane"),
    )  # fmt: skip
    return Graph(nodes, edges, 25, 1e-3, ("made for a test", "é")).check()


def temporal() -> Graph:
    """The operations over one axis."""
    return chain(
        {
            "in": Input((3, 12), Kind.SPIKE),
            "conv": Conv(normal(6, 1, 3), normal(6), (2,), (1,), (2,), groups=3),
            "scale": Scale(normal(6), normal(6, seed=3)),
            "mean": Pool((2,), (1,), (1,)),
            "sum": Pool((2,), (2,), (0,), "sum"),
            "lif": Neuron(normal(6, 1), number(1.0)),
            "out": Output(),
        }
    ).check()


def integers() -> Graph:
    """An integer graph with Lava's neuron and two that only a neuron program can say."""
    rng = np.random.default_rng(0)
    return chain(
        {
            "in": Input((64,), Kind.GRADED, scale=1 / 16, bits=4),
            "fc1": Linear(2 * rng.integers(-128, 128, (10, 64)), exp=-1),
            "lif": IntNeuron(whole(4096), whole(410), whole(508 << 6), rng.integers(-99, 99, 10)),
            "fc2": Linear(2 * rng.integers(-128, 128, (10, 10))),
            "soft": IntNeuron(
                whole(2048), whole(0), whole(1001), v_sub=whole(1000), reset="soft",
                reset_at="after",
            ),
            "fc3": Linear(2 * rng.integers(-128, 128, (4, 10))),
            "sum": IntNeuron(whole(4096), whole(0), whole(0), reset="none", fires=False),
            "out": Output(reduce="last"),
        },
        steps=16,
    ).check()  # fmt: skip


def sparse(
    inputs: tuple[int, ...], outputs: tuple[int, ...], bias: bool = False, **settings: Any
) -> Sparse:
    """About a third of all connections, with weights in 8ths; some rows have none."""
    rng = np.random.default_rng(7)
    kept = rng.random((math.prod(outputs), math.prod(inputs))) < 1 / 3
    rows, columns = np.nonzero(kept)
    return Sparse(
        rng.integers(-16, 17, len(rows)) / 8,
        columns,
        np.searchsorted(rows, np.arange(len(kept) + 1)),
        inputs,
        outputs,
        rng.integers(-16, 17, outputs) / 8 if bias else None,
        **settings,
    )


def cropped(shape: tuple[int, ...], *edges: tuple[int, int]) -> Gather:
    """Pads each axis but the first with zeros before and after it, or crops it by that much."""
    index = np.arange(math.prod(shape)).reshape(shape)
    pads = [(max(0, a), max(0, b)) for a, b in edges]
    index = np.pad(index, [(0, 0), *pads], constant_values=-1)
    cuts = [
        slice(max(0, -a), n + min(0, b)) for (a, b), n in zip(edges, index.shape[1:], strict=True)
    ]
    return Gather(np.ascontiguousarray(index[:, *cuts]))


def connections() -> Graph:
    """The nodes that join, place, reorder and connect, as far as NIR can say them."""
    nodes: dict[str, Node] = {
        "in": Input((2, 5, 6)),
        "stem": Conv(normal(3, 2, 3, 3), normal(3, 5, 6), padding=(1, 1)),
        "lif": Neuron(number(0.5), number(0.5)),
        "turned": ConvTranspose(normal(3, 1, 3, 2), normal(3), (1, 1), (1, 0), groups=3),
        "crop": cropped((3, 5, 7), (0, 0), (-1, 0)),
        "skip": Sum(),
        "same": Sum(),
        "low": Place(0, 7),
        "high": Place(3, 7),
        "shift": cropped((3, 5, 6), (1, -1), (-2, 2)),
        "cat": Sum(),
        "factors": Scale(normal(7, 5, 6), normal(7)),
        "pick": Gather(np.asarray([7, 3, -1, 209, 7], np.int16)),
        "tail": Place(1, 6),
        "rare": sparse((7, 5, 6), (6,), bias=True),
        "mask": Gather(whole([0, -1, 2, -1, -1, 5])),
        "out": Output(),
    }
    edges = (
        ("in", "stem"), ("stem", "lif"), ("lif", "turned"), ("turned", "crop"), ("crop", "skip"),
        ("lif", "skip"), ("skip", "same"), ("skip", "low"), ("same", "low"), ("lif", "shift"),
        ("shift", "high"), ("low", "cat"), ("high", "cat"), ("cat", "factors"),
        ("factors", "pick"), ("factors", "rare"), ("pick", "tail"), ("tail", "mask"),
        ("rare", "mask"), ("mask", "out"), ("rare", "out"),
    )  # fmt: skip
    return Graph(nodes, edges, 8, 1e-3).check()


def host() -> Graph:
    """What NIR has no node for: products of two signals and what only a host computes."""
    nodes: dict[str, Node] = {
        "in": Input((2, 4, 4)),
        "up": ConvTranspose(normal(4, 1, 2, 3), None, (2, 2), (0, 1), (1, 0), (1, 2), groups=2),
        "relu": Map("relu"),
        "max": MaxPool((3, 3), (2, 2), (1, 1), (1, 1)),
        "leaky": Map("leaky_relu", 0.125),
        "elu": Map("elu", 1.0),
        "soft": Map("softplus", 2.0, 20.0),
        "clip": Map("clip", -1.0, 6.0),
        "gate": Multiply(),
        "norm": Normalise(2, "layer", 1e-5),
        "flat": Flatten(),
        "q": Place(0, 48),
        "spread": Gather(np.arange(24).reshape(4, 6)[::-1].reshape(-1) % 8),
        "k": Place(24, 48),
        "product": MatMul(2, 3, 4, 3),
        "softmax": Normalise(6, "softmax"),
        "one": Normalise(1, "l2"),
        "grid": sparse((2, 3, 3), (2, 2, 2)),
        "out": Output(),
    }
    edges = (
        ("in", "up"), ("up", "relu"), ("relu", "max"), ("max", "leaky"), ("leaky", "elu"),
        ("elu", "soft"), ("soft", "clip"), ("clip", "gate"), ("gate", "norm"), ("norm", "flat"),
        ("flat", "spread"), ("spread", "q"), ("spread", "k"), ("q", "product"), ("k", "product"),
        ("product", "softmax"), ("softmax", "one"), ("one", "grid"), ("grid", "out"),
    )  # fmt: skip
    return Graph(nodes, edges).check()


def wired_integers() -> Graph:
    """Integer connections whose sums are shifted, and a product of integers."""
    rng = np.random.default_rng(0)
    few = sparse((3, 5, 5), (8,))
    lif = IntNeuron(whole(4096), whole(410), whole(508 << 6))
    nodes: dict[str, Node] = {
        "in": Input((2, 3, 3), Kind.SPIKE),
        "up": ConvTranspose(rng.integers(-9, 9, (3, 2, 3, 3)), None, (2, 2), (1, 1), exp=2),
        "lif": lif,
        "few": replace(few, weight=whole(few.weight * 8), exp=-3),
        "second": lif,
        "twice": Place(0, 12),
        "rest": Gather(whole([*[-1] * 8, 0, 1, 2, 3])),
        "product": MatMul(1, 4, 2, 2),
        "out": Output(),
    }
    edges = (
        ("in", "up"), ("up", "lif"), ("lif", "few"), ("few", "second"), ("second", "twice"),
        ("second", "rest"), ("twice", "product"), ("rest", "product"), ("product", "out"),
    )  # fmt: skip
    return Graph(nodes, edges).check()
