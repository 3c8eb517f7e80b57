"""The trainings behind the README's comparisons, one after the other.

Run as `python -m examples.vtsnn.grid --data FOLDER --results FILE`; what the file holds already is
not trained again, so that the script can be stopped and started at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Any

from examples.vtsnn.train import Recipe

BASE = Recipe(images=10_000, epochs=2, rate=8e-3, fast=True)
TABLE_2 = (
    BASE,
    replace(BASE, loss="stbp"),
    replace(BASE, encoding="ttfs"),
    replace(BASE, loss="stbp", decoding="mpd"),
    replace(BASE, loss="stbp", encoding="ttfs"),
    replace(BASE, loss="stbp", encoding="ttfs", decoding="mpd"),
    replace(BASE, kind="relu", fast=False),
)
"""Table 2. ITBP compares spikes, so one training serves both decoders."""
NEURONS = (
    replace(BASE, kind="lif"),
    replace(BASE, kind="lif", loss="stbp"),
    replace(BASE, through_time=False),
)
"""Section 3.2.1, and equation 17 to the letter: no gradient through time."""
RATES = (8e-3, 2e-3)
"""Learning rates, of which the one that validates better counts: what suits one loss need not suit
another."""
NOISE = tuple(
    replace(BASE, dataset=dataset, eta=eta, images=8_000 if dataset == "cifar10" else 10_000)
    for dataset in ("mnist", "fashion_mnist", "cifar10")
    for eta in (0.2, 0.4, 0.6, 0.8)
)
"""Table 1, row VTSNN-IF."""


Line = dict[str, Any]
"""What `examples.vtsnn.train --results` wrote of one training."""


def recipes(results: Path, seeds: list[int]) -> Iterator[Recipe]:
    """Every training, the most telling ones first: the comparisons at all learning rates, again
    for the other seeds at the better rate, then noise levels."""
    first, *others = seeds
    for recipe in (*TABLE_2, *NEURONS):
        for rate in RATES:
            yield replace(recipe, seed=first, rate=rate)
    for seed in others:
        for recipe in (*TABLE_2, *NEURONS):
            yield replace(recipe, seed=seed, rate=better_rate(recipe, read(results), first))
    for recipe in NOISE[1:]:
        yield replace(recipe, seed=first)


def read(results: Path) -> list[Line]:
    """What a results file holds."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def better_rate(recipe: Recipe, lines: list[Line], seed: int) -> float:
    """The learning rate whose training with that seed validated best."""
    found = {rate: find(replace(recipe, rate=rate, seed=seed), lines) for rate in RATES}
    return max(RATES, key=lambda rate: validated(found[rate]))


def find(recipe: Recipe, lines: list[Line]) -> Line | None:
    """The last result of a training, None if there is none."""
    wanted = asdict(recipe)
    return next((line for line in reversed(lines) if line["recipe"] == wanted), None)


def validated(line: Line | None) -> float:
    """PSNR in validation of the epoch that was kept, −∞ without a result."""
    return max((point["psnr"] for point in line["curve"]), default=-inf) if line else -inf


def command(recipe: Recipe, data: Path, results: Path) -> list[str]:
    """The training script's command line."""
    words = [sys.executable, "-m", "examples.vtsnn.train", "--data", str(data)]
    for name, value in asdict(recipe).items():
        if name == "fast":
            words += ["--fast"] * value
        elif name == "through_time":
            words += ["--detached"] * (not value)
        else:
            words += [f"--{name}", str(value)]
    return [*words, "--results", str(results)]


def main() -> None:
    """Trains what is missing."""
    options = argparse.ArgumentParser(description="Train what the README compares.")
    options.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    options.add_argument("--results", type=Path, required=True, help="JSON lines, appended to")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--test-images", type=int, default=2000)
    args = options.parse_args()
    for recipe in recipes(args.results, args.seeds):
        if find(recipe, read(args.results)):
            continue
        print(recipe, flush=True)
        words = command(recipe, args.data, args.results)
        words += ["--test-images", str(args.test_images), "--threads", "1"]
        subprocess.run(words, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
