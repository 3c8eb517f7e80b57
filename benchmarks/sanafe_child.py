"""A mapped network in SANA-FE, in SANA-FE's own environment (`pip install sanafe numpy`).

SANA-FE is under the GPL: it runs as a program of its own and nothing of snnc is imported here.
`python benchmarks/sanafe_child.py SPEC.json` reads the network that the spec names (written by
`benchmarks.simulator`, which describes its arrays), runs it on SANA-FE's own Loihi and prints one
line of JSON: steps per second without loading, and what SANA-FE counted over all steps.

The host has a core of its own at its tile, which no other tile has: SANA-FE's inputs must lie on
cores, cost nothing there, but are limited to as many neurons as a core holds.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import sanafe

CONFIGURATION = (
    ("    width: 8\n", "    width: {columns}\n"),
    ("    height: 4\n", "    height: {rows}\n"),
    ("loihi_core[0..3]", "loihi_core[0..{last_slot}]"),
)
"""What of SANA-FE's loihi.yaml is replaced: the extent of the mesh, never a cost."""
TILES = "    - name: loihi_tile[0..31]\n"


def architecture(mesh: dict[str, int]) -> Any:
    """SANA-FE's Loihi with `columns` × `rows` tiles of `cores_per_tile` cores, and behind those of
    tile `host_tile` as many as the inputs need."""
    text = files("sanafe.examples").joinpath("loihi.yaml").read_text()
    values = mesh | {"last_slot": mesh["cores_per_tile"] - 1}
    for old, new in CONFIGURATION:
        if text.count(old) != 1:
            raise ValueError(f"SANA-FE's loihi.yaml has no {old!r} to replace")
        text = text.replace(old, new.format(**values))
    head, tile = text.split(TILES)
    tile, core = tile.split("      core:\n")
    start, end = core.index("            - name: loihi_inputs"), core.index("          dendrite:")
    plain = core[:start] + core[end:]
    host = core.replace(
        f"loihi_core[0..{values['last_slot']}]", f"host[0..{mesh['host_cores'] - 1}]"
    )
    last, at = mesh["columns"] * mesh["rows"] - 1, mesh["host_tile"]
    for first, stop, cores in ((0, at - 1, plain), (at, at, plain + host), (at + 1, last, plain)):
        if first <= stop:
            head += f"    - name: tile[{first}..{stop}]\n{tile}      core:\n{cores}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loihi.yaml"
        path.write_text(head)
        return sanafe.load_arch(path)


def build(arch: Any, data: dict[str, np.ndarray], mesh: dict[str, int]) -> Any:
    """The network, neuron by neuron in the order in which cores visit them."""
    net = sanafe.Network()
    trains = data["trains"]
    host = net.create_neuron_group("host", trains.shape[1])
    chip = net.create_neuron_group("chip", len(data["core"]))
    limit = 1024
    for number in range(trains.shape[1]):
        slot, unit = divmod(number, limit)
        host[number].set_attributes(
            soma_hw_name=f"loihi_inputs[{unit}]",
            model_attributes={"spikes": trains[:, number].tolist()},
        )
        tile = arch.tiles[mesh["host_tile"]]
        host[number].map_to_core(tile.cores[mesh["cores_per_tile"] + slot])
    # Its tiles are numbered column by column.
    cores = [arch.tiles[x * mesh["rows"] + y].cores[slot] for x, y, slot in data["places"].tolist()]
    columns = (data[name].tolist() for name in ("core", "unit", "threshold", "keep"))
    for number, (core, unit, threshold, keep) in enumerate(zip(*columns, strict=True)):
        chip[number].set_attributes(
            soma_hw_name="loihi_lif",
            default_synapse_hw_name=f"loihi_{unit}_synapse",
            model_attributes={"threshold": threshold, "leak_decay": keep, "reset_mode": "hard"},
        )
        chip[number].map_to_core(cores[core])
    for group, name in ((host, "host"), (chip, "chip")):
        pairs = np.stack([data[f"{name}_source"], data[f"{name}_target"]], 1)
        if len(pairs):
            weights = data[f"{name}_weight"].astype(float).tolist()
            group.connect_neurons_sparse(
                chip, {"weight": weights}, list(map(tuple, pairs.tolist()))
            )
    return net


def run(
    arch: Any, net: Any, mode: str, steps: tuple[int, ...], spec: dict[str, Any]
) -> dict[str, Any]:
    """Warm-up steps, then the timed ones; counts are of both."""
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    threads = {key: spec[key] for key in ("processing_threads", "scheduler_threads")}
    if mode == "cycle":
        threads["scheduler_threads"] = 0  # Booksim's state is global
    seconds, parts = 0.0, []
    for count in filter(None, steps):
        start = time.perf_counter()
        parts.append(chip.sim(count, timing_model=mode, perf_trace=True, **threads))
        seconds = time.perf_counter() - start
    total = {
        key: sum(part[key] for part in parts)
        for key in ("sim_time", "spikes", "packets_sent", "neurons_updated", "neurons_fired")
    }
    return {
        "mode": mode,
        "steps": sum(steps),
        "steps_per_second": steps[1] / seconds,
        "seconds": total["sim_time"],
        "messages": total["neurons_fired"],
        "packets": total["packets_sent"],
        "operations": total["spikes"],
        "hops": sum(sum(part["perf_trace"]["hops"]) for part in parts),
        "updated": total["neurons_updated"],
        "energy": {
            key: sum(part["energy"][key] for part in parts) for key in parts[0]["energy"]
        },
    }  # fmt: skip


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """All modes of `spec`: {mode: [warm-up steps, timed steps]}."""
    with np.load(spec["data"], allow_pickle=False) as arrays:
        data = dict(arrays)
    arch = architecture(spec["mesh"])
    start = time.perf_counter()
    net = build(arch, data, spec["mesh"])
    built = time.perf_counter() - start
    modes = [run(arch, net, mode, tuple(steps), spec) for mode, steps in spec["modes"].items()]
    return {
        "version": metadata.version("sanafe"),
        "build_s": built,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "modes": modes,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
