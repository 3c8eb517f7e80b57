"""Input files and arrays are checked once, at the edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnc.errors import InputError
from snnc.ir import Graph, Input, Linear, Neuron, Output, Rate
from snnc.samples import check_samples, read_samples


def graph(rate: Rate, names: tuple[str, ...] = ("in",)) -> Graph:
    nodes = {
        **{name: Input((3,), rate=rate) for name in names},
        "fc": Linear(np.eye(3)),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0)),
        "out": Output(),
    }
    edges = (*((name, "fc") for name in names), ("fc", "n"), ("n", "out"))
    return Graph(nodes, edges, steps=4).check()


def test_one_array_serves_one_input_under_any_name() -> None:
    for data in (np.ones((2, 3)), {"x": np.ones((2, 3))}, {"in": np.ones((2, 3))}):
        assert check_samples(graph(Rate.SAMPLE), data)["in"].shape == (2, 3)


def test_static_samples_are_repeated_where_a_sequence_is_taken() -> None:
    checked = check_samples(graph(Rate.STEP), np.arange(6).reshape(2, 3))
    assert checked["in"].shape == (2, 4, 3)
    np.testing.assert_array_equal(checked["in"][:, 0], checked["in"][:, 3])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (np.ones((2, 4)), "shape"),
        (np.ones((2, 5, 3)), "shape"),
        (np.full((2, 3), np.nan), "NaN"),
        (np.asarray([["a", "b", "c"]]), "dtype"),
        (np.ones((0, 3)), "no samples"),
    ],
)
def test_wrong_arrays_are_refused(data: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match) as error:
        check_samples(graph(Rate.SAMPLE), data)
    assert error.value.where == "in"


def test_wrong_names_and_lengths_are_refused() -> None:
    two = graph(Rate.SAMPLE, ("a", "b"))
    with pytest.raises(InputError, match="the network takes"):
        check_samples(two, {"a": np.ones((2, 3)), "c": np.ones((2, 3))})
    with pytest.raises(InputError, match="hold no samples") as found:
        check_samples(two, {})
    assert "`clean` are none" in found.value.fix
    with pytest.raises(InputError, match="different numbers of samples"):
        check_samples(two, {"a": np.ones((2, 3)), "b": np.ones((3, 3))})


def test_files_missing_truncated_or_pickled_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "none.npz")
    good = tmp_path / "good.npz"
    np.savez(good, x=np.ones(1000))
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:300])
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    for path in (cut, pickled):
        with pytest.raises(InputError, match="not a readable"):
            read_samples(path)
