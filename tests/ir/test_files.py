import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError, ModelFileError, SnncError
from snnc.ir import Graph, Input, Linear, Output
from snnc.ir.files import from_tree, npz_bytes, read_graph, to_bytes, to_tree
from tests.ir import nets

NETS = ["everything", "temporal", "integers", "connections", "host", "wired_integers"]


def made(name: str) -> Graph:
    return getattr(nets, name)()


@pytest.mark.parametrize("name", NETS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    graph = made(name)
    path = tmp_path / "graph.npz"
    path.write_bytes(to_bytes(graph))
    back = read_graph(path)
    assert list(back.nodes) == list(graph.nodes)
    assert (back.edges, back.steps, back.dt) == (graph.edges, graph.steps, graph.dt)
    assert back.notes == graph.notes
    for name_, node in graph.nodes.items():
        for key, value in vars(node).items():
            other = getattr(back.nodes[name_], key)
            if isinstance(value, np.ndarray):
                assert (other.dtype, other.shape) == (value.dtype, value.shape)
                assert other.tobytes() == value.tobytes()
            else:
                assert (type(other), other) == (type(value), value)
    assert to_bytes(back) == to_bytes(graph)


def test_bytes_depend_on_the_graph_alone() -> None:
    assert to_bytes(made("everything")) == to_bytes(made("everything"))
    weight = nets.normal(4, 3)
    rows, columns = (
        nets.chain({"in": Input((3,)), "fc": Linear(w), "out": Output()})
        for w in (weight, np.asfortranarray(weight))
    )
    assert to_bytes(rows) == to_bytes(columns)
    other = nets.chain({"in": Input((3,)), "fc": Linear(weight + 1), "out": Output()})
    assert to_bytes(rows) != to_bytes(other)


def altered(path: list[str], value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    tree, arrays = to_tree(made("everything"))
    *head, last = path
    spot = tree
    for key in head:
        spot = spot[key]
    if value is KeyError:
        del spot[last]
    else:
        spot[last] = value
    return json.loads(json.dumps(tree)), arrays


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (["schema"], 99, "schema 99"),
        (["schema"], KeyError, "not a graph"),
        (["nodes"], 7, "not a graph"),
        (["edges"], [["a"]], "not a graph"),
        (["edges"], KeyError, "not a graph"),
        (["steps"], 2.5, "not a int"),
        (["steps"], "many", "not a int"),
        (["dt"], "1 ms", "not a float"),
        (["nodes", "fc"], [1], "not a graph"),
        (["nodes", "fc", "op"], "Exec", "unknown type 'Exec'"),
        (["nodes", "fc", "op"], ["Linear"], "not a graph"),
        (["nodes", "fc", "exp"], 0.5, "not a int"),
        (["nodes", "fc", "exp"], True, "not a int"),
        (["nodes", "fc", "bias"], 3, "where an array should be"),
        (["nodes", "fc", "magic"], 3, "unknown fields"),
        (["nodes", "tall", "stride"], "11", "not a list"),
        (["nodes", "tall", "stride"], [1, "1"], "not a int"),
        (["nodes", "tall", "stride"], 1, "not a list"),
        (["nodes", "cuba", "compare"], "<", "none of"),
        (["nodes", "in/put", "kind"], "sound", "not a graph"),
        (["nodes", "in/put", "scale"], "1", "not a float"),
        (["nodes", "in/put", "shape"], KeyError, "lacks its field shape"),
    ],
)
def test_wrong_trees_are_refused(path: list[str], value: Any, cause: str) -> None:
    with pytest.raises(ModelFileError, match=cause):
        from_tree(*altered(path, value), "here")


@pytest.mark.parametrize(
    "value", [np.asarray(["x"]), np.asarray([1j]), np.asarray([None]), np.asarray([True])]
)
def test_arrays_must_hold_numbers(value: Any) -> None:
    tree, arrays = to_tree(made("everything"))
    with pytest.raises(ModelFileError, match="not a number"):
        from_tree(tree, {**arrays, "fc/weight": value}, "here")


def test_an_array_for_a_plain_field_is_no_way_around_its_type() -> None:
    tree, arrays = to_tree(made("everything"))
    arrays["tall/stride"] = np.asarray([1.5, 1.5])
    assert from_tree(tree, arrays, "here").nodes["tall"].stride == (2, 1)
    del tree["nodes"]["in/put"]["shape"]
    with pytest.raises(ModelFileError, match="lacks its field shape"):
        from_tree(tree, {**arrays, "in/put/shape": np.asarray([2, 8, 9])}, "here")


@pytest.mark.parametrize(
    ("net", "key", "value", "cause"),
    [
        ("connections", "pick/index", np.asarray([0.0, 1.0]), "index has dtype float64"),
        ("connections", "pick/index", np.asarray([0, 1], np.uint64), "index has dtype uint64"),
        ("connections", "pick/index", np.asarray([0, 2**62]), "outside its 210 inputs"),
        ("connections", "pick/index", np.asarray([-2, 1]), "index runs from -2 to 1"),
        ("connections", "pick/index", np.asarray([], np.int64), "index is empty"),
        ("connections", "pick/index", np.asarray(3), "doesn't fit"),
        ("connections", "rare/indices", np.zeros(437), "indices has dtype float64"),
        ("connections", "rare/indices", np.zeros(437, np.uint8), "indices has dtype uint8"),
        ("connections", "rare/indices", np.full(437, 2**62), "outside its 210 inputs"),
        ("connections", "rare/indices", np.full(437, -1), "outside its 210 inputs"),
        ("connections", "rare/indices", np.zeros(436, np.int64), "\\(436,\\) indices"),
        ("connections", "rare/indices", np.zeros((1, 437), np.int64), "\\(1, 437\\) indices"),
        ("connections", "rare/weight", np.ones((437, 1)), "weights of shape \\(437, 1\\)"),
        ("connections", "rare/weight", np.ones(0), "weight is empty"),
        ("connections", "rare/indptr", np.linspace(0, 437, 7), "of float64 for 6 rows"),
        ("connections", "rare/indptr", np.asarray([0, 437]), "\\(2,\\) values"),
        ("connections", "rare/indptr", np.asarray(0), "\\(\\) values"),
        ("connections", "rare/indptr", np.asarray([0, 9, 8, 9, 9, 9, 437]), "never falls"),
        ("connections", "rare/indptr", np.asarray([1, 9, 9, 9, 9, 9, 437]), "starts at 0"),
        ("connections", "rare/indptr", np.asarray([0, 9, 9, 9, 9, 9, 436]), "ends at"),
        (
            "connections", "rare/indptr",
            np.asarray([0, 2**62, -(2**63), -(2**62), 0, 1, 437]), "never falls",
        ),
        ("connections", "rare/bias", np.ones(7), "bias has shape \\(7,\\)"),
        ("connections", "stem/bias", np.ones((3, 6, 5)), "bias has shape \\(3, 6, 5\\)"),
        ("connections", "factors/weight", np.ones((7, 6, 5)), "Scale of shape"),
        ("connections", "turned/weight", np.ones((3, 2)), "weight has shape"),
        ("host", "up/weight", np.ones((4, 2, 2, 3)), "takes 4 channels"),
    ],
)  # fmt: skip
def test_wrong_connections_are_refused(net: str, key: str, value: Any, cause: str) -> None:
    tree, arrays = to_tree(made(net))
    assert key in arrays
    with pytest.raises(GraphError, match=cause):
        from_tree(tree, {**arrays, key: value}, "here")


@pytest.mark.parametrize(
    ("net", "node", "field", "value", "cause"),
    [
        ("connections", "tail", "extent", 2**40, "more than 268,435,456 values"),
        ("connections", "tail", "extent", 10**4000, "64 bits"),
        ("connections", "tail", "extent", 6.0, "not a int"),
        ("connections", "tail", "start", -1, "doesn't fit"),
        ("connections", "rare", "out_shape", [-2, -3], "extents are at least 1"),
        ("connections", "rare", "out_shape", [2**31, 2**31], "for 4611686018427387904 rows"),
        ("connections", "rare", "in_shape", [210], "its input has shape"),
        ("connections", "rare", "in_shape", 210, "not a list"),
        ("connections", "turned", "dilation", [1, 2**40], "more than 268,435,456"),
        ("host", "up", "stride", [2**40, 1], "more than 268,435,456"),
        ("host", "up", "padding", [9, 0], "use less padding"),
        ("host", "up", "output_padding", [1], "output_padding"),
        ("host", "up", "output_padding", [0, -1], "output_padding"),
        ("host", "product", "inner", 0, "extents are at least 1"),
        ("host", "product", "rows", 4, "one behind the other"),
        ("host", "relu", "function", "system", "none of"),
        ("host", "leaky", "low", float("nan"), "low = nan"),
        ("host", "norm", "rows", 3, "don't divide into 3 rows"),
        ("host", "norm", "kind", "batch", "none of"),
        ("host", "max", "padding", [2, 2], "more than half"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(
    net: str, node: str, field: str, value: Any, cause: str
) -> None:
    tree, arrays = to_tree(made(net))
    assert field in tree["nodes"][node]
    tree["nodes"][node][field] = value
    with pytest.raises((GraphError, ModelFileError), match=cause):
        from_tree(tree, arrays, "here")


def test_an_index_map_is_no_list() -> None:
    tree, arrays = to_tree(made("connections"))
    tree["nodes"]["pick"]["index"] = [0, 1]
    del arrays["pick/index"]
    with pytest.raises(ModelFileError, match="pick/index"):
        from_tree(tree, arrays, "here")


def test_nan_is_refused() -> None:
    tree, arrays = to_tree(made("everything"))
    arrays["fc/weight"] = arrays["fc/weight"] * np.nan
    with pytest.raises(GraphError, match="240 values that are NaN"):
        from_tree(tree, arrays, "here")


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_no_file_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree, _ = to_tree(made("temporal"))
    header = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    np.savez("object.npz", **{"graph.json": header, "x": np.asarray([Bomb()], object)})
    Path("pickle.npz").write_bytes(pickle.dumps(Bomb()))
    np.save("array.npy", np.asarray([Bomb()], object), allow_pickle=True)
    for name in ("object.npz", "pickle.npz", "array.npy"):
        with pytest.raises(ModelFileError):
            read_graph(Path(name))
    assert not Path("exploded").exists()


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    data = to_bytes(made("everything"))
    with pytest.raises(ModelFileError, match="no such file"):
        read_graph(path)
    for content in (b"", b"hello", data[: len(data) // 2], data[:-1], npz_bytes({"x": np.ones(3)})):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=str(path)):
            read_graph(path)
    for text in (b"{", b"[1]", b"\xff", b'{"schema": 1}'):
        path.write_bytes(npz_bytes({"graph.json": np.frombuffer(text, np.uint8)}))
        with pytest.raises(ModelFileError, match=str(path)):
            read_graph(path)


@pytest.mark.parametrize("net", ["temporal", "wired_integers"])
def test_any_flipped_byte_is_refused_or_harmless(net: str, tmp_path: Path) -> None:
    data = bytearray(to_bytes(made(net)))
    path = tmp_path / "graph.npz"
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(data), 150):
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.integers(8))])
                         + data[place + 1 :])  # fmt: skip
        try:
            read_graph(path)
        except SnncError:
            refused += 1
    assert refused > 75
