"""JPEG XL files (ISO/IEC 18181) by pillow-jxl-plugin, lossless unless a quality is asked for."""

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from . import exif, jpeg, profiles
from .header import Header
from .picture import Metadata, Picture, Pixels

SIGNATURE = b"\xff\x0a"
STREAMS = {b"jxlc": 0, b"jxlp": 4}
"""Boxes that hold the stream of the picture, and the bytes in them before it (ISO/IEC 18181-2, 9)."""

HEAD = 1 << 16
LENGTHS = (9, 13, 18, 30)
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Bits of a length, and width to height, by what the stream says (ISO/IEC 18181-1, SizeHeader)."""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
OFFSET = 4
"""Bytes before EXIF in its box (ISO/IEC 18181-2, 9.4)."""


def header(file: BinaryIO) -> Header:
    """Size; the library would decode the picture for it.

    Raises:
        ValueError: there is none.
    """
    bits = _Bits(_stream(file.read(HEAD)))
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.length()
    ratio = bits.take(3)
    if ratio:
        across, down = RATIOS[ratio - 1]
        width = height * across // down
    else:
        width = 8 * (bits.take(5) + 1) if small else bits.length()
    return Header(width, height, channels=4, depth=2)


def _stream(data: bytes) -> bytes:
    """What follows the signature of the stream."""
    if data.startswith(SIGNATURE):
        return data[2:]
    place = 0
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        long = size == 1
        if kind in STREAMS:
            return data[place + (16 if long else 8) + STREAMS[kind] + len(SIGNATURE) :]
        size = int.from_bytes(data[place + 8 : place + 16], "big") if long else size
        place += max(size, 8)
    raise ValueError("no picture in the file")


@dataclass
class _Bits:
    """Bits of a stream, the last of each byte first."""

    data: bytes
    place: int = 0

    def take(self, count: int) -> int:
        end = self.place + count
        if end > 8 * len(self.data):
            raise ValueError("the file ends too early")
        number = int.from_bytes(self.data[: -(-end // 8)][:16], "little") >> self.place
        self.place = end
        return number & ((1 << count) - 1)

    def length(self) -> int:
        return self.take(LENGTHS[self.take(2)]) + 1


def read(name: str, data: bytes) -> Picture:
    """The first picture; the library turns it upright by itself. A JPEG file that was packed is read as such.

    Raises:
        InputError: the JPEG file is damaged.
    """
    from pillow_jxl import Decoder

    packed, facts, content, icc, boxes = Decoder(num_threads=-1)(data)
    if packed:
        return jpeg.read(name, bytes(content))
    shape = facts.height, facts.width, facts.num_channels + facts.has_alpha_channel
    pixels = _typed(bytes(content), facts.mode, math.prod(shape)).reshape(shape)
    blocks = {bytes(box.box_type): bytes(box.data) for box in boxes}
    block, _ = exif.upright_exif(_exif(blocks.get(b"Exif", b"")))
    profile = b"" if profiles.is_srgb(bytes(icc)) else bytes(icc)  # which the library makes up for pictures without
    return Picture(pixels, Metadata(block, profile, exif.upright_xmp(blocks.get(b"xml ", b""))))


def _typed(content: bytes, mode: str, values: int) -> Pixels:
    floats = mode.startswith("F")
    found = np.frombuffer(content, f"{'f' if floats else 'u'}{len(content) // values}")
    return found.astype(np.float32) if floats else found


def _exif(box: bytes) -> bytes:
    """Without the place of its beginning, which some writers leave out."""
    return box if box.startswith((b"II", b"MM")) else box[OFFSET + int.from_bytes(box[:OFFSET], "big") :]


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 pixels with 1 to 4 channels."""
    from pillow_jxl import Encoder

    height, width, channels = pixels.shape
    encoder = Encoder(
        mode=MODES[channels],
        lossless=quality is None,
        quality=quality or 100,
        use_container=True,
        use_original_profile=quality is None,
        num_threads=-1,
    )
    blocks = {"exif": metadata.exif and bytes(OFFSET) + metadata.exif, "xmp": metadata.xmp}
    given = {key: block or None for key, block in blocks.items()}
    return bytes(encoder(pixels.tobytes(), width, height, jpeg_encode=False, jumb=None, compress=False, **given))
