"""What the tables for the terminal say, and how."""

from __future__ import annotations

from snnc.report.tables import collapsed


def test_what_is_true_of_several_nodes_is_said_once() -> None:
    lines = [
        "a: runs here",
        "b.x: runs here",
        "no file: a is odd",
        "c: runs here",
        "no file: c is odd",
        "the same",
        "the same",
        "b.x: runs there",
    ]
    assert collapsed(lines, ["a", "b.x", "c"]) == [
        "each of a, b.x … c (3 nodes): runs here",
        "no file: each of a and c is odd",
        "the same",
        "b.x: runs there",
    ]


def test_a_node_is_a_word_and_no_part_of_one() -> None:
    lines = ["on nodes: n is odd", "on nodes: o is odd", "n1: same", "n1: same"]
    assert collapsed(lines, ["n", "o", "n1"]) == ["on nodes: each of n and o is odd", "n1: same"]


def test_lines_without_nodes_stay_as_they_are() -> None:
    assert collapsed(["x: y", "z"], []) == ["x: y", "z"]
    assert collapsed([], ["a"]) == []
