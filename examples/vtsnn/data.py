"""MNIST, Fashion-MNIST and CIFAR-10 as 8-bit grey images, and the noise on them.

Run as `python -m examples.vtsnn.data --data FOLDER --out FOLDER` to write the .npz files that
`snnc` reads, one to calibrate with and one to test with: noisy images, and the clean ones.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from examples.mnist.data import read_images

Dataset = Literal["mnist", "fashion_mnist", "cifar10"]
DATASETS: tuple[Dataset, ...] = ("mnist", "fashion_mnist", "cifar10")
Images = NDArray[np.uint8]

HELD_OUT = 1000
"""Training images, the last ones, that choose the epoch and are never trained on: so many, or a
tenth of a small set."""
TEST_SEED, HELD_OUT_SEED = 2023, 2024
"""Of the noise on test images and on training images that are not trained on, the same for every
network."""

CIFAR_RECORD, CIFAR_SIDE = 3073, 32
LUMA = np.array([0.299, 0.587, 0.114])
"""Red, green and blue in grey (ITU-R BT.601)."""


def load(dataset: Dataset, folder: Path) -> tuple[Images, Images]:
    """Training and test images, each (N, 1, y, x).

    Args:
        folder: holds the files of the data set, or a folder with the name of the data set.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file isn't what its name says.
    """
    if (folder / dataset).is_dir():
        folder = folder / dataset
    if dataset == "cifar10":
        return _cifar(folder, "train"), _cifar(folder, "test")
    train, test = (read_images(folder / f"{p}-images-idx3-ubyte.gz") for p in ("train", "t10k"))
    return train[:, None], test[:, None]


def noisy(images: Images, eta: float, generator: torch.Generator) -> Images:
    """clip(x + η·N(0, 1)) on the scale 0…1, rounded to 8 bits (as Comşa et al. 2021)."""
    noise = torch.randn(images.shape, generator=generator).numpy()
    return np.rint(255 * np.clip(images / np.float32(255) + eta * noise, 0, 1)).astype(np.uint8)


def noisy_test(images: Images, eta: float, seed: int = TEST_SEED) -> Images:
    """Images with the noise that every network and every stage is measured with."""
    return noisy(images, eta, torch.Generator().manual_seed(seed))


def _cifar(folder: Path, split: str) -> Images:
    """Grey (N, 1, 32, 32) of the binary version's records: label, then red, green and blue.

    The files are the official `.bin` ones (or a part of their records), joined and compressed by
    xz: `train_N.bin.xz` and `test_N.bin.xz`.
    """
    found = sorted(folder.glob(f"{split}_*.bin.xz"))
    if not found:
        raise FileNotFoundError(f"{folder}: no {split}_*.bin.xz")
    raw = np.frombuffer(lzma.decompress(found[0].read_bytes()), np.uint8)
    if raw.size % CIFAR_RECORD:
        raise ValueError(f"{found[0]}: {raw.size} bytes are no records of {CIFAR_RECORD}")
    colours = raw.reshape(-1, CIFAR_RECORD)[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return np.rint(np.einsum("c,ncyx->nyx", LUMA, colours))[:, None].astype(np.uint8)


def main() -> None:
    """Writes noisy and clean images for `snnc compile` and `snnc verify`."""
    options = argparse.ArgumentParser(description="Write noisy and clean images for snnc.")
    options.add_argument("--data", type=Path, required=True, help="folder of the data set")
    options.add_argument("--dataset", choices=DATASETS, default="mnist")
    options.add_argument("--eta", type=float, default=0.2, help="noise, of the scale 0 to 1")
    options.add_argument("--limit", type=int, default=256, help="images of each file")
    options.add_argument("--out", type=Path, required=True, help="folder for the two .npz files")
    args = options.parse_args()
    train, test = load(args.dataset, args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    sets = (("train", train, HELD_OUT_SEED), ("test", test, TEST_SEED))
    for name, whole, seed in sets:
        images = whole[: args.limit]
        spoiled = noisy_test(images, args.eta, seed)
        np.savez_compressed(args.out / f"{args.dataset}-{name}.npz", images=spoiled, clean=images)


if __name__ == "__main__":
    main()
