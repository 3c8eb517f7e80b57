"""Target `uwe`: the converter's decisions are the planes; what can't stand behind it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.artefact import load
from snnc.circuits.encodings import uwe
from snnc.circuits.sar import SarAdc
from snnc.circuits.spice.deck import Netlist
from snnc.circuits.spice.ngspice import available, simulate
from snnc.compiler import Options, compile_model
from snnc.encoding import Encoding
from snnc.errors import InputError, OptionError, RefusedError
from snnc.frontends.model import Model
from snnc.ir import Graph, Input, Kind, Linear, Neuron, Node, Output, Rate
from snnc.reference import run_int
from snnc.targets import sim
from snnc.targets.registry import target
from snnc.targets.uwe import converter, front_end
from snnc.verify import default_stages, run_stage, verify, why_left_out
from tests.planes import images, model

UWE = target("uwe")


def integer_graph(steps: int | None = 8, kind: Kind = Kind.SPIKE, rate: Rate = Rate.STEP) -> Graph:
    """S2 of a small network behind an input of this kind."""
    nodes: dict[str, Node] = {
        "in": Input((2,), kind, rate),
        "fc": Linear(np.asarray([[0.5, -0.25], [0.75, 1.0], [0.25, 0.5]])),
        "n": Neuron(np.asarray(1.0), np.asarray(1.0), reset="soft"),
        "out": Output(),
    }
    options = Options("sim", encoding="none" if kind is Kind.SPIKE else None)
    return compile_model(Model(Graph.chain(nodes, steps)), options).int_graph


@pytest.mark.parametrize("bits", [1, 5, 8, 16])
def test_the_circuit_gives_the_network_what_it_was_trained_with(bits: int) -> None:
    artefact = compile_model(model(bits), Options("uwe", encoding="uwe"))
    report = verify(artefact, images(bits, 5), ["s1", "s2", "sim", "loihi", "uwe"])
    assert report.ok
    assert [(p.first, p.second) for p in report.pairs][-1] == ("s2", "uwe")
    assert report.pairs[-1].compared


def test_a_converter_that_is_wrong_by_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = compile_model(model(4), Options("uwe", encoding="uwe"))
    real = SarAdc.planes

    def wrong(adc: SarAdc, v_in: Any, **options: Any) -> Any:
        return real(adc, np.maximum(v_in - 1 / 16, 0), **options)

    monkeypatch.setattr(SarAdc, "planes", wrong)
    assert not verify(artefact, images(4, 5), ["s2", "uwe"]).ok


@settings(deadline=None)
@given(st.integers(1, 16), st.integers(1, 40), st.integers(1, 3), st.data())
def test_any_spikes_come_through_the_converter(
    bits: int, steps: int, samples: int, data: st.DataObject
) -> None:
    """Longer sequences are streams of conversions, the last one stopped early."""
    seed = data.draw(st.integers(0, 2**32))
    planes = np.random.default_rng(seed).integers(0, 2, (samples, steps, 2))
    graph = integer_graph(bits)
    found = converter.run(graph, {"in": planes}, {"n": ("s", "v")})
    defined = run_int(graph, {"in": planes}, {"n": ("s", "v")})
    np.testing.assert_array_equal(found.outputs["out"], defined.outputs["out"])
    for key, value in defined.records.items():
        np.testing.assert_array_equal(found.records[key], value)


def test_blocks_do_not_change_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Mapping[str, Any]] = []
    monkeypatch.setattr(sim, "run", lambda graph, inputs, *rest: sent.append(inputs))
    planes = np.random.default_rng(0).integers(0, 2, (7, 8, 2))
    for block in (1, 3, 1 << 15):
        monkeypatch.setattr(converter, "BLOCK", block)
        converter.run(integer_graph(), {"in": planes})
        np.testing.assert_array_equal(sent[-1]["in"], planes)


def test_what_is_no_plane_is_refused() -> None:
    with pytest.raises(InputError, match="in: hold other values"):
        converter.run(integer_graph(), {"in": np.full((1, 8, 2), 2)})
    with pytest.raises(InputError, match="in: its array has shape"):
        converter.run(integer_graph(), {"in": np.zeros((1, 8, 3))})


@pytest.mark.parametrize(
    ("graph", "cause"),
    [
        (integer_graph(None), "nothing says how many steps"),
        (integer_graph(17), "17 steps"),
        (integer_graph(8, Kind.GRADED), "graded values at every step"),
        (integer_graph(8, Kind.SPIKE, Rate.SAMPLE), "spike values once per sample"),
    ],
    ids=["no steps", "17 steps", "integers", "static"],
)
def test_inputs_that_no_converter_makes_are_refused(graph: Graph, cause: str) -> None:
    with pytest.raises(RefusedError, match=cause) as found:
        UWE.emit(graph, UWE.limits())
    assert found.value.where == "in"
    assert found.value.fix
    assert cause in UWE.refusal(graph, None)
    with pytest.raises(RefusedError, match=cause):
        converter.run(graph, {"in": np.zeros((1, 8, 2), int)})


def test_nodes_of_real_numbers_are_refused() -> None:
    with pytest.raises(RefusedError, match="uwe runs integers"):
        UWE.emit(model(8).graph, UWE.limits())


@pytest.mark.parametrize("scheme", ["direct", "rate", "latency", "ttfs", "host", None])
def test_other_encodings_are_no_codes_of_voltages(scheme: Any) -> None:
    static = model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE)
    with pytest.raises(OptionError, match="target uwe takes uwe or none") as found:
        compile_model(static, Options("uwe", encoding=scheme))
    assert "uwe" in found.value.fix


def test_a_host_before_the_cores_leaves_no_place_for_the_converter() -> None:
    with pytest.raises(OptionError, match="the host would stand before the cores, with conv1"):
        compile_model(model(8), Options("uwe", encoding="none", host=("conv1",)))


def test_planes_need_no_encoder() -> None:
    artefact = compile_model(model(6), Options("uwe"))
    assert artefact.encoding == Encoding("none")
    planes = np.moveaxis(uwe(images(6, 4), 6), 0, 1)
    assert verify(artefact, planes, ["s1", "s2", "uwe"]).ok


def test_other_targets_artefacts_run_on_the_circuit_or_say_why_not() -> None:
    planes = compile_model(model(8), Options("sim", encoding="uwe"))
    assert "uwe" in default_stages(planes, None)
    static = compile_model(
        model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE), Options("sim", input_range=(0, 1))
    )
    assert "uwe" not in default_stages(static, None)
    assert why_left_out(static, "uwe") == "it takes uwe or none encoding, not direct"
    drawn = compile_model(
        model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE), Options("sim", encoding="rate")
    )
    assert why_left_out(drawn, "uwe") == "it takes uwe or none encoding, not rate"


def test_spikes_of_unknown_origin_are_converted_only_where_that_is_asked_for() -> None:
    events = compile_model(model(8), Options("sim"))
    assert "uwe" not in default_stages(events, None)
    assert "compile with --encoding uwe" in why_left_out(events, "uwe")
    seen = np.moveaxis(uwe(images(8, 4), 8), 0, 1)
    assert verify(events, seen, ["s2", "uwe"]).samples["uwe"] == 4
    assert "uwe" in default_stages(compile_model(model(8), Options("uwe")), None)


@pytest.mark.parametrize("scheme", ["rate", "ttfs"])
def test_the_stage_named_for_other_encodings_is_refused(scheme: Any) -> None:
    drawn = compile_model(
        model(8, kind=Kind.ANALOG, rate=Rate.SAMPLE), Options("sim", encoding=scheme)
    )
    samples = {"in": images(1)}
    words = f"uwe: it takes uwe or none encoding, not {scheme}"
    for option, run in (
        ("--stages", lambda: verify(drawn, samples, "s2,uwe")),
        ("--stage", lambda: run_stage(drawn, "uwe", samples)),
    ):
        with pytest.raises(OptionError, match=words) as found:
            run()
        assert found.value.where == option
        assert "--encoding uwe" in found.value.fix


def test_the_stage_behind_a_host_is_refused() -> None:
    hosted = compile_model(model(8), Options("sim", encoding="none", host=("n1",)))
    with pytest.raises(OptionError, match="the host stands before the cores"):
        verify(hosted, np.zeros((1, 8, 1, 4, 4)), "s2,uwe")


def test_the_files_are_the_same_every_time_and_survive_the_artefact(tmp_path: Any) -> None:
    artefact, again = (compile_model(model(8), Options("uwe", encoding="uwe")) for _ in range(2))
    assert artefact.files == again.files
    circuits = {"encoder.cir", "decoder.cir", "circuit.json"}
    assert set(artefact.files) == {*circuits, "mapping.json", "chip.toml"}
    artefact.save(tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert loaded.files == artefact.files
    run = [run_stage(item, "uwe", {"in": images(8, 3)}).outputs for item in (artefact, loaded)]
    np.testing.assert_array_equal(run[0]["out"], run[1]["out"])


def test_the_facts_of_eight_bits() -> None:
    artefact = compile_model(model(8), Options("uwe", encoding="uwe"))
    facts = json.loads(artefact.files["circuit.json"])
    assert (facts["bits"], facts["order"], facts["v_ref"], facts["slot"]) == (8, "msb", 1.0, 1e-7)
    assert facts["conversions"] == {"in": 16}
    assert facts["conversion_time"] == pytest.approx(0.8e-6)
    assert facts["time_with_one_converter"]["in"] == pytest.approx(16 * 0.8e-6)
    # The closed form of the mean, Σ 2^(N−2i)·(2^i − 1) C_u·v_ref², with C_u = 1 fF.
    mean = sum(2 ** (8 - 2 * i) * (2**i - 1) for i in range(1, 9)) * 1e-15
    assert facts["conversion_energy"]["array"]["mean"] == pytest.approx(mean)
    assert facts["survey_conversion_energy"]["median"] == 2.78e-12
    assert facts["decoded"] == ["out"]
    said = " ".join(artefact.manifest["report"])
    for words in ("8 bits", "16 conversions", "0.8 µs", "1.09 to 14.5 pJ", "reads out"):
        assert words in said
    assert artefact.manifest["facts"]["bits"] == 8


def test_other_widths_have_no_published_range() -> None:
    front = front_end.FrontEnd(6, {"in": 1})
    assert front.facts()["survey_conversion_energy"] is None
    assert not any("survey" in line for line in front.report())


def test_without_spikes_to_read_there_is_no_decoder() -> None:
    artefact = compile_model(model(8, reduce="sum"), Options("uwe", encoding="uwe"))
    assert "decoder.cir" not in artefact.files
    assert any("no decoder.cir" in line for line in artefact.manifest["report"])


@pytest.mark.skipif(not available(), reason="ngspice is not installed")
@pytest.mark.parametrize("bits", [1, 3])
def test_ngspice_runs_the_netlists(bits: int) -> None:
    files = front_end.FrontEnd(bits, {"in": 1}, ("out",)).files()
    levels = simulate(Netlist(files["decoder.cir"].decode(), 2**bits - 1)).values["v(x)"]
    np.testing.assert_allclose(levels, np.arange(2**bits) / 2**bits, atol=1e-12)
    slots = 2**bits * (bits + 1)
    traces = simulate(Netlist(files["encoder.cir"].decode(), slots * 1e-7))
    ends = np.arange(1, 2**bits + 1) * (bits + 1) * 1e-7 - 2e-9
    codes = sum((traces.at(f"v(h{k})", ends) > 0.5) << k for k in range(bits))
    np.testing.assert_array_equal(codes, np.arange(2**bits))


def test_the_doctor_says_what_ngspice_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import snnc.targets.uwe as module

    monkeypatch.setattr(module, "available", lambda: False)
    assert [(c.name, c.ok, c.fix) for c in UWE.checks()] == [
        ("ngspice", False, "apt-get install ngspice")
    ]
    monkeypatch.setattr(module, "available", lambda: True)
    assert all(check.ok for check in UWE.checks())
