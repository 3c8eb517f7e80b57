"""The one tree of errors that snnc raises for a user's mistake or a limit of a target.

Every error names the place (a node or a file), the cause and the fix, and carries the exit code
that the command line returns for it. Anything else that escapes is a bug of snnc.
"""

from __future__ import annotations


class SnncError(Exception):
    """Base of all documented errors.

    Args:
        where: node, file or option that the error is about.
        cause: what is wrong, with the numbers that show it.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, where: str, cause: str, fix: str = "") -> None:
        self.where, self.cause, self.fix = where, cause, fix
        super().__init__(f"{where}: {cause}" + (f"\n  fix: {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.where, self.cause, self.fix)

    def to_dict(self) -> dict[str, object]:
        """The error as plain data, for `--json`."""
        return {
            "error": type(self).__name__,
            "where": self.where,
            "cause": self.cause,
            "fix": self.fix,
            "exit_code": self.exit_code,
        }


class InputError(SnncError):
    """An input array or data file has the wrong name, shape, dtype or range."""

    exit_code = 2


class OptionError(SnncError):
    """An option or a combination of options makes no sense."""

    exit_code = 2


class ModelFileError(SnncError):
    """A model file is missing, truncated, of an unknown kind, or would need code to be run."""

    exit_code = 3


class TraceError(SnncError):
    """A torch module holds something that the tracer can't turn into a graph."""

    exit_code = 3


class ChipFileError(SnncError):
    """A chip's file is missing, no TOML, or lacks a figure, or has one that makes no sense."""

    exit_code = 3


class GraphError(SnncError):
    """A graph is malformed: shapes that don't fit, unknown nodes, a cycle without delay, NaN."""

    exit_code = 3


class ArtefactError(SnncError):
    """An artefact folder is missing, incomplete, altered, or can't be written."""

    exit_code = 3


class RefusedError(SnncError):
    """A node can't be expressed on the target; names the limit and the remedy."""

    exit_code = 4


class ConservationError(SnncError):
    """Two counts of the same in a simulation differ: a bug of snnc, which wants to be reported."""

    exit_code = 1


class ToolError(SnncError):
    """An outside tool (Lava, a framework) is missing, failed or ran into its time limit."""

    exit_code = 5
