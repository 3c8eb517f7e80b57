"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from snnc.errors import SnncError


def write_whole(path: Path, data: bytes | memoryview, error: type[SnncError]) -> None:
    """Writes a file beside its place and moves it there in one step.

    A failure or an interrupt leaves what was there as it was.

    Raises:
        error: it can't be written.
    """
    if not path.name:
        raise error(str(path), "is no name for a file", "give the file a name")
    # The move would put a file in the place of a device or pipe.
    if path.exists() and not path.is_file():
        raise error(str(path), "can't be written (is no ordinary file)", "choose another place")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise error(str(path), f"can't be written ({reason})", "choose another place") from cause
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
