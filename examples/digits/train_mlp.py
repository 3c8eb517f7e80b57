"""Train the snnTorch digits MLP and export it."""

from __future__ import annotations

import torch

from examples.digits.data import load
from examples.digits.mlp import build
from examples.training import Recipe, parser, run

RECIPE = Recipe(build, epochs=30, batch=64, warm_up=0.3, example=360)

if __name__ == "__main__":
    x_train, y_train, x_test, y_test = map(torch.from_numpy, load())
    run(parser(__doc__, RECIPE).parse_args(), RECIPE, (x_train, y_train, x_test, y_test))
