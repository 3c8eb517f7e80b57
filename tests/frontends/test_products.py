"""Matrix products of two values of the network (spiking attention) and with constants."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnc.errors import TraceError
from snnc.ir import Kind, MatMul
from tests.frontends.nets import STYLES, applied, kinds

MATRIX = torch.linspace(-1, 1, 12).double().reshape(3, 4)


def heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.reshape(len(x), -1, 2, 3).transpose(1, 2) for x in (q, k, v))
    return ((q @ k.transpose(-2, -1)) @ v * 0.125).transpose(1, 2).flatten(2)


TOKENS = ((5, 6),) * 3

PRODUCTS: dict[str, tuple[Any, ...]] = {
    "q k^T": (lambda q, k: q @ k.transpose(-2, -1), (2, 5, 3), (2, 4, 3)),
    "(q k^T) v": (lambda q, k, v: (q @ k.mT) @ v * 0.125, (2, 5, 3), (2, 4, 3), (2, 4, 6)),
    "(q k^T c) v": (
        lambda q, k, v: (q @ k.mT * 0.125) @ (v * 2.0),
        (2, 5, 3),
        (2, 4, 3),
        (2, 4, 6),
    ),
    "einsum of a multiple": (
        lambda q, k: torch.einsum("bhnd,bhmd->bhnm", 0.5 * q, k),
        (2, 5, 3),
        (2, 4, 3),
    ),
    "q (k^T v)": (lambda q, k, v: q @ (k.mT @ v), (5, 3), (4, 3), (4, 6)),
    "heads on an axis": (heads, *TOKENS),
    "with itself": (lambda q: q @ q.mT, (5, 3)),
    "bmm": (lambda q, k: torch.bmm(q, k), (5, 3), (3, 2)),
    "broadcast heads": (lambda q, k: q @ k, (1, 5, 3), (2, 3, 3)),
    "einsum": (lambda q, k: torch.einsum("bhnd,bhmd->bhnm", q, k), (2, 5, 3), (2, 4, 3)),
    "einsum, turned": (lambda q, k: torch.einsum("bnhd, bmhd -> bnmh", q, k), (5, 2, 3), (4, 2, 3)),
    "einsum, two inner": (lambda q, k: torch.einsum("bcij,bdij->bcd", q, k), (2, 2, 3), (4, 2, 3)),
    "scores per token": (lambda q, k: torch.einsum("bnd,bmd->bnm", [q, k]), (4, 3), (5, 3)),
}

CONSTANT: dict[str, tuple[Any, ...]] = {
    "x W": (lambda x: x @ MATRIX, (5, 3)),
    "x W, vectors": (lambda x: torch.matmul(x, MATRIX), (3,)),
    "W x": (lambda x: MATRIX.T @ x, (3, 5)),
    "x w": (lambda x: x @ MATRIX[:, 0], (5, 3)),
    "einsum": (lambda x: torch.einsum("bnd,de->ben", x, MATRIX), (5, 3)),
    "einsum, constant first": (lambda x: torch.einsum("de,bndf->bnef", MATRIX, x), (2, 3, 2)),
    "einsum, two inner": (
        lambda x: torch.einsum("bnde,de->bn", x, MATRIX), (5, 3, 4)
    ),
    "tokens": (nn.Linear(6, 3).double(), (7, 6)),
    "tokens, three axes": (nn.Linear(6, 3).double(), (2, 7, 6)),
    "tokens, twice": (nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 5)).double(), (7, 6)),
    "batch norm of tokens": (nn.BatchNorm1d(4).double(), (4, 7)),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", PRODUCTS)
@pytest.mark.parametrize("spikes", [True, False])
def test_products(what: str, style: str, spikes: bool) -> None:
    op, *shapes = PRODUCTS[what]
    applied(op, *shapes, style=style, spikes=spikes)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", CONSTANT)
def test_products_with_constants(what: str, style: str) -> None:
    op, *shapes = CONSTANT[what]
    applied(op, *shapes, style=style)


def test_a_product_is_a_matmul_of_placed_operands() -> None:
    model = applied(*PRODUCTS["q k^T"])
    (node,) = (n for n in model.graph.nodes.values() if isinstance(n, MatMul))
    assert (node.heads, node.rows, node.inner, node.columns) == (2, 5, 3, 4)
    assert kinds(model) == ["Flatten", "Place", "Gather", "Place", "MatMul"]


def test_a_factor_between_two_products_is_put_behind_them() -> None:
    model = applied(*PRODUCTS["(q k^T c) v"], spikes=True)
    products = [n for n, node in model.graph.nodes.items() if isinstance(node, MatMul)]
    assert len(products) == 2
    assert all(model.graph.signals[n].kind is Kind.GRADED for n in products)


def test_layers_on_tokens_follow_each_other_without_reordering() -> None:
    assert kinds(applied(*CONSTANT["tokens, twice"])) == ["Gather", "Conv", "Conv", "Gather"]
    assert kinds(applied(*CONSTANT["x W, vectors"])) == ["Linear"]
    assert kinds(applied(*CONSTANT["W x"])) == ["Conv"]


REFUSED: dict[str, tuple[Any, tuple[tuple[int, ...], ...], str]] = {
    "of vectors": (lambda q, k: (q @ k.T), ((3,), (3,)), "multiplies"),
    "over samples": (lambda q, k: torch.einsum("bn,cn->bc", q, k), ((3,), (3,)), "mixes"),
    "trace": (lambda q, k: torch.einsum("bnn,bn->bn", q, k), ((3, 3), (3,)), "no product"),
    "one operand": (lambda q: torch.einsum("bnd->bdn", q), ((3, 4),), "no product"),
    "summed alone": (lambda q, k: torch.einsum("bnd,bm->bm", q, k), ((3, 4), (3,)), "alone"),
    "per head": (
        lambda q: torch.einsum("bhd,hd->bh", q, MATRIX), ((3, 4),), "differ along an axis"
    ),
    "constant of three axes": (lambda q: q @ MATRIX.expand(2, 3, 4), ((5, 3),), "more than two"),
    "softmax attention": (
        lambda q: nn.functional.scaled_dot_product_attention(q, q, q), ((2, 5, 3),), "softmax"
    ),
    "matrix of a vector": (lambda q: MATRIX @ q, ((4,),), "multiplies a constant|fails"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    op, shapes, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        applied(op, *shapes)
    assert caught.value.fix
