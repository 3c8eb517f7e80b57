"""VTSNN: neurons, coding, training and the chain from pixel to pixel."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("spikingjelly")

import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional
from torch import nn

import snnc
from examples.vtsnn import neurons
from examples.vtsnn.chain import noisy_pixels, stages
from examples.vtsnn.circuits import FRONTS, Front, impaired
from examples.vtsnn.coding import TOP, decode, encode
from examples.vtsnn.compare import CLAIMS, baselines, interval, measured
from examples.vtsnn.compare import test_size as size_of_test
from examples.vtsnn.data import LUMA, load, noisy, noisy_test
from examples.vtsnn.grid import NOISE, RATES, command, read, recipes
from examples.vtsnn.model import Kind, build, build_fused
from examples.vtsnn.train import Recipe, Training, arguments, loss_of, restore, rounded_convolutions
from snnc.circuits.encodings import mpd, ttfs, ttfs_decode, uwd, uwe

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples" / "vtsnn" / "model.pt"
ALL = torch.arange(256).view(2, 128)


def planes_of(seed: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((8, batch, 1, 8, 8), generator=generator) < 0.4).float()


def paired(kind: Kind, **how: bool) -> tuple[nn.Module, nn.Module]:
    """The plain and the fused network with the same weights."""
    torch.manual_seed(0)
    plain, fused = build(kind), build_fused(kind, **how)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(4)  # a fresh network is nearly silent
    fused.load_state_dict(plain.state_dict())
    return plain, fused


class TestNetwork:
    def test_parameters(self) -> None:
        assert sum(p.numel() for p in build().parameters()) == 116_753

    @pytest.mark.parametrize("kind", ["if", "lif"])
    def test_fused_neurons_spike_and_learn_like_spikingjellys(self, kind: Kind) -> None:
        plain, fused = (net.double() for net in paired(kind))
        planes = planes_of(1).double()
        spikes = [net(planes) for net in (plain, fused)]
        assert torch.equal(*spikes)
        assert 0 < spikes[0].mean() < 1
        for net, out in zip((plain, fused), spikes, strict=True):
            ((out - planes) ** 2).mean().backward()
            functional.reset_net(net)
        for (name, a), b in zip(plain.named_parameters(), fused.parameters(), strict=True):
            assert a.grad is not None
            assert b.grad is not None
            torch.testing.assert_close(a.grad, b.grad, msg=name, rtol=1e-6, atol=1e-8)
            assert a.grad.abs().max() > 0

    def test_without_gradients_through_time_a_step_is_alone(self) -> None:
        """The same spikes; the gradient of a step's input comes from that step's output only."""
        forward, backward = neurons.kernels(compiled=False)
        x = torch.rand(8, 50) - 0.2
        _, distances = forward(x, 1.0, 1.0, 1.0)
        grad = torch.zeros(8, 50)
        grad[5] = 1
        alone = backward(grad, distances, 1.0, 1.0, 1.0, 0.0)
        assert torch.count_nonzero(alone[5]) == 50
        assert torch.count_nonzero(alone) == 50
        through = backward(grad, distances, 1.0, 1.0, 1.0, 1.0)
        assert torch.count_nonzero(through[:5]) > 0
        assert torch.count_nonzero(through[6:]) == 0

    def test_the_ann_is_for_one_step_of_real_pixels(self) -> None:
        out = build("relu")(torch.rand(1, 3, 1, 8, 8))
        assert out.shape == (1, 3, 1, 8, 8)
        assert out.min() < out.max()


class TestCoding:
    def test_encodings_are_those_of_the_circuits(self) -> None:
        assert np.array_equal(encode(ALL, "uwe").numpy(), uwe(ALL.numpy()))
        assert np.array_equal(encode(ALL, "ttfs").numpy(), ttfs(ALL.numpy()))

    @given(st.integers(0, 2**32 - 1))
    def test_decodings_are_those_of_the_circuits(self, seed: int) -> None:
        planes = (torch.rand(8, 5, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
        spikes = planes.numpy()
        np.testing.assert_allclose(decode(planes, "uwd") * TOP, uwd(spikes), atol=1e-4)
        np.testing.assert_allclose(decode(planes, "mpd"), mpd(spikes), rtol=1e-6)

    def test_ttfs_comes_back_darker_than_white_only_by_less_than_a_step(self) -> None:
        lost = ttfs_decode(encode(ALL, "ttfs").numpy()) - ALL.numpy()
        assert lost.min() >= 0
        assert 0 < lost.max() < 255 / 8

    @pytest.mark.parametrize("decoding", ["uwd", "mpd"])
    def test_gradients_pass_the_decoders(self, decoding: str) -> None:
        """The authors' decoder rebuilds its input as a new tensor, so that none passes."""
        planes = torch.full((8, 3), 0.5, requires_grad=True)
        decode(planes, decoding).sum().backward()  # type: ignore[arg-type]
        assert planes.grad is not None
        assert (planes.grad > 0).all()

    def test_losses(self) -> None:
        """Σ 2^t·MSE_t/255 (equation 11) of one wrong bit per plane; MSE of images (equation 9)."""
        clean = torch.tensor([[0, 255, 128, 7]])
        right = encode(clean, "uwe")
        assert loss_of(Recipe(), right, clean) == 0
        wrong = right.clone()
        wrong[0, 0, 0] = 1  # 128 too much in one of four pixels
        assert loss_of(Recipe(), wrong, clean).item() == pytest.approx(128 / 4 / 255)
        stbp = Recipe(loss="stbp")
        assert loss_of(stbp, wrong, clean).item() == pytest.approx((128 / 255) ** 2 / 4)


def write_idx(path: Path, images: np.ndarray) -> None:
    header = struct.pack(">4I", 0x803, *images.shape)
    path.write_bytes(gzip.compress(header + images.tobytes()))


def images_of(count: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


class TestData:
    def test_noise_is_seeded_clipped_and_of_the_given_strength(self) -> None:
        grey = np.full((20, 1, 28, 28), 128, np.uint8)
        spoiled = noisy_test(grey, 0.1)
        assert np.array_equal(spoiled, noisy_test(grey, 0.1))
        assert np.std(spoiled / 255) == pytest.approx(0.1, rel=0.02)
        loud = noisy(grey, 5.0, torch.Generator().manual_seed(0))
        assert set(np.unique(loud)) >= {0, 255}
        assert np.array_equal(noisy_test(grey, 0.0), grey)

    def test_mnist_and_its_folder(self, tmp_path: Path) -> None:
        found = images_of(3, 28)
        (tmp_path / "mnist").mkdir()
        for prefix in ("train", "t10k"):
            write_idx(tmp_path / "mnist" / f"{prefix}-images-idx3-ubyte.gz", found[:, 0])
        for folder in (tmp_path, tmp_path / "mnist"):
            train, test = load("mnist", folder)
            assert np.array_equal(train, found)
            assert np.array_equal(test, found)

    def test_cifar_in_grey(self, tmp_path: Path) -> None:
        record = np.zeros((2, 3073), np.uint8)
        record[:, 0] = 9
        record[1, 1 + 1024 : 1 + 2048] = 200  # green
        for split in ("train", "test"):
            data = lzma.compress(record.tobytes())
            (tmp_path / f"{split}_2.bin.xz").write_bytes(data)
        _, test = load("cifar10", tmp_path)
        assert test.shape == (2, 1, 32, 32)
        assert (test[0] == 0).all()
        assert (test[1] == round(200 * LUMA[1])).all()

    def test_missing_and_broken_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no train"):
            load("cifar10", tmp_path)
        (tmp_path / "train_1.bin.xz").write_bytes(lzma.compress(b"12345"))
        with pytest.raises(ValueError, match="no records"):
            load("cifar10", tmp_path)
        with pytest.raises(FileNotFoundError, match="no such file"):
            load("mnist", tmp_path)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The networks are small, and tests share the machine."""
    torch.set_num_threads(1)


@pytest.fixture
def small() -> Recipe:
    """A training of a second: two batches an epoch."""
    return Recipe(epochs=3, batch=4, images=8, rate=1e-2)


class TestTraining:
    def test_an_interrupted_training_ends_like_a_whole_one(
        self, small: Recipe, tmp_path: Path
    ) -> None:
        images, file = images_of(20), tmp_path / "checkpoint.pt"
        small = replace(small, jitter=0.1)
        whole = Training(small, images)
        whole.run()
        first = Training(small, images)
        first.epoch()
        first.save(file)
        torch.rand(5)  # another process, where chance stands elsewhere
        second = Training(small, images)
        second.run(file)
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name
        psnrs = [[point["psnr"] for point in run.curve] for run in (whole, second)]
        assert psnrs[0] == psnrs[1]
        third = Training(small, images)
        third.run(file)  # at its end already
        assert third.curve == second.curve

    def test_another_recipes_checkpoint_is_refused(self, small: Recipe, tmp_path: Path) -> None:
        run = Training(small, images_of(20))
        run.save(tmp_path / "checkpoint.pt")
        with pytest.raises(ValueError, match="another --checkpoint"):
            Training(replace(small, eta=0.4), images_of(20)).run(tmp_path / "checkpoint.pt")

    def test_it_stops_early_and_keeps_the_best(self, small: Recipe) -> None:
        run = Training(replace(small, epochs=50, rate=1e-9, patience=2), images_of(20))
        run.run()
        values = [point["psnr"] for point in run.curve]
        assert len(values) < 50
        assert len(values) - 1 - int(np.argmax(values)) == 2
        assert run.best

    def test_the_plain_network_restores_what_the_fused_one_does(self, small: Recipe) -> None:
        run = Training(small, images_of(20))
        run.epoch()
        spoiled = noisy_test(images_of(5), 0.2)
        assert np.array_equal(
            restore(run.plain(), small, spoiled), restore(run.model, small, spoiled)
        )

    def test_what_is_trained_fast_is_what_is_exported(
        self, small: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rounded products against plain ones with rounded weights; compiling takes a minute."""
        eager = neurons.kernels(compiled=False)
        monkeypatch.setattr(neurons, "kernels", lambda compiled: eager)
        try:
            run = Training(replace(small, fast=True), images_of(20, 28))
        except ValueError as error:
            pytest.skip(str(error))
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.mul_(4)  # or hardly a neuron fires
        planes = encode(torch.from_numpy(images_of(4, 28)).int(), "uwe")
        with torch.no_grad(), rounded_convolutions(True):
            fast = run.model(planes)
        plain = run.plain()(planes)
        assert 0.01 < plain.mean() < 0.99
        assert (fast != plain).float().mean() < 1e-3  # sums of another order, at ties


class TestCircuits:
    def test_the_ideal_circuit_rounds_pixels_and_gives_them_back(self) -> None:
        pixels = np.random.default_rng(0).uniform(0, 255, (6, 1, 4, 4))
        codes = FRONTS[0].encode(pixels, 3, 0)
        assert np.array_equal(codes, np.floor(pixels + 0.5))
        planes = uwe(codes).swapaxes(0, 1)
        np.testing.assert_allclose(FRONTS[0].decode(planes, 3, 0), codes, atol=1e-9)
        assert FRONTS[0].enob(2, 0) == pytest.approx(8, abs=0.02)

    def test_fewer_bits_leave_the_low_ones_dark(self) -> None:
        pixels = np.arange(256.0).reshape(1, 1, 16, 16)
        codes = impaired("3 bits", bits=3).encode(pixels, 1, 0)
        assert np.array_equal(codes, np.arange(256).reshape(1, 1, 16, 16) & 0b1110_0000)

    def test_every_chip_has_its_own_capacitors_and_its_own_images(self) -> None:
        pixels = np.tile(np.arange(256.0), 4).reshape(4, 1, 16, 16)
        codes = impaired("", mismatch=0.1).encode(pixels, 2, 0)
        assert np.array_equal(codes[0], codes[1])
        assert np.array_equal(codes[2], codes[3])
        assert not np.array_equal(codes[0], codes[2])
        ladder = Front("", ladder=0.05)
        spread = ladder.decode(uwe(codes).swapaxes(0, 1), 2, 0)
        assert not np.array_equal(spread[0], codes[0])
        assert np.abs(spread - codes).max() < 20

    @pytest.mark.parametrize("front", FRONTS, ids=lambda front: front.name)
    def test_every_row_of_the_table_does_what_its_name_says(self, front: Front) -> None:
        """Codes change if and only if the ADC is not ideal, and every ADC keeps some bits."""
        pixels = np.random.default_rng(1).uniform(0, 255, (4, 1, 28, 28))
        same = np.array_equal(front.encode(pixels, 4, 0), FRONTS[0].encode(pixels, 4, 0))
        assert same == (front.name.split()[0] in ("none", "DAC"))
        enob = front.enob(4, 0)
        assert (enob is None) == (front.design.bits < 3)
        assert enob is None or 1 < enob.mean() < front.design.bits + 0.1
        if "offset" in front.name:
            assert enob == pytest.approx(8, abs=0.05)  # an offset distorts nothing

    @pytest.mark.slow
    def test_the_chain_is_exact_from_the_integers_on(self) -> None:
        clean = images_of(2, 28)
        net = snnc.compile(str(MODEL), "uwe", encoding="uwe")
        values = stages(net, clean, noisy_pixels(clean, 0.2), slow=2)
        integers = values["U-Net, integers"]
        for name in ("sim", "Loihi 2 model", "R-2R DAC"):
            np.testing.assert_allclose(values[name], integers, rtol=1e-9, err_msg=name)
        assert values["SAR ADC"] == pytest.approx(values["noisy pixels"], abs=0.05)
        noisy_codes = FRONTS[0].encode(noisy_pixels(clean, 0.2), 1, 0)
        assert np.array_equal(noisy_codes, noisy_test(clean, 0.2))


class TestComparison:
    def test_the_grid_trains_what_it_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every recipe comes back from the command line that trains it."""
        for recipe in recipes(Path("none"), [0, 1]):
            words = command(recipe, Path("data"), Path("results"))
            monkeypatch.setattr(sys, "argv", words[2:])
            found = vars(arguments())
            assert Recipe(**{name: found[name] for name in asdict(recipe)}) == recipe

    def test_claims_find_their_results_and_no_others(self, tmp_path: Path) -> None:
        """The rate that validates better counts for every seed, and the last result of each."""
        results = tmp_path / "results.jsonl"
        for number in (0, 1):
            for recipe in recipes(results, [3, 4]):
                value = 20 - 1000 * recipe.rate
                curve = [{"psnr": 1.0}, {"psnr": value}, {"psnr": 2.0}]
                line = {"recipe": asdict(recipe), "curve": curve, "number": number}
                with results.open("a") as stream:
                    stream.write(json.dumps(line) + "\n")
        for claim in CLAIMS:
            found = measured(claim, read(results))
            noise = claim.recipe in NOISE[1:]
            assert {one["number"] for one in found} == {1}, claim.name
            assert [one["recipe"]["seed"] for one in found] == ([3] if noise else [3, 4])
            assert {one["recipe"]["rate"] for one in found} == {max(RATES) if noise else min(RATES)}
        assert measured(CLAIMS[0], []) == []

    def test_results_of_different_test_sets_are_not_mixed(self) -> None:
        assert size_of_test([{"test_images": 5}, {"test_images": 5}]) == 5
        with pytest.raises(ValueError, match="test images"):
            size_of_test([{"test_images": 5}, {"test_images": 6}])

    def test_intervals(self) -> None:
        """Student's t for two degrees of freedom is 4.303."""
        mean, half = interval([1.0, 2.0, 3.0])
        assert mean == 2
        assert half == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
        assert interval([5.0]) == (5.0, None)

    def test_baselines(self) -> None:
        clean = np.zeros((3, 1, 32, 32), np.uint8)
        clean[:, :, 8:24, 8:24] = 255
        values = {name: found.mean() for name, found in baselines(clean, clean, 0.2).items()}
        assert values["all-black image"] == pytest.approx(-10 * np.log10(1 / 4))
        assert np.isinf(values["mean training image"])
        assert values["noisy image"] < values["3×3 median"]


@pytest.mark.slow
def test_the_trained_model_keeps_its_promise() -> None:
    """S0 to S4 on its own four digits: what must be exact is."""
    assert MODEL.stat().st_size < 2_000_000
    net = snnc.compile(str(MODEL), "uwe", encoding="uwe")
    report = net.verify(stages="s0,s1,s2,sim,loihi,uwe")
    assert report.ok
    assert report.events["s2"] == {"wrap": 0, "clip": 0, "disputed": 0}


@pytest.mark.slow
def test_it_learns_to_remove_noise(tmp_path: Path) -> None:
    """The command line, on digits blown up to 28×28, since MNIST doesn't come with the project."""
    from examples.digits.data import load as load_digits

    x_train, _, x_test, _ = load_digits()
    for prefix, x in (("train", x_train), ("t10k", x_test)):
        blown = np.kron(x[:, 0] * 255, np.ones((3, 3)))
        write_idx(
            tmp_path / f"{prefix}-images-idx3-ubyte.gz",
            np.pad(blown, [(0, 0), (2, 2), (2, 2)]).astype(np.uint8),
        )
    model, results = tmp_path / "model.pt", tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "examples.vtsnn.train", "--data", str(tmp_path)]
    command += ["--epochs", "2", "--rate", "8e-3", "--batch", "20", "--test-images", "50"]
    command += ["--threads", "1"]
    command += ["--out", str(model), "--results", str(results)]
    subprocess.run(command, cwd=ROOT, check=True)
    line = json.loads(results.read_text())
    assert line["test"]["uwd"] > line["test"]["noisy"] + 1
    assert 0.01 < line["firing"] < 0.5
    net = snnc.compile(str(model), "uwe", encoding="uwe")
    assert net.verify(stages="s0,s1,s2,sim,loihi,uwe").ok
