"""Noise and grain that were added to pictures, and pictures that have none."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mambair_cli.restoration.noise import Levels, measure
from mambair_cli.restoration.sources import ArraySource
from tests.restoration.grain import demosaiced, smooth


def noise(pixels: np.ndarray) -> float | None:
    return measure(ArraySource(pixels)).noise


def grain(pixels: np.ndarray) -> float | None:
    return measure(ArraySource(pixels)).grain


@pytest.mark.parametrize("sigma", [0, 3, 15, 25, 50])
@pytest.mark.parametrize(("kind", "white"), [(np.float32, 1), (np.uint16, 65535)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_noise_that_was_added_is_found(
    channels: int, kind: type, white: float, sigma: float, rng: np.random.Generator
) -> None:
    picture = (smooth(rng, channels) + rng.normal(0, sigma, (331, 420, channels))).clip(0, 255) / 255 * white
    if channels in (2, 4):
        picture[:, :, -1] = rng.integers(0, 2, (331, 420)) * white  # alpha, which has no noise
    found = noise(picture.astype(kind))
    assert found == pytest.approx(sigma, rel=0.06, abs=0.2)


def test_bytes_count_as_they_are(rng: np.random.Generator) -> None:
    picture = (smooth(rng) + rng.normal(0, 10, (331, 420, 3))).round().astype(np.uint8)
    assert noise(picture) == pytest.approx(10, rel=0.05)


def test_white_skies_hide_no_noise(rng: np.random.Generator) -> None:
    picture = smooth(rng) + rng.normal(0, 20, (331, 420, 3))
    picture[:250] += 1000
    assert noise(picture.clip(0, 255).astype(np.uint8)) == pytest.approx(20, rel=0.06)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 1, 1), (8, 8, 3)])
def test_too_small_or_all_black(shape: tuple[int, int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    assert measure(ArraySource(pixels)) == Levels(None, None)


def test_grass_is_no_noise(rng: np.random.Generator) -> None:
    picture = smooth(rng)
    picture[:200] += rng.normal(0, 40, (200, 420, 3))
    found = noise((picture + rng.normal(0, 4, picture.shape)).clip(1, 254).astype(np.uint8))
    assert found == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("method", [cv2.COLOR_BayerBG2RGB, cv2.COLOR_BayerBG2RGB_EA])
@pytest.mark.parametrize("sharpening", [0.0, 0.7])
@pytest.mark.parametrize("sigma", [6, 12, 24])
def test_grain_of_demosaiced_noise_is_found(
    sigma: float, sharpening: float, method: int, rng: np.random.Generator
) -> None:
    clean = smooth(rng)
    noisy = demosaiced(clean, sigma, rng, method, sharpening)
    added = float((noisy - demosaiced(clean, 0, rng, method, sharpening)).std())
    assert grain(noisy.clip(0, 255).astype(np.uint8)) == pytest.approx(added, rel=0.2)


@pytest.mark.parametrize(("kind", "white"), [(np.float32, 1), (np.uint16, 65535), (np.uint8, 255)])
def test_grain_counts_alike_in_every_type(kind: type, white: float, rng: np.random.Generator) -> None:
    noisy = demosaiced(smooth(rng), 12, rng).clip(0, 255)
    expected = grain((noisy / 255).astype(np.float32))
    assert expected is not None
    assert expected > 5
    assert grain((noisy / 255 * white).astype(kind)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("sigma", [0, 5, 15, 40])
@pytest.mark.parametrize("gray", [False, True])
def test_white_noise_is_no_grain(gray: bool, sigma: float, rng: np.random.Generator) -> None:
    picture = smooth(rng) + rng.normal(0, sigma, (331, 420, 1 if gray else 3))
    found = grain(picture.clip(0, 255).round().astype(np.uint8))
    assert found == pytest.approx(0, abs=0.3)


def test_texture_is_no_grain(rng: np.random.Generator) -> None:
    leaves = cv2.GaussianBlur(rng.normal(0, 60, (331, 420)).astype(np.float32), (0, 0), 0.8)[:, :, None]
    picture = smooth(rng) + leaves * np.array([0.8, 1.0, 0.6])
    found = measure(ArraySource(picture.clip(0, 255).astype(np.uint8)))
    assert found.noise is not None
    assert found.noise > 5
    assert found.grain == 0


@pytest.mark.parametrize("size", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("quality", [None, 80, 95])
def test_fur_is_no_grain(quality: int | None, size: float) -> None:
    with Image.open("datasets/samples/cat.png") as photo:
        picture = photo.convert("RGB").resize((int(photo.width * size), int(photo.height * size)), Image.Resampling.BOX)
    if quality:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        picture = Image.open(file)
    found = grain(np.asarray(picture))
    assert found is not None
    assert found < 1.5


def test_nights_are_grainy(rng: np.random.Generator) -> None:
    dark = smooth(rng) / 10
    noisy = demosaiced(dark, 12, rng).clip(0, 255).astype(np.uint8)
    assert (noisy == 0).mean() > 0.04
    found = grain(noisy)
    assert found is not None
    assert found > 4


def test_gray_pictures_and_small_ones_tell_of_no_grain(rng: np.random.Generator) -> None:
    noisy = demosaiced(smooth(rng), 12, rng).clip(0, 255).astype(np.uint8)
    assert grain(noisy[:, :, :1]) is None
    assert grain(noisy[:, :, :2]) is None
    assert grain(noisy[:15]) is None
    assert grain(noisy[:16]) is not None
    assert grain(np.dstack([noisy, np.zeros_like(noisy[:, :, 0])])) == grain(noisy)
