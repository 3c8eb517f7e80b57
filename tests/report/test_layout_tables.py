"""What is said and drawn of a layout: golden tables, links by hand, meshes of any size."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from snnc.errors import OptionError
from snnc.report.layout_facts import LayoutFacts
from snnc.report.layout_plots import plot_layout
from snnc.report.layout_tables import MARKS, MeshPicture, colours, layout_tables
from snnc.report.pictures import BLUE
from snnc.report.tables import WIDTH, rendered
from snnc.targets.cores.architecture import Mesh
from snnc.targets.cores.axons import build_axons
from snnc.targets.cores.checks.validate import Usage, validate
from snnc.targets.cores.layout import Layout
from snnc.targets.cores.mapping import Core, Mapping, Slice
from snnc.targets.cores.program import Program
from tests.report.layouts import USED, layout, neurons, small_chip, small_layout, small_mapping

GOLDEN = """\
small: 5 of 24 cores on 4 tiles, 2 of 2 chips
52 axons from cores, 24 from the host, 48 over the busiest link

layers

  layer        shape   neurons   cores   largest slice   synapses
 ─────────────────────────────────────────────────────────────────
  conv         1×4×4        16       2           1×2×4        100
  b                4         4       3               2         64
  out              1         1       1               1          4

  all layers                21       5                        168

how full the fullest core is

               compart-   popula-              in      out
  layer           ments     tions   words   axons    axons   tightest
 ──────────────────────────────────────────────────────────────────────
  conv            80.0%     25.0%   11.2%   37.5%   100.0%   out axons
  b               20.0%     50.0%   25.0%   62.5%     8.3%   in axons
  out             20.0%     50.0%   25.0%   62.5%     4.2%   in axons

  all layers      80.0%     50.0%   25.0%   62.5%   100.0%   out axons

cores

                                                 compart-   popula-              in      out
  core   tile   slot   holds           neurons      ments     tions   words   axons    axons
 ────────────────────────────────────────────────────────────────────────────────────────────
  0      0, 0      0   conv[:,0:2,:]         8      80.0%     25.0%   11.2%   37.5%   100.0%
  1      0, 0      1   conv[:,2:4,:]         8      80.0%     25.0%   11.2%   37.5%   100.0%
  2      2, 1      1   b.0                   2      20.0%     25.0%   20.0%   50.0%     8.3%
  3      4, 0      0   b.1[0:1]              2      20.0%     50.0%   25.0%   62.5%     4.2%
                       out
  4      1, 1      0   b.1[1:2]              1      10.0%     25.0%   20.0%   50.0%     4.2%

chip 0, 0    chip 1, 0
1 ·· b· ·b   1 ·· ·· ··
0 aa ·· ··   0 ·· +· ··
  0  1  2      3  4  5

a conv   b b   c out   + several layers   · empty
"""


def on_mesh(mesh: Mesh, *seats: tuple[tuple[int, int], int]) -> Layout:
    """The small program on another mesh; cores beyond the named seats stay where they are."""
    cores = list(small_mapping().cores)
    for number, (tile, slot) in enumerate(seats):
        cores[number] = Core(tile, slot, cores[number].slices)
    return layout(Mapping("small", tuple(cores)), replace(small_chip(), mesh=mesh))


def picture(found: Layout) -> list[str]:
    """The lines of the mesh."""
    return rendered([MeshPicture(LayoutFacts(found))]).splitlines()


def test_tables_and_mesh_of_a_small_layout() -> None:
    assert rendered(layout_tables(small_layout(), cores=True)) == GOLDEN


def test_the_table_of_cores_is_asked_for() -> None:
    assert "\ncores\n" not in rendered(layout_tables(small_layout()))


def test_what_was_counted_by_hand_is_what_the_validator_counts() -> None:
    small = small_layout()
    usage = validate(small.program, small.mapping, small.axons, small.architecture)
    for item in fields(Usage):
        assert tuple(getattr(usage, item.name)) == USED[item.name], item.name


def test_axons_go_along_x_and_then_along_y() -> None:
    # 16 neurons with 3 axons each leave (0, 0); the host is there, too. b has one to the output.
    assert LayoutFacts(small_layout()).links == {
        ((0, 0), (1, 0)): 48,
        ((1, 0), (1, 1)): 16,
        ((1, 0), (2, 0)): 32,
        ((1, 1), (2, 1)): 1,
        ((2, 0), (2, 1)): 16,
        ((2, 0), (3, 0)): 16,
        ((2, 1), (3, 1)): 3,
        ((3, 0), (4, 0)): 16,
        ((3, 1), (4, 1)): 3,
        ((4, 1), (4, 0)): 3,
    }


def test_axons_go_west_and_south_and_come_from_the_host() -> None:
    mesh = Mesh(3, 2, 2, (2, 1), (5, 1))
    links = LayoutFacts(on_mesh(mesh, ((4, 0), 1), ((4, 0), 0), ((3, 0), 0), ((3, 0), 1))).links
    # 12 of the host's axons for either half; 32 of 48 end at (3, 0), the rest at (1, 1).
    assert links == {
        ((5, 1), (4, 1)): 24,
        ((4, 1), (4, 0)): 24,
        ((4, 0), (3, 0)): 48,
        ((3, 0), (2, 0)): 16,
        ((2, 0), (1, 0)): 16,
        ((1, 0), (1, 1)): 16,
        ((1, 1), (2, 1)): 1,
        ((2, 1), (3, 1)): 1,
        ((3, 1), (3, 0)): 1,
    }


def test_a_wide_mesh_is_shown_in_parts_that_fit() -> None:
    found = picture(on_mesh(Mesh(200, 2, 2, (1, 1), (0, 0)), ((150, 1), 0)))
    assert max(map(len, found)) <= WIDTH
    empty = " ··" * 27
    assert found == [
        "chip 0, 0",
        f"1 ·· b· ·b ·· ··{empty}",
        f"0 ·a ·· ·· ·· +·{empty}",
        "  " + "".join(f"{x:<3}" for x in range(32)).rstrip(),
        "",
        "chip 0, 0",
        "1" + " ··" * 22 + " a·",
        "0" + " ··" * 23,
        "  " + "".join(f"{x:<6}" for x in range(128, 151, 2)).rstrip(),
        "",
    ]


def test_a_high_mesh_is_cut_to_what_is_used() -> None:
    found = picture(on_mesh(Mesh(3, 1000, 2, (2, 1), (0, 0)), ((0, 40), 0)))
    assert [line.split()[0] for line in found if line][1:-1] == [str(y) for y in range(40, -1, -1)]


def test_many_slots_take_several_lines() -> None:
    found = picture(on_mesh(Mesh(6, 2, 20, (1, 1), (0, 0)), ((0, 0), 19), ((0, 0), 8)))
    assert [line[:19].rstrip() for line in found] == [
        "chip 0, 0",
        "1 ········ b·······",
        "  ········ ········",
        "  ····     ····",
        "0 ········ ········",
        "  a······· ········",
        "  ···a     ····",
        "  0        1",
        "",
    ]


def test_chips_stand_as_they_lie() -> None:
    found = picture(on_mesh(Mesh(3, 2, 2, (2, 2), (0, 0)), ((4, 3), 1)))
    assert [line for line in found if line.startswith("chip")] == [
        "chip 1, 1",
        "chip 0, 0    chip 1, 0",
    ]


def test_more_layers_than_letters_share_a_mark() -> None:
    names = [f"layer{number}" for number in range(len(MARKS) + 2)]
    program = Program({name: neurons(1) for name in names}, ())
    cores = tuple(Core((n, 0), 0, (Slice(name, (0,), (1,)),)) for n, name in enumerate(names))
    mapping = Mapping("small", cores)
    chip = replace(small_chip(), mesh=Mesh(len(names), 1, 1, (1, 1), (0, 0)))
    usage = Usage(*(np.ones(len(cores), np.int64) for _ in fields(Usage)))
    found = Layout(program, chip, "", mapping, build_axons(program, mapping, chip), usage)
    rows = [line[2:] for line in picture(found) if line.startswith("0 ")]
    assert "".join(rows).replace(" ", "") == MARKS + "##"
    assert "# 2 more layers" in rendered(layout_tables(found))
    assert LayoutFacts(found).links == {}


def test_colours_differ() -> None:
    for count in (3, 7, 8, 60):
        found = colours([str(number) for number in range(count)])
        assert len(set(found.values())) == count


def test_terminals_get_colours_and_files_none() -> None:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, color_system="truecolor")
    for part in layout_tables(small_layout()):
        console.print(part)
    red, green, blue = bytes.fromhex(BLUE[1:])
    assert f"38;2;{red};{green};{blue}maa" not in text.getvalue()
    assert f"38;2;{red};{green};{blue}ma" in text.getvalue()
    assert "\x1b" not in rendered(layout_tables(small_layout()))


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_layout_gives_the_same_picture(kind: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.{kind}" for name in "abc"]
    moved = on_mesh(small_chip().mesh, ((5, 1), 0))
    for file, found in zip(files, (small_layout(), small_layout(), moved), strict=True):
        plot_layout(found, file)
    first, same, other = (file.read_bytes() for file in files)
    assert first == same
    assert first != other


def test_pictures_have_a_kind(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.svg or \.png"):
        plot_layout(small_layout(), tmp_path / "a.gif")
