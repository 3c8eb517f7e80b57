"""Train U-VTSNN to remove noise.

Run as `python -m examples.vtsnn.train --data FOLDER --out FILE`. `--checkpoint FILE` is written
after every epoch, and gone on from where it exists: on a CPU the rest of the training is the same
as without the interruption, bit by bit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

import snnc
from examples.vtsnn.coding import TOP, Decoding, Encoding, decode, encode, plane_weights
from examples.vtsnn.data import (
    DATASETS,
    HELD_OUT,
    HELD_OUT_SEED,
    Dataset,
    Images,
    load,
    noisy,
    noisy_test,
)
from examples.vtsnn.model import KINDS, Kind, build, build_fused
from snnc.quality import psnr

Loss = Literal["itbp", "stbp"]
EVAL_BATCH = 100
EXAMPLES = 4
"""Noisy held-out images that the exported model carries."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how.

    Attributes:
        dataset, eta: images, and the noise on them.
        kind: neurons; "relu" is the ANN, which has neither encoding nor decoding.
        loss: "itbp" compares the spikes with those of the clean image, each plane weighted by 2^t
            (equation 11), "stbp" the decoded image with the clean one (equation 9).
        encoding, decoding: of the image; ITBP uses no decoder in training.
        through_time: whether gradients pass from step to step.
        jitter: noise on the inputs of the output neurons in training, in thresholds. A neuron with
            soft reset carries over what lies above θ, so where the bits have to be independent, it
            learns to reach θ exactly; noise teaches it a margin that survives 8-bit weights.
        epochs, images: length of the training; `images` of an epoch, 0 for all.
        patience: epochs without a better validation after which training stops, 0 for never.
        batch, rate, decay: Adam's, the learning rate at its peak, weight decay.
        seed: of weights, order and noise.
        fast: compiled neurons, and convolutions whose weights are rounded to bfloat16 (but for
            the transposed ones). The exported weights are the rounded ones: products with spikes
            are then exact, so that what was trained is what is exported.
    """

    dataset: Dataset = "mnist"
    eta: float = 0.2
    kind: Kind = "if"
    loss: Loss = "itbp"
    encoding: Encoding = "uwe"
    decoding: Decoding = "uwd"
    through_time: bool = True
    jitter: float = 0.0
    epochs: int = 10
    images: int = 0
    patience: int = 0
    batch: int = 50
    rate: float = 2e-3
    decay: float = 0.0
    seed: int = 0
    fast: bool = False


def loss_of(recipe: Recipe, output: Tensor, clean: Tensor) -> Tensor:
    """The loss of output planes (8, batch, …) for clean codes (batch, …)."""
    if recipe.kind == "relu":
        return torch.mean((output[0] - clean / TOP) ** 2)
    if recipe.loss == "stbp":
        return torch.mean((decode(output, recipe.decoding) - clean / TOP) ** 2)
    errors = (output - encode(clean, recipe.encoding)) ** 2
    return plane_weights().to(errors) @ errors.flatten(1).mean(dim=1) / TOP


def entered(recipe: Recipe, codes: Tensor) -> Tensor:
    """What the network sees of noisy codes (batch, …): planes, or the pixels of the ANN."""
    return (codes / TOP)[None] if recipe.kind == "relu" else encode(codes, recipe.encoding)


def left(recipe: Recipe, output: Tensor, decoding: Decoding) -> Tensor:
    """Images 0…1 (batch, …) of what the network gives."""
    return output[0].clamp(0, 1) if recipe.kind == "relu" else decode(output, decoding)


def restore(model: nn.Module, recipe: Recipe, images: Images) -> np.ndarray:
    """What a network makes of noisy images, (N, 1, y, x) on the scale 0…255."""
    return restore_by(model, recipe, images, [recipe.decoding])[recipe.decoding]


@torch.no_grad()
def restore_by(
    model: nn.Module, recipe: Recipe, images: Images, decoders: list[Decoding]
) -> dict[str, np.ndarray]:
    """As `restore`, by decoder; the network runs once."""
    model.eval()
    device = next(model.parameters()).device
    parts: dict[str, list[Tensor]] = {decoder: [] for decoder in decoders}
    for codes in torch.from_numpy(images).to(device, torch.int32).split(EVAL_BATCH):
        functional.reset_net(model)
        output = model(entered(recipe, codes))
        for decoder in decoders:
            parts[decoder].append(left(recipe, output, decoder) * TOP)
    functional.reset_net(model)
    return {decoder: torch.cat(found).cpu().numpy() for decoder, found in parts.items()}


@contextmanager
def rounded_convolutions(wanted: bool) -> Iterator[None]:
    """Convolutions of float32 whose weights and inputs are rounded to bfloat16, for a while."""
    convolutions: Any = torch.backends.mkldnn.conv
    before = convolutions.fp32_precision
    if wanted:
        convolutions.fp32_precision = "bf16"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def round_weights(model: nn.Module) -> None:
    """Rounds the weights of a model as `rounded_convolutions` does in every product."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.bfloat16().float()


def check_fast(device: str) -> None:
    """Checks that convolutions with rounded weights are what this machine makes of them.

    Raises:
        ValueError: it computes in float32 all the same, or on a GPU.
    """
    if device != "cpu":
        raise ValueError(f"--fast is for CPUs: leave it away on {device}")
    conv = nn.Conv2d(16, 16, 3)
    spikes = (torch.rand(8, 16, 28, 28) < 0.5).float()
    with torch.no_grad(), rounded_convolutions(True):
        fast = conv(spikes)
        round_weights(conv)
        exact = torch.nn.functional.conv2d(spikes.double(), conv.weight.double()).float()
    exact += conv.bias.detach()[:, None, None]  # type: ignore[union-attr]
    if (fast - exact).abs().max() > 1e-5:
        raise ValueError("--fast: this CPU has no convolutions in bfloat16; leave it away")


class Training:
    """A training that can be interrupted between epochs.

    Args:
        recipe: what is trained, and how.
        images: clean training images (N, 1, y, x); the last ones are held out for validation.
        device: where it runs, as torch calls it.

    Raises:
        ValueError: the device can't do what `fast` asks for.
    """

    def __init__(self, recipe: Recipe, images: Images, device: str = "cpu") -> None:
        if recipe.fast:
            check_fast(device)
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        size = min(HELD_OUT, len(images) // 10)
        self.images, held = images[:-size], images[-size:]
        self.held, self.held_noisy = held, noisy_test(held, recipe.eta, HELD_OUT_SEED)
        self.model = build_fused(
            recipe.kind,
            compiled=recipe.fast,
            through_time=recipe.through_time,
            jitter=recipe.jitter,
        )
        self.model = self.model.to(device)
        if recipe.fast:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=recipe.rate, weight_decay=recipe.decay
        )
        size = recipe.images or len(self.images)
        self.batches = min(size, len(self.images)) // recipe.batch
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.rate, total_steps=self.batches * recipe.epochs, pct_start=0.1
        )
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def run(self, checkpoint: Path | None = None) -> None:
        """Trains to the end, or until validation has not improved for `patience` epochs."""
        if checkpoint and checkpoint.exists():
            self.resume(checkpoint)
        while len(self.curve) < self.recipe.epochs and not self.stuck():
            self.epoch()
            if checkpoint:
                self.save(checkpoint)

    def stuck(self) -> bool:
        """Whether training should stop early."""
        values = [point["psnr"] for point in self.curve]
        patience = self.recipe.patience
        return bool(patience and len(values) - 1 - int(np.argmax(values or [0])) >= patience)

    def epoch(self) -> None:
        """One epoch and its validation, with one line of progress."""
        start, cpu, total = time.perf_counter(), time.process_time(), 0.0
        self.model.train()
        for clean in self.watched(self.shuffled()):
            total += self.descend(clean)
        spent = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
        }
        model = self.plain()
        value = float(psnr(restore(model, self.recipe, self.held_noisy), self.held).mean())
        if not self.curve or value > max(point["psnr"] for point in self.curve):
            self.best = {name: kept.clone() for name, kept in model.state_dict().items()}
        self.curve.append({"loss": total / self.batches, "psnr": value, **spent})
        print(
            f"epoch {len(self.curve)}/{self.recipe.epochs} loss {total / self.batches:.5f}"
            f" validation {value:.2f} dB {spent['seconds']:.0f} s",
            flush=True,
        )

    def shuffled(self) -> Iterator[Images]:
        """Batches of clean images of one epoch."""
        order = torch.randperm(len(self.images), generator=self.generator).numpy()
        for index in range(self.batches):
            yield self.images[order[index * self.recipe.batch :][: self.recipe.batch]]

    def watched(self, batches: Iterator[Images]) -> Iterator[Images]:
        """The batches of an epoch behind a progress bar, where there is a terminal."""
        console = Console(stderr=True)
        what = f"epoch {len(self.curve) + 1}/{self.recipe.epochs}"
        hidden = not console.is_terminal
        yield from track(
            batches, what, self.batches, console=console, transient=True, disable=hidden
        )

    def descend(self, images: Images) -> float:
        """One step of the optimiser on a batch of clean images; the loss."""
        noise = noisy(images, self.recipe.eta, self.generator)
        spoiled, clean = (
            torch.from_numpy(codes).to(self.device, torch.int32) for codes in (noise, images)
        )
        self.optimizer.zero_grad()
        with rounded_convolutions(self.recipe.fast):
            output = self.model(entered(self.recipe, spoiled))
            loss = loss_of(self.recipe, output, clean)
            loss.backward()
        self.optimizer.step()
        self.schedule.step()
        value = loss.item()
        if not math.isfinite(value):
            raise ArithmeticError(f"the loss is {value}: take a lower --rate")
        return value

    def plain(self, state: dict[str, Tensor] | None = None) -> nn.Module:
        """The network of SpikingJelly's own neurons, with the weights so far (or others)."""
        model = build(self.recipe.kind)
        model.load_state_dict(state or self.model.state_dict())
        if self.recipe.fast:
            round_weights(model)
        return model.to(self.device).eval()

    def save(self, path: Path) -> None:
        """Writes all that `resume` needs, tensors and plain data only."""
        content = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "jitter": torch.get_rng_state(),
            "curve": self.curve,
            "best": self.best,
        }
        whole = path.with_name(path.name + ".new")
        torch.save(content, whole)
        os.replace(whole, path)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint of the same recipe.

        Raises:
            ValueError: it was written by another recipe.
        """
        content: dict[str, Any] = torch.load(path, self.device, weights_only=True)
        if content["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path}: belongs to {content['recipe']}; take another --checkpoint")
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.generator.set_state(content["generator"].cpu())
        torch.set_rng_state(content["jitter"].cpu())
        self.curve, self.best = content["curve"], content["best"]


def arguments() -> argparse.Namespace:
    """The command line."""
    chosen = Recipe()
    options = argparse.ArgumentParser(description="Train U-VTSNN to remove noise.")
    options.add_argument("--data", type=Path, required=True, help="folder of the data set")
    options.add_argument("--dataset", choices=DATASETS, default=chosen.dataset)
    options.add_argument("--eta", type=float, default=chosen.eta, help="noise, scale 0 to 1")
    options.add_argument("--kind", choices=KINDS, default=chosen.kind, help="neurons")
    options.add_argument("--loss", choices=("itbp", "stbp"), default=chosen.loss)
    options.add_argument("--encoding", choices=("uwe", "ttfs"), default=chosen.encoding)
    options.add_argument("--decoding", choices=("uwd", "mpd"), default=chosen.decoding)
    options.add_argument(
        "--detached", dest="through_time", action="store_false", help="no gradient through time"
    )
    options.add_argument(
        "--jitter", type=float, default=0.0, help="noise on the output neurons, in thresholds"
    )
    options.add_argument("--epochs", type=int, default=chosen.epochs)
    options.add_argument("--images", type=int, default=0, help="images per epoch, 0 for all")
    options.add_argument("--patience", type=int, default=0, help="stop early, 0 for never")
    options.add_argument("--batch", type=int, default=chosen.batch)
    options.add_argument("--rate", type=float, default=chosen.rate, help="peak learning rate")
    options.add_argument("--decay", type=float, default=chosen.decay, help="weight decay")
    options.add_argument("--seed", type=int, default=chosen.seed)
    options.add_argument(
        "--fast", action="store_true", help="bfloat16 weights, torch.compile (needs a compiler)"
    )
    options.add_argument("--threads", type=int, help="of torch")
    options.add_argument("--device", help="cpu, cuda …; a GPU if there is one")
    options.add_argument("--test-images", type=int, help="test with the first N images only")
    options.add_argument("--checkpoint", type=Path, help="go on from here, and write it")
    options.add_argument("--results", type=Path, help="append the result to this .jsonl file")
    options.add_argument("--out", type=Path, help="write the exported model here")
    return options.parse_args()


def main() -> None:
    """Trains, tests and exports."""
    args = vars(arguments())
    data, threads, limit, checkpoint, results, out, device = (
        args.pop(n)
        for n in ("data", "threads", "test_images", "checkpoint", "results", "out", "device")
    )
    recipe = Recipe(**args)
    if out and recipe.kind == "relu":
        raise SystemExit("--out: the ANN has no spikes, snnc has nothing to compile; leave it away")
    if threads:
        torch.set_num_threads(threads)
    train_images, test_images = load(recipe.dataset, data)
    test_images = test_images[:limit]
    training = Training(
        recipe, train_images, device or ("cuda" if torch.cuda.is_available() else "cpu")
    )
    training.run(checkpoint)
    model = training.plain(training.best)
    spoiled = noisy_test(test_images, recipe.eta)
    quality = tested(model, recipe, spoiled, test_images)
    print(f"test of {len(spoiled)} images, dB: {quality}")
    if results:
        line: dict[str, Any] = {"recipe": asdict(recipe), "curve": training.curve}
        line |= {"test": quality, "test_images": len(spoiled), "threads": torch.get_num_threads()}
        line["firing"] = firing(model, recipe, spoiled[:EVAL_BATCH])
        with results.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    if out:
        example = entered(recipe, torch.from_numpy(training.held_noisy[:EXAMPLES]).int())
        snnc.export(model.cpu(), example, out, time_axis=0, input_kind="spike")


def tested(model: nn.Module, recipe: Recipe, spoiled: Images, clean: Images) -> dict[str, float]:
    """Mean PSNR of test images: of the noisy ones, and restored, by decoder.

    ITBP trains without a decoder, so its networks are decoded in both ways.
    """
    decoders: list[Decoding] = [recipe.decoding]
    if recipe.loss == "itbp" and recipe.kind != "relu":
        decoders = ["uwd", "mpd"]
    images = {"noisy": spoiled, **restore_by(model, recipe, spoiled, decoders)}
    values = {name: psnr(found, clean) for name, found in images.items()}
    return {name: round(float(value.mean()), 4) for name, value in values.items()}


@torch.no_grad()
def firing(model: nn.Module, recipe: Recipe, images: Images) -> float:
    """Spikes per neuron and step of the whole network."""
    counts = []
    hooks = [
        part.register_forward_hook(
            lambda _, __, out: counts.append((out.sum().item(), out.numel()))
        )
        for part in model.modules()
        if isinstance(part, neuron.BaseNode)
    ]
    restore(model, recipe, images)
    for hook in hooks:
        hook.remove()
    return sum(spikes for spikes, _ in counts) / max(1, sum(size for _, size in counts))


if __name__ == "__main__":
    main()
