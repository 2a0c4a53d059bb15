"""Noise of cameras, against closed forms and what trains on a card."""

import numpy as np
import pytest
import torch

from benchmarks.card import harm
from mambair_cli.data import camera, degrade
from mambair_cli.data.camera import Camera
from mambair_cli.data.combined import from_options
from mambair_cli.data.degradations import Box
from mambair_cli.errors import UsageError

FLAT = np.full((256, 256, 3), 128, np.uint8)


def whole(image: degrade.Bytes) -> Box:
    return Box(0, 0, *image.shape[:2])


def test_variances_are_those_of_means_of_pixels_of_a_colour(rng: np.random.Generator) -> None:
    shot, read, light = 2e-3, 8e-3, (128 / 255) ** 2.2
    plain = Camera((shot, shot), (read, read), gain=(1, 1), sharpening=(0, 0))
    noisy = plain(FLAT, whole(FLAT), rng)
    assert noisy.dtype == np.uint8
    slope = 255 / 2.2 * light ** (1 / 2.2 - 1)
    variance = slope**2 * (light * shot + read**2)
    # red and blue are seen at every fourth pixel, elsewhere they are means of two or four; green at every second
    shares = np.array([(1 + 1 / 2 + 1 / 2 + 1 / 4) / 4, (1 + 1 / 4) / 2, (1 + 1 / 2 + 1 / 2 + 1 / 4) / 4])
    assert noisy.var((0, 1)) == pytest.approx(variance * shares + 1 / 12, rel=0.04)
    assert noisy.mean((0, 1)) == pytest.approx(128, abs=0.3)


def test_neighbours_know_of_each_other_as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        harm, "uniform", lambda like, low=0.0, high=1.0: torch.full((len(like), 1, 1, 1), (low + high) / 2)
    )
    torch.manual_seed(1)
    theirs = harm.camera_noise(torch.full((1, 3, 512, 512), 128.0))[0].permute(1, 2, 0).numpy()[2:-2, 2:-2] - 128
    image = np.full((512, 512, 3), 128, np.uint8)
    development = camera.Development(np.array([1.8, 1, 1.8], np.float32), 0.5)
    rng = np.random.default_rng(1)
    ours = camera.noise(image, rng, 10**-3.1, 10**-2.7, development)[2:-2, 2:-2] * 255 - 128
    assert ours.std((0, 1)) == pytest.approx(theirs.std((0, 1)), rel=0.02)
    for axis in (0, 1):
        beside = [(noise * np.roll(noise, 1, axis)).mean((0, 1)) / noise.var((0, 1)) for noise in (ours, theirs)]
        assert beside[0] == pytest.approx(beside[1], abs=0.02)
        assert (beside[0] > 0.15).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_without_noise_a_picture_stays(channels: int, rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (40, 50, channels), dtype=np.uint8)
    quiet = Camera((1e-9, 1e-9), (1e-9, 1e-9))
    box = Box(3, 5, 21, 30)
    assert np.abs(quiet(photo, box, rng).astype(int) - box.cut(photo)).max() <= 1


def test_a_recipe_takes_it_and_a_seed_repeats_it(rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    made = from_options({"type": "camera", "shot": 1e-3}, scale=1)
    one, same, other = (made(photo, whole(photo), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    with pytest.raises(UsageError, match="shot"):
        from_options({"type": "camera", "shot": [0, 1e-3]}, scale=1)
