"""A small convolutional SpikingJelly classifier for the 8x8 digits."""

from __future__ import annotations

from collections import OrderedDict

from spikingjelly.activation_based import layer, neuron, surrogate
from torch import nn

STEPS = 16


def build() -> nn.Sequential:
    """Return the untrained network.

    One call maps images (batch, 1, 8, 8) to the output spikes (batch, 10) of a single time step;
    the caller makes STEPS calls and resets the neuron states before each batch.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=layer.Conv2d(1, 16, kernel_size=3, padding=1, bias=False),
            bn1=layer.BatchNorm2d(16),
            if1=_if_node(),
            pool1=layer.AvgPool2d(2),
            conv2=layer.Conv2d(16, 32, kernel_size=3, padding=1, bias=False),
            bn2=layer.BatchNorm2d(32),
            if2=_if_node(),
            pool2=layer.AvgPool2d(2),
            flatten=layer.Flatten(),
            fc=layer.Linear(128, 10, bias=False),
            if3=_if_node(),
        )
    )


def _if_node() -> neuron.IFNode:
    return neuron.IFNode(v_reset=0.0, surrogate_function=surrogate.ATan(), detach_reset=True)
