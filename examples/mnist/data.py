"""Read the MNIST handwritten digits from their four gzipped IDX files."""

from __future__ import annotations

import argparse
import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

IMAGE_MAGIC = 0x00000803
LABEL_MAGIC = 0x00000801
IMAGE_SIDE = 28
NUM_CLASSES = 10

Split = tuple[np.ndarray, np.ndarray]


def load(folder: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x_train, y_train, x_test, y_test.

    Images are float32 (N, 1, 28, 28), pixel / 255; labels are int64 (N,).
    """
    train_images, train_labels = load_split(folder, "train")
    test_images, test_labels = load_split(folder, "t10k")
    return (
        to_float(train_images),
        train_labels.astype(np.int64),
        to_float(test_images),
        test_labels.astype(np.int64),
    )


def load_split(folder: str | Path, prefix: str) -> Split:
    """Return the images, uint8 (N, 28, 28), and labels, uint8 (N,), of one split.

    The prefix is "train" or "t10k", as in the names of the files.
    """
    folder = Path(folder)
    images = read_images(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_labels(folder / f"{prefix}-labels-idx1-ubyte.gz")
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {prefix} has {len(images)} images but {len(labels)} labels")
    return images, labels


def to_float(images: np.ndarray) -> np.ndarray:
    """Turn uint8 (N, 28, 28) into float32 (N, 1, 28, 28) in [0, 1]."""
    return images[:, None].astype(np.float32) / np.float32(255)


def read_images(path: Path) -> np.ndarray:
    """Return the uint8 (N, 28, 28) images of a gzipped IDX file."""
    images = _read_idx(path, IMAGE_MAGIC, num_dims=3)
    if images.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise ValueError(
            f"{path}: images are {images.shape[1]}x{images.shape[2]},"
            f" expected {IMAGE_SIDE}x{IMAGE_SIDE}"
        )
    return images


def read_labels(path: Path) -> np.ndarray:
    """Return the uint8 (N,) labels of a gzipped IDX file."""
    labels = _read_idx(path, LABEL_MAGIC, num_dims=1)
    if labels.size and labels.max() >= NUM_CLASSES:
        raise ValueError(f"{path}: label {labels.max()} is not in 0..{NUM_CLASSES - 1}")
    return labels


def _read_idx(path: Path, magic: int, num_dims: int) -> np.ndarray:
    """Return the uint8 array of a gzipped IDX file that has `num_dims` dimensions."""
    raw = _gunzip(path)
    header_size = 4 * (1 + num_dims)
    if len(raw) < header_size:
        raise ValueError(f"{path}: {len(raw)} bytes, too short for a {header_size}-byte header")
    found, *shape = struct.unpack(f">{1 + num_dims}I", raw[:header_size])
    if found != magic:
        raise ValueError(f"{path}: magic number is 0x{found:08x}, expected 0x{magic:08x}")
    payload = np.frombuffer(raw, dtype=np.uint8, offset=header_size)
    expected = math.prod(shape)
    if payload.size != expected:
        raise ValueError(
            f"{path}: {payload.size} bytes follow the header, expected {expected} for shape {shape}"
        )
    return payload.reshape(shape)


def _gunzip(path: Path) -> bytes:
    """Return the uncompressed content of a gzip file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; --data must hold the gzipped IDX files")
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a complete gzip file ({error})") from error


def write(folder: str | Path, out: str | Path, calibration: int = 256) -> None:
    """Write mnist-train.npz (the first `calibration` images) and mnist-test.npz for `snnc`.

    Each holds images `input` (N, 1, 28, 28) and classes `labels`.
    """
    x_train, y_train, x_test, y_test = load(folder)
    Path(out).mkdir(parents=True, exist_ok=True)
    train = {"input": x_train[:calibration], "labels": y_train[:calibration]}
    np.savez(Path(out) / "mnist-train.npz", **train)
    np.savez(Path(out) / "mnist-test.npz", input=x_test, labels=y_test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write MNIST as snnc reads it.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the four IDX files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two .npz files")
    arguments = parser.parse_args()
    write(arguments.data, arguments.out)
