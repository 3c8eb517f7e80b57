"""Train the SpikingJelly digits CNN and export it."""

from __future__ import annotations

from pathlib import Path

import torch
from spikingjelly.activation_based import functional
from torch import nn

from examples.digits.cnn import STEPS, build
from examples.digits.training import parse_args, run

EPOCHS = 20


def simulate(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Map images (batch, 1, 8, 8) to output spikes (STEPS, batch, 10)."""
    functional.reset_net(model)
    return torch.stack([model(images) for _ in range(STEPS)])


def export(model: nn.Module, example_input: torch.Tensor, out: Path) -> None:
    """Write the trained model for the compiler; example_input is (360, 1, 8, 8)."""
    import snnc

    # The neurons still hold the state of the evaluation batch, whose size differs.
    functional.reset_net(model)
    snnc.export(model, example_input, out, steps=STEPS)


if __name__ == "__main__":
    run(parse_args(__doc__, epochs=EPOCHS), build, simulate, export)
