"""What the host computes before and behind the cores, in float64 with numpy.

The regions are float graphs (see `snnc.passes.regions`), run by the float reference: nothing of the
user's own code is needed or imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from snnc.ir import Graph, Rate
from snnc.passes.regions import LEAVING
from snnc.reference import Trace, run_float

A = NDArray[Any]
Values = Mapping[str, A]


@dataclass(frozen=True)
class Host:
    """The host's share of a compiled network.

    Attributes:
        stem, head: float graphs before and behind the cores, None where there is nothing to do.
    """

    stem: Graph | None = None
    head: Graph | None = None

    def front(self, samples: Values) -> dict[str, A]:
        """What enters the cores (and passes by them), by node, for inputs of the float graph."""
        if self.stem is None:
            return dict(samples)
        stem = self.stem
        if all(signal.rate is Rate.SAMPLE for signal in stem.signals.values()):
            stem = stem.with_(steps=1)  # the same at every step, so one step says it all
        outputs = run_float(stem, {name: samples[name] for name in stem.inputs}, {}).outputs
        made = {name.removesuffix(LEAVING): value for name, value in outputs.items()}
        return {
            **samples,
            **{
                name: value[:, 0] if stem.signals[name].rate is Rate.SAMPLE else value
                for name, value in made.items()
            },
        }

    def finish(self, trace: Trace, front: Values, units: Mapping[str, float]) -> Trace:
        """The trace of the cores with the network's own outputs.

        Args:
            front: what `front` returned.
            units: by output of the cores, the real value of one integer (1 for real values).
        """
        if self.head is None:
            return trace
        values = self.behind(trace, front, units)
        outputs = run_float(self.head, values, {}).outputs
        crossed = {f"{name}{LEAVING}" for name in self.head.inputs}
        kept = {name: v for name, v in trace.outputs.items() if name not in crossed}
        return replace(trace, outputs={**kept, **outputs})

    def behind(self, trace: Trace, front: Values, units: Mapping[str, float]) -> dict[str, A]:
        """Inputs of the head, by name; the arguments are those of `finish`."""
        made = {
            name.removesuffix(LEAVING): value * units[name]
            for name, value in trace.outputs.items()
            if name in units
        }
        assert self.head is not None
        return {name: made.get(name, front.get(name)) for name in self.head.inputs}  # type: ignore[misc]
