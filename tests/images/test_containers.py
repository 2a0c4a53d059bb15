"""Files with broken or foreign metadata, hidden transparency, several pictures: nothing wrong, nothing lost unsaid."""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile

from mambair_cli.errors import InputError
from mambair_cli.images.decode import decode, decode_bytes
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Metadata, Picture

from . import foreign

RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY, CMYK = (RGB[:16] + space + RGB[20:] for space in (b"GRAY", b"CMYK"))


@pytest.fixture
def rgb(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (12, 20, 3), np.uint8)


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """A little-endian EXIF block of entries (tag, type, count, four bytes of value)."""
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


TURNED = (ExifTags.Base.Orientation, 3, 1, struct.pack("<I", 6))
BROKEN = {
    "value beyond the end": (exif((271, 2, 100, struct.pack("<I", 9000)), TURNED), True),
    "wrong type of a value": (exif(TURNED, (ExifTags.IFD.Exif, 2, 4, b"abcd")), True),
    "folder of tags beyond the end": (exif(TURNED, (ExifTags.IFD.Exif, 4, 1, struct.pack("<I", 9000))), True),
    "cut": (exif(TURNED)[:15], False),
    "two orientations": (exif((ExifTags.Base.Orientation, 3, 2, struct.pack("<HH", 6, 6))), True),
    "orientation as text": (exif((ExifTags.Base.Orientation, 2, 4, b"six\0")), False),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif"])
def test_good_pixels_load_whatever_their_exif(
    suffix: str, kind: str, tmp_path: Path, rgb: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    block, turned = BROKEN[kind]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(Picture(rgb, Metadata(exif=block)), suffix))
    with warnings.catch_warnings(action="error"):
        found = decode(path)
    if suffix != ".avif":  # Pillow does not open one with a broken block, so nobody knows its orientation
        assert found.pixels.shape == ((20, 12, 3) if turned else (12, 20, 3))
    encode(found, suffix)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif"])
def test_damage_is_an_input_error_or_harmless(suffix: str, tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    whole = encode(Picture(rgb, Metadata(exif(TURNED), RGB)), suffix)
    rng = np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for _ in range(50):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, min(len(data), 600), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        with suppress(InputError):
            decode(path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Failed to decode", "is damaged or truncated"),
        ("Unsupported BMP compression (9)", "a BMP picture that is stored"),
    ],
)
def test_an_error_of_the_decoder_is_an_input_error(
    said: str, message: str, rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told in our words: what decoders say is about themselves."""

    def broken(image: Image.Image) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(ImageFile.ImageFile, "load", broken)
    with pytest.raises(InputError, match=message) as error:
        decode_bytes(encode(Picture(rgb), ".bmp"), "a.bmp")
    assert said not in error.value.message + error.value.hint


@pytest.mark.parametrize(
    ("suffix", "channels", "profile", "kept"),
    [
        (".png", 3, RGB, True),
        (".png", 3, CMYK, False),
        (".png", 3, GRAY, False),
        (".png", 1, GRAY, True),
        (".png", 1, RGB, False),
        (".png", 2, GRAY, True),
        (".tif", 2, GRAY, True),
        (".webp", 2, GRAY, False),  # written as RGB and alpha
        (".png", 4, RGB, True),
        (".jpg", 2, GRAY, True),  # written without alpha
        (".jpg", 1, GRAY, True),
        (".webp", 1, GRAY, False),  # written as RGB
        (".webp", 1, RGB, True),
        (".avif", 3, RGB, True),
        (".tif", 3, RGB, True),
        (".bmp", 3, RGB, False),
    ],
)
def test_a_profile_is_written_where_it_fits(
    suffix: str, channels: int, profile: bytes, kept: bool, rng: np.random.Generator
) -> None:
    picture = Picture(rng.integers(0, 256, (8, 9, channels), np.uint8), Metadata(icc=profile))
    with Image.open(io.BytesIO(encode(picture, suffix))) as image:
        assert image.info.get("icc_profile") == (profile if kept else None)
    assert any("profile" in note for note in fit(picture, suffix).notes) is not kept


def test_what_a_format_cannot_hold_is_said(rng: np.random.Generator) -> None:
    picture = Picture(rng.integers(0, 65536, (8, 9, 4), np.uint16), Metadata(exif=b"x"), ("before",))
    notes = fit(picture, ".BMP").notes
    assert [note.split()[0] for note in notes] == ["before", ".bmp", "EXIF"]
    assert fit(picture, ".jpg").notes[1] == ".jpg holds no transparency"
    assert fit(picture, ".png") == picture


def png(depth: int, row: bytes, key: int) -> bytes:
    """A gray PNG of one row whose value ``key`` is transparent."""
    width = len(row) * 8 // depth

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0))
    body = chunk(b"tRNS", struct.pack(">H", key)) + chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "row", "key", "gray", "alpha"),
    [
        (1, b"\x05", 1, [0, 0, 0, 0, 0, 255, 0, 255], [1, 1, 1, 1, 1, 0, 1, 0]),
        (2, b"\x1b", 2, [0, 85, 170, 255], [1, 1, 0, 1]),
        (4, b"\x1f", 1, [17, 255], [0, 1]),
        (8, b"\x01\x02", 2, [1, 2], [1, 0]),
        (16, b"\x01\x02\x03\x04", 0x0304, [0x0102, 0x0304], [1, 0]),
    ],
)
def test_the_transparent_value_of_a_gray_png(
    depth: int, row: bytes, key: int, gray: list[int], alpha: list[int], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png(depth, row, key))
    found = decode(tmp_path / "a.png").pixels[0]
    assert found[:, 0].tolist() == gray
    assert found[:, 1].tolist() == [value * np.iinfo(found.dtype).max for value in alpha]


@pytest.mark.parametrize("rest", [b"x", b"some words behind the end of the file"])
def test_what_stands_behind_a_png_does_not_matter(rest: bytes, rgb: NDArray[np.uint8]) -> None:
    assert np.array_equal(decode_bytes(foreign.png(rgb) + rest, "a").pixels, rgb)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_that_stands_for_transparency(depth: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 2**depth, (5, 6, 3)).astype(f"u{depth // 8}")
    key = struct.pack(">3H", *pixels[2, 3].tolist())
    data = foreign.png(pixels)
    data = data[:33] + foreign.chunk(b"tRNS", key) + data[33:]
    found = decode_bytes(data, "a").pixels
    assert np.array_equal(found[:, :, :3], pixels)
    assert np.argwhere(found[:, :, 3] == 0).tolist() == [[2, 3]]
    assert set(found[:, :, 3].flat) == {0, 2**depth - 1}


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [False, True])
def test_palettes(bits: int, alpha: bool, rng: np.random.Generator) -> None:
    image = Image.fromarray(rng.integers(0, 2**bits, (7, 9), np.uint8), "P")
    image.putpalette(rng.integers(0, 256, 3 * 2**bits, np.uint8).tobytes())
    options = {"transparency": bytes([7, 0, 255, 99][: 2**bits])} if alpha else {}
    file = io.BytesIO()
    image.save(file, "PNG", bits=bits, **options)
    with Image.open(io.BytesIO(file.getvalue())) as stored:
        expected = np.asarray(stored.convert("RGBA" if alpha else "RGB"))
    assert np.array_equal(decode_bytes(file.getvalue(), "a").pixels, expected)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_palette_of_grays_is_gray(orientation: int, rng: np.random.Generator) -> None:
    gray = rng.integers(0, 256, (7, 9), np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(gray).convert("P").save(file, "PNG", exif=exif)
    expected = np.rot90(gray, -1) if orientation == 6 else gray
    assert np.array_equal(decode_bytes(file.getvalue(), "a").pixels, expected[:, :, None])


def test_the_profile_of_imagemagick_is_exif(rgb: NDArray[np.uint8]) -> None:
    """Its older versions write EXIF as text: a name, the length, hexadecimal lines."""
    block = b"Exif\0\0" + foreign.exif(6)
    text = f"\nexif\n{len(block):8}\n" + "\n".join(block.hex()[k : k + 72] for k in range(0, 2 * len(block), 72)) + "\n"
    profile = foreign.chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text.encode()))
    data = foreign.png(rgb)
    found = decode_bytes(data[:33] + profile + data[33:], "a")
    assert np.array_equal(found.pixels, np.rot90(rgb, -1))
    assert foreign.facts(found.metadata.exif) == foreign.CAMERA


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_channels_of_tiff_files(mode: str, orientation: int, tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb).convert(mode)
    if mode != "CMYK":
        image.putalpha(Image.fromarray(rgb[:, :, 1]))
    image.save(tmp_path / "a.tif", exif={ExifTags.Base.Orientation: orientation})
    expected: NDArray[Any] = np.asarray(image.convert({"PA": "RGBA", "CMYK": "RGB"}.get(mode, mode)))
    found = decode(tmp_path / "a.tif").pixels
    assert np.array_equal(found, np.rot90(expected, -1) if orientation == 6 else expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_file_says_whether_it_is_gray(mode: str, suffix: str, tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    image = Image.fromarray(rgb[:, :, 0]).convert(mode)
    image.putalpha(Image.fromarray(rgb[:, :, 1]))
    image.save(tmp_path / f"a{suffix}")
    assert np.array_equal(decode(tmp_path / f"a{suffix}").pixels, np.asarray(image))


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png", ".avif"])
def test_more_than_one_picture_is_said(suffix: str, tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    image, other = Image.fromarray(rgb), Image.fromarray(255 - rgb)
    image.save(tmp_path / f"a{suffix}", save_all=True, append_images=[other])
    assert decode(tmp_path / f"a{suffix}").notes == ("only the first of 2 pictures in the file is restored",)
    image.save(tmp_path / f"a{suffix}")
    assert decode(tmp_path / f"a{suffix}").notes == ()


def test_opencv_reads_what_pillow_does_not_know(tmp_path: Path) -> None:
    data = cv2.imencode(".ppm", np.full((3, 4, 3), 9, np.uint8))[1].tobytes()
    (tmp_path / "a.png").write_bytes(data)
    assert decode(tmp_path / "a.png").pixels.shape == (3, 4, 3)
