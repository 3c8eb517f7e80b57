"""Writes the table in `docs/operations.md` by compiling and running every operation.

    python scripts/operation_table.py

The networks are those of `tests/operations.py`, with numbers that every chip holds exactly, so
that a spike which differs is due to the operation and not to rounded weights.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from snnc.artefact import Artefact  # noqa: E402
from snnc.compiler import Options, compile_model  # noqa: E402
from snnc.errors import RefusedError  # noqa: E402
from snnc.verify import check_inputs, run_stage, verify  # noqa: E402
from tests.operations import OPERATIONS, Operation, model  # noqa: E402

PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- table: made by scripts/operation_table.py -->", "<!-- end of the table -->"
TARGETS = {"sim": ("sim", "loihi2"), "Loihi 2": ("loihi", "loihi2"), "Loihi 1": ("loihi", "loihi1")}
SEEDS = range(4)


def verdict(operation: Operation, target: str, chip: str) -> tuple[str, str]:
    """(`exact`, `quantised`, `host` or `refused`, the reason of a refusal)."""
    same = True
    hosted = False
    for seed in SEEDS:
        try:
            artefact = compile_model(model(operation, seed, "grid"), Options(target, chip))
        except RefusedError as error:
            return "refused", f"{error.cause}. Fix: {error.fix}"
        stages = ["s2", "sim", *(["loihi"] if target == "loihi" else [])]
        report = verify(artefact, stages=stages)
        if not report.ok:
            raise SystemExit(f"{operation.name} on {chip}: {report}")
        hosted = hosted or (operation.group == "host" and "host" in artefact.manifest)
        same = same and _no_spike_differs(artefact)
    return ("host" if hosted else "exact" if same else "quantised"), ""


def _no_spike_differs(artefact: Artefact) -> bool:
    """Whether S2 answers what S1 answers: every spike, every membrane that is an output."""
    assert artefact.example is not None
    samples = check_inputs(artefact, artefact.example.inputs)
    pair = verify(artefact, stages=["s1", "s2"]).pairs[0]
    real, whole = (run_stage(artefact, stage, samples).outputs for stage in ("s1", "s2"))
    units = {name: item["unit"] for name, item in artefact.manifest["outputs"].items()}
    return pair.differing == 0 and all(
        np.allclose(whole[name] * units[name], real[name], rtol=1e-9, atol=1e-9) for name in real
    )


def table() -> str:
    """The table and the reasons of the refusals, as Markdown."""
    lines: list[str] = []
    reasons: list[str] = []
    for group, rows in groupby(OPERATIONS, key=lambda row: row.group):
        lines += ["", f"### {group.capitalize()}", "", f"| | {' | '.join(TARGETS)} |"]
        lines.append("|---" * (len(TARGETS) + 1) + "|")
        for row in rows:
            cells = []
            for target, chip in TARGETS.values():
                word, reason = verdict(row, target, chip)
                if reason and reason not in reasons:
                    reasons.append(reason)
                cells.append(f"{word} [{reasons.index(reason) + 1}]" if reason else word)
            lines.append(f"| {row.name} | {' | '.join(cells)} |")
    notes = [f"{index}. {reason}" for index, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", "### What is refused, and what to do", "", *notes, ""])


def page() -> str:
    """The page with a fresh table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
