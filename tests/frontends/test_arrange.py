"""Functions that move values: indexing, reordering, reshaping, padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from snnc.errors import TraceError
from snnc.ir import Conv, ConvTranspose
from tests.frontends.nets import STYLES, applied, kinds

C = (4, 6, 6)

MOVES: dict[str, tuple[Any, ...]] = {
    "chunk": (lambda x: x.chunk(2, 1)[1], C),
    "split": (lambda x: sum(x.split([1, 1, 2], 1)[:2]), C),
    "split by keyword": (lambda x: torch.split(x, 2, dim=-1)[2], C),
    "narrow": (lambda x: x.narrow(2, 1, 3), C),
    "slices": (lambda x: x[:, 1:3, ::2, -1], C),
    "list": (lambda x: x[:, [2, 0]], C),
    "tensor of two axes": (lambda x: x[:, torch.tensor([[2, 0], [1, 1]])], C),
    "constant mask": (lambda x: x[..., torch.tensor([True, False] * 3)], C),
    "last": (lambda x: x[..., -1], C),
    "select": (lambda x: x.select(1, 2), C),
    "unbind": (lambda x: x.unbind(1)[1], C),
    "index_select": (lambda x: x.index_select(1, torch.tensor([1, 1])), C),
    "new axis": (lambda x: x[:, None, :, 0], C),
    "flip": (lambda x: x.flip(1, -1), C),
    "roll": (lambda x: x.roll((1, 2), (-1, 1)), C),
    "permute": (lambda x: x.permute(0, 2, 3, 1), C),
    "transpose": (lambda x: x.transpose(1, 2), C),
    "mT": (lambda x: x.mT, C),
    "movedim": (lambda x: x.movedim((1, 2), (3, 1)), C),
    "reshape": (lambda x: x.reshape(x.shape[0], 2, 2, -1), C),
    "split heads": (lambda x: x.reshape(len(x), 5, 2, 3).permute(0, 2, 1, 3), (5, 6)),
    "unflatten": (lambda x: x.unflatten(1, (2, 2)).flatten(2), C),
    "squeeze": (lambda x: x.squeeze(1).squeeze(), (1, 3, 1)),
    "channel axis": (lambda x: x.view(len(x), -1).unsqueeze(1).unsqueeze(-1), C),
    "channel axis, flat again": (lambda x: x.unsqueeze(1).flatten(1), C),
    "repeat": (lambda x: x.repeat(1, 2, 1, 3), C),
    "expand": (lambda x: x.expand(-1, 4, -1, -1), (1, 2, 2)),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), C),
    "windows": (lambda x: x.unfold(2, 3, 2), C),
    "im2col": (lambda x: F.unfold(x, 3, padding=1), C),
    "zeros": (lambda x: F.pad(x, (1, 2, 0, 1)), C),
    "cropped": (lambda x: F.pad(x, (-1, 2)), C),
    "ones": (lambda x: F.pad(x, (1, 2, 0, 1), value=1.5), C),
    "reflect": (lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"), C),
    "circular": (lambda x: F.pad(x, (1, 2, 0, 1), mode="circular"), C),
    "replicate": (lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"), C),
    "channels padded": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), C),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), C),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), C),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), C),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", MOVES)
def test_moves(what: str, style: str) -> None:
    op, *shapes = MOVES[what]
    applied(op, *shapes, style=style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", ["reshape", "split heads", "channel axis", "squeeze", "unflatten"])
def test_one_sample_is_enough(what: str, style: str) -> None:
    op, *shapes = MOVES[what]
    if what == "squeeze":
        op = lambda x: x.squeeze(1).squeeze(-1)  # noqa: E731
    applied(op, *shapes, style=style, batch=1)


SEVERAL = ("split", "ones", "new axis", "channel axis")


@pytest.mark.parametrize("what", [name for name in MOVES if name not in SEVERAL])
def test_a_move_is_one_map_and_no_arithmetic(what: str) -> None:
    op, *shapes = MOVES[what]
    found = kinds(applied(op, *shapes))
    assert len(found) == 1
    assert found[0] in ("Gather", "Flatten")


def test_there_and_back_is_no_node() -> None:
    assert kinds(applied(lambda x: x.transpose(1, 2).reshape(-1, 36, 4).mT, C)) == ["Gather"]
    assert kinds(applied(lambda x: x.permute(0, 3, 1, 2).permute(0, 2, 3, 1), C)) == []
    assert kinds(applied(lambda x: x.flatten(1).view(-1, *C).flip(1).flip(1), C)) == []


def test_spikes_stay_spikes() -> None:
    model = applied(lambda x: x.permute(0, 3, 1, 2)[:, 1:].flatten(1), C, spikes=True)
    signals = [model.graph.signals[n] for n in model.graph.order if n.startswith("flatten")]
    assert {signal.kind for signal in signals} == {"spike"}


def layer(kind: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*args, **kwargs).double()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "conv",
    [
        layer(nn.Conv2d, 4, 2, 3, padding=1, padding_mode="circular"),
        layer(nn.Conv2d, 4, 2, 3, padding=(1, 2), padding_mode="reflect", stride=2),
        layer(nn.Conv2d, 4, 2, 3, padding="same", padding_mode="replicate"),
        layer(nn.Conv2d, 4, 2, (4, 3), padding="same"),
        layer(nn.Conv2d, 4, 2, 2, padding="same", dilation=3),
    ],
)
def test_padding_around_convolutions(conv: nn.Module, style: str) -> None:
    applied(conv, C, style=style)


def test_zero_padding_goes_into_the_convolution() -> None:
    net = nn.Sequential(nn.ZeroPad2d(1), layer(nn.Conv2d, 4, 2, 3, padding=1))
    (conv,) = (n for n in applied(net, C).graph.nodes.values() if isinstance(n, Conv))
    assert conv.padding == (2, 2)
    assert kinds(applied(net, C)) == ["Conv"]
    net = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), layer(nn.Conv2d, 4, 2, 3))
    assert kinds(applied(net, C)) == ["Gather", "Conv"]


RESIZED: dict[str, tuple[Any, ...]] = {
    "doubled": (nn.Upsample(scale_factor=2), C),
    "by two factors": (lambda x: F.interpolate(x, size=(6, 18)), C),
    "one axis": (lambda x: F.interpolate(x, scale_factor=3), (4, 5)),
    "other sizes": (lambda x: F.interpolate(x, size=(5, 9)), C),
    "exact": (lambda x: F.interpolate(x, size=(5, 9), mode="nearest-exact"), C),
    "bilinear": (lambda x: F.interpolate(x, size=(5, 9), mode="bilinear"), C),
    "corners": (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), C),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic"), C),
    "area": (lambda x: F.interpolate(x, size=(3, 4), mode="area"), C),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("what", RESIZED)
def test_resizing(what: str, style: str) -> None:
    op, *shapes = RESIZED[what]
    applied(op, *shapes, style=style)


def test_nearest_is_a_transposed_convolution_or_a_map() -> None:
    model = applied(*RESIZED["by two factors"])
    (up,) = (n for n in model.graph.nodes.values() if isinstance(n, ConvTranspose))
    assert (up.stride, up.groups, float(up.weight.min())) == ((1, 3), 4, 1.0)
    assert kinds(applied(*RESIZED["other sizes"])) == ["Gather"]
    assert kinds(applied(*RESIZED["bilinear"])) == ["Sparse"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": 3, "padding": 1, "output_padding": 2},
        {"stride": 2, "dilation": 2, "groups": 2, "bias": False},
        {"padding": 2, "groups": 4},
    ],
)
def test_transposed_convolution(options: dict[str, Any], rank: int, style: str) -> None:
    kind = nn.ConvTranspose1d if rank == 1 else nn.ConvTranspose2d
    model = applied(layer(kind, 4, 8, 3, **options), (4, *(5, 4)[:rank]), style=style)
    assert kinds(model) == ["ConvTranspose"]


def test_transposed_convolution_to_a_given_size() -> None:
    up = layer(nn.ConvTranspose2d, 4, 2, 3, 2, 1)
    applied(lambda x: up(x, output_size=(12, 12)), C)


REFUSED: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "samples flipped": (lambda x: x.flip(0), C, "along B"),
    "samples reshaped": (lambda x: x.reshape(-1), C, "more than merging"),
    "samples flattened": (lambda x: x.flatten(), C, "more than merging"),
    "samples repeated": (lambda x: x.repeat(2, 1, 1, 1), C, "repeat features"),
    "samples picked": (lambda x: x[1:], C, "indexes the batch axis"),
    "samples padded": (lambda x: F.pad(x, (0, 0) * 3 + (1, 1)), C, "features only"),
    "by itself": (lambda x: x[:, x[0, :, 0, 0].long()], C, "indexes|rounds"),
    "a mask of two axes": (lambda x: x[:, torch.ones(4, 6, dtype=bool)], C, "several axes"),
    "two lists": (lambda x: x[:, [0, 1], [0, 1]], C, "several lists"),
    "nothing": (lambda x: x[:, :0], C, "picks no features"),
    "all axes": (lambda x: x.T, C, "reverses all axes"),
    "as another type": (lambda x: x.view(torch.int64), C, "form of reshape"),
    "a large map": (
        lambda x: F.interpolate(x, scale_factor=4, mode="bilinear"), (1, 64, 64), "too large"
    ),
    "conv_transpose3d": (nn.ConvTranspose3d(1, 1, 2), (1, 2, 2, 2), "three spatial axes"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what: str) -> None:
    op, shape, match = REFUSED[what]
    with pytest.raises(TraceError, match=match) as caught:
        applied(op, shape)
    assert caught.value.fix
