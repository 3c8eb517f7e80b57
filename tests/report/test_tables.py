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


def test_lines_without_nodes_stay_as_they_are() -> None:
    assert collapsed(["x: y", "z"], []) == ["x: y", "z"]
    assert collapsed([], ["a"]) == []
