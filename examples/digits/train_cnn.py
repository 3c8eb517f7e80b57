"""Train the SpikingJelly digits CNN and export it."""

from __future__ import annotations

import torch
from spikingjelly.activation_based.functional import reset_net
from torch import Tensor, nn

from examples.digits.cnn import STEPS, build
from examples.digits.data import load
from examples.training import Recipe, parser, run


def simulate(model: nn.Module, images: Tensor) -> Tensor:
    """Map images (batch, 1, 8, 8) to output spikes (STEPS, batch, 10)."""
    reset_net(model)
    return torch.stack([model(images) for _ in range(STEPS)])


# Before the export the neurons still hold the state of the last batch, whose size differs.
RECIPE = Recipe(
    build,
    epochs=20,
    batch=64,
    warm_up=0.3,
    example=360,
    simulate=simulate,
    steps=STEPS,
    reset=reset_net,
)

if __name__ == "__main__":
    x_train, y_train, x_test, y_test = map(torch.from_numpy, load())
    run(parser(__doc__, RECIPE).parse_args(), RECIPE, (x_train, y_train, x_test, y_test))
