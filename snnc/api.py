"""snnc from Python: the same things as the command line, on live modules and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnc import artefact as artefacts
from snnc.artefact import Artefact
from snnc.compiler import Options, compile_model
from snnc.errors import OptionError
from snnc.frontends.load import SourceOptions, load_source
from snnc.frontends.model import Example, Model
from snnc.frontends.nir import NirOptions
from snnc.ir import Graph
from snnc.reference import Ports, Trace
from snnc.verify import (
    Report,
    check_inputs,
    decoder_for,
    run_stage,
    stage_names,
    verify,
)

if TYPE_CHECKING:
    from torch import nn

    from snnc.report.simulation_facts import SimulationFacts


@dataclass(frozen=True)
class Live:
    """A torch module at hand, with how it is stepped: it answers S0 for new samples.

    Attributes:
        dtypes: of its inputs, as in the example that it was traced with.
        traced_steps: T of that example.
    """

    module: nn.Module
    steps: int | None
    time_axis: int | None
    dtypes: tuple[Any, ...]
    traced_steps: int | None


@dataclass(frozen=True)
class Compiled:
    """A compiled network: run it, verify it, save it.

    Attributes:
        artefact: the graphs, the numbers and the target's files.
        live: the module that it came from, where that is at hand.
    """

    artefact: Artefact
    live: Live | None = None

    def run(
        self,
        data: Any,
        stage: str = "sim",
        record: Ports | None = None,
        decode: str | None = None,
    ) -> Trace:
        """Runs a stage on samples: arrays by input name, or one array (sample, …).

        Args:
            decode: `uwd`, `mpd` or `ttfs`; the outputs are then the images (sample, …) that their
                spikes stand for, see `snnc.quality.Decoder`.

        Raises:
            InputError, OptionError, ToolError: see `snnc.verify.run_stage`.
        """
        samples = check_inputs(self.artefact, _arrays(data))
        decoder = decoder_for(self.artefact, decode, samples, self.artefact.network.outputs)
        trace = run_stage(self.artefact, stage, samples, record)
        return trace if decoder is None else decoder.decoded(trace)

    def verify(
        self,
        data: Any = None,
        stages: Sequence[str] | str | None = None,
        labels: Any = None,
        *,
        clean: Any = None,
        decode: str | None = None,
    ) -> Report:
        """Compares the stages; the framework's own spikes (S0) come from the live module.

        `data` is as for `run`; without it, the example that the model was traced with. `labels`
        add accuracies; `clean` images, with `decode`, the PSNR of the first output. See
        `snnc.verify.verify`.
        """
        arrays = None if data is None else _arrays(data)
        framework = None
        wanted = stages is None or "s0" in stage_names(stages)
        if arrays is not None and self.live is not None and wanted:
            framework = self._framework(arrays)
        classes, images = (None if x is None else _numpy(x) for x in (labels, clean))
        return verify(
            self.artefact, arrays, stages, classes, framework, clean=images, decode=decode
        )

    def simulate(self, data: Any = None, labels: Any = None) -> SimulationFacts:
        """Runs samples on the cores of the chip, cycle by cycle, and says what that takes.

        `data` is as for `run`; without it, the example that the model was traced with. `labels`
        add the accuracy. `.seconds`, `.energy`, `.table()` and more of the result are means over
        the samples, `.simulation` holds all counts.

        Raises:
            RefusedError, ArtefactError, InputError: see `snnc.simulation.simulate`.
        """
        from snnc.report.simulation_facts import SimulationFacts
        from snnc.simulation import simulate

        arrays, classes = (None if x is None else _arrays(x) for x in (data, labels))
        return SimulationFacts(*simulate(self.artefact, arrays, classes))

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Writes the artefact's folder, see `Artefact.save`."""
        return self.artefact.save(path, force)

    def _framework(self, data: Any) -> Example | None:
        from snnc.frontends.trace import run_module

        assert self.live is not None
        encoding, axis = self.artefact.encoding, self.live.time_axis
        same_steps = self.artefact.int_graph.steps == self.live.traced_steps
        if not same_steps or (encoding.makes_spikes and axis is None):
            return None
        import torch

        samples = check_inputs(self.artefact, data)
        graph = self.artefact.float_graph
        seen = encoding.float_inputs(graph, samples) if graph is not None else samples
        tensors = tuple(
            torch.as_tensor(value).to(dtype)
            for value, dtype in zip(seen.values(), self.live.dtypes, strict=True)
        )
        moved = tuple(_time_to(axis, value) for value in tensors)
        run = run_module(
            self.live.module,
            moved if len(moved) > 1 else moved[0],
            steps=self.live.steps,
            time_axis=axis,
        )
        return replace(run, inputs=samples) if encoding.makes_spikes else run


def _time_to(axis: int | None, value: Any) -> Any:
    return value if axis is None else value.movedim(1, axis)


def compile(  # noqa: A001  (the name users look for: snnc.compile)
    model: Any,
    target: str = "loihi",
    *,
    example_input: Any = None,
    steps: int | None = None,
    time_axis: int | None = None,
    calibration: Any = None,
    **options: Any,
) -> Compiled:
    """Compiles a torch module, a graph, or any model file that the command line takes.

    Args:
        model: an `nn.Module` (with `example_input`), a path, `package.module:factory`, a Model or
            a Graph.
        example_input: a batch that the module is traced with, see `snnc.export`.
        steps: T, for modules whose forward is one step, and for encodings that make spikes of
            samples without steps.
        time_axis: axis of the steps in `example_input`, if it is a sequence.
        calibration: samples that choose the scales; the example without it.
        options: the other fields of `snnc.compiler.Options` (chip, encoding, input_bits, …).

    Raises:
        TraceError, ModelFileError, GraphError, RefusedError, OptionError: what is wrong and how
            to put it right.
    """
    loaded, live = _loaded(model, example_input, steps, time_axis)
    try:
        chosen = Options(target=target, steps=steps, **options)
    except TypeError as error:
        raise OptionError("snnc.compile", str(error), "see snnc.compiler.Options") from error
    data = None if calibration is None else _arrays(calibration)
    return Compiled(compile_model(loaded, chosen, data), live)


def load(path: str | Path) -> Compiled:
    """Reads an artefact folder.

    Raises:
        ArtefactError: missing, incomplete or altered.
    """
    return Compiled(artefacts.load(path))


def _loaded(
    model: Any, example_input: Any, steps: int | None, time_axis: int | None
) -> tuple[Model, Live | None]:
    if isinstance(model, Model):
        return model, None
    if isinstance(model, Graph):
        return Model(model), None
    if isinstance(model, str | Path):
        options = SourceOptions(NirOptions(), None, example_input, steps, time_axis)
        return load_source(str(model), options), None
    if not hasattr(model, "forward"):
        raise OptionError(
            "snnc.compile",
            f"a {type(model).__name__} is no model",
            "give an nn.Module, a model file, a Graph or a Model",
        )
    if example_input is None:
        raise OptionError("example_input", "a module is traced with an example", "give a batch")
    from snnc.frontends.trace import trace

    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    traced = trace(model, example_input, steps=steps, time_axis=time_axis)
    live = Live(model, steps, time_axis, tuple(x.dtype for x in inputs), traced.graph.steps)
    return traced, live


def _arrays(data: Any) -> Any:
    """Tensors as arrays; mappings keep their names."""
    if isinstance(data, Mapping):
        return {name: _numpy(value) for name, value in data.items()}
    return _numpy(data)


def _numpy(value: Any) -> Any:
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach().cpu()
    # numpy has no bfloat16; float32 holds all of its values.
    return (
        tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor
    ).numpy()
