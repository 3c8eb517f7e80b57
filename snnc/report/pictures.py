"""What all pictures share: names, look, and bytes that only depend on what is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from snnc.atomic import write_whole
from snnc.errors import OptionError, ToolError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")

# Okabe & Ito's palette: told apart with every common colour blindness.
BLUE, SKY, ORANGE, PURPLE = "#0072B2", "#56B4E9", "#E69F00", "#CC79A7"
YELLOW, GREEN, VERMILION, GREY = "#F0E442", "#009E73", "#D55E00", "#999999"

_LOOK = {
    "svg.hashsalt": "snnc",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


INK, FACE, LINK = "#333333", "#F2F2F2", "#777777"
"""Of meshes: frames, tiles, links."""
HOST: dict[str, Any] = {"marker": "D", "markersize": 5, "color": INK, "linestyle": ""}
"""How the host is marked beside a mesh."""


def frame_mesh(axes: Axes, low: NDArray[Any], high: NDArray[Any]) -> None:
    """Leaves of the axes of a mesh what has room from `low` to `high`, (x, y) each, undistorted."""
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")


def check_picture(path: str | Path) -> Path:
    """The file, if a picture of that name can be drawn.

    Raises:
        OptionError: the name doesn't end in `.svg` or `.png`.
        ToolError: matplotlib isn't installed.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise OptionError(
            str(path), f"pictures are {' or '.join(SUFFIXES)} files", f"{file.stem}.svg"
        )
    if find_spec("matplotlib") is None:
        raise ToolError(
            str(path), "pictures need matplotlib, which is not installed",
            "pip install snnc[plots]",
        )  # fmt: skip
    return file


def save_picture(draw: Callable[[], Figure], file: Path) -> None:
    """Writes what `draw` draws, whole or not at all.

    Raises:
        OptionError: it can't be written.
    """
    import matplotlib.style

    data, kind = io.BytesIO(), file.suffix[1:]
    # What says when and with what it was drawn would make the bytes differ.
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.style.context(["default", _LOOK]):
        draw().savefig(data, format=kind, dpi=150, metadata=metadata)
    write_whole(file, data.getvalue(), OptionError)
