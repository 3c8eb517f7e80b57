"""Whether two nodes compute the same."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from snnc.ir import Node


def same_node(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operation with the same numbers."""
    return type(a) is type(b) and all(
        _same_field(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)
    )


def _same_field(a: object, b: object) -> bool:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return type(a) is type(b) and bool(a == b)
    place_a, place_b = a.__array_interface__, b.__array_interface__
    if all(place_a[key] == place_b[key] for key in ("data", "strides", "shape", "typestr")):
        return True
    return a.dtype == b.dtype and np.array_equal(a, b)
