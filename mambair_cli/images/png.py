"""PNG files (the PNG specification, third edition): what OpenCV's decoder should not see and its encoder leaves out.

OpenCV writes neither gray with alpha nor an XMP chunk that is correct, and rejects profiles that others take.
"""

import io
import struct
import zlib

import numpy as np
from PIL import PngImagePlugin

from . import opencv
from .picture import Metadata, Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = slice(16, 29)
DEPTH, COLOURS = 24, 25
"""Places of the content of the IHDR chunk, and of the bit depth and the kind of colours in it (11.2.1)."""

BODY = 33
GRAY_ALPHA = 4
XMP_KEYWORD = b"XML:com.adobe.xmp"


PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def bare(data: bytes) -> bytes:
    """A whole file without the chunks that are not about pixels: libpng prints what it thinks of them."""
    kept, place, kind = [SIGNATURE], len(SIGNATURE), b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind in PIXELS:
            kept.append(data[place : place + size + 12])
        place += size + 12
    return b"".join(kept)


def write(pixels: Pixels, metadata: Metadata) -> bytes:
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
