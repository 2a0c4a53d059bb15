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
from tests.restoration.grain import demosaiced, smooth

QUALITIES = (1, 5, 10, 35, 49, 50, 51, 75, 95, 100)


def estimate(pixels: np.ndarray, file: Path | bytes) -> Estimate:
    return module.estimate(ArraySource(pixels), file)


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
    assert estimate(pixels, _gray(37).getvalue()) == Estimate(None, quality=37)


@pytest.mark.parametrize(("subsampling", "sampling"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_grain_is_found_behind_colours_of_less_than_full_size(
    subsampling: int, sampling: str, rng: np.random.Generator
) -> None:
    clean = smooth(rng)
    noisy = demosaiced(clean, 16, rng)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=97, subsampling=subsampling)
    found = estimate(np.asarray(Image.open(file)), file.getvalue())
    assert found.sampling == sampling
    assert found.grain == pytest.approx(float((noisy - demosaiced(clean, 0, rng)).std()), rel=0.25)


def test_what_is_poor() -> None:
    assert Estimate(20.0).poor == "noise of about sigma 20.0"
    assert Estimate(19.9, grain=3.0, quality=70).poor == "grain of a camera of about sigma 3.0"
    assert Estimate(19.9, grain=2.9, quality=70, sampling="4:2:0").poor == "JPEG quality of about 70"
    assert Estimate(None, quality=71).poor is None
    assert Estimate(None).poor is None


def test_it_reads_as_a_sentence() -> None:
    assert str(Estimate(7.26, grain=4.04, quality=40, sampling="4:2:0")) == (
        "noise of about sigma 7.3 (white is 255), grain of a camera of about sigma 4.0, JPEG quality of about 40, 4:2:0"
    )
    assert str(Estimate(None)) == "too small to tell"


def _gray(quality: int) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    return file
