"""A two-layer snnTorch classifier for the 8x8 digits."""

from __future__ import annotations

import snntorch as snn
import torch
from torch import nn


class DigitsMLP(nn.Module):
    """Two dense layers of leaky neurons, run for `num_steps` steps on a static image."""

    def __init__(self, num_steps: int = 16, beta: float = 0.9) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.fc1 = nn.Linear(64, 128)
        self.lif1 = snn.Leaky(beta=beta)
        self.fc2 = nn.Linear(128, 10)
        self.lif2 = snn.Leaky(beta=beta)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map static images (batch, 1, 8, 8) to output spikes (num_steps, batch, 10)."""
        x = x.flatten(1)
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk_rec = []
        for _ in range(self.num_steps):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
        return torch.stack(spk_rec)


def build() -> DigitsMLP:
    """Return the untrained network with the settings of this example."""
    return DigitsMLP()
