"""Estimates of noise and compression, against what was done to the pictures."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mambair_cli.restoration import estimate as module
from mambair_cli.restoration.estimate import Estimate, compression
from mambair_cli.restoration.sources import ArraySource

QUALITIES = (1, 5, 10, 35, 49, 50, 51, 75, 95, 100)


def noise(pixels: np.ndarray) -> float | None:
    return module.noise(ArraySource(pixels))


def estimate(pixels: np.ndarray, file: Path | bytes) -> Estimate:
    return module.estimate(ArraySource(pixels), file)


def smooth(rng: np.random.Generator, channels: int = 3) -> np.ndarray:
    """Far from black and white, so that noise is not cut off."""
    coarse = rng.integers(90, 166, (6, 7, channels)).astype(np.float32)
    return cv2.resize(coarse, (420, 331), interpolation=cv2.INTER_CUBIC).reshape(331, 420, channels)


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
    assert noise(pixels) is None
    assert str(Estimate(None)) == "too small to tell"


@pytest.mark.parametrize("quality", QUALITIES)
def test_quality_and_sampling_are_those_of_the_encoders(quality: int, rng: np.random.Generator, tmp_path: Path) -> None:
    pixels = smooth(rng).astype(np.uint8)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert compression(path) == (quality, "4:2:0")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:4:4")
    assert compression(file.getvalue()) == (quality, "4:4:4")
    Image.fromarray(pixels[:, :, 0]).save(path, quality=quality)
    assert compression(path) == (quality, None)


def test_tables_of_others_are_put_near_those_of_libjpeg(tmp_path: Path) -> None:
    with Image.open(_gray(50)) as image:
        table = [value + 1 for value in image.quantization[0]]  # type: ignore[attr-defined]
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg", qtables=[table])
    quality, _ = compression(tmp_path / "a.jpg")
    assert quality is not None
    assert abs(quality - 50) <= 2


def test_files_without_compression(tmp_path: Path) -> None:
    pixels = np.full((6, 6, 3), 9, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert estimate(pixels, tmp_path / "a.png") == Estimate(0.0)
    assert estimate(pixels, tmp_path / "gone") == Estimate(0.0)


def test_what_cannot_be_found_out_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pixels = np.full((6, 6, 3), 0.5, np.float32)
    cv2.imwrite(str(tmp_path / "float.tif"), pixels)  # which Pillow does not open
    assert estimate(pixels, tmp_path / "float.tif") == Estimate(0.0)
    assert estimate(pixels, b"no picture") == Estimate(0.0)

    def starved(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "quantile", starved)
    assert estimate(pixels, _gray(37).getvalue()) == Estimate(None, 37)


def test_grass_is_no_noise(rng: np.random.Generator) -> None:
    picture = smooth(rng)
    picture[:200] += rng.normal(0, 40, (200, 420, 3))
    found = noise((picture + rng.normal(0, 4, picture.shape)).clip(1, 254).astype(np.uint8))
    assert found == pytest.approx(4, rel=0.1)


def test_what_is_poor() -> None:
    assert Estimate(5.0).poor == "noise of about sigma 5.0"
    assert Estimate(4.9, 70, "4:2:0").poor == "JPEG quality of about 70"
    assert Estimate(None, 71).poor is None
    assert Estimate(None).poor is None


def test_it_reads_as_a_sentence() -> None:
    assert str(Estimate(7.26, 40, "4:2:0")) == (
        "noise of about sigma 7.3 (white is 255), JPEG quality of about 40, 4:2:0"
    )


def _gray(quality: int) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    return file
