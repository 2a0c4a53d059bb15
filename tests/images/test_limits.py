"""Decompression bombs, sizes and threads."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli.errors import InputError, OutputError
from mambair_cli.images.decode import decode, decode_bytes
from mambair_cli.images.encode import check_size, encode, fit
from mambair_cli.images.formats import MAX_PIXELS
from mambair_cli.images.picture import Metadata, Picture

from . import foreign


def bomb(width: int, height: int) -> bytes:
    """A few bytes that claim to be a huge PNG."""
    head = foreign.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return foreign.PNG + head + foreign.chunk(b"IDAT", zlib.compress(bytes(1000))) + foreign.chunk(b"IEND", b"")


def tiff_bomb(width: int, height: int) -> bytes:
    return foreign.tiff(np.zeros((2, 2, 3), np.uint8), tags={256: (4, [width]), 257: (4, [height])})


@pytest.mark.parametrize("make", [bomb, tiff_bomb])
def test_a_decompression_bomb_is_refused_by_its_header(make: Callable[[int, int], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(make(30_000, 20_000))
    with pytest.raises(InputError, match="30000 x 20000 pixels, more than the limit of 500,000,000") as error:
        decode(tmp_path / "a.png")
    assert "--max-pixels" in error.value.hint


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif"])
def test_the_limit_can_be_lowered_and_raised(suffix: str) -> None:
    data = encode(Picture(np.zeros((20, 30, 3), np.uint8)), suffix)
    assert decode_bytes(data, "a", max_pixels=600).pixels.shape == (20, 30, 3)
    assert decode_bytes(data, "a", max_pixels=None).pixels.shape == (20, 30, 3)
    with pytest.raises(InputError, match=r"a has 30 x 20 pixels, more than the limit of 599\."):
        decode_bytes(data, "a", max_pixels=599)


def test_the_limit_holds_for_what_pillow_does_not_know() -> None:
    data = foreign.tiff(np.zeros((20, 30, 2), np.uint16))
    with pytest.raises(InputError, match="more than the limit"):
        decode_bytes(data, "a", max_pixels=599)


def test_the_limit_is_ours_and_not_that_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encode(Picture(np.zeros((20, 30, 3), np.uint8)), ".png")
    assert decode_bytes(data, "a").pixels.shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(InputError):
        decode_bytes(data[:40], "a")
    assert Image.MAX_IMAGE_PIXELS == 100


def test_bytes_are_named_in_messages() -> None:
    with pytest.raises(InputError, match="standard input is empty"):
        decode_bytes(b"", "standard input")
    with pytest.raises(InputError, match="standard input is not an image"):
        decode_bytes(b"just some words\n" * 20, "standard input")


def test_threads_do_not_disturb_each_other(rng: np.random.Generator) -> None:
    """Pillow's limit and the warnings belong to the process."""
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    pictures = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(8)]
    doubtful = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 271, 2, 100, 9000, 0)
    files = [foreign.png(picture, {"exif": doubtful}) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: decode_bytes(data, "a"), files * 20))
    assert all(np.array_equal(one.pixels, pictures[k % 8]) for k, one in enumerate(found))
    assert all(one.metadata == Metadata() for one in found)
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, limit)


def _only(block: str, content: bytes) -> Metadata:
    return Metadata(exif=content) if block == "exif" else Metadata(xmp=content)


@pytest.mark.parametrize(("block", "size"), [("exif", 65527), ("xmp", 65504)])
def test_blocks_that_a_jpeg_segment_does_not_hold(block: str, size: int) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    content = (b"II*\0\x08\0\0\0" + bytes(size))[:size]
    with Image.open(io.BytesIO(encode(Picture(pixels, _only(block, content)), ".jpg"))) as image:
        assert image.info[block].removeprefix(b"Exif\0\0") == content
    longer = Picture(pixels, _only(block, content + b"x"))
    assert fit(longer, ".jpg").notes == (f".jpg holds no more than {size} bytes of {block.upper()}",)
    with Image.open(io.BytesIO(encode(longer, ".jpg"))) as image:
        assert block not in image.info


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality(suffix: str, rng: np.random.Generator) -> None:
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64)))
    sizes = [len(encode(Picture(pixels), suffix, quality=quality)) for quality in (10, 50, 90, None)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_jpeg_keeps_the_resolution_of_colours() -> None:
    """Each of the three components of the frame header has sampling factors 1 x 1 (ITU-T T.81, B.2.2)."""
    data = encode(Picture(np.zeros((8, 8, 3), np.uint8)), ".jpg", quality=30)
    frame = data.index(b"\xff\xc0")
    assert [data[frame + 11 + 3 * k] for k in range(3)] == [0x11] * 3


def test_a_format_that_cannot_be_written() -> None:
    with pytest.raises(OutputError, match=r"cannot be written as \.xyz"):
        encode(Picture(np.zeros((8, 8, 3), np.uint8)), ".xyz")


def test_the_default_limit() -> None:
    assert MAX_PIXELS == 500_000_000


@pytest.mark.parametrize(("name", "largest"), [("a.webp", 16383), ("a.JPG", 65500), ("a.avif", 65536)])
def test_limits_of_formats(name: str, largest: int) -> None:
    check_size(Path(name), largest, 1)
    check_size(Path("a.png"), largest + 1, 1)
    with pytest.raises(OutputError, match=str(largest)):
        check_size(Path(name), 1, largest + 1)
