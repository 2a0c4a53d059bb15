"""PNG files (the PNG specification, third edition): what OpenCV's decoder should not see and its encoder leaves out.

OpenCV writes neither gray with alpha nor an XMP chunk that is correct, and rejects profiles that others take.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from . import container, exif, opencv
from .container import quiet_pillow
from .picture import Metadata, Picture, Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = slice(16, 29)
DEPTH, COLOURS = 24, 25
"""Places of the content of the IHDR chunk, and of the bit depth and the kind of colours in it (11.2.1)."""

BODY = 33
GRAY_ALPHA = 4
XMP_KEYWORD = b"XML:com.adobe.xmp"

LATE = (b"eXIf", XMP_KEYWORD, b"Raw profile type exif")
"""Names of chunks that may stand behind the pixels."""

PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def read(name: str, data: bytes) -> Picture:
    """One picture, upright.

    Raises:
        InputError: it is damaged.
    """
    with container.opened(data) as image:
        if any(mark in data for mark in LATE):
            image.load()
        found = container.described(image)
        palette = image.mode == "P" and not found.metadata.icc and "transparency" not in image.info
        pixels = container.gray_palette(image) if palette else None
        transparent = _transparent(image, data)
    with quiet_pillow(), Image.open(io.BytesIO(data)) as image:
        image.verify()
    if pixels is None:
        pixels = _with_alpha(opencv.read(name, bare(data)), data, transparent)
    return Picture(exif.upright(pixels, found.orientation), found.metadata, found.notes + _numbered_colours(data))


def _transparent(image: Image.Image, data: bytes) -> int | None:
    """The gray value that stands for full transparency."""
    value: int | None = image.info.get("transparency") if image.mode in ("1", "L", "I;16") else None
    if value is not None and image.mode == "L":
        value *= 255 // (2 ** data[DEPTH] - 1)  # Pillow spreads fewer bits to 8, but not this value
    return value


def _with_alpha(pixels: Pixels, data: bytes, transparent: int | None) -> Pixels:
    """Gray with alpha as such, which OpenCV reads as colour, or without alpha if one value stands for it."""
    if pixels.shape[2] == 1 and transparent is not None:
        alpha = np.where(pixels == transparent, 0, np.iinfo(pixels.dtype).max)
        return np.concatenate([pixels, alpha.astype(pixels.dtype)], axis=2)
    return pixels[:, :, 2:] if data[COLOURS] == GRAY_ALPHA else pixels


def _numbered_colours(data: bytes) -> tuple[str, ...]:
    place = data.find(b"cICP", 0, data.find(b"IDAT"))
    return container.numbered_colours(*data[place + 4 : place + 6]) if place >= 0 else ()


def bare(data: bytes) -> bytes:
    """A whole file without the chunks that are not about pixels: libpng prints what it thinks of them."""
    kept, place, kind = [SIGNATURE], len(SIGNATURE), b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind in PIXELS:
            kept.append(data[place : place + size + 12])
        place += size + 12
    return b"".join(kept)


def write(pixels: Pixels, metadata: Metadata, quality: int | None = None) -> bytes:
    """A file of uint8 or uint16 pixels with 1 to 4 channels.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    data = opencv.write(".png", _disguised(pixels) if pixels.shape[2] == 2 else pixels)
    header = bytearray(data[HEADER])
    if pixels.shape[2] == 2:
        header[8:10] = 8 * pixels.itemsize, GRAY_ALPHA
    file = io.BytesIO()
    file.write(SIGNATURE)
    PngImagePlugin.putchunk(file, b"IHDR", bytes(header))
    if metadata.icc:
        PngImagePlugin.putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(metadata.icc))
    if metadata.exif:
        PngImagePlugin.putchunk(file, b"eXIf", metadata.exif)
    if metadata.xmp:
        PngImagePlugin.putchunk(file, b"iTXt", XMP_KEYWORD, bytes(5), metadata.xmp)
    return file.getvalue() + data[BODY:]


def _disguised(pixels: Pixels) -> Pixels:
    """Gray with alpha as pixels of as many bytes: filters and compression (9.2) look at bytes, so only IHDR differs."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels).view(">u2").astype(np.uint16)
    return pixels.astype(">u2").view(np.uint8)
