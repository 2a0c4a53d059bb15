"""Kinds of files that other programs write, read as another reader reads them."""

import io
import os
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mambair_cli.errors import InputError
from mambair_cli.images import formats, jpeg
from mambair_cli.images.damage import listening
from mambair_cli.images.decode import decode_bytes
from mambair_cli.images.encode import encode
from mambair_cli.images.picture import Metadata, Picture

from . import foreign

COLOURS = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [255, 255, 255]], np.uint8)
"""Of the palettes below."""


@pytest.fixture
def rgb(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (16, 24, 3), np.uint8)


def bmp(head: bytes, palette: bytes, rows: bytes) -> bytes:
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + head + palette + rows


def info(width: int, height: int, bits: int, compression: int = 0, masks: bytes = b"", colours: int = 0) -> bytes:
    """The header of Windows 3, of Windows 4 with alpha if there are four masks."""
    size = 108 if len(masks) == 16 else 40
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 0, 0, colours, 0) + masks
    return head.ljust(size, b"\0") if len(masks) == 16 else head


def quads() -> bytes:
    return b"".join(bytes([*colour[::-1], 0]) for colour in COLOURS.tolist())


def triples() -> bytes:
    return b"".join(bytes(colour[::-1]) for colour in COLOURS.tolist())


def pick(*rows: list[int]) -> list[list[list[int]]]:
    return [[COLOURS[k].tolist() for k in row] for row in rows]


OS2 = struct.pack("<IHHHH", 12, 2, 1, 1, 8)
MASKS_565, MASKS_RGBA = struct.pack("<3I", 0xF800, 0x7E0, 0x1F), struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
BMP = {
    "OS/2, 8 bits": (bmp(OS2, triples() * 64, b"\2\1\0\0"), pick([2, 1])),
    "OS/2, 24 bits": (bmp(OS2[:10] + b"\x18\0", b"", triples()[6:9] + triples()[3:6] + bytes(2)), pick([2, 1])),
    "1 bit": (bmp(info(2, 1, 1, colours=2), quads()[:8], b"\x40\0\0\0"), pick([0, 1])),
    "4 bits": (bmp(info(3, 1, 4, colours=4), quads(), b"\x31\x20\0\0"), pick([3, 1, 2])),
    "8 bits": (bmp(info(2, 2, 8, colours=4), quads(), b"\2\1\0\0\0\3\0\0"), pick([0, 3], [2, 1])),
    "8 bits from the top": (bmp(info(2, -2, 8, colours=4), quads(), b"\2\1\0\0\0\3\0\0"), pick([2, 1], [0, 3])),
    "RLE 8": (bmp(info(2, 3, 8, 1, colours=4), quads(), b"\2\2\0\0\2\1\0\0\2\0\0\1"), pick([0, 0], [1, 1], [2, 2])),
    "RLE 4": (bmp(info(4, 1, 4, 2, colours=4), quads(), b"\4\x12\0\1"), pick([1, 2, 1, 2])),
    "5 bits of each colour": (bmp(info(2, 1, 16), b"", struct.pack("<2H", 0x7FFF, 0x7C00)), pick([3, 2])),
    "5, 6 and 5 bits": (bmp(info(2, 1, 16, 3, MASKS_565), b"", struct.pack("<2H", 0xFFFF, 0x7E0)), pick([3, 1])),
    "24 bits": (bmp(info(1, 1, 24), b"", triples()[6:9] + b"\0"), pick([2])),
    "32 bits": (bmp(info(1, 1, 32), b"", triples()[6:9] + b"\0"), pick([2])),
    "32 bits with alpha": (bmp(info(1, 1, 32, 3, MASKS_RGBA), b"", b"\1\2\3\x80"), [[[1, 2, 3, 128]]]),
}


@pytest.mark.parametrize("kind", BMP)
def test_bmp(kind: str) -> None:
    data, expected = BMP[kind]
    assert decode_bytes(data, "a.bmp").pixels.tolist() == expected


@pytest.mark.parametrize("block", ["exif", "xmp", "both"])
def test_avif_with_metadata_behind_its_first_bytes(block: str, rgb: NDArray[np.uint8]) -> None:
    """As libheif writes it; Pillow puts it before the pixels, so other items are put before it."""
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(file, "AVIF", quality=90)
    plain = decode_bytes(file.getvalue(), "a").pixels
    data = with_item(file.getvalue(), b"Exif" if block != "xmp" else b"mime")
    data = with_item(data, b"mime") if block == "both" else data
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is None
    assert np.array_equal(decode_bytes(data, "a").pixels, plain)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def children(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 0
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        found.append((kind, data[place + 8 : place + size]))
        place += size
    return found


def with_item(data: bytes, kind: bytes) -> bytes:
    """An AVIF file of Pillow's with one more item of metadata, at its very end (ISO/IEC 14496-12, 8.11)."""
    block = bytes(4) + foreign.exif(1) if kind == b"Exif" else foreign.XMP % 1
    boxes = dict(children(data))
    parts = dict(children(boxes[b"meta"][4:]))
    (count,) = struct.unpack_from(">H", parts[b"iinf"], 4)
    number = count + 1
    name = b"\0application/rdf+xml\0" if kind == b"mime" else b"\0"
    entry = box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, kind) + name)
    parts[b"iinf"] = parts[b"iinf"][:4] + struct.pack(">H", number) + parts[b"iinf"][6:] + entry
    reference = box(b"cdsc", struct.pack(">HHH", number, 1, 1))
    grown = len(entry) + 14 + len(reference) + (0 if b"iref" in parts else 12)
    parts[b"iref"] = parts.get(b"iref", bytes(4)) + reference
    location = parts[b"iloc"]
    assert location[:6] == b"\0\0\0\0\x44\0", "no version, places and lengths of four bytes, no base"
    moved = bytearray(location[:6] + struct.pack(">H", number) + location[8:])
    for at in range(8, len(location), 14):
        (place,) = struct.unpack_from(">I", location, at + 6)
        struct.pack_into(">I", moved, at + 6, place + grown)
    parts[b"iloc"] = bytes(moved) + struct.pack(">HHHII", number, 0, 1, len(data) + grown, len(block))
    meta = box(b"meta", boxes[b"meta"][:4] + b"".join(box(kind, content) for kind, content in parts.items()))
    rest = box(b"mdat", boxes[b"mdat"] + block)
    return box(b"ftyp", boxes[b"ftyp"]) + meta + rest


def test_webp_of_few_bytes() -> None:
    """One red pixel (RFC 9649, section 3): no transforms, and five codes of one symbol each."""
    zero, most = "1000", "101" + "1" * 8
    bits = "000" + zero + most + zero + most + zero
    stream = b"\x2f" + bytes(4) + int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
    chunk = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream
    data = b"RIFF" + struct.pack("<I", len(chunk)) + chunk
    assert len(data) == 30
    assert decode_bytes(data, "a").pixels.tolist() == [[[255, 0, 0]]]


def test_suffixes_of_jpeg(rgb: NDArray[np.uint8]) -> None:
    for suffix in (".jfif", ".jpe", ".jif", ".JPEG"):
        row = formats.by_suffix(suffix)
        assert row is not None
        assert row.name == "jpg"
        assert encode(Picture(rgb), suffix) == encode(Picture(rgb), ".jpg")


def jpg(rgb: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_that_lacks_its_end_marker_is_whole(progressive: bool, cut: int, rgb: NDArray[np.uint8]) -> None:
    whole = jpg(rgb, progressive=progressive)
    found = decode_bytes(whole[:-cut], "a")
    assert np.array_equal(found.pixels, decode_bytes(whole, "a").pixels)
    assert found.notes == (jpeg.NO_END,)
    with pytest.raises(InputError, match="the end of the file is missing"):
        decode_bytes(whole[:-cut], "a", strict=True)


def test_a_jpeg_without_end_marker_may_be_padded(rgb: NDArray[np.uint8]) -> None:
    whole = jpg(rgb)
    found = decode_bytes(whole[:-2] + bytes(500), "a")
    assert np.array_equal(found.pixels, decode_bytes(whole, "a").pixels)
    assert jpeg.NO_END in found.notes


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_more_is_refused(progressive: bool, rgb: NDArray[np.uint8]) -> None:
    whole = jpg(rgb, progressive=progressive)
    for length in range(30, len(whole) - 4, 7):
        with pytest.raises(InputError, match="damaged or truncated"):
            decode_bytes(whole[:length], "a")


def test_the_last_scan_of_a_progressive_jpeg_has_to_be_there(rgb: NDArray[np.uint8]) -> None:
    whole = jpg(rgb, progressive=True)
    with pytest.raises(InputError, match="damaged or truncated"):
        decode_bytes(whole[: whole.rindex(b"\xff\xda")], "a")


def test_damage_that_a_decoder_mends_is_told(rgb: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]) -> None:
    whole = jpg(rgb)
    middle = whole.index(b"\xff\xda") + 60
    damaged = whole[:middle] + b"\xff\xd3" + whole[middle:]  # a restart that was not announced
    assert "may be wrong" in decode_bytes(damaged, "a").notes[0]
    with pytest.raises(InputError, match=r"a is damaged: .* may be wrong\.") as error:
        decode_bytes(damaged, "a", strict=True)
    assert "--strict" in error.value.hint
    assert decode_bytes(whole, "a", strict=True).notes == ()
    assert capfd.readouterr() == ("", "")


def test_kinds_of_jpeg_that_no_decoder_takes_are_not_called_damaged(rgb: NDArray[np.uint8]) -> None:
    whole = bytearray(jpg(rgb))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 4] = 12
    with pytest.raises(InputError, match=r"of a kind that is not supported .12 bits"):
        decode_bytes(bytes(whole), "a")


def test_what_is_printed_by_others_while_decoding_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    with listening() as heard:
        os.write(2, b"50 %\nCorrupt JPEG data: bad Huffman code\nWarning: a.png: b\n")
        os.write(2, b"PredictorSetup: no value\nValueError: c\n60 %")
    assert heard == ["Corrupt JPEG data: bad Huffman code", "PredictorSetup: no value"]
    assert capfd.readouterr().err == "50 %\nWarning: a.png: b\nValueError: c\n60 %"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".avif"])
def test_few_bytes_do_not_make_many_pixels(suffix: str) -> None:
    """A limit per byte, but for those who raise the other one."""
    data = encode(Picture(np.zeros((16, 16, 3), np.uint8)), suffix)
    start, size = {".png": (16, ">II"), ".bmp": (18, "<ii")}.get(suffix, (0, ""))
    if start:
        large = data[:start] + struct.pack(size, 20000, 20000) + data[start + 8 :]
    elif suffix == ".jpg":
        start = data.index(b"\xff\xc0") + 5
        large = data[:start] + struct.pack(">HH", 20000, 20000) + data[start + 4 :]
    elif suffix == ".tif":
        large = foreign.tiff(np.zeros((2, 2, 3), np.uint8), tags={256: (4, [20000]), 257: (4, [20000])})
    elif suffix == ".avif":
        start = data.index(b"ispe") + 8
        large = data[:start] + struct.pack(">II", 20000, 20000) + data[start + 8 :]
    else:
        start = data.index(b"VP8L") + 9
        large = data[:start] + struct.pack("<I", 16382 | 16382 << 14) + data[start + 4 :]
    with pytest.raises(InputError, match=r"cannot hold" if suffix in (".jpg", ".tif") else r"pixels in|damaged"):
        decode_bytes(large, "a")


@pytest.mark.parametrize("size", [(1, 1_000_001), (1_000_001, 1)])
def test_edges_that_no_result_can_have_are_refused_before_decoding(size: tuple[int, int]) -> None:
    """Pillow keeps about 30 bytes for each row."""
    data = foreign.tiff(np.zeros((2, 2, 1), np.uint8), tags={256: (4, [size[0]]), 257: (4, [size[1]])})
    with pytest.raises(InputError, match="longer edges than 1000000"):
        decode_bytes(data, "a", max_pixels=None)


@pytest.mark.parametrize("gray", [False, True])
def test_what_is_no_format_of_ours_may_be_read_all_the_same(gray: bool) -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 90, 90, 90 if gray else 91])
    file = io.BytesIO()
    image.save(file, "GIF")
    assert decode_bytes(file.getvalue(), "a.png").pixels[0, 0].tolist() == ([90] if gray else [90, 90, 91])
    file = io.BytesIO()
    image.convert("RGB").save(file, "TGA")
    with pytest.raises(InputError, match="a picture of the kind TGA, which is not supported"):
        decode_bytes(file.getvalue(), "a.png")


def test_bytes_behind_the_pixels_of_a_png_are_no_damage(rgb: NDArray[np.uint8]) -> None:
    whole = foreign.png(rgb)
    end = whole.rindex(b"IEND") - 4
    data = whole[:end] + foreign.chunk(b"IDAT", b"x") + whole[end:]
    assert decode_bytes(data, "a", strict=True).notes == ()


def test_text_of_many_bytes_is_no_damage(rgb: NDArray[np.uint8]) -> None:
    profile = foreign.SRGB + bytes(2 << 20)
    profile = struct.pack(">I", len(profile)) + profile[4:]
    written = encode(Picture(rgb, Metadata(icc=profile)), ".png")
    assert decode_bytes(written, "a").metadata.icc == profile


def test_content_decides_and_not_the_name(rgb: NDArray[np.uint8]) -> None:
    assert np.array_equal(decode_bytes(encode(Picture(rgb), ".tif"), "a.png").pixels, rgb)
