"""Type-checks the packages as they are installed: `targets/` as snnc.targets, `circuits/` too.

mypy doesn't follow setuptools' package-dir, so it is shown a folder of links laid out that way.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Exit code of mypy over the whole project."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "snnc"
        package.mkdir()
        for entry in (ROOT / "snnc").iterdir():
            (package / entry.name).symlink_to(entry)
        for name in ("targets", "circuits"):
            (package / name).symlink_to(ROOT / name)
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        command += ["--cache-dir", str(ROOT / ".mypy_cache"), "-p", "snnc"]
        return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
