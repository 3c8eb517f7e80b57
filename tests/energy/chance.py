"""A factory whose weights nobody knows beforehand, in a module that a process can import."""

from __future__ import annotations

import secrets

import torch

from examples.digits.mlp import DigitsMLP


def build() -> DigitsMLP:
    """Another network every time."""
    torch.manual_seed(secrets.randbits(32))
    return DigitsMLP(num_steps=2)
