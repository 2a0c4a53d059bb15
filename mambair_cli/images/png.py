"""PNG files (the PNG specification, third edition): what OpenCV's decoder should not see and its encoder leaves out.

OpenCV writes neither gray with alpha nor an XMP chunk that is correct, and rejects profiles that others take.
"""

import io
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import BinaryIO

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

TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
BLOCKS_AS_TEXT = (XMP_KEYWORD, b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")
"""Keywords of text that is one of the other blocks."""

SRGB = {
    b"gAMA": (45455).to_bytes(4, "big"),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
"""What these chunks say for sRGB (11.3.2.4)."""

RGB_IN_FULL = bytes([0, 1])
"""No matrix and the full range, which a picture in PNG always has (11.3.2.6)."""

METRE = 1 / 0.0254
"""Inches."""

NO_PIXELS = struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))

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
    metadata = with_chunks(found.metadata, io.BytesIO(data))
    return Picture(exif.upright(pixels, found.orientation), metadata, found.notes)


def with_chunks(metadata: Metadata, file: BinaryIO) -> Metadata:
    """With the text of a file, and with the colours that it gives in place of a profile.

    Raises:
        ValueError: the file ends before its last chunk does.
    """
    chunks = Chunks.of(file)
    metadata = replace(metadata, text=chunks.text())
    return metadata if metadata.icc else replace(metadata, gamma=chunks.gamma(), cicp=chunks.cicp())


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


@dataclass(frozen=True)
class Chunks:
    """The chunks of a whole file: kinds and places; what is looked at is cut out, as the others may be large."""

    file: BinaryIO
    all: tuple[tuple[bytes, int, int], ...]

    @classmethod
    def of(cls, file: BinaryIO) -> "Chunks":
        """Those of a file that begins with the signature.

        Raises:
            ValueError: it ends before its last chunk does.
        """
        found, place, kind, end = [], len(SIGNATURE), b"", file.seek(0, io.SEEK_END)
        while kind != b"IEND":
            if place + 12 > end:
                raise ValueError("the file ends too early")
            file.seek(place)
            size, kind = struct.unpack(">I4s", file.read(8))
            found.append((kind, place, size))
            place += size + 12
        return cls(file, tuple(found))

    def only(self, kinds: Collection[bytes]) -> list[bytes]:
        """Those of some kinds, with length, kind and checksum."""
        return [self._at(place, size + 12) for kind, place, size in self.all if kind in kinds]

    def _at(self, place: int, size: int) -> bytes:
        self.file.seek(place)
        return self.file.read(size)

    def text(self) -> bytes:
        """Those that hold text, and no other block."""
        return b"".join(chunk for chunk in self.only(TEXT) if chunk[8:].partition(b"\0")[0] not in BLOCKS_AS_TEXT)

    def gamma(self) -> bytes:
        """Those that say which colours the numbers are, if other ones than sRGB's, and if nothing else says it."""
        said = {chunk[4:8]: chunk[8:-4] for chunk in self.only({b"cICP", b"sRGB", *SRGB})}
        if {b"cICP", b"sRGB"} & set(said) or all(said.get(kind, usual) == usual for kind, usual in SRGB.items()):
            return b""
        return b"".join(self.only(SRGB))

    def cicp(self) -> bytes:
        """The colour space by number."""
        return next((container.numbered_colours(*chunk[8:10]) for chunk in self.only({b"cICP"})), b"")


def around(file: BinaryIO) -> bytes:
    """A whole file without its pixels, everything else in front of where they were.

    Raises:
        ValueError: the file ends before its last chunk does.
    """
    chunks = Chunks.of(file)
    others = chunks.only({kind for kind, _, _ in chunks.all} - {b"IDAT", b"IEND", b"fcTL", b"fdAT"})
    return SIGNATURE + b"".join(others) + NO_PIXELS + b"".join(chunks.only({b"IEND"}))


def bare(data: bytes) -> bytes:
    """A whole file without the chunks that are not about pixels: libpng prints what it thinks of them."""
    return SIGNATURE + b"".join(Chunks.of(io.BytesIO(data)).only(PIXELS))


def write(pixels: Pixels, metadata: Metadata, quality: int | None = None) -> bytes:
    """A file of uint8 or uint16 pixels with 1 to 4 channels.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    data = opencv.write(".png", _disguised(pixels) if pixels.shape[2] == 2 else pixels)
    header = bytearray(data[HEADER])
    if pixels.shape[2] == 2:
        header[8:10] = 8 * pixels.itemsize, GRAY_ALPHA
    return head(bytes(header), metadata) + data[BODY:]


def head(header: bytes, metadata: Metadata) -> bytes:
    """A file up to its pixels; ``header`` is the content of the IHDR chunk (11.2.1)."""
    file = io.BytesIO()
    file.write(SIGNATURE)
    PngImagePlugin.putchunk(file, b"IHDR", header)
    if metadata.icc:
        PngImagePlugin.putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(metadata.icc))
    if metadata.cicp:
        PngImagePlugin.putchunk(file, b"cICP", metadata.cicp, RGB_IN_FULL)
    file.write(metadata.gamma)
    if metadata.resolution:
        per_metre = (round(value * METRE) for value in metadata.resolution)
        PngImagePlugin.putchunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        PngImagePlugin.putchunk(file, b"eXIf", metadata.exif)
    if metadata.xmp:
        PngImagePlugin.putchunk(file, b"iTXt", XMP_KEYWORD, bytes(5), metadata.xmp)
    file.write(metadata.text)
    return file.getvalue()


def _disguised(pixels: Pixels) -> Pixels:
    """Gray with alpha as pixels of as many bytes: filters and compression (9.2) look at bytes, so only IHDR differs."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels).view(">u2").astype(np.uint16)
    return pixels.astype(">u2").view(np.uint8)
