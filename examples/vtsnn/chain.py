"""From pixel to pixel: noisy image → SAR ADC → integer U-Net → R-2R DAC → image.

Run as `python -m examples.vtsnn.chain --data FOLDER`: PSNR at every stage, then against what the
circuits suffer from, with the energy of network and encoder together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import snnc
from examples.vtsnn.circuits import FRONTS, Front
from examples.vtsnn.data import (
    DATASETS,
    HELD_OUT_SEED,
    TEST_SEED,
    Dataset,
    Images,
    load,
    noisy_test,
)
from snnc.api import Compiled
from snnc.circuits.encodings import uwd
from snnc.energy.encoder import encoder_energy
from snnc.energy.run import energy_of
from snnc.errors import SnncError
from snnc.quality import psnr
from snnc.report.tables import new_table

HERE = Path(__file__).parent
SEED = 0
FAST = {"U-Net, float": "s1", "sim": "sim"}
SLOW = {"U-Net, integers": "s2", "Loihi 2 model": "loihi"}
"""Stages of `snnc verify` by what they are called here."""

A = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """What an impairment does.

    Attributes:
        name: the impairment.
        enob: effective bits of the ADC, mean over the chips; None for 1 and 2 bits.
        wrong: share of pixels that convert to another code than in the ideal circuit.
        encoded, restored: mean PSNR of what the ADC gives and of what leaves the DAC, dB.
        change: mean change of `restored` against the ideal circuit, image by image, dB.
        error: standard error of that mean over the chips, each with images of its own, dB.
        network: energy per image of all that the network does (45 nm, 32-bit float), J.
        encoder: energy of converting every pixel, J: the survey's typical 8-bit conversion; for
            other resolutions extrapolated by the survey's Walden figure of merit.
    """

    name: str
    enob: float | None
    wrong: float
    encoded: float
    restored: float
    change: float
    error: float
    network: float
    encoder: float


def noisy_pixels(clean: Images, eta: float) -> A:
    """Noisy images as a sensor has them: reals 0…255 that nobody has quantised, (N, 1, y, x).

    The same noise as `examples.vtsnn.data.noisy_test`, whose images are these, rounded.
    """
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(TEST_SEED)).numpy()
    return 255 * np.clip(clean / np.float32(255) + eta * noise, 0, 1).astype(np.float64)


def stages(net: Compiled, clean: Images, pixels: A, slow: int) -> dict[str, A]:
    """PSNR (image,) by stage, from the sensor to the screen, through ideal circuits.

    Args:
        slow: images for the integer reference and the model of Loihi, which are written to be read.
    """
    ideal = FRONTS[0]
    codes = ideal.encode(pixels, 1, SEED)
    planes = {name: spikes(net, codes, stage) for name, stage in FAST.items()}
    planes |= {name: spikes(net, codes[:slow], stage) for name, stage in SLOW.items()}
    images = {
        "noisy pixels": pixels,
        "SAR ADC": codes,
        **{name: uwd(found.swapaxes(0, 1)) for name, found in planes.items()},
        "R-2R DAC": ideal.decode(planes["sim"], 1, SEED),
    }
    return {name: psnr(found, clean[: len(found)]) for name, found in images.items()}


def print_stages(values: dict[str, A], slow: int, console: Console) -> None:
    """The table of stages: all images, and the ones that the slow stages had."""
    whole = max(map(len, values.values()))
    table = new_table("from pixel to pixel, PSNR in dB", "", f"{whole} images", f"first {slow}")
    for name, found in values.items():
        mean = f"{found.mean():.3f}" if len(found) == whole else ""
        table.add_row(name, mean, f"{found[:slow].mean():.3f}")
    console.print(table)


def spikes(net: Compiled, codes: Images, stage: str) -> NDArray[np.integer]:
    """Output planes (N, 8, 1, y, x) of a stage."""
    parts = [net.run(part, stage).outputs for part in np.array_split(codes, -(-len(codes) // 100))]
    return np.concatenate([next(iter(part.values())) for part in parts])


def restored(net: Compiled, front: Front, clean: Images, codes: Images, chips: int) -> A:
    """PSNR (N,) of what leaves the DAC for codes of the ADC."""
    return psnr(front.decode(spikes(net, codes, "sim"), chips, SEED), clean)


def row(
    net: Compiled, front: Front, clean: Images, pixels: A, chips: int, ideal: tuple[Images, A]
) -> Row:
    """One impairment on the whole chain; `ideal` are the codes and the PSNR (N,) without any."""
    codes = front.encode(pixels, chips, SEED)
    values = restored(net, front, clean, codes, chips)
    change = (values - ideal[1]).reshape(chips, -1).mean(axis=1)
    enob = front.enob(chips, SEED)
    energy = energy_of(net, codes).to_dict()["figures"][0]["per_step"]["energy"]
    return Row(
        front.name,
        None if enob is None else float(enob.mean()),
        float(np.mean(codes != ideal[0])),
        float(psnr(codes, clean).mean()),
        float(values.mean()),
        float(change.mean()),
        float(change.std(ddof=1) / np.sqrt(chips)),
        energy["mean"] * 1e-12,
        encoder_energy(codes[0].size, front.design.bits).typical * 1e-12,
    )


def print_rows(rows: list[Row], console: Console) -> None:
    """The table *PSNR against mismatch, offset, noise, ENOB*."""
    table = new_table(
        "what the circuits suffer from, PSNR in dB", "", "ENOB", "wrong", "ADC", "DAC",
        "change", "net µJ", "ADC nJ",
    )  # fmt: skip
    for one in rows:
        table.add_row(
            one.name, "" if one.enob is None else f"{one.enob:.2f}", f"{one.wrong:.1%}",
            f"{one.encoded:.2f}", f"{one.restored:.2f}", f"{one.change:+.2f}±{one.error:.2f}",
            f"{one.network * 1e6:.1f}", f"{one.encoder * 1e9:.2f}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Prints both tables."""
    options = argparse.ArgumentParser(description="VTSNN from pixel to pixel.")
    options.add_argument("--data", type=Path, required=True, help="folder of the data set")
    options.add_argument("--dataset", choices=DATASETS, default="mnist")
    options.add_argument("--model", type=Path, default=HERE / "model.pt")
    options.add_argument("--eta", type=float, default=0.2, help="noise, of the scale 0 to 1")
    options.add_argument("--images", type=int, default=500, help="test images")
    options.add_argument("--slow", type=int, default=20, help="images for the Loihi model")
    options.add_argument("--chips", type=int, default=20, help="that share the images")
    options.add_argument("--json", type=Path, help="write the numbers here, too")
    args = options.parse_args()
    if args.images % args.chips:
        options.error(f"--images {args.images} don't go into {args.chips} --chips evenly")
    if args.chips < 2:
        options.error("--chips: the error of a mean takes at least 2")
    try:
        run(args)
    except SnncError as error:
        options.error(str(error))


def run(args: argparse.Namespace) -> None:
    """Compiles the model, measures and prints."""
    dataset: Dataset = args.dataset
    train, test = load(dataset, args.data)
    clean = test[: args.images]
    pixels = noisy_pixels(clean, args.eta)
    calibration = noisy_test(train[-256:], args.eta, HELD_OUT_SEED)
    net = snnc.compile(str(args.model), "uwe", encoding="uwe", calibration=calibration)
    console = Console()
    passed = stages(net, clean, pixels, args.slow)
    print_stages(passed, args.slow, console)
    codes = FRONTS[0].encode(pixels, 1, SEED)
    ideal = codes, restored(net, FRONTS[0], clean, codes, 1)
    rows = [
        row(net, front, clean, pixels, args.chips, ideal)
        for front in track(FRONTS, "impairments", console=console, transient=True)
    ]
    print_rows(rows, console)
    if args.json:
        means = {name: float(found.mean()) for name, found in passed.items()}
        content = {"stages": means, "rows": [asdict(one) for one in rows]}
        args.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
