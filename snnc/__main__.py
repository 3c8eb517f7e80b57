"""`python -m snnc`, and the console script `snnc`."""

from __future__ import annotations

import errno
import io
import os
import sys

INTERRUPTED = 130
WRONG_OUTPUT = 2


def main() -> None:
    """The command line; Ctrl-C ends it quietly from the first moment, imports included."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no µ or × gets a question mark, no traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        from snnc.cli import main as command

        command(prog_name="snnc")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as cause:
        # Files have errors of their own; what is left is a full disk behind standard output.
        if cause.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"standard output can't be written ({cause.strerror})\n")
        sys.exit(WRONG_OUTPUT)


if __name__ == "__main__":
    main()
