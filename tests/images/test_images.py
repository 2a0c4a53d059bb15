"""Pixels and metadata in and out, compared with what Pillow reads or writes."""

import io
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from mambair_cli.errors import InputError
from mambair_cli.images.decode import decode
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Metadata, Picture

from . import foreign

ORIENTATION = ExifTags.Base.Orientation
LOSSLESS = [".png", ".tif", ".tiff", ".bmp", ".webp"]


def picture(rng: np.random.Generator, channels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    pixels: NDArray[Any] = rng.integers(0, np.iinfo(dtype).max, (11, 17, channels), dtype, endpoint=True)
    return pixels


def save(path: Path, pixels: NDArray[Any], metadata: Metadata | None = None) -> Path:
    path.write_bytes(encode(Picture(pixels, metadata or Metadata()), path.suffix))
    return path


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_come_back_exactly(
    suffix: str, channels: int, dtype: type[np.generic], tmp_path: Path, rng: np.random.Generator
) -> None:
    pixels = picture(rng, channels, dtype)
    found = decode(save(tmp_path / f"a{suffix}", pixels)).pixels
    expected = pixels
    if dtype is np.uint16 and suffix in (".bmp", ".webp"):
        expected = np.rint(expected / 257).astype(np.uint8)
    if channels == 2 and suffix in (".bmp", ".webp"):
        expected = expected[:, :, [0, 0, 0, 1]]
    if expected.shape[2] == 1 and found.shape[2] == 3:  # WebP knows no gray
        expected = np.repeat(expected, 3, axis=2)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_another_reader_sees_the_same_colours(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = picture(rng, 3)
    with Image.open(save(tmp_path / f"a{suffix}", pixels)) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
def test_files_of_another_writer(mode: str, tmp_path: Path, rng: np.random.Generator) -> None:
    base = Image.fromarray(picture(rng, 3))
    if mode == "I;16":
        deep = picture(rng, 1, np.uint16)[:, :, 0]
        Image.fromarray(deep).save(tmp_path / "a.png")
        assert np.array_equal(decode(tmp_path / "a.png").pixels[:, :, 0], deep)
        return
    image = base.quantize(8) if mode == "P" else base.convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    found = decode(path).pixels
    if mode == "CMYK":
        assert found.shape == (11, 17, 3)
        return
    expected = np.asarray(image.convert("RGB") if mode == "P" else image.convert("L") if mode == "1" else image)
    assert np.array_equal(found, expected if expected.ndim == 3 else expected[:, :, None])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(suffix: str, orientation: int, tmp_path: Path, rng: np.random.Generator) -> None:
    blocks = rng.integers(0, 2, (4, 6, 3), np.uint8) * 255
    image = Image.fromarray(blocks.repeat(8, 0).repeat(8, 1))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[ExifTags.Base.Make] = "camera"
    path = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {"quality": 95} if suffix in (".jpg", ".avif") else {}
    image.save(path, exif=exif, **options)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    read = decode(path)
    assert read.pixels.shape == expected.shape
    difference = np.abs(read.pixels.astype(int) - expected.astype(int)).mean()
    assert difference < (8 if suffix in (".jpg", ".avif", ".webp") else 1e-9)
    if suffix in (".png", ".jpg", ".webp"):
        with Image.open(io.BytesIO(encode(read, suffix))) as again:
            assert again.getexif()[ORIENTATION] == 1
            assert again.getexif()[ExifTags.Base.Make] == "camera"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_metadata_travels(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    found = decode(save(tmp_path / f"a{suffix}", picture(rng, 3), Metadata(block, icc)))
    assert found.metadata == Metadata(block, icc)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["icc_profile"] == icc
        assert image.getexif()[ExifTags.Base.Artist] == "somebody"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(suffix: str, keep: float, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / f"a{suffix}"
    whole = cv2.imencode(suffix, rng.integers(0, 256, (40, 60, 3), np.uint8))[1].tobytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"damaged or truncated|not an image"):
        decode(path)


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    data = bytearray(encode(Picture(picture(rng, 3)), ".png"))
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "does not exist"),
        ("empty.png", b"", "is empty"),
        ("text.png", b"just some words\n" * 20, "not an image"),
        ("a.docx", b"x", "no suffix of a known"),
    ],
)
def test_what_is_no_picture_is_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        decode(tmp_path / name)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize(("value", "said"), [(1.5, "0 to 1.5;"), (-0.25, "-0.25 to 0;"), (np.nan, "nan to nan;")])
def test_floats_beyond_0_to_1_are_refused(value: float, said: str, tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.float32)
    pixels[1, 2, 0] = value
    (tmp_path / "a.tif").write_bytes(foreign.tiff(pixels))
    with pytest.raises(InputError, match=f"from {re.escape(said)}") as error:
        decode(tmp_path / "a.tif")
    assert "tone-map" in error.value.hint


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint16), (".jpg", np.uint8), (".tif", np.float32)])
def test_floats_keep_what_the_format_holds(suffix: str, dtype: type[np.generic]) -> None:
    found = fit(Picture(np.full((4, 4, 3), 0.5, np.float32)), suffix)
    assert found.pixels.dtype == dtype
    assert found.pixels.max() == {".png": 32768, ".jpg": 128, ".tif": 0.5}[suffix]
    assert any("floats" in note for note in found.notes) is (suffix != ".tif")


def test_unreadable_exif_does_not_stop_the_picture(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = picture(rng, 3)
    path = save(tmp_path / "a.png", pixels, Metadata(exif=b"MM\0*\xff\xff\xff\xffgarbage"))
    assert np.array_equal(decode(path).pixels, pixels)
