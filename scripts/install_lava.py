"""Installs Lava next to snnc, for the stage `lava` and for reading .net files back with netx.

    python scripts/install_lava.py

Run it with the Python that snnc is installed in (`.venv/bin/python`). Lava is archived upstream:
its packages say that they need Python 3.10 and old versions of numpy and torch, so pip can't
resolve them as an extra. They do run on Python 3.11 and newer with what snnc installs, with
the small shim in targets/loihi/lava_worker.py. So this script installs what Lava imports under
snnc's constraints, then Lava itself without its own requirements. It does nothing where that is
done already. Everything else of snnc works without Lava.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
NEEDED = {"asteval": "1.0.10", "networkx": "3.6.1"}
LAVA = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}
CHECK = ("-m", "snnc.targets.loihi.lava_worker", "--check")
CHECK_SECONDS = 120


class InstallError(Exception):
    """A step failed; the message says which and what to do."""


def main() -> int:
    """Exit code: 0 where Lava works afterwards."""
    try:
        require_snnc()
        install(NEEDED, "-c", str(CONSTRAINTS))
        install(LAVA, "--no-deps", "--ignore-requires-python")
        removed = remove_stray_tests()
        found = check()
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if removed:
        print(f"removed {removed}: a package that Lava's wheel leaves at top level")
    print(f"Lava works: {found}")
    return 0


def require_snnc() -> None:
    """snnc itself must be there, since the check runs its shim."""
    if version("snnc") is None:
        raise InstallError(
            f"snnc is not installed in {sys.executable}\n"
            "  fix: pip install -e . -c constraints.txt, or run make demo"
        )


def version(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def install(packages: dict[str, str], *options: str) -> None:
    """Installs what is missing or of another version."""
    missing = [f"{name}=={wanted}" for name, wanted in packages.items() if version(name) != wanted]
    if not missing:
        print(f"already installed: {', '.join(packages)}")
        return
    run("pip could not install " + " ".join(missing), "-m", "pip", "install", *options, *missing)
    importlib.invalidate_caches()


def run(failure: str, *arguments: str) -> None:
    """Runs this Python with `arguments`, its output shown."""
    if subprocess.run([sys.executable, *arguments], check=False).returncode:  # noqa: S603
        raise InstallError(f"{failure}\n  fix: see its message above, then run this script again")


def remove_stray_tests() -> Path | None:
    """Removes the `tests` package that Lava's wheels put next to `lava`.

    It would stand in for a project's own tests folder. Another package's is left alone.
    """
    files = [file for name in LAVA for file in metadata.files(name) or []]
    ours = {Path(str(file)): file for file in files if file.parts[0] == "tests"}
    if not ours:
        return None
    first, file = next(iter(ours.items()))
    root = Path(str(file.locate())).parents[len(first.parts) - 1] / "tests"
    if not root.is_dir():
        return None
    present = {
        path.relative_to(root.parent)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if present <= ours.keys():
        shutil.rmtree(root)
        return root
    print(f"left alone: {root} holds files of other packages")
    return None


def check() -> str:
    """What the shim finds, from a process of its own."""
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *CHECK],
            check=False,
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"importing Lava took longer than {CHECK_SECONDS} s\n  fix: run this script again"
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise InstallError(
            "Lava is installed but does not work:\n    " + "\n    ".join(lines[-6:])
            + "\n  fix: reinstall with the versions of constraints.txt (numpy below 2.4)"
        )  # fmt: skip
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
