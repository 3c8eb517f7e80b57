"""The 8x8 handwritten digits of scikit-learn with one fixed split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PIXEL_MAX = 16


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x_train, y_train, x_test, y_test.

    Images are float32 (N, 1, 8, 8), exact multiples of 1/16 in [0, 1]; labels are int64 (N,).
    The split is stratified: 1,437 training and 360 test images.
    """
    digits = load_digits()
    images = (digits.images / PIXEL_MAX).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return x_train, y_train, x_test, y_test


def write(folder: Path) -> None:
    """Write train.npz and test.npz, as `snnc` reads them: images `input` and classes `labels`."""
    x_train, y_train, x_test, y_test = load()
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "train.npz", input=x_train, labels=y_train)
    np.savez(folder / "test.npz", input=x_test, labels=y_test)
