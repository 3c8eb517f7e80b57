"""Training and exporting a small spiking classifier: what the examples share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import snnc

MAX_LR = 1e-2
EVAL_BATCH = 500

Data = tuple[Tensor, Tensor, Tensor, Tensor]
"""x_train (N, channel, y, x), y_train (N,), x_test, y_test."""


def own_loop(model: nn.Module, images: Tensor) -> Tensor:
    """Output spikes (step, batch, class) of a module that has its own loop over the steps."""
    return model(images)


@dataclass(frozen=True)
class Recipe:
    """How an example is trained.

    Attributes:
        build: the untrained module.
        epochs, batch, warm_up: Adam with a one-cycle learning rate that rises for the share
            `warm_up` of all batches.
        example: test images that the exported model carries.
        simulate: output spikes (step, batch, class) of a model for images.
        steps: for a module whose forward is one step, how many to export it with.
        reset: clears the state of a module that keeps it between calls.
    """

    build: Callable[[], nn.Module]
    epochs: int
    batch: int
    warm_up: float
    example: int
    simulate: Callable[[nn.Module, Tensor], Tensor] = own_loop
    steps: int | None = None
    reset: Callable[[nn.Module], None] | None = None


def parser(description: str | None, recipe: Recipe) -> argparse.ArgumentParser:
    """The options that every training script has."""
    options = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    options.add_argument("--epochs", type=int, default=recipe.epochs)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, help="write the exported model here")
    options.add_argument("--state", type=Path, help="write the state dict here")
    options.add_argument("--from-state", type=Path, help="load this state dict, do not train")
    return options


def run(args: argparse.Namespace, recipe: Recipe, data: Data) -> None:
    """Trains (or loads) a model, prints its test accuracy, and writes what was asked for."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    x_train, y_train, x_test, y_test = data
    model = recipe.build()
    if args.from_state:
        model.load_state_dict(torch.load(args.from_state, weights_only=True))
    else:
        train(model, recipe, x_train, y_train, args.epochs, args.seed)
    model.eval()
    print(f"test accuracy {accuracy(model, recipe, x_test, y_test):.2%} of {len(x_test)} images")
    if args.state:
        torch.save(model.state_dict(), args.state)
    if args.out:
        if recipe.reset is not None:
            recipe.reset(model)
        snnc.export(model, x_test[: recipe.example], args.out, steps=recipe.steps)


def train(
    model: nn.Module, recipe: Recipe, images: Tensor, labels: Tensor, epochs: int, seed: int
) -> None:
    """Fits the model to spike counts by cross entropy, one progress line per epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=MAX_LR)
    batches = -(-len(images) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=MAX_LR, total_steps=epochs * batches, pct_start=recipe.warm_up
    )
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.train()
        if epoch > max(1, epochs // 2):
            freeze_batch_norm(model)
        total = 0.0
        for index in torch.randperm(len(images), generator=generator).split(recipe.batch):
            counts = recipe.simulate(model, images[index]).sum(dim=0)
            total += descend(optimizer, cross_entropy(counts, labels[index])) * len(index)
            schedule.step()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch}/{epochs} loss {total / len(images):.4f} {seconds:.0f} s", flush=True)


def freeze_batch_norm(model: nn.Module) -> None:
    """Makes the batch-norm layers use their running statistics.

    In training mode each time step is normalised by its own statistics, in evaluation all steps
    share the running ones. The second half of the training lets the weights adapt to the latter.
    A training of one epoch has no such half: its only epoch has to gather the statistics.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """Takes one optimiser step and returns the value of the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model: nn.Module, recipe: Recipe, images: Tensor, labels: Tensor) -> float:
    """Share of images whose class has the most output spikes (the lowest one on a tie)."""
    right = 0
    for index in torch.arange(len(images)).split(EVAL_BATCH):
        counts = recipe.simulate(model, images[index]).sum(dim=0)
        right += int((counts.argmax(dim=1) == labels[index]).sum())
    return right / len(images)
