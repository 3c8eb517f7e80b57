"""Pictures: the same bytes every time, both kinds, and what they name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from snnc.energy.conventions.base import Settings
from snnc.energy.report import build_report
from snnc.errors import OptionError, ToolError
from snnc.report import energy_plots, pictures
from tests.energy.examples import PRICES, large_report, small_counts, small_report

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")


def written(path: Path) -> str:
    """All texts of an SVG: matplotlib draws them as paths and leaves the words as comments."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    root = ET.parse(path, parser).getroot()
    comments = [item.text or "" for item in root.iter() if item.tag is ET.Comment]  # type: ignore[comparison-overlap]
    return "\n".join(text.strip() for text in comments)


def test_svg_names_layers_causes_units_and_prices(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    small_report().plot(path)
    words = written(path)
    for said in (
        "first", "second", "norm", "lif", "synapses", "neuron", "energy per sample (pJ)", "step",
        "rate", "207.4 pJ", "133.8 pJ", "110.4 pJ", "45nm-fp32 (32-bit float)", "same shape",
    ):  # fmt: skip
        assert said in words, said
    assert "INCOMPLETE" not in words


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_same_bytes_every_time(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        large_report(layers=2).plot(tmp_path / f"{name}.{kind}")
    first = (tmp_path / f"a.{kind}").read_bytes()
    assert first == (tmp_path / f"b.{kind}").read_bytes()
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert b"<dc:date>" not in first
    assert sorted(item.name for item in tmp_path.iterdir()) == [f"a.{kind}", f"b.{kind}"]


def test_a_deep_network_keeps_names_and_energy(tmp_path: Path) -> None:
    report = large_report(layers=36)
    rows = energy_plots._energies(report)
    assert len(rows) == energy_plots.MOST_ROWS
    assert next(iter(rows)) == "layer1.0.conv"
    assert list(rows)[-1] == "29 smaller layers"
    total = sum(sum(causes.values()) for causes in rows.values())
    assert total == pytest.approx(report.figure().per_step.energy.mean)
    report.plot(tmp_path / "a.svg")
    words = written(tmp_path / "a.svg")
    assert all(f"layer4.{index}.lif" in words for index in range(9))
    assert "INCOMPLETE" in words


def test_every_cause_has_its_own_colour() -> None:
    from snnc.energy.counts import Cause

    assert set(energy_plots.COLOURS) == set(Cause)
    assert len(set(energy_plots.COLOURS.values())) == len(Cause)


def test_no_energy_at_all_can_be_drawn(tmp_path: Path) -> None:
    from tests.energy.examples import Plain

    counts = small_counts(synapses=(), lines=(), populations=())
    build_report("m", counts, [Plain()], PRICES, Settings()).plot(tmp_path / "a.svg")
    assert "0 pJ" in written(tmp_path / "a.svg")


def test_nothing_to_draw(tmp_path: Path) -> None:
    counts = small_counts(synapses=(), lines=(), populations=())
    with pytest.raises(OptionError, match="nothing to draw"):
        build_report("m", counts, [], PRICES, Settings()).plot(tmp_path / "a.svg")


def test_wrong_suffix(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.svg or \.png"):
        small_report().plot(tmp_path / "a.pdf")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install snnc\[plots\]"):
        small_report().plot(tmp_path / "a.svg")


def test_reports_load_without_matplotlib() -> None:
    code = "import snnc.energy.report, snnc.report.energy_tables, snnc.report.energy_plots, sys"
    import subprocess

    assert importlib.util.find_spec("matplotlib") is not None
    command = [sys.executable, "-c", f"{code}; sys.exit('matplotlib' in sys.modules)"]
    assert subprocess.run(command, check=False).returncode == 0
