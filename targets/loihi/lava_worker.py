"""Runs programs in Lava. This is a process of its own: `python -m … FOLDER` or `… --check`.

FOLDER holds `jobs.json`, a list of jobs, and their arrays; for job `n` the worker writes
`n.out.npz`, and the finished share of all jobs into `progress`. After a failure it prints the
traceback and ends at once, since Lava's `run()` and `stop()` would hang; its parent ends the
processes that Lava started.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from snnc.atomic import write_whole
from snnc.errors import ToolError
from snnc.ir.files import npz_bytes, read_npz
from snnc.targets.loihi.program import (
    Canonical,
    Conv,
    Dense,
    Lif,
    Population,
    Program,
    Source,
    Sparse,
    Synapse,
    from_arrays,
)

CHUNKS = 20
"""Pieces that a run is cut into, to tell its progress."""


def apply_shim() -> None:
    """Makes Lava 0.10 and lava-dl 0.6 importable on Python 3.11 and newer.

    Lava fixes the start method of processes, declares dataclass defaults that Python 3.11
    refuses, and lava-dl imports an object detection package that needs cv2 and torchvision.
    """
    fixed = multiprocessing.set_start_method
    multiprocessing.set_start_method = lambda method, force=False: fixed(method, force=True)
    try:
        if "lava.magma.compiler.var_model" not in sys.modules:
            _import_with_hashable_dataclasses()
        import lava.magma.runtime.message_infrastructure.multiprocessing  # noqa: F401
    finally:
        multiprocessing.set_start_method = fixed
    stub = types.ModuleType("lava.lib.dl.slayer.object_detection")
    stub.__path__ = []
    sys.modules.setdefault(stub.__name__, stub)


def _import_with_hashable_dataclasses() -> None:
    original = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        options.setdefault("unsafe_hash", True)
        return original(**options) if cls is None else original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


class Network:
    """A program as Lava processes, for one run."""

    def __init__(self, program: Program, streams: dict[str, Any], steps: int) -> None:
        self.program, self.steps = program, steps
        self.models: dict[Any, Any] = {}
        self.outs: dict[tuple[str, int], Any] = {}
        self.ins: dict[str, Any] = {}
        self.neurons: dict[str, Any] = {}
        self.total = program.max_lag + max(len(data) for data in streams.values())
        for name, population in program.populations.items():
            if isinstance(population, Source):
                self._host(name, population, streams[name])
            else:
                self._neuron(name, population)
        for synapse in program.synapses:
            self._connect(synapse)

    def _host(self, name: str, source: Source, data: Any) -> None:
        from lava.proc.io.source import RingBuffer

        for gate in {0, *self.program.gates[name]}:
            sent = np.zeros((source.size, self.total), np.int32)
            sent[:, : len(data)] = data.reshape(len(data), -1).T
            phase = np.arange(self.total) % self.steps
            sent[:, phase >= self.steps - gate] = 0
            self.outs[name, gate] = RingBuffer(data=sent).s_out

    def _neuron(self, name: str, population: Population) -> None:
        offset = (1 + population.lag) % self.steps
        process: Any
        if isinstance(population, Lif):
            process = self._lif(population, offset)
            self.outs[name, 0] = process.s_out
        else:
            assert isinstance(population, Canonical)
            gates = tuple(sorted({0, *self.program.gates[name]}))
            process = self._program(population, offset, gates)
            for index, gate in enumerate(gates):
                self.outs[name, gate] = getattr(process, f"out_{index}")
        self.neurons[name], self.ins[name] = process, process.a_in

    def _lif(self, lif: Lif, offset: int) -> Any:
        from lava.proc.lif.process import LIFReset

        return LIFReset(
            shape=(lif.size,),
            du=lif.du,
            dv=lif.dv,
            vth=lif.vth,
            bias_mant=np.broadcast_to(lif.bias_mant, lif.shape).reshape(-1).astype(np.int32),
            bias_exp=lif.bias_exp,
            reset_interval=self.steps,
            reset_offset=offset,
        )

    def _program(self, node: Canonical, offset: int, gates: tuple[int, ...]) -> Any:
        from snnc.targets.loihi.lava_neuron import canonical

        parameters = {
            key: np.broadcast_to(getattr(node, key), node.shape).reshape(-1).astype(np.int32)
            for key in Canonical.ARRAYS
        }
        for key in ("shift", "reset", "reset_at", "order", "fires", "state_bits"):
            parameters[key] = getattr(node, key)
        process, model = canonical(len(gates))
        made = process(
            shape=(node.size,),
            parameters=parameters,
            reset_interval=self.steps,
            reset_offset=offset,
            gates=gates,
        )
        self.models[made] = model
        return made

    def _connect(self, synapse: Synapse) -> None:
        out, into = self.outs[synapse.source, synapse.gate], self.ins[synapse.target]
        match synapse:
            case Conv():
                process = _conv(synapse)
                out.reshape(synapse.in_shape).transpose([2, 1, 0]).connect(process.s_in)
                process.a_out.transpose([2, 1, 0]).flatten().connect(into)
                return
            case Dense():
                process = _dense(synapse)
            case _:
                assert isinstance(synapse, Sparse)
                process = _sparse(synapse)
        out.connect(process.s_in)
        process.a_out.connect(into)

    def run(
        self, ports: list[tuple[str, str]], progress: Callable[[float], None]
    ) -> dict[tuple[str, str], Any]:
        """Runs all steps; (step, neuron) by population and port, lags removed."""
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.proc.io.sink import RingBuffer
        from lava.proc.monitor.process import Monitor

        sinks: dict[tuple[str, str], Any] = {}
        for name, port in ports:
            if port == "s":
                size = self.program.populations[name].size
                sinks[name, port] = RingBuffer(shape=(size,), buffer=self.total)
                self.outs[name, 0].connect(sinks[name, port].a_in)
            else:
                sinks[name, port] = Monitor()
                sinks[name, port].probe(getattr(self.neurons[name], port), self.total)
        config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=self.models)
        root = next(iter(self.neurons.values()))
        done = 0
        for end in sorted({self.total * i // CHUNKS for i in range(1, CHUNKS + 1)}):
            if end > done:
                root.run(condition=RunSteps(num_steps=end - done), run_cfg=config)
                done = end
            progress(done / self.total)
        found = {key: self._data(key, sink) for key, sink in sinks.items()}
        root.stop()
        return found

    def _data(self, key: tuple[str, str], sink: Any) -> Any:
        name, port = key
        lag = self.program.populations[name].lag
        if port == "s":
            values = sink.data.get().T
        else:
            values = sink.get_data()[self.neurons[name].name][port]
        return np.asarray(values[lag : lag + self.total - self.program.max_lag], np.int32)


def _dense(synapse: Dense) -> Any:
    from lava.proc.dense.process import DelayDense
    from lava.proc.dense.process import Dense as LavaDense

    weights = synapse.weight.astype(np.int32)
    if synapse.delay == 0:
        return LavaDense(weights=weights, **_common(synapse))
    delays = np.full(weights.shape, synapse.delay)
    return DelayDense(weights=weights, delays=delays, **_common(synapse))


def _sparse(synapse: Sparse) -> Any:
    from lava.proc.sparse.process import DelaySparse
    from lava.proc.sparse.process import Sparse as LavaSparse
    from scipy.sparse import csr_matrix

    def rows(data: Any) -> Any:
        return csr_matrix((data, synapse.indices, synapse.indptr), shape=synapse.matrix_shape)

    weights = rows(synapse.data.astype(np.int32))
    if synapse.delay == 0:
        return LavaSparse(weights=weights, **_common(synapse))
    delays = rows(np.full(synapse.data.shape, synapse.delay, np.int64))
    return DelaySparse(weights=weights, delays=delays, max_delay=synapse.delay, **_common(synapse))


def _common(synapse: Synapse) -> dict[str, Any]:
    from lava.utils.weightutils import SignMode

    return {
        "weight_exp": synapse.exp,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": synapse.message_bits,
    }


def _conv(synapse: Conv) -> Any:
    """Lava's convolution flips its kernel, has (W, H, C) axes and ignores exponents."""
    from lava.proc.conv.process import Conv as LavaConv

    exp, weight = synapse.exp, synapse.weight.astype(np.int32)
    weight = weight << exp if exp >= 0 else weight >> -exp
    channels, height, width = synapse.in_shape
    return LavaConv(
        weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)),
        input_shape=(width, height, channels),
        stride=synapse.stride[::-1],
        padding=synapse.padding[::-1],
        dilation=synapse.dilation[::-1],
        groups=synapse.groups,
        num_message_bits=synapse.message_bits,
    )


def run_jobs(folder: Path) -> None:
    """Runs all jobs of a folder."""
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    for index, job in enumerate(jobs):
        program = from_arrays(read_npz(folder / f"{index}.program.npz"), f"job {index}")
        streams = read_npz(folder / f"{index}.in.npz")

        def progress(share: float, index: int = index) -> None:
            done = (index + share) / len(jobs)
            write_whole(folder / "progress", str(done).encode(), ToolError)

        network = Network(program, streams, job["steps"])
        found = network.run([(name, port) for name, port in job["ports"]], progress)
        arrays = {f"{name}/{port}": data for (name, port), data in found.items()}
        write_whole(folder / f"{index}.out.npz", npz_bytes(arrays), ToolError)


def end_on_failure() -> None:
    """Makes a process model that raises print its traceback and end this process.

    Lava's own way is to wait for the other processes, which wait for the one that failed.
    """
    from lava.magma.runtime.message_infrastructure.multiprocessing import SystemProcess

    worker = os.getpid()

    def run(process: Any) -> None:
        try:
            multiprocessing.Process.run(process)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            sys.stderr.flush()
            os.kill(worker, signal.SIGKILL)

    SystemProcess.run = run


def follow_parent() -> None:
    """Ends this process group when the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGKILL)

    if os.getpgrp() == os.getpid():
        threading.Thread(target=watch, daemon=True).start()


def check() -> None:
    """Prints what of Lava can be imported."""
    apply_shim()
    import lava.proc.lif.models  # noqa: F401

    found = {name: metadata.version(name) for name in ("lava-nc", "lava-dl")}
    print(json.dumps(found))


def guarded(work: Callable[[], None]) -> None:
    """Runs `work` and ends the process at once, with its traceback on stderr where it failed."""
    status = 0
    follow_parent()
    try:
        work()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 3
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(argument: str) -> None:
    """The worker's work."""
    if argument == "--check":
        check()
        return
    apply_shim()
    end_on_failure()
    run_jobs(Path(argument))


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1]))
