"""A small convolutional snnTorch classifier for 28x28 digit images."""

from __future__ import annotations

import snntorch as snn
import torch
from torch import nn


class MnistCNN(nn.Module):
    """Two convolution blocks and one dense layer of leaky neurons, run for `num_steps` steps."""

    def __init__(self, num_steps: int = 8, beta: float = 0.9) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.conv1 = nn.Conv2d(1, 12, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.lif1 = snn.Leaky(beta=beta)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(12, 24, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(24)
        self.lif2 = snn.Leaky(beta=beta)
        self.pool2 = nn.AvgPool2d(2)
        self.fc = nn.Linear(24 * 7 * 7, 10)
        self.lif3 = snn.Leaky(beta=beta)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map static images (batch, 1, 28, 28) to output spikes (num_steps, batch, 10)."""
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        mem3 = self.lif3.init_leaky()
        spk_rec = []
        for _ in range(self.num_steps):
            spk1, mem1 = self.lif1(self.bn1(self.conv1(x)), mem1)
            spk2, mem2 = self.lif2(self.bn2(self.conv2(self.pool1(spk1))), mem2)
            spk3, mem3 = self.lif3(self.fc(self.pool2(spk2).flatten(1)), mem3)
            spk_rec.append(spk3)
        return torch.stack(spk_rec)


def build() -> MnistCNN:
    """Return the untrained network with the settings of this example."""
    return MnistCNN()
