"""Small graphs that the tests of `snnc.ir` share."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnc.ir import (
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    IntNeuron,
    Kind,
    Linear,
    Neuron,
    Node,
    Output,
    Pool,
    Rate,
    Scale,
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
