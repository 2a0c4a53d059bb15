"""What trains on a card, tried on the processor, against Pillow and the project's own data preparation."""

import io
import random
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.card import harm, training
from benchmarks.card.__main__ import PLAN
from benchmarks.card.samples import Crops, Draw, Reduce, flat
from mambair_archs import MambaIRNano
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


@pytest.mark.parametrize("run", PLAN, ids=lambda run: run.name)
def test_every_run_trains(run: training.Run, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 2)
    monkeypatch.setattr(training, "PATCH", 16)
    monkeypatch.setattr(training, "RESTORED", 32)
    monkeypatch.setattr(training, "POOL", 2)
    small = training.Run(
        name=run.name, task=run.task, share=1, options=run.options | {"embed_dim": 8, "depth": 3, "scan_dim": 8}
    )
    state, report = training.train(small, crops, time.monotonic() + 1, 1e-3, None, None)
    assert report["steps"] > 0
    assert all(value.isfinite().all() for value in state.values())
    MambaIRNano(**small.options).load_state_dict(state)


def test_a_file_of_tensors_becomes_its_network(tmp_path: Path) -> None:
    network = MambaIRNano(upscale=2, embed_dim=8, depth=2, scan_after=(1,), scan_dim=8, d_state=2).eval()
    torch.save({"params": {k: v.half() for k, v in network.state_dict().items()}}, tmp_path / "a.pth")
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        found = training.network(tmp_path / "a.pth")(image)
        torch.testing.assert_close(found, network(image), rtol=0, atol=1e-2)
