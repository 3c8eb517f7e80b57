"""Input data files and arrays: checked once at the edge, then trusted."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import InputError, ModelFileError
from snnc.ir import Graph, Rate
from snnc.ir.files import read_npz

Samples = dict[str, NDArray[Any]]
LABELS, CLEAN = "labels", "clean"
"""Arrays of a file that are compared with outputs: classes, and images."""


def read_samples(path: str | Path) -> Samples:
    """Arrays of an `.npz` or `.npy` file; a single `.npy` array gets the name `input`.

    Raises:
        InputError: missing, truncated or not an array file.
    """
    file = Path(path)
    try:
        if file.suffix == ".npy":
            return {"input": np.load(file, allow_pickle=False)}
        return dict(read_npz(file))
    except ModelFileError as error:
        raise InputError(error.where, error.cause, error.fix) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(str(file), f"not a readable .npy file ({error})") from error


def split_labels(
    samples: Samples, inputs: Container[str] = ()
) -> tuple[Samples, NDArray[Any] | None, NDArray[Any] | None]:
    """The samples without the arrays `labels` and `clean`, and those two.

    Args:
        inputs: names of the network's inputs; an array that is one of them stays a sample.
    """
    names = [name for name in (LABELS, CLEAN) if name not in inputs]
    rest = {key: value for key, value in samples.items() if key not in names}
    labels, clean = (samples.get(name) if name in names else None for name in (LABELS, CLEAN))
    return rest, labels, clean


def check_labels(labels: Any, count: int) -> NDArray[np.int64]:
    """Classes of `count` samples.

    Raises:
        InputError: not one whole number from 0 per sample.
    """
    array = np.asarray(labels)
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool(np.all(np.isfinite(array) & (array == np.rint(array))))
    )
    if array.shape != (count,) or not whole or (array.size and array.min() < 0):
        raise InputError(
            LABELS,
            f"shape {array.shape} and dtype {array.dtype}",
            f"give one class per sample, whole numbers from 0, shape ({count},)",
        )
    return array.astype(np.int64)


def accuracy(output: NDArray[Any], labels: NDArray[np.int64]) -> int:
    """Number of samples whose class has the largest output, summed over the steps; the lowest
    class wins a tie."""
    scores = output.reshape(len(output), -1, output.shape[-1]).sum(1)
    return int(np.count_nonzero(scores.argmax(1) == labels))


def check_samples(graph: Graph, data: Mapping[str, Any] | Any, stepwise: bool = True) -> Samples:
    """Samples by input name, with the shapes and dtypes that the graph takes.

    One array, or one array under any name, serves a graph with one input. A sequence input also
    takes samples without a step axis: they are repeated at every step.

    Args:
        stepwise: whether inputs with a value per step get them from the data (no encoder).

    Raises:
        InputError: wrong names, shapes, dtypes, lengths, or NaN.
    """
    named = _named(graph, data)
    checked = {name: _checked(graph, name, named[name], stepwise) for name in graph.inputs}
    lengths = {name: len(value) for name, value in checked.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(", ".join(lengths), f"different numbers of samples: {lengths}")
    return checked


def _named(graph: Graph, data: Mapping[str, Any] | Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        data = {"input": data}
    if len(graph.inputs) == len(data) == 1:
        return {graph.inputs[0]: next(iter(data.values()))}
    missing = [name for name in graph.inputs if name not in data]
    unknown = [name for name in data if name not in graph.inputs]
    if missing or unknown:
        raise InputError(
            ", ".join([*missing, *unknown]),
            f"the data hold {sorted(data) or 'no samples'}, the network takes {graph.inputs}",
            "name the arrays as the inputs (`labels` and `clean` are none: outputs are compared"
            " with them)",
        )
    return data


def _checked(graph: Graph, name: str, value: Any, stepwise: bool) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InputError(name, f"has dtype {array.dtype}", "give numbers")
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise InputError(name, "holds NaN or infinite values")
    shape = graph.signals[name].shape
    sequence = stepwise and graph.signals[name].rate is Rate.STEP
    if sequence and array.shape[1:] == shape and graph.steps is not None:
        array = np.repeat(array[:, None], graph.steps, axis=1)
    expected = ("sample", "step", *shape) if sequence else ("sample", *shape)
    if array.ndim != len(expected) or array.shape[len(expected) - len(shape) :] != shape:
        raise InputError(
            name, f"has shape {array.shape}", f"give an array of shape ({_listed(expected)})"
        )
    if not len(array) or (sequence and not array.shape[1]):
        raise InputError(name, f"has shape {array.shape}: no samples or no steps")
    return array


def _listed(shape: tuple[object, ...]) -> str:
    return ", ".join(map(str, shape))


def length(samples: Mapping[str, NDArray[Any]]) -> int:
    """Number of samples: all arrays have the same."""
    return len(next(iter(samples.values())))


def batches(samples: Samples, size: int) -> Iterator[tuple[int, Samples]]:
    """(index of the first sample, samples) in runs of `size`."""
    for first in range(0, length(samples), size):
        yield first, {name: value[first : first + size] for name, value in samples.items()}
