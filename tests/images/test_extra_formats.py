"""HEIC and JPEG XL, which need packages beside this one, against what those packages read and write."""

import importlib.util
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from mambair_cli.errors import InputError, OutputError
from mambair_cli.images import formats
from mambair_cli.images.decode import decode, decode_bytes
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.formats import Format
from mambair_cli.images.picture import Metadata, Picture

from . import foreign

EXTRA = {".heic": "pillow_heif", ".jxl": "pillow_jxl"}
HERE = [
    pytest.param(suffix, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is missing"))
    for suffix, name in EXTRA.items()
]
HEIC = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")


def pixels(rng: np.random.Generator, channels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return rng.integers(0, np.iinfo(dtype).max, (37, 50, channels), dtype, endpoint=True)


def saved(suffix: str, image: Image.Image, **options: Any) -> bytes:
    """By the plugin for Pillow, without loss."""
    if suffix == ".heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
        options |= {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    else:
        import pillow_jxl  # noqa: F401

        options |= {"lossless": True, "use_container": True}
    file = io.BytesIO()
    image.save(file, "HEIF" if suffix == ".heic" else "JXL", **options)
    return file.getvalue()


@pytest.mark.parametrize("suffix", HERE)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_come_back_exactly(suffix: str, channels: int, rng: np.random.Generator) -> None:
    given = pixels(rng, channels)
    found = decode_bytes(encode(Picture(given), suffix), f"a{suffix}")
    expected = given[:, :, [0, 0, 0, 1]] if channels == 2 and suffix == ".heic" else given
    assert np.array_equal(found.pixels, expected)
    assert found.notes == ()
    assert found.metadata == Metadata()


@pytest.mark.parametrize("suffix", HERE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_files_of_the_plugin(suffix: str, channels: int, rng: np.random.Generator) -> None:
    given = pixels(rng, channels)
    image = Image.fromarray(given[:, :, 0] if channels == 1 else given)
    assert np.array_equal(decode_bytes(saved(suffix, image), "a.jpg").pixels, given)


@pytest.mark.parametrize("suffix", HERE)
def test_quality_and_size(suffix: str, rng: np.random.Generator) -> None:
    given = np.asarray(Image.fromarray(pixels(rng, 3)).resize((200, 148)))
    sizes = [len(encode(Picture(given), suffix, quality=quality)) for quality in (10, 90, None)]
    assert sizes == sorted(set(sizes))
    with pytest.raises(InputError, match="200 x 148 pixels, more than the limit"):
        decode_bytes(encode(Picture(given), suffix), "a", max_pixels=200 * 148 - 1)


@pytest.mark.parametrize("suffix", HERE)
def test_metadata_travels_and_orientation_is_applied_once(suffix: str, rng: np.random.Generator) -> None:
    """The libraries turn by themselves; what their files say of EXIF's orientation is to be ignored."""
    metadata = Metadata(exif=foreign.exif(1), xmp=foreign.XMP % 1)
    found = decode_bytes(encode(Picture(pixels(rng, 3), metadata), suffix), "a")
    assert foreign.facts(found.metadata.exif) == foreign.CAMERA
    assert found.metadata.xmp == foreign.XMP % 1
    given = pixels(rng, 3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = decode_bytes(saved(suffix, Image.fromarray(given), exif=exif.tobytes()), "a").pixels
    assert np.array_equal(turned, np.rot90(given, -1) if suffix == ".heic" else given)


def test_deep_heic(rng: np.random.Generator) -> None:
    pytest.importorskip("pillow_heif", reason="pillow_heif is missing")
    given = pixels(rng, 3, np.uint16)
    fitting = fit(Picture(given), ".heic")
    assert fitting.notes == (".heic holds 12 bits per channel, not 16",)
    found = decode_bytes(encode(fitting, ".heic"), "a").pixels
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - given).max() <= 9


def test_a_jpeg_in_jpeg_xl(tmp_path: Path, rng: np.random.Generator) -> None:
    """Packed without decoding it, as cjxl does by default."""
    plugin = pytest.importorskip("pillow_jxl", reason="pillow_jxl is missing")
    file = io.BytesIO()
    Image.fromarray(pixels(rng, 3)).save(file, "JPEG", exif=b"Exif\0\0" + foreign.exif(6))
    encoder = plugin.Encoder(mode="RGB", lossless=True, quality=100, use_container=True, use_original_profile=True)
    packed = bytes(encoder(file.getvalue(), 50, 37, jpeg_encode=True))
    whole = decode_bytes(file.getvalue(), "a.jpg")
    assert np.array_equal(decode_bytes(packed, "a.jxl").pixels, whole.pixels)


def test_what_is_not_installed_is_said_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Format, "installed", property(lambda row: row.module is None))
    (tmp_path / "iphone.jpg").write_bytes(HEIC + bytes(100))
    with pytest.raises(InputError, match="is a HEIC picture, and what reads that is not installed") as error:
        decode(tmp_path / "iphone.jpg")
    assert error.value.hint == "Install it with pip install 'mambair[formats]'."
    with pytest.raises(OutputError, match=r"What writes \.jxl files is not installed") as refused:
        encode(Picture(np.zeros((2, 2, 3), np.uint8)), ".jxl")
    assert "formats" in refused.value.hint
    assert not formats.is_image(Path("a.heic"))
    assert ".heic" not in formats.listing()


@pytest.mark.parametrize("suffix", HERE)
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_refused(suffix: str, keep: float, rng: np.random.Generator) -> None:
    whole = encode(Picture(pixels(rng, 3)), suffix)
    with pytest.raises(InputError, match="damaged or truncated"):
        decode_bytes(whole[: int(len(whole) * keep)], "a")
