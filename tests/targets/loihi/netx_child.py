"""Loads `.net` files with lava-dl's netx and runs them in Lava; run by tests in a child process.

`netx_child.py run FOLDER`: for each name in `names.json`, loads `NAME.net`, sends the spikes of
`NAME.in.npy` (step, …) and writes `NAME.out.npy` (step, neuron); resets every `steps`.
`netx_child.py slayer FOLDER`: builds networks in slayer, writes `NAME.net` with its own
`export_hdf5`, and the spikes in and out of its own forward pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from snnc.targets.loihi import lava_worker


def run(folder: Path) -> None:
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    for name, options in json.loads((folder / "names.json").read_text()).items():
        data = np.load(folder / f"{name}.in.npy")
        net = hdf5.Network(net_config=str(folder / f"{name}.net"), **options)
        layers = len(net)
        flowing = np.concatenate([data, np.zeros((layers, *data.shape[1:]), int)])
        shape = net.inp.shape
        axes = flowing.transpose(0, 3, 2, 1) if len(shape) == 3 else flowing.reshape(-1, *shape)
        source = Source(data=np.moveaxis(axes, 0, -1).astype(np.int32))
        sink = Sink(shape=net.out.shape, buffer=len(flowing))
        source.s_out.connect(net.inp)
        net.out.connect(sink.a_in)
        config = Loihi2SimCfg(select_tag="fixed_pt")
        net.run(condition=RunSteps(num_steps=len(flowing)), run_cfg=config)
        out = np.moveaxis(sink.data.get(), -1, 0)
        out = out.transpose(0, 3, 2, 1) if out.ndim == 4 else out
        net.stop()
        np.save(folder / f"{name}.out.npy", out[layers:])


def slayer(folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    for name, (net, shape) in networks().items():
        x = (torch.rand(1, *shape, 20) < 0.4).float()
        with torch.no_grad():
            for block in net:
                if hasattr(block, "synapse"):
                    block.synapse.weight.mul_(3.0)
            y = x
            for block in net:
                y = block(y)
        export(net, folder / f"{name}.net")
        np.save(folder / f"{name}.in.npy", np.moveaxis(x[0].numpy(), -1, 0).astype(int))
        np.save(folder / f"{name}.slayer.npy", np.moveaxis(y[0].numpy(), -1, 0).astype(int))
    (folder / "names.json").write_text(
        json.dumps({"dense": {}, "conv": {"input_shape": [6, 8, 2]}})
    )


def networks() -> dict[str, tuple[Any, tuple[int, ...]]]:
    import torch
    from lava.lib.dl import slayer as s

    cuba = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
    return {
        "dense": (
            torch.nn.ModuleList([s.block.cuba.Dense(cuba, 7, 12), s.block.cuba.Dense(cuba, 12, 4)]),
            (7,),
        ),
        "conv": (
            torch.nn.ModuleList(
                [
                    s.block.cuba.Input(None, delay_shift=False),
                    s.block.cuba.Conv(cuba, 2, 4, (3, 2), stride=(2, 1), padding=(1, 0)),
                    s.block.cuba.Flatten(),
                    s.block.cuba.Dense(cuba, 4 * 4 * 5, 5),
                ]
            ),
            (2, 8, 6),
        ),
    }


def export(net: Any, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        layers = file.create_group("layer")
        for index, block in enumerate(net):
            block.export_hdf5(layers.create_group(str(index)))


def work() -> None:
    lava_worker.apply_shim()
    lava_worker.end_on_failure()
    lava_worker.tell_every_arrival()
    {"run": run, "slayer": slayer}[sys.argv[1]](Path(sys.argv[2]))


if __name__ == "__main__":
    lava_worker.guarded(work)
