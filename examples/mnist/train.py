"""Train the MNIST network and export it.

Run as `python -m examples.mnist.train --data FOLDER --out FILE`, where FOLDER holds the four
gzipped IDX files.
"""

from __future__ import annotations

from pathlib import Path

import torch

from examples.mnist.data import load
from examples.mnist.model import build
from examples.training import Recipe, parser, run

RECIPE = Recipe(build, epochs=5, batch=128, warm_up=0.2, example=64)

if __name__ == "__main__":
    options = parser(__doc__, RECIPE)
    options.add_argument("--data", type=Path, required=True, help="folder of the four IDX files")
    options.add_argument("--limit", type=int, help="use only the first N images of each split")
    args = options.parse_args()
    x_train, y_train, x_test, y_test = (torch.from_numpy(a[: args.limit]) for a in load(args.data))
    run(args, RECIPE, (x_train, y_train, x_test, y_test))
