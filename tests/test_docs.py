"""Every `$ snnc` command that the documentation shows runs; every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnc.frontends.model_file import save_model
from tests import planes

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / "benchmarks" / "README.md",
]
PYTHON = re.compile(r"```python\n(.*?)```", re.S)
BLOCK = re.compile(r"```console\n(.*?)```", re.S)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def commands(page: Path) -> list[str]:
    return [
        line[2:]
        for block in BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def test_the_documentation_shows_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the examples, a model of one's own and samples for it, and a model of
    bit planes with images."""
    from examples.digits.data import write

    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write(tmp_path / "demo-out")
    (tmp_path / "x.npz").symlink_to(tmp_path / "demo-out" / "test.npz")
    (tmp_path / "model.pt").symlink_to(ROOT / "examples" / "digits" / "mlp.pt")
    save_model(planes.model(8), tmp_path / "planes.pt")
    np.savez(tmp_path / "images.npz", images=planes.images(8))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_run(page: Path, workplace: Path) -> None:
    for command in commands(page):
        program, *rest = shlex.split(command, comments=True)
        run = {"snnc": [sys.executable, "-m", "snnc"], "python": [sys.executable]}[program]
        done = subprocess.run([*run, *rest], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_python_runs(page: str, workplace: Path) -> None:
    import torch

    from examples.digits import cnn, data, mlp

    (workplace / "model.pt").unlink()
    _, _, x, y = data.load()
    images, labels = torch.from_numpy(x[:20]), torch.from_numpy(y[:20])
    names = {
        "module": mlp.build().eval(),
        "loop_module": mlp.build().eval(),
        "step_module": cnn.build().eval(),
        "images": images,
        "sequences": images[None].repeat(4, 1, 1, 1, 1),
        "example_input": images,
        "x": images,
        "y": labels,
    }
    for block in PYTHON.findall((ROOT / page).read_text(encoding="utf-8")):
        exec(block, names)
    assert (workplace / "model.pt").exists()
    assert "report" not in names or names["report"].ok  # type: ignore[attr-defined]
