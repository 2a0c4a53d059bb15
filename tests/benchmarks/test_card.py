"""What trains on a card, tried on the processor, against Pillow and the project's own data preparation."""

import functools
import io
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.card import harm, merge, sources, training
from benchmarks.card.__main__ import PLAN, main
from benchmarks.card.samples import Crops, Draw, Reduce, flat
from benchmarks.card.sources import Run
from mambair_archs import MambaIRNano, MambaIRNanoUNet
from mambair_cli.data.resize import imresize

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for name in "ab":
        coarse = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(coarse, (500, 400), interpolation=cv2.INTER_CUBIC))
    return Crops(folder, CPU)


def test_photos_are_covered(crops: Crops) -> None:
    assert crops.high.shape == (4, 384, 384, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_is_matlabs(crops: Crops, scale: int) -> None:
    expected = imresize(np.ascontiguousarray(crops.high[1].numpy()), 1 / scale)
    assert np.array_equal(crops.reduced(scale)[1].numpy(), expected)
    assert Reduce(scale, CPU)(torch.full((1, 3, 24, 24), 7.0)).eq(7).all()


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("halved", [False, True])
def test_jpeg_is_nearly_libjpegs(crops: Crops, quality: int, halved: bool) -> None:
    image = crops.high[:1].permute(0, 3, 1, 2).float()
    found = harm.Jpeg(CPU)(image, harm.uniform(image, quality, quality), harm.chance(image, 2 if halved else -1))
    file = io.BytesIO()
    Image.fromarray(crops.high[0].numpy()).save(file, "JPEG", quality=quality, subsampling=2 if halved else 0)
    libjpeg = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()
    harmed = (libjpeg - image[0]).square().mean()
    assert (found[0] - libjpeg).square().mean() < 0.2 * harmed + 0.5


def test_patches_of_all_sizes_are_of_one_place(crops: Crops) -> None:
    torch.manual_seed(1)
    draw = Draw(crops.weights, 8, 24, 96)
    low, high = draw.cut(crops.reduced(4)), draw.cut(crops.high, 4)
    assert (torch.nn.functional.avg_pool2d(high, 4) - low).abs().mean() < 2


def test_noise_has_the_strength_asked_for() -> None:
    image = torch.full((4, 3, 64, 64), 128.0)
    assert harm.white_noise(image, harm.uniform(image, 20, 20)).std().item() == pytest.approx(20, rel=0.03)
    camera = harm.camera_noise(image) - image
    neighbours = (camera[..., 1:] * camera[..., :-1]).mean() / camera.square().mean()
    assert neighbours > 0.1  # grains, where white noise has none
    assert abs(camera.mean().item()) < 1


def test_flat_pictures_are_flat() -> None:
    torch.manual_seed(0)
    image = flat(6, 64, CPU)
    assert image.shape == (6, 3, 64, 64)
    changes = (image[..., 1:] != image[..., :-1]).float().mean((1, 2, 3))
    assert changes.min() < 0.1


def test_second_order_reduces(crops: Crops) -> None:
    random.seed(1)
    image = Draw(crops.weights, 2, 96, 384).cut(crops.high)
    for _ in range(8):
        low = harm.second_order(harm.Jpeg(CPU), image, 4)
        assert low.shape == (2, 3, 24, 24)
        assert 0 <= low.min() <= low.max() <= 255


@pytest.mark.parametrize("options", [{"upscale": 4}, {"upscale": 1, "unshuffle": 2}])
def test_training_computes_what_the_network_does(options: dict[str, Any]) -> None:
    torch.manual_seed(2)
    network = MambaIRNano(embed_dim=8, depth=2, scan_after=(1,), scan_dim=8, d_state=2, **options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    image = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(training.forward(network, image), network(image), rtol=1e-4, atol=1e-4)


def test_training_computes_what_the_u_shape_does() -> None:
    torch.manual_seed(2)
    network = MambaIRNanoUNet(dims=(8, 12, 16), blocks=(1, 2, 2), scan_dim=8, d_state=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    image = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(training.forward(network, image), network(image), rtol=1e-4, atol=1e-4)


def small(run: Run) -> Run:
    if run.arch == "MambaIRNano":
        options = run.options | {"embed_dim": 8, "depth": 3, "scan_after": [3], "scan_dim": 8}
    else:
        options = run.options | {"dims": [8, 8], "blocks": [1, 1], "scan_dim": 8}
    return Run(name=run.name, task=run.task, share=1, options=options, arch=run.arch, batch=2, patch=32)


@pytest.mark.parametrize("run", PLAN, ids=lambda run: run.name)
def test_every_run_trains(run: Run, crops: Crops, tmp_path: Path) -> None:
    state, report = training.train(small(run), crops, training.Trial(seconds=0.5, lr=1e-3, folder=tmp_path))
    assert report["steps"] > 0
    assert all(value.isfinite().all() for value in state.values())
    small(run).build().load_state_dict(state)


@pytest.mark.parametrize(("task", "as_computed", "untouched"), [("denoise", 15, 1), ("dejpeg", 0, 1)])
def test_shares_of_harm(task: str, as_computed: int, untouched: int, crops: Crops, tmp_path: Path) -> None:
    run = small(next(run for run in PLAN if run.name == task))
    pool = sources.make_source(run, crops, None, tmp_path)
    assert isinstance(pool, sources.Pool)
    torch.manual_seed(6)
    poor, truth, _ = pool.source.batch()
    assert len(poor) == sources.AT_ONCE_ON_A_PROCESSOR
    assert sum(map(torch.equal, poor, truth)) == untouched
    levels = poor * 255
    assert sum((levels - levels.round()).abs().amax((1, 2, 3)) > 1e-3) == as_computed
    assert poor[as_computed:].min() >= 0
    assert poor[as_computed:].max() <= 1


@pytest.mark.parametrize("draws", [1, 2])
def test_a_pool_gives_what_its_source_made(draws: int) -> None:
    made: list[torch.Tensor] = []

    class Counting:
        def batch(self) -> sources.Batch:
            number = torch.arange(4.0).view(4, 1, 1, 1) + 4 * len(made)
            made.append(number)
            return number.expand(4, 3, 2, 2), number.expand(4, 3, 4, 4) + 100, number.expand(4, 3, 4, 4) + 200

    torch.manual_seed(0)
    pool = sources.Pool(Counting(), 2, recorded=False, size=8, draws=draws)
    assert len(made) == 3  # one for the shapes, two to fill it
    for _ in range(2 * draws):
        assert len(made) == 3
        low, high, taught = pool.batch()
        assert low.shape == (2, 3, 2, 2)
        assert torch.equal(high[:, :, :2, :2], low + 100)
        assert torch.equal(taught, high + 100)
        pool.prepare()
    assert len(made) == 4
    assert sorted(set(pool.kept[0].flatten().tolist())) == [8, 9, 10, 11, 12, 13, 14, 15]


def losses(step: training.Step, count: int) -> list[float]:
    step.lr.fill_(1e-3)
    torch.manual_seed(4)
    found = []
    for _ in range(count):
        step()
        found.append(float(step.loss))
    return found


def first_step(crops: Crops, folder: Path, compiled: bool = False) -> training.Step:
    run = small(PLAN[0])
    torch.manual_seed(3)
    source = sources.make_source(run, crops, None, folder)
    return training.Step(run.build(), source.batch, training.mean_square, compiled)


def test_weights_of_16_bits_train_as_those_of_32(crops: Crops, tmp_path: Path) -> None:
    rounded, plain = first_step(crops, tmp_path), first_step(crops, tmp_path)
    rounded.computing = training.rounded(rounded.net)
    found, expected = losses(rounded, 12), losses(plain, 12)
    assert found == pytest.approx(expected, rel=0.02)
    assert found[-1] < 0.6 * found[0]


def test_a_compiled_step_learns_as_another(crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # without C++
    compiled, plain = first_step(crops, tmp_path, compiled=True), first_step(crops, tmp_path)
    assert compiled.forward is not training.forward
    assert losses(compiled, 3) == pytest.approx(losses(plain, 3), rel=0.01)


def test_a_run_goes_on_from_its_state(crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "KEEP_EVERY", 0.1)
    run, seen = small(PLAN[0]), []
    trial = training.Trial(seconds=0.4, lr=1e-3, folder=tmp_path, report=lambda _, count: seen.append(count))
    _, first = training.train(run, crops, trial)
    state = torch.load(tmp_path / "x4.state", weights_only=True)
    assert seen[-1] <= state["count"] == first["steps"]
    longer = training.Trial(seconds=state["seconds"] + 0.2, lr=1e-3, folder=tmp_path)
    _, second = training.train(run, crops, longer)
    assert second["steps"] > state["count"]
    assert 0 < second["seconds"] - state["seconds"] < 2


def test_replicas_begin_with_the_same_weights(crops: Crops, tmp_path: Path) -> None:
    trials = [training.Trial(seconds=-1, lr=1e-3, folder=tmp_path / str(seed), seed=seed) for seed in (0, 1000000)]
    for trial in trials:
        trial.folder.mkdir()
    first, second = (training.train(small(PLAN[1]), crops, trial)[0] for trial in trials)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_replicas_go_on_from_their_mean(crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small(PLAN[0])
    trials = [
        training.Trial(seconds=0.3, lr=1e-3, folder=tmp_path / str(seed), taught=tmp_path / "taught", seed=seed)
        for seed in (0, 1000000)
    ]
    for trial in trials:
        trial.folder.mkdir()
        training.train(run, crops, trial)
    first, second = (torch.load(trial.folder / "x4.state", weights_only=True) for trial in trials)
    monkeypatch.setattr("sys.argv", ["merge", "x4", *(str(trial.folder) for trial in trials)])
    merge.main()
    assert not torch.equal(first["average"][0], second["average"][0])
    for trial in trials:
        merged = torch.load(trial.folder / "x4.state", weights_only=True)
        assert merged["count"] == max(first["count"], second["count"])
        weights, report = training.train(run, crops, trial)  # whose time is over
        assert report["steps"] == merged["count"]
        torch.testing.assert_close(
            weights["conv_first.weight"], (first["average"][0] + second["average"][0]) / 2, rtol=0, atol=1e-7
        )


def test_a_run_whose_time_went_into_preparing_ends(crops: Crops, tmp_path: Path) -> None:
    _, report = training.train(small(PLAN[0]), crops, training.Trial(seconds=-1, lr=1e-3, folder=tmp_path))
    assert report["steps"] == 0


def test_a_larger_network_starts_as_what_it_grew_from() -> None:
    options = {"upscale": 2, "depth": 2, "scan_after": (2,), "scan_dim": 8, "d_state": 2}
    given = MambaIRNano(embed_dim=8, **options)
    for parameter in given.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    larger = MambaIRNano(embed_dim=12, **options | {"depth": 4})
    assert training.started(larger, given.state_dict()) == len(given.state_dict())
    image = torch.rand(1, 3, 16, 16)
    made = larger(image)
    torch.testing.assert_close(made, given(image))
    made.sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in larger.body[0].parameters())


def test_a_file_of_tensors_becomes_its_network(tmp_path: Path) -> None:
    network = MambaIRNano(upscale=2, embed_dim=8, depth=2, scan_after=(1,), scan_dim=8, d_state=2).eval()
    torch.save({"params": {k: v.half() for k, v in network.state_dict().items()}}, tmp_path / "a.pth")
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        found = sources.network(tmp_path / "a.pth")(image)
        torch.testing.assert_close(found, network(image), rtol=0, atol=1e-2)


def test_patches_that_cut_blocks_of_jpeg_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["card", "1", str(tmp_path), str(tmp_path), "--device", "cpu", "--only", "x4", "--patch", "40"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        main()
    assert "--patch 40 is no multiple of 16" in capsys.readouterr().err
