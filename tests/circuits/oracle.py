"""Converters once more, one instance and one code at a time, in plain Python."""

from collections.abc import Sequence

import numpy as np


def sar(levels: Sequence[float], v_in: float, offset: float = 0.0, drift: float = 0.0) -> int:
    code, bit, time = 0, len(levels) // 2, 0
    while bit:
        time += 1
        if v_in + offset + drift * time >= levels[code + bit]:
            code += bit
        bit //= 2
    return code


def settling_sar(levels: Sequence[float], v_in: float, residue: float) -> int:
    code, bit, output = 0, len(levels) // 2, 0.0
    while bit:
        output = levels[code + bit] + (output - levels[code + bit]) * residue
        if v_in >= output:
            code += bit
        bit //= 2
    return code


def capacitor_level(capacitors: Sequence[float], code: int) -> float:
    bits = len(capacitors) - 1
    on = sum(capacitors[i] for i in range(bits) if code >> bits - 1 - i & 1)
    return on / sum(capacitors)


def ladder_nodes(
    legs: Sequence[float], series: Sequence[float], code: int, up: float = 0.0, down: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conductance matrix, node voltages (MSB first), leg resistances, by a dense solve."""
    bits = len(legs) - 1
    matrix, current = np.zeros((bits, bits)), np.zeros(bits)
    resistances = np.zeros(bits)
    for i in range(bits):
        bit = code >> bits - 1 - i & 1
        resistances[i] = legs[i] + (up if bit else down)
        matrix[i, i] += 1 / resistances[i]
        current[i] += bit / resistances[i]
    matrix[-1, -1] += 1 / legs[-1]
    for i in range(bits - 1):
        for a, b in ((i, i + 1), (i + 1, i)):
            matrix[a, a] += 1 / series[i]
            matrix[a, b] -= 1 / series[i]
    return matrix, np.linalg.solve(matrix, current), resistances


class Side:
    """One capacitor array with a floating top plate that keeps its charge."""

    def __init__(self, capacitors: Sequence[float], plates: Sequence[float]) -> None:
        self.capacitors, self.plates, self.top = list(capacitors), list(plates), 0.0

    def switch(self, changes: dict[int, float]) -> float:
        """Moves bottom plates; the charge that v_ref = 1 gives."""
        before = [c * (b - self.top) for c, b in zip(self.capacitors, self.plates, strict=True)]
        floating = -sum(before)
        for index, level in changes.items():
            self.plates[index] = level
        pull = sum(c * b for c, b in zip(self.capacitors, self.plates, strict=True))
        self.top = (floating + pull) / sum(self.capacitors)
        after = [c * (b - self.top) for c, b in zip(self.capacitors, self.plates, strict=True)]
        return sum(
            new - old for new, old, b in zip(after, before, self.plates, strict=True) if b == 1
        )


def conventional_energy(capacitors: Sequence[float], code: int, *, complement: bool) -> float:
    bits = len(capacitors) - 1
    on, off = (0.0, 1.0) if complement else (1.0, 0.0)
    side = Side(capacitors, [off] * (bits + 1))
    energy = side.switch({0: on})
    for i in range(1, bits):
        kept = code >> bits - i & 1
        energy += side.switch({i: on} if kept else {i - 1: off, i: on})
    return energy


def split_energy(capacitors: Sequence[float], code: int, *, complement: bool) -> float:
    bits = len(capacitors) // 2
    on, off = (0.0, 1.0) if complement else (1.0, 0.0)
    side = Side(capacitors, [off] * (2 * bits))
    energy = side.switch(dict.fromkeys(range(bits, 2 * bits), on))
    for i in range(1, bits):
        kept = code >> bits - i & 1
        energy += side.switch({i - 1: on} if kept else {bits + i - 1: off})
    return energy


def pulled_energy(up: Sequence[float], down: Sequence[float], code: int, rest: float) -> float:
    """Monotonic (rest 1) and Vcm-based (rest ½): a decision switches one element of each side."""
    bits = len(up)
    sides = Side(up, [rest] * bits), Side(down, [rest] * bits)
    energy = 0.0
    for i in range(bits - 1):
        bit = code >> bits - 1 - i & 1
        energy += sides[0].switch({i: float(bit)}) if rest != 1 or not bit else 0.0
        energy += sides[1].switch({i: float(1 - bit)}) if rest != 1 or bit else 0.0
    return energy


def trial_level(
    scheme: str, up: Sequence[float], down: Sequence[float], bits: int, code: int
) -> float:
    """Input at which the comparator ties while `code` is on trial, from the top plates."""
    tried = bits - (code & -code).bit_length()  # decisions before the trial
    if scheme in ("monotonic", "vcm"):
        rest = 1.0 if scheme == "monotonic" else 0.5
        sides = Side(up, [rest] * len(up)), Side(down, [rest] * len(down))
        for i in range(tried):
            bit = code >> bits - 1 - i & 1
            sides[0].switch({i: float(bit)})
            sides[1].switch({i: float(1 - bit)})
        return (1 + sides[0].top - sides[1].top) / 2
    tops = []
    for capacitors, on in ((up, 1.0), (down, 0.0)):
        side = Side(capacitors, [1 - on] * len(capacitors))
        msb = range(bits, 2 * bits) if scheme == "split" else range(1)
        side.switch(dict.fromkeys(msb, on))
        for i in range(1, tried + 1):
            kept = code >> bits - i & 1
            if scheme == "split":
                side.switch({i - 1: on} if kept else {bits + i - 1: 1 - on})
            else:
                side.switch({i: on} if kept else {i - 1: 1 - on, i: on})
        tops.append(side.top)
    return (tops[0] - tops[1]) / 2
