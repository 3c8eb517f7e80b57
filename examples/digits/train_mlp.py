"""Train the snnTorch digits MLP and export it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from examples.digits.mlp import build
from examples.digits.training import parse_args, run

EPOCHS = 30


def simulate(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Map images (batch, 1, 8, 8) to output spikes (num_steps, batch, 10)."""
    return model(images)


def export(model: nn.Module, example_input: torch.Tensor, out: Path) -> None:
    """Write the trained model for the compiler; example_input is (360, 1, 8, 8)."""
    import snnc

    snnc.export(model, example_input, out)


if __name__ == "__main__":
    run(parse_args(__doc__, epochs=EPOCHS), build, simulate, export)
