"""Noise that the user tells of, against closed forms and statistics."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_cli import load_model
from mambair_cli.errors import UsageError
from mambair_cli.images.decode import decode
from mambair_cli.images.picture import Pixels
from mambair_cli.metrics.psnr import psnr
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.engine import Report, Settings
from mambair_cli.restoration.engine import restore as tiled
from mambair_cli.restoration.prepared import restore
from mambair_cli.restoration.told import Noise, Told, missing
from mambair_cli.weights.model import Model

CAT = Path(__file__).parents[2] / "datasets" / "samples" / "cat.png"


@pytest.fixture(scope="module")
def denoiser() -> Model:
    return load_model("mambair-nano-denoise", "cpu")


@pytest.fixture(scope="module")
def clean() -> Pixels:
    return decode(CAT).pixels[:160, :192, :3]


@pytest.fixture(scope="module")
def grainy(clean: Pixels) -> Pixels:
    """Noise of sigma 12 with grains of 5 x 5 pixels."""
    white = torch.from_numpy(np.random.default_rng(5).normal(size=(1, 3, *clean.shape[:2])))
    grains = F.avg_pool2d(F.pad(white, (2, 2, 2, 2), mode="circular"), 5, 1)[0].permute(1, 2, 0).numpy() * 5
    noisy: Pixels = (clean + 12 * grains).round().clip(0, 255).astype(np.uint8)
    return noisy


def test_variances_add_up() -> None:
    assert missing(13, 12) == pytest.approx(5)
    assert missing(5, 5) == missing(5, 9) == 0
    assert missing(7, None) == 7


def test_noise_is_white_and_normal() -> None:
    noise = Noise(0.1, (400, 300)).over(torch.zeros(1, 3, 400, 300), 0, 0)[0].numpy().astype(float)
    assert noise.std() == pytest.approx(0.1, rel=0.01)
    for reach, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (np.abs(noise) < reach * 0.1).mean() == pytest.approx(share, abs=0.003)
    for shifted in (np.roll(noise, 1, 0), np.roll(noise, 1, 1), np.roll(noise, 1, 2), np.roll(noise, (1, 1), (1, 2))):
        assert abs((noise * shifted).mean()) < 0.01 * 4 / np.sqrt(noise.size)


def test_noise_belongs_to_the_place() -> None:
    noise = Noise(0.1, (700, 600))
    whole = noise.over(torch.zeros(1, 3, 700, 600), 0, 0)
    assert torch.equal(noise.over(torch.zeros(1, 3, 90, 80), 500, 520), whole[:, :, 500:590, 520:])
    wrapped = Noise(0.1, (700, 600), above=64, beside=64).over(torch.zeros(1, 3, 828, 728), 0, 0)
    assert torch.equal(wrapped[:, :, 64:-64, 64:-64], whole)
    assert torch.equal(wrapped[:, :, :64], wrapped[:, :, 700:764])
    assert torch.equal(wrapped[..., :64], wrapped[..., 600:664])


def test_a_linear_network_sees_nothing_of_it(rng: np.random.Generator) -> None:
    region = torch.from_numpy(rng.random((1, 3, 40, 50), np.float32))
    told = Told(lambda x: F.avg_pool2d(x, 3, 1, 1), Noise(0.1, (40, 50)), lambda network: network)
    assert torch.allclose(told.at(region, 0, 0), F.avg_pool2d(region, 3, 1, 1), atol=1e-6)
    squares = Told(torch.square, Noise(0.1, (40, 50)), lambda network: network).at(region, 0, 0)
    assert float((squares - region**2).mean()) == pytest.approx(0.01, rel=0.05)  # E (x + n)^2 = x^2 + sigma^2


@pytest.mark.parametrize(("tile", "overlap"), [(32, 8), (57, 16), (64, 33)])
def test_tiled_equals_whole(tile: int, overlap: int, rng: np.random.Generator) -> None:
    def soft(x: Tensor) -> Tensor:
        return torch.square(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1))

    pixels = rng.integers(0, 256, (150, 130, 3), np.uint8)
    told = Told(soft, Noise(0.2, (150, 130)), lambda network: network)
    whole = tiled(pixels, told, Settings(scale=1, channels=3, tile=0))
    assert (whole != tiled(pixels, soft, Settings(scale=1, channels=3, tile=0))).any()
    assert np.array_equal(tiled(pixels, told, Settings(scale=1, channels=3, tile=tile, overlap=overlap)), whole)


def test_grain_goes_when_told(denoiser: Model, clean: Pixels, grainy: Pixels) -> None:
    blind, told = (restore(grainy, denoiser, Choices(sigma=sigma)) for sigma in (None, 30.0))
    assert psnr(told, clean) > psnr(blind, clean) + 0.25
    assert np.array_equal(restore(grainy, denoiser, Choices(sigma=30.0)), told)
    half = restore(grainy, denoiser, Choices(sigma=30.0, strength=0.5)).astype(float)
    inside = (told > 0) & (told < 255)  # the blend is made before values are cut off
    assert np.abs(half - (told.astype(float) + grainy) / 2)[inside].max() <= 1


def test_less_than_is_seen_changes_nothing_and_says_so(denoiser: Model, clean: Pixels) -> None:
    noisy = (clean + np.random.default_rng(2).normal(0, 25, clean.shape)).round().clip(0, 255).astype(np.uint8)
    report = Report()
    assert np.array_equal(
        restore(noisy, denoiser, Choices(sigma=15), report=report), restore(noisy, denoiser, Choices())
    )
    assert any("sigma changes nothing" in note for note in report.notes)


def test_refused_where_it_says_nothing(clean: Pixels) -> None:
    with pytest.raises(UsageError, match="does not denoise"):
        restore(clean, load_model("mambair-nano-x2", "cpu"), Choices(sigma=10))
    for wrong in (0.0, -1.0, 256.0, float("nan")):
        with pytest.raises(UsageError, match="not between"):
            Choices(sigma=wrong)
