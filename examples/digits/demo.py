"""The whole way on the digits CNN: compile for Loihi 2, then prove it stage by stage.

Run as `make demo`, or `python -m examples.digits.demo` from the project's folder.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from examples.digits.data import write

HERE = Path(__file__).parent
OUT = Path("demo-out")


def snnc(arguments: str) -> None:
    """Shows and runs one command; a command that fails ends the demo with its exit code."""
    print(f"\n$ snnc {arguments}", flush=True)
    command = [sys.executable, "-m", "snnc", *shlex.split(arguments)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603
    if code:
        sys.exit(code)


def main() -> None:
    """Compile, show and verify; everything lands in demo-out/."""
    start = time.perf_counter()
    model = (HERE / "cnn.pt").relative_to(Path.cwd())
    write(OUT)
    snnc(f"compile {model} --target loihi --calibrate {OUT}/train.npz -o {OUT}/cnn --force")
    snnc(f"show {OUT}/cnn")
    snnc(f"verify {OUT}/cnn --input {OUT}/test.npz")
    print(f"\ndone in {time.perf_counter() - start:.0f} s; the artefact is in {OUT}/cnn")


if __name__ == "__main__":
    main()
