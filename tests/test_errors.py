"""Every error that the code can raise is a documented type with a cause and a remedy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnc import errors

ROOT = Path(__file__).parent.parent
FILES = sorted(
    file for folder in ("circuits", "snnc", "targets") for file in (ROOT / folder).rglob("*.py")
)
TREE = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.SnncError)
}
WITH_REMEDY = {"RefusedError": 3, "TraceError": 3, "OptionError": 3, "ToolError": 3, "fail": 2}
"""Constructors, and the frontends' `fail`, which knows the place itself: fewest texts they take."""

INTERNAL = {
    "NotImplementedError",  # abstract methods
    # caught by the caller, in the same file
    "TypeError", "ValueError", "AttributeError", "LinAlgError", "KeyError", "BadZipFile",
}  # fmt: skip


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case _:
            return ""


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_what_is_raised_is_of_the_tree(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = called(node.exc.func)
            factory = name[:1] in "_abcdefghijklmnopqrstuvwxyz"
            assert factory or name in TREE | INTERNAL, f"{file}:{node.lineno} raises {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_what_is_refused_says_where_why_and_what_to_do(file: Path) -> None:
    for call in calls(ast.parse(file.read_text(encoding="utf-8"))):
        name = called(call.func)
        if name not in WITH_REMEDY:
            continue
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        starred = any(isinstance(argument, ast.Starred) for argument in given)
        texts = [arg.value for arg in given if isinstance(arg, ast.Constant)]
        assert "" not in texts, f"{file}:{call.lineno}: an empty text"
        least = WITH_REMEDY[name] + _names_the_call(call)
        assert starred or len(given) >= least, f"{file}:{call.lineno}: {name} without a remedy"


def _names_the_call(call: ast.Call) -> bool:
    """Whether it is the tracer's `fail`, which is told what was called."""
    owner = ast.unparse(call.func).removesuffix(".fail")
    return called(call.func) == "fail" and owner.endswith("tracer")
