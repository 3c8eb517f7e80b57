"""The README's pictures.

Run as `python -m examples.vtsnn.pictures --data FOLDER --chain FILE --results FILE --out FOLDER`
with what `examples.vtsnn.chain --json` and `examples.vtsnn.train --results` wrote.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import snnc
from examples.vtsnn.chain import HERE, SEED, noisy_pixels, spikes
from examples.vtsnn.circuits import FRONTS
from examples.vtsnn.data import load
from snnc.report.pictures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    check_picture,
    save_picture,
)

DIGITS = 8
SHOWN = ("none", "settling 2 τ", "settling 1 τ", "1 bit")
"""Circuits whose images are shown."""
FAMILIES = {
    "caps": BLUE,
    "offset": ORANGE,
    "noise": GREEN,
    "v_ref": SKY,
    "settling": VERMILION,
    "bits": PURPLE,
}
"""Impairments of the ADC by a word of their name."""


def draw_digits(data: Path, eta: float) -> Figure:
    """Clean and noisy digits, and what leaves the DAC through several circuits."""
    _, test = load("mnist", data)
    clean = test[:DIGITS]
    pixels = noisy_pixels(clean, eta)
    net = snnc.compile(str(HERE / "model.pt"), "uwe", encoding="uwe")
    rows = {"clean": clean, "noisy": pixels}
    for front in FRONTS:
        if front.name in SHOWN:
            codes = front.encode(pixels, 1, SEED)
            name = "restored" if front.name == "none" else front.name
            rows[name] = front.decode(spikes(net, codes, "sim"), 1, SEED)
    figure = Figure(figsize=(DIGITS * 0.7 + 0.9, len(rows) * 0.7), layout="constrained")
    grid = figure.subplots(len(rows), DIGITS)
    for axes, (name, images) in zip(grid, rows.items(), strict=True):
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, image in zip(axes, images, strict=True):
            axis.imshow(image[0], cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
    return figure


def draw_circuits(rows: list[dict[str, Any]]) -> Figure:
    """PSNR behind the DAC against the effective bits of the ADC, by cause."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    ideal = next(row for row in rows if row["name"] == "none")
    for family, colour in FAMILIES.items():
        found = [row for row in rows if family in row["name"].split() and row["enob"]]
        axis.errorbar(
            [row["enob"] for row in found], [row["restored"] for row in found],
            [row["error"] for row in found], fmt="o-", ms=4, capsize=2, label=family, color=colour,
        )  # fmt: skip
    axis.axhline(ideal["restored"], color=GREY, lw=1, ls="--", label="ideal circuit")
    axis.set(
        xlabel="effective bits of the ADC",
        ylabel="PSNR of the restored image, dB",
    )
    axis.legend(ncols=2)
    return figure


def draw_curve(line: dict[str, Any]) -> Figure:
    """Validation after every epoch, and the test of the best one."""
    curve = [point["psnr"] for point in line["curve"]]
    figure = Figure(figsize=(5, 3), layout="constrained")
    axis = figure.subplots()
    axis.plot(range(1, len(curve) + 1), curve, "o-", color=BLUE, label="held-out images")
    best, test = int(np.argmax(curve)) + 1, line["test"]["uwd"]
    axis.plot(best, test, "D", color=ORANGE, label=f"test, {test:.2f} dB")
    axis.set(xlabel="epochs", ylabel="PSNR, dB", xticks=range(1, len(curve) + 1))
    recipe = line["recipe"]
    axis.set_title(f"{recipe['dataset']}, η = {recipe['eta']}, {recipe['loss'].upper()}")
    axis.legend()
    return figure


def main() -> None:
    """Draws all three."""
    options = argparse.ArgumentParser(description="Draw the README's pictures.")
    options.add_argument("--data", type=Path, required=True, help="folder of MNIST")
    options.add_argument("--chain", type=Path, required=True, help="of examples.vtsnn.chain")
    options.add_argument("--results", type=Path, required=True, help="of examples.vtsnn.train")
    options.add_argument("--eta", type=float, default=0.2, help="noise, of the scale 0 to 1")
    options.add_argument("--out", type=Path, default=HERE)
    args = options.parse_args()
    rows = json.loads(args.chain.read_text())["rows"]
    line = json.loads(args.results.read_text().splitlines()[-1])
    for name, draw in (
        ("digits.png", partial(draw_digits, args.data, args.eta)),
        ("circuits.png", partial(draw_circuits, rows)),
        ("curve.png", partial(draw_curve, line)),
    ):
        save_picture(draw, check_picture(args.out / name))


if __name__ == "__main__":
    main()
