"""Layouts of TIFF files: read rightly or refused, never read wrongly."""

import io
import lzma
import struct
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from mambair_cli.errors import InputError
from mambair_cli.images.decode import decode_bytes
from mambair_cli.images.tiff_tags import Directory, Layout, with_tags

from . import foreign
from .foreign import Pixels

Tags = dict[int, tuple[int, Any]]


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8", "16"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def noise(rng: np.random.Generator, channels: int, dtype: Any) -> Pixels:
    pixels: Pixels = rng.integers(0, np.iinfo(dtype).max, (12, 20, channels), dtype, endpoint=True)
    return pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("strips", [1, 5])
def test_byte_orders_and_strips(
    order: Literal["<", ">"], channels: int, strips: int, dtype: Any, rng: np.random.Generator
) -> None:
    pixels = noise(rng, channels, dtype)
    assert np.array_equal(decode_bytes(foreign.tiff(pixels, order, strips=strips), "a").pixels, pixels)


def test_white_is_zero(dtype: Any, rng: np.random.Generator) -> None:
    pixels = noise(rng, 1, dtype)
    found = decode_bytes(foreign.tiff(pixels, tags={262: (3, [0])}), "a").pixels
    assert np.array_equal(found, np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_channel_without_meaning_is_left_out(channels: int, dtype: Any, rng: np.random.Generator) -> None:
    pixels = noise(rng, channels, dtype)
    found = decode_bytes(foreign.tiff(pixels, tags={338: (3, [0])}), "a")
    assert np.array_equal(found.pixels, pixels[:, :, :-1])
    assert found.notes == ("channels that are not transparency are left out",)


@pytest.mark.parametrize("channels", [2, 4])
def test_multiplied_colours_are_made_straight(channels: int, dtype: Any, rng: np.random.Generator) -> None:
    pixels = noise(rng, channels, dtype)
    white = np.iinfo(dtype).max
    pixels[:, :, -1:] = np.maximum(pixels[:, :, -1:], white // 2)
    stored = pixels.copy()
    stored[:, :, :-1] = np.rint(pixels[:, :, :-1].astype(float) * pixels[:, :, -1:] / white)
    found = decode_bytes(foreign.tiff(stored, tags={338: (3, [1])}), "a").pixels
    assert np.abs(found.astype(int) - pixels).max() <= 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_deep_gray_with_alpha_as_differences(
    order: Literal["<", ">"], orientation: int, rng: np.random.Generator
) -> None:
    pixels = noise(rng, 2, np.uint16)
    stored = np.diff(pixels, axis=1, prepend=np.uint16(0))
    found = decode_bytes(foreign.tiff(stored, order, {317: (3, [2]), 274: (3, [orientation])}), "a").pixels
    assert np.array_equal(found, np.rot90(pixels, -1) if orientation == 6 else pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("tile", [0, 16])
def test_compressions_that_opencv_does_not_know(
    order: Literal["<", ">"], channels: int, kind: str, tile: int, rng: np.random.Generator
) -> None:
    """LZMA with differences, after TIFF 6.0, section 14, and Adobe's technical note 3; the values have few digits."""
    height, width, tall = (16, 20, 16) if tile else (12, 20, 12)
    pixels = (rng.integers(0, 4, (height, width, channels)) * (9000 if kind == "u2" else 0.25)).astype(kind)
    across = tile or width
    parts = []
    for left in range(0, width, across):
        part = np.zeros((tall, across, channels), kind)
        part[:, : width - left] = pixels[:, left : left + across]
        if kind == "u2":
            stored = np.diff(part, axis=1, prepend=part.dtype.type(0)).astype(f"{order}u2").tobytes()
        else:
            planes = part.astype(">f4").view(np.uint8).reshape(tall, -1, 4).transpose(0, 2, 1)
            bytewise = planes.reshape(tall, -1, channels)
            stored = np.diff(bytewise, axis=1, prepend=np.uint8(0)).tobytes()
        parts.append(lzma.compress(stored, preset=9))
    places = [8 + sum(map(len, parts[:number])) for number in range(len(parts))]
    where: Tags = {273: (4, places), 279: (4, [len(part) for part in parts]), 278: (4, [height])}
    if tile:
        where = {322: (4, [16]), 323: (4, [16]), 324: where[273], 325: where[279], 273: (4, []), 279: (4, [])}
    tags: Tags = where | {259: (3, [34925]), 317: (3, [2 if kind == "u2" else 3])}
    data = foreign.tiff(pixels, order, tags)
    content = b"".join(parts)
    assert len(content) <= pixels.nbytes
    found = decode_bytes(data[:8] + content + data[8 + len(content) :], "a.tif").pixels
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


def planar(dtype: Any, channels: int, more: Tags | None = None) -> bytes:
    """Planes one after the other, a strip each."""
    size = 12 * 20 * np.dtype(dtype).itemsize
    tags: Tags = {284: (3, [2]), 273: (4, [8 + size * k for k in range(channels)]), 279: (4, [size] * channels)}
    return foreign.tiff(np.zeros((12, 20, channels), dtype), tags={**tags, 278: (4, [12])} | (more or {}))


REFUSED = {
    "signed CMYK": foreign.tiff(np.zeros((4, 4, 4), np.int8), tags={262: (3, [5]), 338: (3, []), 339: (3, [2] * 4)}),
    "doubles": foreign.tiff(np.zeros((4, 4, 3), np.float64), tags={339: (3, [3] * 3)}),
    "halves": foreign.tiff(np.zeros((4, 4, 1), np.float16)),
    "signed": foreign.tiff(np.zeros((4, 4, 1), np.int16), tags={339: (3, [2])}),
    "32 bits": foreign.tiff(np.zeros((4, 4, 1), np.uint32)),
    "five channels": foreign.tiff(np.zeros((4, 4, 5), np.uint16), tags={338: (3, [2, 0])}),
    "Lab of 16 bits": foreign.tiff(np.zeros((4, 4, 3), np.uint16), tags={262: (3, [8])}),
    "alpha of negatives": foreign.tiff(np.zeros((4, 4, 2), np.uint8), tags={262: (3, [0])}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_read_wrongly_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="in a layout that is not read") as error:
        decode_bytes(REFUSED[kind], "a.tif")
    assert "8 or 16 bits" in error.value.hint


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("orientation", [1, 6])
def test_planes(kind: Any, channels: int, orientation: int, rng: np.random.Generator) -> None:
    pixels = noise(rng, channels, np.uint8).astype(kind) / (255 if kind == np.float32 else 1)
    pixels = pixels.astype(kind)
    data = planar(kind, channels, {274: (3, [orientation])})
    data = data[:8] + np.moveaxis(pixels, 2, 0).tobytes() + data[8 + pixels.nbytes :]
    expected = np.rot90(pixels, -1) if orientation == 6 else pixels
    assert np.array_equal(decode_bytes(data, "a").pixels, expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_planes_in_tiles(kind: Any, rng: np.random.Generator) -> None:
    """Each plane two tiles of 16 x 16 side by side (TIFF 6.0, section 15)."""
    pixels = noise(rng, 3, np.uint8).astype(kind)
    pixels = (pixels / 255 if kind == np.float32 else pixels).astype(kind)
    padded = np.pad(pixels, ((0, 4), (0, 12), (0, 0)))
    tiles = [padded[:, left : left + 16, channel].tobytes() for channel in range(3) for left in (0, 16)]
    size = len(tiles[0])
    tags: Tags = {284: (3, [2]), 322: (4, [16]), 323: (4, [16])}
    tags |= {324: (4, [8 + size * k for k in range(6)]), 325: (4, [size] * 6)}
    data = foreign.tiff(
        np.zeros((16, 32, 3), kind), tags=tags | {256: (4, [20]), 257: (4, [12])}, without=(273, 278, 279)
    )
    data = data[:8] + b"".join(tiles) + data[8 + 6 * size :]
    assert np.array_equal(decode_bytes(data, "a").pixels, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_big_tiff(order: Literal["<", ">"], channels: int, dtype: Any, rng: np.random.Generator) -> None:
    pixels = noise(rng, channels, dtype)
    small = foreign.tiff(pixels, order, {271: (2, b"camera\0"), 700: (7, foreign.XMP % 1)})
    found = decode_bytes(foreign.big_tiff(small), "a")
    assert np.array_equal(found.pixels, pixels)
    assert found.metadata.xmp == foreign.XMP % 1
    assert foreign.facts(found.metadata.exif)["make"] == "camera"


@pytest.mark.parametrize("kind", [1, 7])
def test_blocks_of_either_type(kind: int, rng: np.random.Generator) -> None:
    """XMP and profiles are BYTE by one specification and UNDEFINED by the other."""
    pixels = noise(rng, 3, np.uint8)
    found = decode_bytes(foreign.tiff(pixels, tags={700: (kind, foreign.XMP % 1), 34675: (kind, foreign.SRGB)}), "a")
    assert (found.metadata.xmp, found.metadata.icc) == (foreign.XMP % 1, foreign.SRGB)
    assert np.array_equal(found.pixels, pixels)


def test_cmyk_of_16_bits_is_said_to_lose_depth() -> None:
    data = foreign.tiff(np.zeros((4, 4, 4), np.uint16), tags={262: (3, [5]), 338: (3, [])})
    found = decode_bytes(data, "a")
    assert (found.pixels == 255).all()
    assert found.notes[-1] == "16 bits per channel are read as 8"


@pytest.mark.parametrize("order", ["<", ">"])
def test_added_tags_leave_everything_else(order: Literal["<", ">"], rng: np.random.Generator) -> None:
    pixels = noise(rng, 3, np.uint8)
    data = with_tags(foreign.tiff(pixels, order, {274: (3, [6])}), {274: 1, 271: "camera", 700: b"packet"})
    tags = foreign.tiff_tags(data)
    assert (tags[274], tags[271], tags[700]) == ((1,), b"camera\0", b"packet")
    assert np.array_equal(foreign.read_tiff(data)[0], pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_values_that_overlap_are_not_read_again_and_again() -> None:
    """20,000 tags of 240 KB in 480 KB would be 4.8 GB."""
    size = 480_000
    entries = [struct.pack("<HHLL", tag, 7, size // 2, 8) for tag in range(1000, 21000)]
    data = (b"II*\0" + struct.pack("<LH", 8, len(entries)) + b"".join(entries) + bytes(4)).ljust(size, b"\1")
    with pytest.raises(ValueError, match="overlap"):
        Directory.first(io.BytesIO(data))


@pytest.mark.parametrize("tag", [256, 257])
def test_a_directory_without_a_size(tag: int) -> None:
    data = bytearray(foreign.tiff(np.zeros((4, 6, 1), np.uint8)))
    place = data.rindex(struct.pack("<HHII", tag, 4, 1, 6 if tag == 256 else 4))
    data[place : place + 2] = struct.pack("<H", 254)
    with pytest.raises(InputError, match=r"a\.tif is damaged or truncated\."):
        decode_bytes(bytes(data), "a.tif")


def test_a_layout_says_what_the_tags_say() -> None:
    data = foreign.tiff(np.zeros((4, 6, 2), np.uint16), ">", {274: (3, [3]), 700: (1, b"x")})
    layout = Layout.of(Directory.first(io.BytesIO(data)))
    assert (layout.width, layout.height, layout.bits, layout.channels) == (6, 4, 16, 2)
    assert (layout.extra, layout.orientation, layout.xmp) == ((2,), 3, b"x")


def test_a_broken_folder_of_tags_is_named(rng: np.random.Generator) -> None:
    pixels = noise(rng, 3, np.uint8)
    found = decode_bytes(foreign.tiff(pixels, tags={34665: (4, [9999])}), "a")
    assert np.array_equal(found.pixels, pixels)
    assert (found.metadata.exif, found.notes) == (b"", ("the EXIF block is damaged and left out",))
