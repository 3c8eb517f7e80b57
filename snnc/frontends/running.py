"""How a user's module is run: on checked inputs, in evaluation mode, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from snnc.errors import InputError, OptionError

InputKind = Literal["analog", "spike", "graded"]
ExampleInput = Tensor | tuple[Tensor, ...]


def checked_inputs(
    example_input: ExampleInput, steps: int | None, input_kind: InputKind
) -> tuple[Tensor, ...]:
    """A batch, or several arguments of the module, as a tuple of tensors.

    Raises:
        InputError: no tensor, no batch axis, no data, or values that don't fit `input_kind`.
        OptionError: no steps, or an unknown kind.
    """
    inputs = (example_input,) if isinstance(example_input, Tensor) else tuple(example_input)
    if not inputs or not all(isinstance(x, Tensor) for x in inputs):
        raise InputError("example_input", "is not a tensor", "pass a batch as a torch tensor")
    if steps is not None and steps < 1:
        raise OptionError("steps", f"{steps} steps", "give at least 1")
    if input_kind not in ("analog", "spike", "graded"):
        raise OptionError("input_kind", f"{input_kind!r}", "use analog, spike or graded")
    for x in inputs:
        if x.dim() < 2 or 0 in x.shape:
            raise InputError(
                "example_input", f"has shape {tuple(x.shape)}", "give it a batch axis: (batch, …)"
            )
        if input_kind == "spike" and not bool(((x == 0) | (x == 1)).all()):
            raise InputError("example_input", "has other values than 0 and 1", "use kind analog")
        if input_kind == "graded" and not bool((x == x.round()).all()):
            raise InputError("example_input", "has values that are no integers", "use kind analog")
    return tuple(x.detach() for x in inputs)


@contextmanager
def left_as_found(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; puts every attribute, buffer and flag of all submodules back afterwards,
    with the values of tensors that are no parameters and what lists and dicts held."""
    saved = [(m, dict(vars(m)), [_Contents(x) for x in _changeable(m)]) for m in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for m, attributes, contents in saved:
            vars(m).clear()
            vars(m).update(attributes)
            for item in contents:
                item.restore()


_NESTED = ("_buffers", "_parameters", "_modules", "_memories")


def _changeable(module: nn.Module) -> Iterator[Any]:
    """What a module holds that can change in place."""
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | dict) and (name in _NESTED or not name.startswith("_")):
            yield value
            if name != "_memories":  # SpikingJelly's states, which it never changes in place
                inside = value.values() if isinstance(value, dict) else value
                yield from (x for x in inside if isinstance(x, Tensor))


class _Contents:
    """What a tensor, list or dict holds."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        fixed = isinstance(owner, nn.Parameter) or (isinstance(owner, Tensor) and owner.is_meta)
        if isinstance(owner, Tensor):
            self.values: Any = None if fixed else owner.detach().clone()
        else:
            self.values = owner.copy()

    def restore(self) -> None:
        """Puts it back in place."""
        owner, values = self.owner, self.values
        if isinstance(owner, Tensor):
            if values is not None and not torch.equal(owner, values):
                with torch.no_grad():
                    owner.set_(values) if owner.shape != values.shape else owner.copy_(values)
        elif isinstance(owner, dict):
            owner.clear()
            owner.update(values)
        else:
            owner[:] = values
