from pathlib import Path

import pytest

from snnc.ir import OPS, Graph
from snnc.ir.text import to_text
from tests.ir import nets

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    "name", ["everything", "temporal", "integers", "connections", "host", "wired_integers"]
)
def test_golden(name: str) -> None:
    graph: Graph = getattr(nets, name)()
    assert to_text(graph) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_operation_has_a_golden_line() -> None:
    graphs = [getattr(nets, path.stem)() for path in GOLDEN.glob("*.txt")]
    shown = {type(node) for graph in graphs for node in graph.nodes.values()}
    assert shown == set(OPS.values())


def test_edge_order_has_no_influence() -> None:
    graph = nets.everything()
    lines = to_text(graph).splitlines()
    turned = to_text(graph.with_(edges=graph.edges[::-1])).splitlines()
    assert [line.split()[0] for line in lines if line] == [x.split()[0] for x in turned if x]
