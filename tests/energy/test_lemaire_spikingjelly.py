"""`lemaire2022` counts what SpikingJelly's profiler of the same paper counts."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.energy.prices import load_prices
from tests.energy.made import counts, figure, layer, population, tally


def test_the_counts_are_those_of_spikingjelly_on_a_convolution_and_a_linear_layer() -> None:
    """Where the rules differ is the price of an access (it has FIFOs of 1000 messages and 4 bytes
    per access), not the number of operations and accesses."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    jelly = pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.op_counter.analytical_energy import (
        estimate_lemaire_energy,
    )

    assert jelly is not None
    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Linear(27, 4)
            self.lif = neuron.LIFNode(v_threshold=0.1, v_reset=None)
            self.out = neuron.IFNode(v_threshold=0.02, v_reset=None)
            self.spikes: list[tuple[int, int]] = []

        def forward(self, sequence: torch.Tensor) -> torch.Tensor:
            for x in sequence:
                hidden = self.lif(self.conv(x))
                out = self.out(self.fc(hidden.flatten(1)))
                self.spikes.append((int(hidden.sum()), int(out.sum())))
            return out

    net, planes = Net().eval(), (torch.rand(3, 1, 2, 5, 5) < 0.3).float()
    theirs = estimate_lemaire_energy(net, (planes,)).counts
    functional.reset_net(net)
    net.spikes.clear()
    net(planes)
    entered = [[int(plane.sum()) for plane in planes]]
    hidden, out = (np.array([column]) for column in zip(*net.spikes, strict=True))
    assert hidden.sum() > 0
    assert out.sum() > 0

    conv = layer(
        "conv", entered, 9 * 54, operation="conv", in_shape=(2, 5, 5), out_shape=(3, 3, 3),
        kernel=(3, 3), stride=(2, 2), weights=54, bias=True,
    )  # fmt: skip
    fc = layer("fc", hidden, 108, in_shape=(27,), out_shape=(4,), bias=True)
    counted = counts(
        (conv, fc), (), (population("lif", 27, hidden, leaks=True), population("if", 4, out))
    )
    done = tally(figure("lemaire2022", counted, load_prices("45nm-int32")))

    def total(*kinds: tuple[str, str]) -> float:
        return sum(count[0] for (_, what, op), count in done.items() if (what, op) in kinds)

    word = 4
    assert theirs == {
        "synop": total(("products", "ac")),
        "ac": total(("products", "ac"), ("bias", "ac"), ("reset", "ac")),
        "mac": total(("leak", "mac")),
        "read_in_bytes": word * total(("input reads", "read")),
        "write_out_bytes": word * total(("output writes", "write")),
        "read_params_bytes": word * total(("weight reads", "read"), ("bias reads", "read")),
        "read_potential_bytes": word * total(("potential reads", "read")),
        "write_potential_bytes": word * total(("potential writes", "write")),
        "acc_addr": total(("addressing", "ac")),
        "mac_addr": total(("addressing", "mac")),
    }
