"""What the training scripts of the digits networks share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from examples.digits.data import load

BATCH_SIZE = 64
MAX_LR = 1e-2

Simulate = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""Maps a model and images (batch, 1, 8, 8) to output spikes (steps, batch, 10)."""

Export = Callable[[nn.Module, torch.Tensor, Path], None]
"""Writes a trained model, given an example input (360, 1, 8, 8) and a file name."""


def parse_args(description: str, epochs: int) -> argparse.Namespace:
    """Read the command line; `epochs` is the default number of epochs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the exported model here")
    parser.add_argument("--state", type=Path, help="write the state dict here")
    parser.add_argument("--from-state", type=Path, help="load this state dict, do not train")
    return parser.parse_args()


def run(
    args: argparse.Namespace, build: Callable[[], nn.Module], simulate: Simulate, export: Export
) -> None:
    """Train (or load) a model, print its test accuracy, and write what was asked for."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    x_train, y_train, x_test, y_test = map(torch.from_numpy, load())
    model = build()
    if args.from_state:
        model.load_state_dict(torch.load(args.from_state, weights_only=True))
    else:
        train(model, simulate, x_train, y_train, epochs=args.epochs, seed=args.seed)
    model.eval()
    print(f"test accuracy {accuracy(model, simulate, x_test, y_test):.2%} of {len(x_test)} images")
    if args.state:
        torch.save(model.state_dict(), args.state)
    if args.out:
        export(model, x_test, args.out)


def train(
    model: nn.Module,
    simulate: Simulate,
    images: torch.Tensor,
    labels: torch.Tensor,
    epochs: int,
    seed: int,
) -> None:
    """Fit the model to images (N, 1, 8, 8) and labels (N,), one progress line per epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=MAX_LR)
    num_batches = -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=MAX_LR, total_steps=epochs * num_batches
    )
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.train()
        if epoch > max(1, epochs // 2):
            freeze_batch_norm(model)
        total_loss = 0.0
        for index in torch.randperm(len(images), generator=generator).split(BATCH_SIZE):
            counts = simulate(model, images[index]).sum(dim=0)
            total_loss += descend(optimizer, cross_entropy(counts, labels[index])) * len(index)
            schedule.step()
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch}/{epochs} loss {total_loss / len(images):.4f} {seconds:.0f} s",
            flush=True,
        )


def freeze_batch_norm(model: nn.Module) -> None:
    """Make the batch-norm layers use their running statistics.

    In training mode each time step is normalised by its own statistics, in evaluation all steps
    share the running ones. The second half of the training lets the weights adapt to the latter.
    A training of one epoch has no such half: its only epoch has to gather the statistics.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    """Take one optimiser step and return the value of the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(
    model: nn.Module, simulate: Simulate, images: torch.Tensor, labels: torch.Tensor
) -> float:
    """Return the share of images whose class has the most output spikes (first one on a tie)."""
    counts = simulate(model, images).sum(dim=0)
    return (counts.argmax(dim=1) == labels).float().mean().item()
