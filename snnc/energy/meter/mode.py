"""The watcher of a running module: every function of torch that touches its signals is counted."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from snnc.energy.counts import Counts, Line, Population, Synapses
from snnc.energy.meter.call import Call, common_kind, constant_kind, flat
from snnc.energy.meter.einsum import contracted
from snnc.energy.meter.labels import NONE, Book, Labels, Mark, Partial, place_of, varies
from snnc.energy.meter.neurons import Known, known_neuron, tensors
from snnc.energy.meter.origin import held, of_program
from snnc.energy.meter.records import (
    UNKNOWN,
    Cells,
    Columns,
    LineRecord,
    PopulationRecord,
    SynapseRecord,
    cells,
    dynamics_of,
    one_evaluation,
    summed,
)
from snnc.energy.meter.rules import LAYERS, QUIET, RULES, Marks
from snnc.energy.meter.weights import (
    Activity,
    check_spikes,
    check_whole,
)
from snnc.errors import TraceError
from snnc.frontends import snntorch, spikingjelly
from snnc.frontends.results import free_name
from snnc.frontends.rules import CREATORS, IN_PLACE, OF_ANOTHER, QUERIES
from snnc.frontends.tracer import function_name
from snnc.ir import Kind

Shape = tuple[int, ...]
ATTRIBUTE, ALIAS = "_snnc_mark", "_snnc_alias"
PASSED = QUERIES | CREATORS | QUIET
"""Functions that make no signal."""
READERS = frozenset(
    [
        "item",
        "tolist",
        "numpy",
        "__array__",
        "__float__",
        "__int__",
        "__index__",
        "storage",
        "untyped_storage",
        "data_ptr",
    ]
)
"""Functions by which values leave torch."""
OF_NUMBERS = frozenset(
    [
        "tensor",
        "as_tensor",
        "asarray",
        "scalar_tensor",
        "full",
        "full_like",
        "new_tensor",
        "new_full",
        "fill_",
        "from_numpy",
        "frombuffer",
    ]
)
"""Functions by which numbers of Python enter it."""
_NAMES: dict[Any, str] = {}
UNLOOKED = (
    "values that no function of torch made from the module's input, as far as can be seen; what"
    " was done to them is not counted"
)


Record = TypeVar("Record", SynapseRecord, LineRecord)


class Meter(TorchFunctionMode):
    """Everything that one batch makes a module do.

    Attributes:
        samples: of the batch.
        sequences: whether inputs have steps; otherwise the calls of a neuron are its steps.
        asked: number of steps that the user gave.
        steps: found so far.
        followed: whether steps were told apart: by picking one of them, by a neuron or by a sum
            that takes a whole sequence.
    """

    def __init__(
        self,
        module: nn.Module,
        samples: int,
        sequences: bool,
        asked: int | None,
        own: Sequence[type[nn.Module]],
        book: Book,
        plans: dict[Any, Any],
    ) -> None:
        super().__init__()
        self.samples, self.sequences, self.asked = samples, sequences, asked
        self.book, self.plans, self.activity = book, plans, book.looked_up("activity", Activity)
        self.steps, self.followed, self.spiked = 1, False, False
        self.records: list[SynapseRecord | LineRecord | PopulationRecord] = []
        self.sites: dict[Any, list[Any]] = {}
        self.populations: dict[nn.Module, PopulationRecord] = {}
        self.calls: dict[Any, int] = {}
        self.uncounted: dict[str, str] = {}
        self.averages: dict[str, None] = {}
        self.path: list[str] = []
        self.leaves: set[str] = set()
        self.inside = False
        self.own = dict(book.looked_up("held", partial(held, module)))
        self.read = False
        self.entered: set[Any] = set()
        self._patch(module, own)

    def _patch(self, root: nn.Module, own: Sequence[type[nn.Module]]) -> None:
        """Makes every submodule say when it is called; `left_as_found` undoes it."""
        hidden: set[nn.Module] = set()
        for path, module in root.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                self.uncounted[path or "module"] = "a scripted module, which can't be looked into"
                continue
            if module in hidden:
                if path and self._is_leaf(module):
                    self.leaves.add(path)
                self._wrap(module, path, None)
                continue
            where = path or type(module).__name__.lower()
            known = self.book.looked_up(
                ("known", id(module)), partial(known_neuron, module, where, own)
            )
            if known is not None:
                known.clear()
                hidden.update(set(module.modules()) - {module})
            elif spikingjelly.is_container(module):
                spikingjelly.clear_container(module)
            elif path and self._is_leaf(module):
                self.leaves.add(path)
            self._wrap(module, path, known)

    @staticmethod
    def _is_leaf(module: nn.Module) -> bool:
        return all(name == "parametrizations" for name, _ in module.named_children())

    def _wrap(self, module: nn.Module, path: str, known: Known | None) -> None:
        forward = module.forward

        def patched(*args: Any, **kwargs: Any) -> Any:
            self.path.append(path)
            try:
                if known is None or self.inside:
                    return forward(*args, **kwargs)
                return self._neuron(known, forward, args, kwargs)
            finally:
                self.path.pop()

        vars(module)["forward"] = patched

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = _NAMES.get(func)
        if name is None:
            name = _NAMES.setdefault(func, function_name(func))
        if name in PASSED:
            return self._passed(name, func, args, kwargs or {})
        kwargs = dict(kwargs or {})
        if not self._touches(args) and not self._touches(kwargs.values()):
            if name in LAYERS:
                self._constant(name, args, kwargs)
            return self._unmarked(name, func, args, kwargs)
        if name in OF_ANOTHER and args and self.mark(args[0]) is None:
            return self._unmarked(name, func, args[:1], kwargs, args[1:])
        if not self.uncounted or self.place(name) not in self.uncounted:
            self._check_origin(name, args, kwargs)
        rule = contracted if name == "einsum" else RULES.get(name)
        if rule is None and isinstance(func, types.FunctionType) and func not in self.entered:
            return self._entered(func, args, kwargs)
        return self._counted(name, rule, func, args, kwargs)

    def _passed(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if name in READERS:
            self.read |= self._touches(args)
        elif name in CREATORS and isinstance(result, Tensor):
            self._made_plain(name, result)
        return result

    def _unmarked(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, shapes: Any = ()
    ) -> Any:
        """Runs a function on tensors that are no signals. What it makes of constants is one;
        `shapes` are arguments of which it only takes the shape."""
        plain = all(self._is_plain(x) for x in flat((args, kwargs)) if isinstance(x, Tensor))
        result = func(*args, *shapes, **kwargs)
        if plain:
            for x in tensors(result):
                self._made_plain(name, x)
                self.aliased(name, args[0] if args else x, x)
        elif name == "__setitem__" or _in_place(name):
            self._lose(args[0])
        return result

    def _lose(self, changed: Tensor) -> None:
        """A tensor that was changed in a way of which nothing is known."""
        for x in (changed, changed._base):
            if x is not None:
                self.own.pop(id(x), None)
                x.__dict__.pop(ATTRIBUTE, None)

    def _made_plain(self, name: str, x: Tensor) -> None:
        """Notes a constant; numbers that were read off a signal may be in what Python gave."""
        if not (self.read and name in OF_NUMBERS):
            x.__dict__[ATTRIBUTE] = (self, None)

    def _is_plain(self, x: Tensor) -> bool:
        """Whether a tensor is a signal or constant that was seen to be one."""
        return id(x) in self.own or x.__dict__.get(ATTRIBUTE, (None,))[0] is self

    def _check_origin(self, name: str, args: Any, kwargs: Any) -> None:
        """Names a function that takes a tensor of which nothing is known."""
        for x in flat((args, kwargs)):
            if not isinstance(x, Tensor) or self._is_plain(x):
                continue
            if of_program(x):
                self.own[id(x)] = x
            elif _holds_values(x):
                self.uncounted[self.place(name)] = f"{name} of {UNLOOKED}"

    def _touches(self, items: Iterable[Any]) -> bool:
        for x in items:
            if isinstance(x, Tensor):
                if self.mark(x) is not None:
                    return True
            elif isinstance(x, list | tuple) and self._touches(x):
                return True
        return False

    def _counted(
        self,
        name: str,
        rule: Callable[..., Marks] | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        result = _ran(func, args, kwargs)
        if next(tensors(result), None) is None and name != "__setitem__":
            if result is None and args and isinstance(args[0], Tensor):
                self._lose(args[0])
            return result
        call = Call(self, name, func, args, kwargs, result)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        named = {_SPELLINGS.get(key, key): value for key, value in kwargs.items() if key != "out"}
        if rule is None or any(isinstance(x, Tensor) and x.is_complex() for x in call.everything):
            marks = call.unknown()
        else:
            try:
                marks = rule(call, *args, **named)
            except TypeError as error:
                if not _is_signature(error):
                    raise
                marks = call.unknown()
        if args and isinstance(args[0], Tensor) and (name in IN_PLACE or _in_place(name)):
            changed = marks if isinstance(marks, Mark) else self.mark(result)
            if changed is not None:
                self._changed_in_place(args[0], changed)
        self._note(call, marks)
        return result

    def _note(self, call: Call, marks: Marks) -> None:
        """Gives the results their marks."""
        if marks is None:
            return
        single = isinstance(marks, Mark)
        given = [marks] if isinstance(marks, Mark) else marks
        results = [call.result] if single else list(call.result)
        for tensor, mark in zip(results, given, strict=True):
            if isinstance(tensor, Tensor):
                self.set(tensor, mark)
                step = mark.labels.step
                if not self.followed and step.numel() == 1 and int(step) >= 0:
                    steps = (m.labels.step for m in call.marks(call.everything))
                    self.followed = any(varies(step) for step in steps)

    def _entered(self, func: types.FunctionType, args: Any, kwargs: Any) -> Any:
        """Runs a function that is written in Python, and counts what it calls."""
        self.entered.add(func)
        try:
            with self:
                return _open(func)(*args, **kwargs)
        finally:
            self.entered.discard(func)

    def mark(self, x: object) -> Mark | None:
        """What is known of a tensor; None if it doesn't depend on the input."""
        if not isinstance(x, Tensor):
            return None
        owner, mark = x.__dict__.get(ATTRIBUTE, (None, None))
        return mark if owner is self else None

    def set(self, x: Tensor, mark: Mark) -> None:
        """Gives a tensor its mark; it lives as long as the tensor."""
        x.__dict__[ATTRIBUTE] = (self, mark)

    def _changed_in_place(self, target: object, mark: Mark) -> None:
        """A tensor of which a view was changed holds the new values too."""
        if not isinstance(target, Tensor):
            return
        if (other := target.__dict__.get(ALIAS)) is not None:
            self.set(other, mark)
            self._changed_in_place(other, mark)
        base = target._base
        if base is None or not base.is_contiguous():
            return
        old, view = self.mark(base), target
        shape, offset = tuple(base.shape), view.storage_offset() - base.storage_offset()
        before = old.labels if old else Labels(*(self.book.constant(NONE, base.dim()),) * 2)

        def write(whole: Tensor, part: Tensor) -> None:
            whole.as_strided(view.shape, view.stride(), offset).copy_(part.expand(view.shape))

        labels = self.book.written(before, shape, mark.labels, write)
        kinds = [mark.kind, constant_kind(base) if old is None else old.kind]
        whole = replace(mark, labels=labels, kind=common_kind(kinds), direct=False)
        self.set(base, whole)
        if ALIAS in base.__dict__:
            self._changed_in_place(base, whole)

    @staticmethod
    def aliased(name: str, x: Tensor, result: Tensor) -> None:
        """Notes that a tensor is another one's memory, which torch doesn't tell of."""
        if name in ("data.get", "detach") and result is not x:
            result.__dict__[ALIAS] = x

    def place(self, name: str) -> str:
        """Path of the module that is running, with the function unless it is its only one."""
        path = next((p for p in reversed(self.path) if p), "")
        return path if path in self.leaves else f"{path}.{name}".lstrip(".")

    def evaluations(self, labels: Labels) -> int:
        """Steps that a tensor holds values of."""
        return self.book.looked_up(
            ("steps", id(labels.step)), lambda: len(np.unique(labels.step.numpy()))
        )

    def averaged(self, place: str) -> None:
        """Notes that spikes were averaged."""
        self.averages[place] = None

    def _constant(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A layer on a tensor that isn't known; one of zeros has nothing to count."""
        x = next((a for a in flat((args, kwargs)) if isinstance(a, Tensor)), None)
        if x is not None and _holds_values(x):
            self.uncounted[self.place(name)] = f"{name} of {UNLOOKED}"

    def _neuron(self, known: Known, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        x = next((t for t in tensors((args, kwargs)) if self.mark(t) is not None), None)
        where = self.path[-1] or type(known.module).__name__.lower()
        mark = None if x is None else self.mark(x)
        if mark is not None and known.multi_step is False and varies(mark.labels.step):
            raise TraceError(where, "takes one step but gets a sequence", "pass one step per call")
        self.spiked |= known.fires
        self.inside = True
        try:
            with nullcontext() if known.weighted else torch._C.DisableTorchFunction():
                result = forward(*args, **kwargs)
        finally:
            self.inside = False
        found = list(tensors(result))
        if x is None or mark is None:
            if any(map(_holds_values, found[:1])):
                self.uncounted[where] = f"neurons fed by {UNLOOKED}"
            return result
        if not found:
            raise TraceError(where, "this neuron returns no tensor", "return its spikes")
        # Counting itself is none of the module's work.
        with torch._C.DisableTorchFunction(), torch.no_grad():
            self._fired(known, where, x, mark, found)
        return result

    def _fired(
        self, known: Known, where: str, x: Tensor, mark: Mark, found: Sequence[Tensor]
    ) -> None:
        """Counts the spikes of a call and gives what it returned and keeps its marks."""
        spikes = found[0]
        old, new = tuple(x.shape), tuple(spikes.shape)
        same = x.numel() == spikes.numel()
        labels = (self.book.reshaped if same else self.book.refitted)(mark.labels, old, new)
        record = self.populations.get(known.module)
        split = bool(varies(labels.step))
        labels = self._in_order(labels, new)
        self.followed |= split and known.multi_step is not False
        if not split and (not self.sequences or int(labels.step) == NONE):
            if known.multi_step:
                step = self.book.along(0, new[0], len(new))
                self.followed = True
            else:
                step = self.book.constant(record.calls if record else 0, len(new))
            labels = Labels(labels.sample, step)
        out = Mark(known.kind, labels, natural=known.kind is not Kind.ANALOG, source=where)
        spot = self.rows(labels, new, where)
        if record is None:
            record = self._population(known, where, new, spot)
        record.calls += 1
        fired, partial = self._spikes(known, record, spikes, out, spot)
        record.columns.add(self._free(record.columns, spot.keys), {"spikes": fired})
        self.steps = max(self.steps, 1 + max(t for t, _ in spot.keys))
        self.set(spikes, replace(out, partial=partial))
        self._keep_states(known, found[1:], spikes, out)

    def _in_order(self, labels: Labels, shape: Shape) -> Labels:
        """Neurons that take a whole sequence spike at its places, whatever was delayed before."""
        axes, rank = varies(labels.step), len(shape)
        if len(axes) != 1 or shape[axes[0]] != self.steps or not self.sequences:
            return labels
        if labels.sample.shape[axes[0]] > 1:
            return labels
        return Labels(labels.sample, self.book.along(axes[0], self.steps, rank))

    def rows(self, labels: Labels, shape: Shape, where: str) -> Cells:
        """Cells of a tensor that is one evaluation per sample and step."""

        def make() -> Cells:
            spot = cells(labels, shape, (), self.samples, where)
            repeats = max(k for _, k in spot.keys) + 1
            return one_evaluation(spot, repeats) if repeats > 1 else spot

        key = ("rows", id(labels.sample), id(labels.step), shape, self.samples)
        return self.book.looked_up(key, make)

    @staticmethod
    def _free(columns: Columns, keys: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """The next evaluations of these steps that were not made yet."""
        free = []
        for step, number in keys:
            while (step, number) in columns.by_key:
                number += 1
            free.append((step, number))
        return tuple(free)

    def _population(self, known: Known, where: str, shape: Shape, spot: Cells) -> PopulationRecord:
        lead = 2 if known.multi_step else 1
        canonical = self.book.looked_up(
            ("neuron", id(known.module), shape[lead:]), lambda: known.canonical(shape[lead:])
        )
        if canonical is None:
            self.uncounted[where] = f"the update of {type(known.module).__name__} neurons"
            dynamics = UNKNOWN
        else:
            dynamics = self.book.looked_up(
                ("dynamics", id(canonical)), lambda: dynamics_of(canonical, shape[lead:])
            )
        size = math.prod(shape) // (self.samples * len(spot.keys))
        record = PopulationRecord(
            where, size, dynamics, known.fires, Columns(self.samples),
            isinstance(known.adapter, snntorch.Recurrent),
        )  # fmt: skip
        self.populations[known.module] = record
        self.records.append(record)
        return record

    def _spikes(
        self, known: Known, record: PopulationRecord, x: Tensor, mark: Mark, spot: Cells
    ) -> tuple[Any, Partial | None]:
        """(sample, column) spikes, and their sums over the channels for the layer behind."""
        if not record.fires:
            return np.zeros((self.samples, len(spot.keys))), None
        where = f"{record.name} (its output)"
        if mark.kind is Kind.SPIKE and not record.dynamics.known:
            check_spikes(x, where)
        lead = 2 if known.multi_step else 1
        if mark.kind is Kind.SPIKE and x.is_contiguous() and x.dim() > lead + 1 and not (
            set(range(lead, x.dim())) & set(spot.axes)
        ):  # fmt: skip
            sums = summed(x.flatten(0, lead - 1), (1,), 1)
            rows = sums.flatten(1).sum(1, dtype=torch.float64).reshape(x.shape[:lead])
            check_whole(rows, x, tuple(range(lead, x.dim())), mark.kind, where)
            rest = [axis for axis in range(lead) if axis not in spot.axes]
            total = rows.sum(rest) if rest else rows
            return spot.count(total.numpy()), Partial(sums, place_of(x))
        axes = tuple(axis for axis in range(x.dim()) if axis not in spot.axes)
        sums = summed(x if mark.kind is Kind.GRADED else self.activity.events(x, mark), axes)
        if mark.kind is not Kind.ANALOG:
            check_whole(sums, x, axes, mark.kind, where)
        return spot.count(sums.numpy()), None

    def _keep_states(
        self, known: Known, returned: Sequence[Tensor], spikes: Tensor, out: Mark
    ) -> None:
        """Membranes and currents: returned, or kept by the module."""
        states = list(returned)
        adapter = known.adapter
        if adapter is not None:
            states += [t for port in adapter.states if isinstance(t := adapter.held(port), Tensor)]
            states += [t for t, _ in adapter.sequences()]
        shape = tuple(spikes.shape)
        for state in states:
            if state is spikes:
                continue
            if tuple(state.shape) == shape:
                labels = out.labels
            elif tuple(state.shape) == shape[1:]:
                last = Labels(out.labels.sample, self.book.reduced(out.labels, [0]).step)
                labels = self.book.squeezed(last, [0])
            else:
                continue
            kind = Mark(Kind.ANALOG, labels, source=out.source)
            self.set(state, kind)

    def site(
        self, key: Any, static: bool, source: str, make: Callable[[], Record],
        fits: Callable[[Record], bool] = lambda _: True,
    ) -> Record:  # fmt: skip
        """The record of a place. What a state makes is static at the first step only, before the
        state has changed: it belongs to the evaluations that follow."""
        known = self.sites.setdefault(key, [])
        for record in known:
            same = record.source == source or not (static and record.static)
            if same and fits(record):
                record.static &= static
                return record
        record = make()
        record.source = source
        known.append(record)
        self.records.append(record)
        return record

    def counts(self) -> Counts:
        """What was counted, in the order in which it ran first."""
        steps = max(self.steps, self.asked or 1)
        taken: set[str] = set()
        synapses: list[Synapses] = []
        lines: list[Line] = []
        populations: list[Population] = []
        order: list[str] = []
        for record in self.records:
            if isinstance(record, LineRecord):
                lines.append(record.line(steps))
                order.append(lines[-1].name)
                continue
            name = free_name(record.name.replace("/", "_"), taken)
            taken.add(name)
            order.append(name)
            if isinstance(record, PopulationRecord):
                populations.append(record.population(name, steps))
                lines += record.lines(populations[-1])
            else:
                synapses.append(record.synapses(name, steps))
                lines += [record.bias_line(synapses[-1])] if record.bias else []
        equal = {steps} == {steps, *(s.steps for s in synapses), *(p.steps for p in populations)}
        return Counts(
            "torch", self.samples, steps if equal else None, tuple(synapses), tuple(lines),
            tuple(populations), dict(self.uncounted), self._notes(), tuple(dict.fromkeys(order)),
        )  # fmt: skip

    def _notes(self) -> tuple[str, ...]:
        if not self.averages:
            return ()
        return (
            f"{', '.join(self.averages)}: averaged spikes are no integers, so what they feed is"
            " MAC; a compiled network adds them up instead, which makes it AC",
        )


def _ran(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Runs the module's own function; an error that it raises is the module's."""
    return func(*args, **kwargs)


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _holds_values(x: Tensor) -> bool:
    """Whether a tensor is other than zeros; one that can't be read (inside vmap) is."""
    try:
        return bool(x.any())
    except RuntimeError:
        return True


def _open(func: types.FunctionType) -> types.FunctionType:
    """A function of torch that no longer offers itself to the mode, so that what it calls is."""

    def never(*args: object) -> bool:
        return False

    names = [n for n in func.__globals__ if n.startswith("has_torch_function")]
    copy = types.FunctionType(
        func.__code__, {**func.__globals__, **dict.fromkeys(names, never)}, func.__name__,
        func.__defaults__, func.__closure__,
    )  # fmt: skip
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


def _is_signature(error: TypeError) -> bool:
    """Whether an error says that a rule was called with arguments that it doesn't have."""
    return "argument" in str(error) and error.__traceback__ is not None and \
        error.__traceback__.tb_next is None  # fmt: skip


_SPELLINGS = {
    "axis": "dim",
    "keepdims": "keepdim",
    "other": "y",
    "kernel_size": "kernel",
    "output_size": "size",
    "normalized_shape": "shape",
    "num_groups": "groups",
    "running_mean": "mean",
    "running_var": "var",
    "mat2": "y",
    "tensors": "parts",
}
