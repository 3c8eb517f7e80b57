"""Conv and ConvTranspose over a tile: GEMMs where channels mix, products by tap where they don't.

What a GEMM reads or writes besides the images is laid out a piece at a time, so that it stays in
the cache whatever the size of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Conv, ConvTranspose
from snnc.ir.ops import window_extents
from snnc.targets.sim import synapse
from snnc.targets.sim.scratch import Scratch
from snnc.targets.sim.synapse import GEMM, Synapse
from snnc.targets.sim.windows import Tap, Window, at, covers, taps

A = NDArray[Any]

COPY, RUN = 0.15e-9, 4e-9
"""Seconds per value laid out for a GEMM, and per run of neighbours."""

COLUMNS = 256
"""Columns below which a GEMM mostly reads weights: small images go into one together."""


class KernelSynapse(Synapse):
    """What Conv and ConvTranspose have in common.

    Attributes:
        in_: extents of the input, without channels. out: those of the output.
    """

    def __init__(
        self, node: Conv | ConvTranspose, shape: tuple[int, ...], x_bound: int, fold: int
    ) -> None:
        super().__init__(node, x_bound, fold)
        self.window, self.groups = Window.of(node), node.groups
        self.channels, self.in_ = shape[0], tuple(shape[1:])
        self.out_channels, self.out = len(node.weight), extents(node, self.in_)
        self.share = self.out_channels // node.groups
        if self.bias is not None and self.bias.ndim == 1:
            self.bias = self.bias.reshape(-1, *(1,) * len(self.out))

    def result(self, x: A, scratch: Scratch) -> A:
        """Memory for the sums (image, out, …)."""
        images = x.shape[0] * x.shape[1]
        return scratch.result((images, self.out_channels, *self.out), self.dtype)

    def done(self, x: A, y: A) -> A:
        """The output (step, sample, out, …) of the sums (image, out, …)."""
        return self.finish(y.reshape(*x.shape[:2], *y.shape[1:]), self.bias)


def extents(node: Conv | ConvTranspose, shape: Sequence[int]) -> tuple[int, ...]:
    """Extents of the output."""
    if isinstance(node, ConvTranspose):
        return node.extents(shape)
    return window_extents("conv", shape, node.kernel, node.stride, node.padding, node.dilation)


def pieces(images: int, rows: int, per_row: int, columns: int) -> tuple[int, int]:
    """How many images and how many of their rows go into a GEMM together.

    Args:
        images, rows: what there is.
        per_row: values laid out for one row of one image.
        columns: columns of the GEMM per image.
    """
    if rows * per_row > synapse.PATCHES and columns > COLUMNS:
        return 1, max(1, synapse.PATCHES // per_row)
    at_once = max(synapse.PATCHES // (rows * per_row), -(-COLUMNS // columns))
    return min(images, max(1, at_once)), rows


class Convolution(KernelSynapse):
    """A Conv node: im2col of a piece of the images, and one GEMM per group for it.

    With stride 1 the columns can be whole runs of the padded image, row ends included: the copies
    are longer, and the sums across row ends are thrown away afterwards.
    """

    def __init__(self, node: Conv, shape: tuple[int, ...], x_bound: int, fold: int = 0) -> None:
        super().__init__(node, shape, x_bound, fold)
        self.padded = tuple(n + 2 * p for n, p in zip(self.in_, node.padding, strict=True))
        self.rows = self.scaled(node.weight).reshape(node.groups, self.share, -1)
        self.plain = max(node.kernel) == 1 and not any(node.padding)
        self.by_runs = max(node.stride) == 1 and not self.plain and self._runs_pay()
        self.row = self.padded[1:] if self.by_runs else self.out[1:]
        """Positions per row of the output at which the kernel is laid."""
        self.merged = self.out[0] * math.prod(self.row) < COLUMNS // 2
        """Whether the images of a piece lie side by side in one GEMM, or have one each."""

    def _runs_pay(self) -> bool:
        """Whether shorter copies would cost more than the sums that are thrown away."""
        width = math.prod(self.out[1:])
        waste = math.prod(self.padded[1:]) / width - 1
        return waste * (self.share * GEMM + COPY) < RUN / width

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out, …) for inputs (step, sample, in, …)."""
        y = self.result(x, scratch)
        flat = x.reshape(len(y), *x.shape[2:])
        taps_in = self.channels * self.window.size
        per_row, rows = taps_in * math.prod(self.row), self.out[0]
        count, height = pieces(len(y), rows, per_row, rows * math.prod(self.row))
        for start in range(0, len(y), count):
            images = flat[start : start + count]
            source = images if self.plain else self._padded(images, count, scratch)
            for top in range(0, rows, height):
                stop = min(top + height, rows)
                columns = self._columns(source, len(images), top, stop, scratch)
                self._multiply(columns, y[start : start + count, :, top:stop], scratch)
        return self.done(x, y)

    def _padded(self, x: A, images: int, scratch: Scratch) -> A:
        """Images between zeros, one behind the other, in memory for `images` of them."""
        # A run may read past the last image; what it computes from there is thrown away.
        slack = self.window.size * max(self.window.dilation) * 2 + self.padded[-1]
        plane = self.channels * math.prod(self.padded)
        flat = scratch.take("padded", (images * plane + slack,), self.dtype)
        image = flat[: len(x) * plane].reshape(len(x), self.channels, *self.padded)
        inner = [slice(p, n - p) for p, n in zip(self.window.padding, self.padded, strict=True)]
        np.copyto(image[at(inner)], x, casting="unsafe")
        return flat

    def _columns(self, source: A, images: int, top: int, stop: int, scratch: Scratch) -> A:
        """Rows `top` to `stop` as columns: (group, tap, image and position) if merged, else
        (image, group, tap, position)."""
        window, height = self.window, stop - top
        if self.plain:
            first = window.stride[0]
            where = [slice(top * first, (stop - 1) * first + 1, first)]
            where += [slice(None, None, s) for s in window.stride[1:]]
            view = source[at(where)]
        else:
            plane, item = math.prod(self.padded), source.itemsize
            axes = [item * math.prod(self.padded[i + 1 :]) for i in range(len(self.padded))]
            strides = [s * a for s, a in zip(window.stride, axes, strict=True)]
            positions: tuple[int, ...] = (height, *self.out[1:])
            if self.by_runs:
                positions, strides = (height * math.prod(self.row),), [item]
            # Not `as_strided`, which takes 30 µs a call.
            view = np.ndarray(
                (images, self.channels, *window.kernel, *positions),
                self.dtype,
                source,
                offset=top * window.stride[0] * axes[0],
                strides=(
                    self.channels * plane * item,
                    plane * item,
                    *(d * a for d, a in zip(window.dilation, axes, strict=True)),
                    *strides,
                ),
            )
        laid = height * math.prod(self.row)
        if self.merged:
            view = np.moveaxis(view, 0, 1 if self.plain else 1 + len(self.out))
        columns = scratch.work("columns", view.shape, self.dtype)
        np.copyto(columns, view, casting="unsafe")
        if self.merged:
            return columns.reshape(self.groups, -1, images * laid)
        return columns.reshape(images, self.groups, -1, laid)

    def _multiply(self, columns: A, y: A, scratch: Scratch) -> None:
        """Writes the sums of the columns to `y`, (image, out, …)."""
        images, out, height = y.shape[:3]
        shape = (*columns.shape[:-2], self.share, columns.shape[-1])
        # One image is the same in both orders.
        same_order = images == 1 or not self.merged
        direct = same_order and self.row == self.out[1:] and y.flags.c_contiguous
        sums = y.reshape(shape) if direct else scratch.work("sums", shape, self.dtype)
        np.matmul(self.rows, columns, out=sums)
        if direct:
            return
        valid = at([slice(n) for n in self.out[1:]])
        if self.merged:
            np.copyto(y, sums.reshape(out, images, height, *self.row)[valid].swapaxes(0, 1))
        else:
            np.copyto(y, sums.reshape(images, out, height, *self.row)[valid])


class Transposed(KernelSynapse):
    """A ConvTranspose node: a GEMM per group gives what each input adds to each tap."""

    def __init__(
        self, node: ConvTranspose, shape: tuple[int, ...], x_bound: int, fold: int = 0
    ) -> None:
        super().__init__(node, shape, x_bound, fold)
        weight = node.weight.reshape(node.groups, self.share, -1, math.prod(node.kernel))
        turned = np.ascontiguousarray(weight.swapaxes(2, 3))
        self.rows = self.scaled(turned).reshape(node.groups, -1, weight.shape[2])
        self.tiles = node.kernel == node.stride and self.out == tuple(
            n * k for n, k in zip(self.in_, node.kernel, strict=True)
        )
        """Whether each output has one tap, as in upsampling and pixel shuffle: nothing to add."""
        self.tiles &= not any(node.padding) and max(node.dilation) == 1

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out, …) for inputs (step, sample, in, …)."""
        y = self.result(x, scratch)
        flat = x.reshape(len(y), *x.shape[2:])
        per_row = self.out_channels * self.window.size * math.prod(self.in_[1:])
        count, height = pieces(len(y), self.in_[0], per_row, math.prod(self.in_))
        if not self.tiles:
            y[...] = 0
        for start in range(0, len(y), count):
            for top in range(0, self.in_[0], height):
                part = flat[start : start + count, :, top : top + height]
                sums = self._multiply(part, scratch)
                put = self._tile if self.tiles else self._add
                put(sums, y[start : start + count], top)
        return self.done(x, y)

    def _multiply(self, x: A, scratch: Scratch) -> A:
        """What `x`, (image, in, …), adds: (group, share, *kernel, image, …)."""
        groups = self.groups
        turned = scratch.work("columns", (x.shape[1], len(x), *x.shape[2:]), self.dtype)
        np.copyto(turned, x.swapaxes(0, 1), casting="unsafe")
        columns = turned.reshape(groups, x.shape[1] // groups, -1)
        shape = (groups, self.rows.shape[1], columns.shape[2])
        sums = scratch.work("sums", shape, self.dtype)
        np.matmul(self.rows, columns, out=sums)
        return sums.reshape(self.out_channels, *self.window.kernel, len(x), *x.shape[2:])

    def _tile(self, sums: A, y: A, top: int) -> None:
        """Lays taps side by side."""
        rank, kernel, rows = len(self.in_), self.window.kernel, sums.shape[len(self.in_) + 2]
        inner = (rows, *self.in_[1:])
        k = kernel[0]
        part = y[:, :, top * k : (top + rows) * k]
        # An axis of n·k values is n places of k taps.
        split = [n for pair in zip(inner, kernel, strict=True) for n in pair]
        where = _split(part, split)
        order = [rank + 1, 0, *(i for a in range(rank) for i in (rank + 2 + a, 1 + a))]
        np.copyto(where, sums.transpose(order))

    def _add(self, sums: A, y: A, top: int) -> None:
        """Adds taps where they fall."""
        rank = len(self.in_)
        inner = sums.shape[rank + 2 :]
        for tap in taps(self.window, inner, self.out, top):
            index: tuple[Any, ...] = (slice(None), *tap.index, slice(None), *tap.short)
            part = sums[index].swapaxes(0, 1)
            where = y[at(tap.long)]
            np.add(where, part, out=where)


def _split(y: A, extents: Sequence[int]) -> A:
    """A view of (image, out, …) whose axes are split into pairs; `y` may be a block of rows."""
    strides = list(y.strides[:2])
    for axis, k in enumerate(extents[1::2], start=2):
        strides += [y.strides[axis] * k, y.strides[axis]]
    shape = (*y.shape[:2], *extents)
    return np.lib.stride_tricks.as_strided(y, shape, strides)


class Depthwise(KernelSynapse):
    """A kernel with one input channel per group: products by tap, no GEMM.

    For a Conv of several taps, `Convolution` is three times as fast.
    """

    def __init__(
        self, node: Conv | ConvTranspose, shape: tuple[int, ...], x_bound: int, fold: int = 0
    ) -> None:
        super().__init__(node, shape, x_bound, fold)
        spread = isinstance(node, ConvTranspose)
        short, long = (self.in_, self.out) if spread else (self.out, self.in_)
        self.weight = self.scaled(node.weight).reshape(node.groups, self.share, *node.kernel)
        self.taps = [self._tap(tap, spread) for tap in taps(self.window, short, long)]
        # One that covers the whole output comes first: then there is nothing to clear.
        self.taps.sort(key=lambda tap: not covers(tap[0], self.out))
        self.clear = not self.taps or not covers(self.taps[0][0], self.out)

    def _tap(self, tap: Tap, spread: bool) -> tuple[tuple[slice, ...], tuple[slice, ...], A]:
        """Where the tap's products go, where its inputs are, its weights (channel, share, 1…)."""
        target, source = (tap.long, tap.short) if spread else (tap.short, tap.long)
        index: tuple[Any, ...] = (..., *tap.index)
        ones = (1,) * len(tap.index)
        return target, source, self.weight[index].reshape(*self.weight.shape[:2], *ones)

    def __call__(self, x: A, scratch: Scratch) -> A:
        """Sums (step, sample, out, …) for inputs (step, sample, in, …)."""
        y = self.result(x, scratch)
        flat = x.reshape(len(y), self.channels, 1, *self.in_)
        sums = y.reshape(len(y), self.channels, self.share, *self.out)
        count = max(1, synapse.PATCHES // max(math.prod(flat.shape[1:]), math.prod(y.shape[1:])))
        for start in range(0, len(y), count):
            self._multiply(flat[start : start + count], sums[start : start + count], scratch)
        return self.done(x, y)

    def _multiply(self, x: A, y: A, scratch: Scratch) -> None:
        if len(self.taps) > 1 and x.dtype != self.dtype:
            wide = scratch.work("columns", x.shape, self.dtype)
            np.copyto(wide, x, casting="unsafe")
            x = wide
        if self.clear:
            y[...] = 0
        for i, (target, source, weight) in enumerate(self.taps):
            where, value = y[at(target)], x[at(source)]
            if i == 0 and not self.clear:
                np.multiply(value, weight, out=where, dtype=self.dtype, casting="unsafe")
                continue
            product = scratch.work("sums", where.shape, self.dtype)
            np.multiply(value, weight, out=product, dtype=self.dtype, casting="unsafe")
            np.add(where, product, out=where)
