"""The script that installs Lava, without a network: what it does and what it leaves."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "install_lava.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_lava", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_pip(script: ModuleType, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> Any:
    calls: list[tuple[str, ...]] = []

    def run(_failure: str, *arguments: str) -> None:
        calls.append(arguments)
        installed.update(item.split("==") for item in arguments if "==" in item)  # type: ignore[arg-type]

    monkeypatch.setattr(script, "run", run)
    monkeypatch.setattr(script, "version", lambda name: installed.get(name))
    monkeypatch.setattr(script, "remove_stray_tests", lambda: None)
    monkeypatch.setattr(script, "check", lambda: "{}")
    return calls


def test_it_installs_pinned_versions_once(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    calls = fake_pip(script, monkeypatch, {"snnc": "0.1.0", "networkx": "3.6.1"})
    assert script.main() == 0
    assert calls[0][:4] == ("-m", "pip", "install", "-c")
    assert Path(calls[0][4]).name == "constraints.txt"
    assert calls[0][5:] == ("asteval==1.0.10",)
    assert calls[1] == ("-m", "pip", "install", "--no-deps", "--ignore-requires-python",
                        "lava-nc==0.10.0", "lava-dl==0.6.0")  # fmt: skip
    assert script.main() == 0
    assert len(calls) == 2
    assert "already installed: lava-nc, lava-dl" in capsys.readouterr().out


def test_without_snnc_it_says_what_to_do(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    calls = fake_pip(script, monkeypatch, {})
    assert script.main() == 1
    assert not calls
    assert "snnc is not installed" in capsys.readouterr().err


def test_a_failing_step_is_an_error_not_a_traceback(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(script, "version", lambda name: "0.1.0" if name == "snnc" else None)
    monkeypatch.setattr(script.sys, "executable", "/bin/false")
    assert script.main() == 1
    error = capsys.readouterr().err
    assert "pip could not install asteval==1.0.10 networkx==3.6.1" in error
    assert "fix:" in error


@pytest.mark.parametrize(("extra", "left"), [(False, False), (True, True)])
def test_only_the_tests_package_of_lava_is_removed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extra: bool, left: bool
) -> None:
    class Placed(metadata.PackagePath):
        def locate(self) -> Path:
            return tmp_path / str(self)

    names = ["lava/proc/lif.py", "tests/__init__.py", "tests/lava/a.py"]
    for name in [*names, "tests/other.py"] if extra else names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(script.metadata, "files", lambda _: [Placed(name) for name in names])
    assert (script.remove_stray_tests() is None) == left
    assert (tmp_path / "tests").exists() == left
    assert (tmp_path / "lava/proc/lif.py").exists()
