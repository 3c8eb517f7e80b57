"""What the paper claims, beside what was measured.

Run as `python -m examples.vtsnn.compare --data FOLDER --results FILE` with the results of
`examples.vtsnn.grid`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.ndimage import median_filter
from scipy.stats import t as student

from examples.vtsnn.data import Images, load, noisy_test
from examples.vtsnn.grid import (
    BASE,
    NEURONS,
    NOISE,
    TABLE_2,
    Line,
    better_rate,
    find,
    read,
)
from examples.vtsnn.train import Recipe
from snnc.quality import psnr
from snnc.report.tables import new_table

CONFIDENCE = 0.95
A = NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """A published PSNR and the training that measures it again.

    Attributes:
        name: what is claimed.
        recipe: the training, of any seed.
        decoding: how the output is read.
        published: dB; None for what the paper doesn't have.
    """

    name: str
    recipe: Recipe
    decoding: str
    published: float | None = None


ITBP, STBP, ITBP_TTFS, STBP_MPD, STBP_TTFS, STBP_TTFS_MPD, ANN = TABLE_2
LIF, LIF_STBP, DETACHED = NEURONS
TABLE_1 = {
    "mnist": (23.57, 23.15, 23.09, 22.56),
    "fashion_mnist": (21.67, 21.26, 20.64, 19.83),
    "cifar10": (18.27, 14.08, 14.76, 13.16),
}
"""VTSNN-IF at η = 0.2, 0.4, 0.6 and 0.8."""

CLAIMS = (
    Claim("ITBP, UWE, UWD, IF", ITBP, "uwd", 23.57),
    Claim("ITBP, UWE, MPD, IF", ITBP, "mpd", 11.91),
    Claim("ITBP, TTFS, UWD, IF", ITBP_TTFS, "uwd", 11.81),
    Claim("ITBP, TTFS, MPD, IF", ITBP_TTFS, "mpd", 20.70),
    Claim("STBP, UWE, UWD, IF", STBP, "uwd", 9.60),
    Claim("STBP, UWE, MPD, IF", STBP_MPD, "mpd", 8.00),
    Claim("STBP, TTFS, UWD, IF", STBP_TTFS, "uwd", 8.54),
    Claim("STBP, TTFS, MPD, IF", STBP_TTFS_MPD, "mpd", 9.76),
    Claim("ANN of the same shape", ANN, "uwd", 23.05),
    Claim("ITBP, UWE, UWD, LIF", LIF, "uwd", 22.99),
    Claim("STBP, UWE, UWD, LIF", LIF_STBP, "uwd"),
    Claim("ITBP without gradients through time", DETACHED, "uwd"),
    *(
        Claim(f"ITBP, {recipe.dataset}, η = {recipe.eta}", recipe, "uwd", published)
        for recipe, published in zip(NOISE, sum(TABLE_1.values(), ()), strict=True)
        if recipe != BASE
    ),
)


def interval(values: list[float]) -> tuple[float, float | None]:
    """Mean and half the width of its confidence interval over seeds (Student), None for one."""
    if len(values) < 2:
        return float(np.mean(values)), None
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(error * student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))


def measured(claim: Claim, lines: list[Line]) -> list[Line]:
    """The results of a claim, one per seed, of the learning rate that validated best."""
    seeds = sorted({line["recipe"]["seed"] for line in lines})
    if not seeds:
        return []
    chosen = replace(claim.recipe, rate=better_rate(claim.recipe, lines, seeds[0]))
    found = (find(replace(chosen, seed=seed), lines) for seed in seeds)
    return [line for line in found if line]


def baselines(train: Images, clean: Images, eta: float) -> dict[str, A]:
    """PSNR (N,) of what needs no network."""
    spoiled = noisy_test(clean, eta)
    black = np.zeros_like(clean)
    mean = np.broadcast_to(np.rint(train.mean(axis=0)), clean.shape)
    best = {
        f"{size}×{size} median": median_filter(spoiled, size=(1, 1, size, size)) for size in (3, 5)
    }
    images = {"noisy image": spoiled, **best, "all-black image": black, "mean training image": mean}
    return {name: psnr(image, clean) for name, image in images.items()}


def test_size(lines: list[Line]) -> int:
    """Test images of every training.

    Raises:
        ValueError: some had others than others.
    """
    sizes = {line["test_images"] for line in lines}
    if len(sizes) != 1:
        raise ValueError(f"the results are of {sizes} test images: train with one --test-images")
    return sizes.pop()


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description="Claims of VTSNN beside measurements.")
    options.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    options.add_argument("--results", type=Path, required=True, help="of examples.vtsnn.grid")
    args = options.parse_args()
    lines = read(args.results)
    count = test_size(lines)
    table = new_table(
        f"PSNR of the first {count} test images, dB", "", "published", "measured", "95 % CI",
        "seeds", "rate", "firing",
    )  # fmt: skip
    train, test = load(BASE.dataset, args.data)
    for name, values in baselines(train, test[:count], BASE.eta).items():
        table.add_row(name, "", f"{values.mean():.2f}", "", "", "", "")
    for claim in CLAIMS:
        found = measured(claim, lines)
        if not found:
            continue
        mean, half = interval([line["test"][claim.decoding] for line in found])
        table.add_row(
            claim.name,
            "" if claim.published is None else f"{claim.published:.2f}",
            f"{mean:.2f}",
            "" if half is None else f"± {half:.2f}",
            str(len(found)),
            f"{found[0]['recipe']['rate']:g}",
            "" if claim.recipe is ANN else f"{np.mean([line['firing'] for line in found]):.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
