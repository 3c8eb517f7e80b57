"""Train the MNIST network and export it.

Run as `python -m examples.mnist.train --data FOLDER --out FILE`, where FOLDER holds the four
gzipped IDX files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from examples.mnist.data import load
from examples.mnist.model import build

BATCH_SIZE = 128
EVAL_BATCH_SIZE = 500
EXPORT_IMAGES = 64
MAX_LR = 1e-2


def main() -> None:
    """Train (or load) the network, print its test accuracy, and write what was asked for."""
    args = parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    x_train, y_train, x_test, y_test = load_tensors(args.data, args.limit)
    model = build()
    if args.from_state:
        model.load_state_dict(torch.load(args.from_state, weights_only=True))
    else:
        train(model, x_train, y_train, epochs=args.epochs, seed=args.seed)
    model.eval()
    print(f"test accuracy {accuracy(model, x_test, y_test):.2%} of {len(x_test)} images")
    if args.state:
        torch.save(model.state_dict(), args.state)
    if args.out:
        export(model, x_test[:EXPORT_IMAGES], args.out)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the four IDX files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only the first N images of each split")
    parser.add_argument("--out", type=Path, help="write the exported model here")
    parser.add_argument("--state", type=Path, help="write the state dict here")
    parser.add_argument("--from-state", type=Path, help="load this state dict, do not train")
    return parser.parse_args()


def load_tensors(folder: Path, limit: int | None) -> tuple[torch.Tensor, ...]:
    """Return x_train, y_train, x_test, y_test; images (N, 1, 28, 28), labels (N,)."""
    return tuple(_as_tensor(array, limit) for array in load(folder))


def _as_tensor(array: np.ndarray, limit: int | None) -> torch.Tensor:
    return torch.from_numpy(array[:limit])


def train(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, seed: int
) -> None:
    """Fit the model to images (N, 1, 28, 28) and labels (N,), one progress line per epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=MAX_LR)
    num_batches = -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=MAX_LR, total_steps=epochs * num_batches, pct_start=0.2
    )
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.train()
        if epoch > max(1, epochs // 2):
            freeze_batch_norm(model)
        total_loss = 0.0
        for index in torch.randperm(len(images), generator=generator).split(BATCH_SIZE):
            total_loss += train_batch(model, optimizer, images[index], labels[index]) * len(index)
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


def train_batch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """Take one optimiser step and return the loss."""
    loss = cross_entropy(model(images).sum(dim=0), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images whose class has the most output spikes (first one on a tie)."""
    correct = 0
    for index in torch.arange(len(images)).split(EVAL_BATCH_SIZE):
        counts = model(images[index]).sum(dim=0)
        correct += (counts.argmax(dim=1) == labels[index]).sum().item()
    return correct / len(images)


def export(model: nn.Module, example_input: torch.Tensor, out: Path) -> None:
    """Write the trained model for the compiler; example_input is (64, 1, 28, 28)."""
    import snnc

    snnc.export(model, example_input, out)


if __name__ == "__main__":
    main()
