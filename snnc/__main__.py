"""`python -m snnc`, and the console script `snnc`."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """The command line; Ctrl-C ends it quietly from the first moment, imports included."""
    try:
        from snnc.cli import main as command

        command(prog_name="snnc")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
