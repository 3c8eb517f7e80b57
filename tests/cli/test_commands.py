"""The commands as a user types them: output, exit codes, JSON, and errors without tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import snnc.verify as verify_module
from snnc.circuits.encodings import uwd, uwe
from snnc.cli import main
from snnc.errors import ArtefactError
from snnc.frontends.model import Model
from snnc.frontends.model_file import save_model
from snnc.quality import Decoder
from tests.conftest import make_model
from tests.test_verify import IMAGES, broken, denoiser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A model file, samples with labels, and a compiled artefact."""
    path = tmp_path_factory.mktemp("cli")
    save_model(model, path / "model.pt")
    assert model.example is not None
    x = model.example.inputs["input"]
    labels = model.example.outputs["output"].sum(1).argmax(1)
    np.savez(path / "x.npz", input=x, labels=labels)
    result = cli("compile", str(path / "model.pt"), "-o", str(path / "out"))
    assert result.exit_code == 0, result.output
    return path


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output + result.stderr
    flat = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in flat


def test_compile_prints_layers_and_notes(folder: Path, tmp_path: Path) -> None:
    result = cli("compile", str(folder / "model.pt"), "-o", str(tmp_path / "a"))
    assert result.exit_code == 0
    for word in ("loihi2", "lif1", "lif2", "weight", "graded spikes", "wrote"):
        assert word in result.output


def test_compile_json_is_the_manifest(folder: Path, tmp_path: Path) -> None:
    result = cli("compile", str(folder / "model.pt"), "-o", str(tmp_path / "a"), "--json")
    data = json.loads(result.stdout)
    assert data["chip"] == "loihi2"
    assert set(data["layers"]) == {"lif1", "lif2"}


def test_compile_for_sim_and_for_loihi1(folder: Path, tmp_path: Path) -> None:
    assert cli(
        "compile", str(folder / "model.pt"), "--target", "sim", "-o", str(tmp_path / "a")
    ).exit_code == 0  # fmt: skip
    direct = cli("compile", str(folder / "model.pt"), "--chip", "loihi1", "-o", str(tmp_path / "b"))
    failed(direct, 4, "RefusedError: input", "--encoding rate")
    rate = cli(
        "compile", str(folder / "model.pt"), "--chip", "loihi1", "--encoding", "rate", "-o",
        str(tmp_path / "b"),
    )  # fmt: skip
    assert rate.exit_code == 0


def test_compile_with_a_layer_on_the_host(folder: Path, tmp_path: Path) -> None:
    spikes = cli(
        "compile", str(folder / "model.pt"), "--chip", "loihi1", "--encoding", "host", "-o",
        str(tmp_path / "a"),
    )  # fmt: skip
    assert spikes.exit_code == 0, spikes.output
    for word in ("host and cores", "lif1", "spike", "every step", "runs on the host"):
        assert word in spikes.output
    assert cli("verify", str(tmp_path / "a"), "--stages", "s1,s2,sim,loihi").exit_code == 0
    forced = cli(
        "compile", str(folder / "model.pt"), "--host", "nothing", "-o", str(tmp_path / "b")
    )
    failed(forced, 2, "OptionError: --host", "no node 'nothing'")


def test_run_writes_outputs_and_records(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npz"
    result = cli(
        "run", str(folder / "out"), "--input", str(folder / "x.npz"), "-o", str(out),
        "--record", "lif1:u,v", "--record", "lif2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        assert set(arrays.files) == {"output", "lif1/u", "lif1/v", "lif2/s"}
        assert arrays["output"].shape == (6, 10, 5)
        assert arrays["lif1/v"].shape == (6, 10, 4, 6, 6)
        assert arrays["lif1/v"].dtype.kind == "i"


@pytest.mark.parametrize("stage", ["s1", "s2", "sim", "loihi"])
def test_run_any_stage_and_json(folder: Path, tmp_path: Path, stage: str) -> None:
    result = cli(
        "run", str(folder / "out"), "--input", str(folder / "x.npz"), "-o",
        str(tmp_path / "y.npz"), "--stage", stage, "--record", "all", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["samples"] == 6
    assert data["arrays"]["lif2/u"] == [6, 10, 5]
    assert 0 <= data["accuracy"] <= 1


def test_verify_passes_and_says_so(folder: Path) -> None:
    result = cli("verify", str(folder / "out"), "--stages", "s0,s1,s2,sim,loihi")
    assert result.exit_code == 0
    assert "DIFFERS" not in result.output
    data = json.loads(cli("verify", str(folder / "out"), "--stages", "s1,s2,sim", "--json").stdout)
    assert data["ok"]
    assert [pair["kind"] for pair in data["pairs"]] == ["quantised", "exact"]


def test_verify_with_labels_prints_accuracies(folder: Path) -> None:
    result = cli(
        "verify", str(folder / "out"), "--input", str(folder / "x.npz"), "--stages", "s0,s1,s2,sim"
    )
    assert "100.00%" in result.output


def test_verify_exits_1_and_names_the_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = verify_module.engines()
    monkeypatch.setattr(verify_module, "engines", lambda: {**real, "sim": broken("lif2", 2, 3)})
    result = cli("verify", str(folder / "out"), "--stages", "s2,sim")
    assert result.exit_code == 1
    flat = " ".join(result.output.split())
    assert "DIFFERS" in flat
    assert "layer lif2, step 3, neuron (0,), sample 2" in flat


def test_show_model_and_artefact(folder: Path) -> None:
    assert "Neuron(conv)" in cli("show", str(folder / "model.pt")).output
    assert "IntNeuron(conv)" in cli("show", str(folder / "out")).output
    assert "Neuron(conv)" in cli("show", str(folder / "out"), "--stage", "s1").output
    tree = json.loads(cli("show", str(folder / "model.pt"), "--json").stdout)
    assert "lif1" in tree["nodes"]


def test_targets_and_doctor() -> None:
    assert "sim" in cli("targets").output
    limits = json.loads(cli("targets", "loihi", "--json").stdout)
    assert all(limits["sources"].values())
    assert "weight_min" in cli("targets", "loihi", "--chip", "loihi1").output
    names = [check["name"] for check in json.loads(cli("doctor", "--json").stdout)]
    assert {"python", "numpy", "loihi: Lava"} <= set(names)


def test_python_dash_m_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snnc", "--version"], capture_output=True, text=True, check=True
    )
    assert "snnc" in done.stdout


def write(path: Path, data: bytes | str) -> str:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_bad_models_are_one_block_each(folder: Path, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "never")]
    good = (folder / "model.pt").read_bytes()
    failed(cli("compile", str(tmp_path / "none.pt"), *out), 3, "no such file")
    failed(cli("compile", write(tmp_path / "cut.pt", good[:2000]), *out), 3, "ModelFileError")
    failed(cli("compile", write(tmp_path / "junk.nir", "junk"), *out), 3, "ModelFileError")
    failed(cli("compile", write(tmp_path / "junk.net", "junk"), *out), 3, "ModelFileError")
    failed(cli("compile", write(tmp_path / "a.onnx", "junk"), *out), 3, "unknown kind")
    failed(cli("compile", "no_such_module:build", *out), 2, "--example")
    failed(cli("compile", str(folder / "model.pt"), "--target", "tpu", *out), 2, "no target")
    failed(cli("compile", str(folder / "model.pt"), "--chip", "x", *out), 2, "no chip")
    failed(cli("compile", str(folder / "model.pt"), "--weights", "w.pt", *out), 2, "--weights")
    assert not (tmp_path / "never").exists()


def test_without_torch_a_pt_file_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnc.frontends.load.find_spec", lambda _name: None)
    for source in (str(folder / "model.pt"), "mynet:build"):
        failed(cli("compile", source, "-o", str(tmp_path / "never")), 5, "ToolError", "pip install")


def test_a_net_file_is_a_source_with_an_input_width(tmp_path: Path) -> None:
    """What was written as .net reads back and gives the same spikes."""
    root = Path(__file__).resolve().parents[2]
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert cli("compile", str(root / "examples/digits/cnn.pt"), "-o", first).exit_code == 0
    net = str(tmp_path / "first" / "loihi" / "model.net")
    plain = cli("compile", net, "-o", str(tmp_path / "plain"))
    assert "binary spikes (assumed" in " ".join(plain.output.split())
    assert cli("compile", net, "-o", second, "--input-bits", "5", "--steps", "16").exit_code == 0
    failed(cli("compile", net, "-o", str(tmp_path / "never"), "--seed", "1"), 2, "no say")
    x = np.random.default_rng(0).integers(0, 17, (5, 1, 8, 8))
    outputs = []
    for folder, data in ((first, x / 16), (second, x)):
        np.savez(tmp_path / "x.npz", input=data)
        out = tmp_path / "y.npz"
        cli("run", folder, "--input", str(tmp_path / "x.npz"), "-o", str(out))
        with np.load(out) as arrays:
            outputs.append(arrays["output"])
    np.testing.assert_array_equal(*outputs)


def test_pickled_module_is_refused_with_both_ways_and_never_run(tmp_path: Path) -> None:
    import torch

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save(Bomb(), tmp_path / "bomb.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    for name in ("bomb.pt", "module.pt"):
        result = cli("compile", str(tmp_path / name), "-o", str(tmp_path / "never"))
        failed(result, 3, "snnc.export(", "package.module:factory")
    assert not (tmp_path / "ran").exists()


def test_nan_weights_name_the_node(tmp_path: Path) -> None:
    from dataclasses import replace

    model = make_model()
    conv = model.graph.nodes["conv"]
    weight = conv.weight.copy()  # type: ignore[attr-defined]
    weight[0, 0, 0, 0] = np.nan
    nodes = {**model.graph.nodes, "conv": replace(conv, weight=weight)}  # type: ignore[call-arg]
    save_model(Model(replace(model.graph, nodes=nodes)), tmp_path / "nan.pt")
    result = cli("compile", str(tmp_path / "nan.pt"), "-o", str(tmp_path / "never"))
    failed(result, 3, "GraphError: conv", "NaN")


def test_bad_inputs_name_the_array(folder: Path, tmp_path: Path) -> None:
    def run(data: Any, **more: Any) -> Result:
        np.savez(tmp_path / "bad.npz", input=data, **more)
        return cli(
            "run", str(folder / "out"), "--input", str(tmp_path / "bad.npz"), "-o",
            str(tmp_path / "y.npz"),
        )  # fmt: skip

    failed(run(np.zeros((2, 3))), 2, "InputError: input", "(sample, 1, 6, 6)")
    failed(run(np.full((2, 1, 6, 6), 7.0)), 2, "compiled input holds")
    failed(run(np.full((2, 1, 6, 6), np.nan)), 2, "NaN")
    failed(run(np.full((2, 1, 6, 6), "x")), 2, "dtype")
    failed(run(np.zeros((2, 1, 6, 6)), other=np.zeros(3)), 2, "the network takes")
    failed(
        cli("run", str(folder / "out"), "--input", str(tmp_path / "no.npz"), "-o", "y.npz"),
        2, "no such file",
    )  # fmt: skip
    assert not (tmp_path / "y.npz").exists()


def test_bad_artefacts_and_options(folder: Path, tmp_path: Path) -> None:
    x = str(folder / "x.npz")
    failed(cli("verify", str(tmp_path)), 3, "ArtefactError", "has no manifest.json")
    failed(cli("compile", str(folder / "model.pt"), "-o", str(folder / "out")), 3, "exists already")
    failed(cli("verify", str(folder / "out"), "--stages", "s7"), 2, "no stage s7")
    failed(
        cli("run", str(folder / "out"), "--input", x, "-o", str(tmp_path / "y"), "--stage", "q"),
        2, "no stage",
    )  # fmt: skip
    failed(
        cli("run", str(folder / "out"), "--input", x, "-o", str(tmp_path / "y"), "--record", "q"),
        2, "--record",
    )  # fmt: skip
    result = cli("verify", str(tmp_path), "--json")
    assert json.loads(result.stdout)["error"] == "ArtefactError"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "-1", "--encoding", "rate"],
        ["--seed", "3"],
        ["--input-range", "0", "inf"],
        ["--input-range", "5", "1"],
        ["--input-bits", "0"],
        ["--input-bits", "1", "--input-range", "-1", "1"],
        ["--input-bits", "4", "--encoding", "rate"],
        ["--example", "x.npz"],
        ["--time-axis", "0"],
        ["--reset", "soft"],
    ],
)
def test_options_that_mean_nothing_are_refused(
    folder: Path, tmp_path: Path, arguments: list[str]
) -> None:
    if "--example" in arguments:
        arguments = ["--example", str(folder / "x.npz")]
    result = cli("compile", str(folder / "model.pt"), "-o", str(tmp_path / "never"), *arguments)
    failed(result, 2, "OptionError: --")
    assert not (tmp_path / "never").exists()


def test_labels_are_checked_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", input=np.zeros((4, 1, 6, 6)), labels=np.zeros((4, 5)))
    result = cli(
        "run",
        str(folder / "out"),
        "--input",
        str(tmp_path / "x.npz"),
        "-o",
        str(tmp_path / "y.npz"),
    )
    failed(result, 2, "InputError: labels", "one class per sample")
    assert not (tmp_path / "y.npz").exists()


def test_records_add_up(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npz"
    cli(
        "run", str(folder / "out"), "--input", str(folder / "x.npz"), "-o", str(out),
        "--record", "lif1:u", "--record", "lif1:v",
    )  # fmt: skip
    with np.load(out) as arrays:
        assert {"lif1/u", "lif1/v"} <= set(arrays.files)


def test_names_that_look_like_markup_or_no_name_at_all(folder: Path, tmp_path: Path) -> None:
    model = str(folder / "model.pt")
    assert cli("compile", model, "-o", str(tmp_path / "a[b]")).exit_code == 0
    failed(cli("compile", model, "-o", ""), 3, "no name for a folder")
    samples = str(folder / "x.npz")
    failed(cli("run", str(folder / "out"), "--input", samples, "-o", "."), 2, "no name for a file")


def test_an_interrupt_during_imports_is_quiet() -> None:
    # Raised in this thread: a signal sent to the process may reach another one, and come late.
    # A shell's background jobs ignore interrupts, and so do their children unless told otherwise.
    code = "import sys, signal, snnc.__main__ as m; "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "sys.meta_path.insert(0, type('Stop', (), {'find_spec': staticmethod("
    code += "lambda *a: signal.raise_signal(signal.SIGINT))})()); m.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert not done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        cli("verify", str(tmp_path), "--debug")


def test_interrupt_exits_130_without_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("snnc.cli.verify.verify", interrupted)
    failed(cli("verify", str(folder / "out")), 130, "interrupted")


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled denoiser, and noisy.npz with the clean images."""
    path = tmp_path_factory.mktemp("images")
    save_model(denoiser(), path / "model.pt")
    np.savez(path / "noisy.npz", planes=uwe(IMAGES).swapaxes(0, 1), clean=IMAGES)
    result = cli("compile", str(path / "model.pt"), "-o", str(path / "out"),
                 "--calibrate", str(path / "noisy.npz"))  # fmt: skip
    assert result.exit_code == 0, result.output
    return path


def run_images(folder: Path, out: Path, *arguments: str, data: str = "noisy.npz") -> Result:
    return cli(
        "run", str(folder / "out"), "--input", str(folder / data), "-o", str(out), *arguments
    )


@pytest.mark.parametrize("stage", ["s1", "s2", "sim"])
def test_run_decodes_images_and_says_how_good_they_are(
    restorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr("snnc.cli.run.LARGE_BATCH", 2)
    np.savez(restorer / "planes.npz", planes=uwe(IMAGES).swapaxes(0, 1))
    planes, images = tmp_path / "planes.npz", tmp_path / "images.npz"
    assert run_images(restorer, planes, "--stage", stage, data="planes.npz").exit_code == 0
    result = run_images(restorer, images, "--stage", stage, "--decode", "uwd")
    assert result.exit_code == 0, result.output
    decoded = np.load(images)["out"]
    np.testing.assert_array_equal(decoded, uwd(np.load(planes)["out"].swapaxes(0, 1)))
    assert decoded.dtype == np.uint8
    summary = run_images(restorer, images, "--stage", stage, "--decode", "uwd", "--json").stdout
    found = json.loads(summary)["psnr"]
    assert set(found) == {"mean", "standard_error", "identical"}
    line = f"PSNR {found['mean']:.2f} dB (± {found['standard_error']:.2f} of the mean, 5 images)"
    assert line in result.output


def test_run_decodes_without_clean_images_and_keeps_records(restorer: Path, tmp_path: Path) -> None:
    np.savez(restorer / "planes.npz", planes=uwe(IMAGES).swapaxes(0, 1))
    result = run_images(
        restorer, tmp_path / "y.npz", "--decode", "mpd", "--record", "lif", data="planes.npz"
    )
    assert result.exit_code == 0, result.output
    assert "PSNR" not in result.output
    with np.load(tmp_path / "y.npz") as arrays:
        assert arrays["out"].shape == (5, 1, 4, 4)
        assert arrays["out"].dtype == np.float64
        assert arrays["lif/s"].shape == (5, 8, 1, 4, 4)


def test_run_decodes_every_output_once(
    restorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = Decoder.images

    def counting(self: Decoder, planes: Any, name: str = "planes") -> Any:
        calls.append(name)
        return real(self, planes, name)

    monkeypatch.setattr(Decoder, "images", counting)
    result = run_images(restorer, tmp_path / "y.npz", "--decode", "uwd")
    assert "PSNR" in result.output
    assert calls == ["out"]


def test_infinite_psnr_is_valid_json(restorer: Path, tmp_path: Path) -> None:
    run_images(restorer, tmp_path / "y.npz", "--decode", "uwd")
    np.savez(
        restorer / "same.npz",
        planes=uwe(IMAGES).swapaxes(0, 1),
        clean=np.load(tmp_path / "y.npz")["out"],
    )
    decode = ("--decode", "uwd")
    plain = run_images(restorer, tmp_path / "z.npz", *decode, data="same.npz")
    assert "PSNR infinite (5 of 5 images equal to the clean ones)" in plain.output
    summary = run_images(restorer, tmp_path / "z.npz", *decode, "--json", data="same.npz").stdout
    report = cli(
        "verify", str(restorer / "out"), "--input", str(restorer / "same.npz"), *decode, "--json",
        "--stages", "s2,sim",
    ).stdout  # fmt: skip
    assert "Infinity" not in summary + report
    expected = {"mean": None, "standard_error": None, "identical": 5}
    assert json.loads(summary)["psnr"] == json.loads(report)["psnr"]["sim"] == expected


def test_verify_prints_the_psnr_of_every_stage(restorer: Path) -> None:
    arguments = ("verify", str(restorer / "out"), "--input", str(restorer / "noisy.npz"),
                 "--decode", "uwd", "--stages", "s0,s1,s2,sim")  # fmt: skip
    found = json.loads(cli(*arguments, "--json").stdout)["psnr"]
    assert list(found) == ["s0", "s1", "s2", "sim"]
    output = cli(*arguments).output
    for value in found.values():
        assert f"{value['mean']:.2f} ± {value['standard_error']:.2f}" in output


def test_images_that_cannot_be_scored_are_refused(restorer: Path, tmp_path: Path) -> None:
    y = tmp_path / "y.npz"
    failed(run_images(restorer, y), 2, "OptionError: --decode", "give --decode (uwd, mpd, ttfs)")
    np.savez(restorer / "bad.npz", planes=uwe(IMAGES).swapaxes(0, 1), clean=IMAGES / 255)
    bad = run_images(restorer, y, "--decode", "uwd", data="bad.npz")
    failed(bad, 2, "InputError: clean", "multiply by 255")
    failed(run_images(restorer, y, "--decode", "ttfs"), 2, "InputError: out", "--decode uwd")
    np.savez(restorer / "clean.npz", clean=IMAGES)
    failed(run_images(restorer, y, data="clean.npz"), 2, "hold no samples", "`clean` are none")
    verified = cli("verify", str(restorer / "out"), "--decode", "uwd")
    failed(verified, 2, "OptionError: --decode", "no clean images")
    assert run_images(restorer, y, "--decode", "lsb").exit_code == 2
    assert not y.exists()


@pytest.mark.parametrize("name", ["labels", "clean"])
def test_an_input_named_as_a_reserved_array_gets_that_array(tmp_path: Path, name: str) -> None:
    save_model(denoiser(name=name), tmp_path / "model.pt")
    np.savez(tmp_path / "noisy.npz", **{name: uwe(IMAGES).swapaxes(0, 1)})
    assert cli("compile", str(tmp_path / "model.pt"), "-o", str(tmp_path / "out")).exit_code == 0
    result = run_images(tmp_path, tmp_path / "y.npz")
    assert result.exit_code == 0, result.output
    assert "accuracy" not in result.output
    verified = cli("verify", str(tmp_path / "out"), "--input", str(tmp_path / "noisy.npz"),
                   "--stages", "s1,s2,sim")  # fmt: skip
    assert verified.exit_code == 0, verified.output
