"""What is said and drawn of a timed run: golden tables of one made by hand, sums, extremes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import OptionError
from snnc.report.simulation_facts import FORMAT, SimulationFacts
from snnc.report.simulation_plots import plot_simulation
from snnc.report.simulation_tables import MOST_CRITICAL, si, simulation_tables
from snnc.report.tables import WIDTH, rendered
from snnc.targets.cores import CHIPS
from snnc.targets.cores.architecture import read_architecture
from snnc.targets.sim.simulation import (
    CORE_COUNTS,
    LAYER_COUNTS,
    STEP_COUNTS,
    Simulation,
    Spread,
)
from tests.report.layouts import small_chip

A = NDArray[Any]

GOLDEN = """\
small: 3 cores on 2 tiles, 1 chip
2 samples, 50.00% of them right: mean ± standard deviation
3 steps per sample: T = 2 + 1 until the last layer is done

layers, per sample

                                               synaptic     neuron   message    synapse
  layer        cores    messages   packets   operations     energy    energy     energy
 ───────────────────────────────────────────────────────────────────────────────────────
  a                1   3.5 ± 0.7         6           35   638.4 pJ     60 pJ   168.5 pJ
  b                2   1.5 ± 0.7       2.5          100   718.2 pJ     25 pJ     460 pJ
  c                1           1         1            5    79.8 pJ     10 pJ    30.5 pJ

  all layers       3     6 ± 1.4       9.5          140   1.436 nJ     95 pJ     659 pJ

· the host sends 5.5 packets more, the input

energy per inference

  cause      spent when                         mean ± sd    share
 ──────────────────────────────────────────────────────────────────
  neuron     neurons are updated                 1.436 nJ     3.4%
  spike      neurons make messages                      0
  axon       cores send packets          95.00 ± 21.21 pJ     0.2%
  hop        packets cross links         44.00 ± 11.31 pJ     0.1%
  delivery   packets enter cores          165.0 ± 31.1 pJ     0.4%
  synapse    synaptic operations         659.0 ± 108.9 pJ     1.6%
  barrier    cores wait for each other           9.000 pJ     0.0%
  leakage    leakage, all the time        40.00 ± 5.66 nJ    94.3%

  total                                   42.41 ± 5.83 nJ   100.0%

steps, means over the samples

                                                  synaptic          energy without
  step   cycles     time   messages   packets   operations   hops          leakage
 ──────────────────────────────────────────────────────────────────────────────────
  0         110   220 ns          0       3.5           35      1         692.8 pJ
  1         230   460 ns          5       9.5           95     10         1.131 nJ
  2          60   120 ns          1         2           10      0         584.8 pJ

cores, per sample; when their units are done, as a share of the steps' length

                          mes-   packets         opera-   neu-   out-   in-   last
  core   tile   layers   sages        in   out    tions    ron    put   put     in     energy
 ─────────────────────────────────────────────────────────────────────────────────────────────
  0      0, 0   a          3.5       5.5     6       35     6%    11%   41%    0.5   930.4 pJ
  1      0, 0   b          1.5       7.5   2.5       95     6%     9%   91%      2   1.178 nJ
  2      1, 1   b            1         2     1       10     2%     2%   12%      0   255.6 pJ
                c

links, per sample

  from tile   to tile     packets   in use   energy
 ───────────────────────────────────────────────────
  0, 0           1, 0   8.5 ± 2.1    2.12%    34 pJ
  1, 0           1, 1   2.5 ± 0.7    0.62%    10 pJ

time per inference     800.0 ± 113.1 ns, the slowest 880 ns (sample 1)
a step                 133.3 cycles (266.7 ns)
the longest step       260 cycles (520 ns), step 1 of sample 1
inferences per second  1.25 M, one after another, without what the host does
energy per inference   42.41 ± 5.83 nJ
power                  53.01 mW on average
energy × delay         34.26 ± 9.46 fJ·s
operations per second  175 M
way of a packet        0.7333 links, 3 packets in the longest queue

what decides how long the 3 steps of a sample take
· core 1: 2 steps; its input unit is done last, it holds b
· core 0: 0.5 steps; its input unit is done last, it holds a
· the host, which sends the input: 0.5 steps

! 10 of the 24 figures of times and energies of small are estimated, disputed or not published, and
  no result is better than they are:
   - energy.update, axon_out, hop_x, hop_y, local, axon_in, word, barrier, leakage: estimated
   - cycles.ns: nothing has been built
· without an energy of their own, and counted as 0:
   - energy.spike: definition of the snnc array: contained in axon_out
"""

STEPS = {
    "cycles": ((100, 200, 60), (120, 260, 60)),
    "messages": ((0, 4, 1), (0, 6, 1)),
    "packets": ((3, 8, 2), (4, 11, 2)),
    "operations": ((30, 80, 10), (40, 110, 10)),
    "words": ((5, 12, 2), (6, 16, 2)),
    "hops_x": ((1, 6, 0), (1, 9, 0)),
    "hops_y": ((0, 2, 0), (0, 3, 0)),
    "host_packets": ((3, 2, 0), (4, 2, 0)),
}
CORES = {
    "messages": ((3, 1, 1), (4, 2, 1)),
    "sent": ((5, 2, 1), (7, 3, 1)),
    "received": ((5, 6, 2), (6, 9, 2)),
    "operations": ((30, 80, 10), (40, 110, 10)),
    "words": ((5, 12, 2), (6, 16, 2)),
    "update": ((24, 24, 6), (24, 24, 6)),
    "send": ((40, 30, 10), (50, 40, 10)),
    "receive": ((150, 330, 50), (180, 400, 50)),
    "critical": ((0, 2, 0), (1, 2, 0)),
}
LAYERS = {
    "messages": ((3, 1, 1), (4, 2, 1)),
    "sent": ((5, 2, 1), (7, 3, 1)),
    "operations": ((30, 85, 5), (40, 115, 5)),
    "words": ((5, 13, 1), (6, 17, 1)),
}


def spread(values: Any) -> Spread:
    found = Spread(len(values[0]))
    found.add(np.asarray(values))
    return found


def small(samples: int = 2, **changes: Any) -> Simulation:
    """Three cores on two tiles of a chip with the array's costs: a alone on core 0, b on the
    others, c with it on core 2. T = 2, lag 1."""
    found = Simulation(
        architecture=small_chip(),
        steps=2,
        lag=1,
        used=(3, 2, 1),
        tiles=np.asarray([[0, 0], [0, 0], [1, 1]]),
        layers=("a", "b", "c"),
        layer_cores=((0,), (1, 2), (2,)),
        layer_compartments=np.asarray([8, 9, 1]),
        counts={name: np.asarray(STEPS[name])[:samples] for name in STEP_COUNTS},
        cores={name: spread(CORES[name][:samples]) for name in CORE_COUNTS},
        layer={name: spread(LAYERS[name][:samples]) for name in LAYER_COUNTS},
        links=np.asarray([[0, 0, 1, 0], [1, 0, 1, 1]]),
        crossings=spread(((7, 2), (10, 3))[:samples]),
        compartments=np.asarray([8, 8, 2]),
        longest_queue=3,
    )
    return replace(found, **changes)


def silent() -> Simulation:
    """Nothing happens, in no time."""
    chip = small_chip()
    free = replace(chip.energy, **dict.fromkeys(vars(chip.energy), 0.0))
    nothing = {name: np.zeros((1, 3), np.int64) for name in STEP_COUNTS}
    return small(
        1,
        architecture=replace(chip, energy=free),
        counts=nothing,
        cores={name: spread(np.zeros((1, 3))) for name in CORE_COUNTS},
        layer={name: spread(np.zeros((1, 3))) for name in LAYER_COUNTS},
        crossings=spread(np.zeros((1, 2))),
        longest_queue=0,
    )


def tables(found: Simulation, accuracy: float | None = None, **shown: bool) -> str:
    return rendered(simulation_tables(SimulationFacts(found, accuracy), **shown))


def test_all_tables_of_a_small_run() -> None:
    assert tables(small(), 0.5, steps=True, cores=True, links=True) == GOLDEN


def test_the_long_tables_are_asked_for() -> None:
    text = tables(small())
    for title in ("steps, means", "cores, per sample", "links, per sample", "right"):
        assert title in GOLDEN
        assert title not in text
    assert SimulationFacts(small()).table() == text


def test_one_sample_has_no_spread() -> None:
    text = tables(small(1))
    assert "±" not in text
    assert "1 sample\n" in text


def test_nothing_at_all_is_said_too() -> None:
    text = tables(silent(), steps=True, cores=True, links=True)
    for line in ("power                  –", "way of a packet        – links", "total  "):
        assert line in text
    json.dumps(SimulationFacts(silent()).to_dict(), allow_nan=False)


def test_no_line_is_too_wide_for_a_large_run() -> None:
    factor = 1_000_000
    many = {name: np.asarray(STEPS[name]) * factor for name in STEP_COUNTS}
    found = small(
        counts=many,
        cores={name: spread(np.asarray(CORES[name]) * factor) for name in CORE_COUNTS},
        layer={name: spread(np.asarray(LAYERS[name]) * factor) for name in LAYER_COUNTS},
        crossings=spread(np.asarray(((7, 2), (10, 3))) * factor),
    )
    text = tables(found, steps=True, cores=True, links=True)
    assert max(map(len, text.splitlines())) <= WIDTH
    # A cell that is too narrow for its number would be broken in two.
    for cell in ("35,000,000", "3.5 M", "1.5 M", "289 µJ"):
        assert cell in text


def test_only_the_cores_that_decide_most_have_a_line() -> None:
    count = MOST_CRITICAL + 3
    share = np.arange(count)[None] / 10
    found = small(
        used=(count, 1, 1),
        tiles=np.zeros((count, 2), np.int64),
        layer_cores=((0,), (1,), tuple(range(2, count))),
        cores={name: spread(np.ones((1, count))) for name in CORE_COUNTS}
        | {"critical": spread(share)},
        compartments=np.ones(count, np.int64),
    )
    text = tables(found)
    assert [line[2:9].rstrip(":") for line in text.splitlines() if "· core" in line] == [
        f"core {number}" for number in range(count - 1, count - 1 - MOST_CRITICAL, -1)
    ]
    assert "2 other cores: 0.3 steps" in text  # core 0 decided none
    facts = SimulationFacts(found)
    assert sum(item.steps for item in facts.critical) + facts.host_steps == pytest.approx(3)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0 s"), (1.0, "1 s"), (999.94, "999.9 s"), (999.96, "1 ks"), (1e-9, "1 ns"),
     (2.5e-17, "0.025 fs"), (123456.0, "123.5 ks")],
)  # fmt: skip
def test_prefixes(number: float, text: str) -> None:
    assert si(number, "s") == text


def test_chips_say_what_of_them_is_published() -> None:
    notes = {}
    for name in ("loihi1", "loihi2", "array"):
        chip = read_architecture(CHIPS / f"{name}.toml")
        text = " ".join(tables(small(architecture=chip)).replace("!", "").split())
        facts = SimulationFacts(small(architecture=chip))
        notes[name] = facts.no_event_published
        assert ("no time and no energy of a single event stands as published" in text) == (
            name == "loihi2"
        )
        marked = sorted(key for keys in facts.notes.values() for key in keys)
        assert marked == sorted(key for key, item in facts.figures.items() if item["note"])
        for note in facts.notes:
            assert " ".join(note.split()) in text
    assert "cycles.update, axon_out, link, axon_in: estimated from Loihi 1" in " ".join(
        tables(small(architecture=read_architecture(CHIPS / "loihi2.toml"))).split()
    )
    assert notes == {"loihi1": False, "loihi2": True, "array": False}


def test_all_parts_of_the_energy_add_up() -> None:
    data = SimulationFacts(small()).to_dict()
    total = data["energy_pJ"]["mean"]
    causes = {cause: item["mean"] for cause, item in data["energy_pJ"]["by_cause"].items()}
    assert sum(causes.values()) == pytest.approx(total)
    places = sum(sum(core["energy_pJ"].values()) for core in data["per_core"])
    places += sum(link["energy_pJ"] for link in data["per_link"])
    assert places == pytest.approx(total - causes["leakage"])
    assert sum(data["per_step"]["energy_without_leakage_pJ"]) == pytest.approx(places)
    assert np.mean(data["per_sample"]["energy_pJ"]) == pytest.approx(total)
    assert causes["synapse"] == pytest.approx(0.1 * 140 + 30 * 21.5)
    assert causes["leakage"] == pytest.approx(0.05e12 * 400 * 2e-9)
    assert data["watts"] == pytest.approx(total * 1e-12 / 800e-9)


def test_all_counts_add_up() -> None:
    data = SimulationFacts(small(), 0.5).to_dict()
    assert set(data) == {
        "format", "chip", "samples", "steps", "lag", "cores", "tiles", "chips", "accuracy",
        "seconds", "inferences_per_second", "energy_pJ", "watts", "energy_delay_Js", "counts",
        "longest_step", "operations_per_second", "hops_per_packet", "longest_queue", "host_steps",
        "layers", "per_core", "per_link", "per_step", "per_sample", "figures",
    }  # fmt: skip
    assert (data["format"], data["chip"], data["accuracy"]) == (FORMAT, "small", 0.5)
    for name, values in STEPS.items():
        steps = data["per_step"][name]
        assert steps == pytest.approx(np.mean(values, 0).tolist())
        assert data["counts"][name]["mean"] == pytest.approx(sum(steps))
        assert data["counts"][name]["std"] == pytest.approx(np.std(np.sum(values, 1), ddof=1))
    for name in ("messages", "operations", "words"):
        for part in (data["layers"].values(), data["per_core"]):
            found = sum(item[name]["mean"] for item in part)
            assert found == pytest.approx(data["counts"][name]["mean"])
    assert data["per_step"]["fewest_cycles"] == [100, 200, 60]
    assert data["per_step"]["most_cycles"] == [120, 260, 60]
    assert data["longest_step"] == {"cycles": 260, "sample": 1, "step": 1}
    assert data["per_sample"]["cycles"] == [360, 440]
    assert "accuracy" not in SimulationFacts(small()).to_dict()


def test_the_energies_of_the_layers_add_up() -> None:
    data = SimulationFacts(small()).to_dict()
    causes = data["energy_pJ"]["by_cause"]
    parts = {"neurons": ["neuron"], "messages": ["spike", "axon"], "synapses": ["synapse"]}
    for part, names in parts.items():
        found = sum(layer["energy_pJ"][part] for layer in data["layers"].values())
        assert found == pytest.approx(sum(causes[name]["mean"] for name in names))
    assert data["layers"]["a"]["energy_pJ"] == pytest.approx(
        {"neurons": 26.6 * 8 * 3, "messages": 60.0, "synapses": 3.5 + 165}
    )


def test_a_link_is_in_use_for_as_long_as_a_packet_takes_it() -> None:
    chip = small_chip()
    slow = replace(chip, cycles=replace(chip.cycles, link=3))
    found = SimulationFacts(small(architecture=slow)).to_dict()["per_link"]
    assert [link["busy"] for link in found] == pytest.approx([3 * 8.5 / 400, 3 * 2.5 / 400])


def test_every_figure_has_its_source() -> None:
    figures = SimulationFacts(small()).to_dict()["figures"]
    assert len(figures) == 24
    assert all(figure["source"] for figure in figures.values())
    assert figures["energy.word"] == {
        "value": 30.0,
        "source": small_chip().figures["energy.word"].source,
        "note": "estimated",
    }


def test_a_report_is_saved_whole(tmp_path: Path) -> None:
    facts = SimulationFacts(small())
    facts.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(facts.to_dict()))
    with pytest.raises(OptionError, match=r"\.json"):
        facts.save(tmp_path / "r.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_run_gives_the_same_picture(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")
    files = [tmp_path / f"{name}.{kind}" for name in "abc"]
    for file, found in zip(files, (small(), small(), small(1)), strict=True):
        plot_simulation(SimulationFacts(found), file)
    first, same, other = (file.read_bytes() for file in files)
    assert first == same
    assert first != other


def test_pictures_of_nothing_and_of_large_meshes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install snnc[plots])")
    alone = small(links=np.zeros((0, 4), np.int64), crossings=spread(np.zeros((1, 0))))
    far = small(tiles=np.asarray([[0, 0], [0, 0], [300, 2]]))
    for number, found in enumerate((silent(), alone, far)):
        plot_simulation(SimulationFacts(found), tmp_path / f"{number}.svg")
    with pytest.raises(OptionError, match=r"\.svg or \.png"):
        plot_simulation(SimulationFacts(small()), tmp_path / "a.gif")
