"""How much memory a picture will take, from the head of its file alone."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ..images import formats
from ..images.container import quiet_pillow

COPIES_READING = 2
"""The decoder's pixels and those in our order of channels."""

COPIES_WRITING = 3
"""The result, the same in the encoder's order of channels, and the file, as large if nothing can be compressed."""

REDUCING = 3
"""Bytes per value while 16 bits become 8: those of a table, and the result."""

ENCODERS = {".webp": 48, ".avif": 40}
"""Bytes per pixel of encoders that work on the picture as a whole: measured on noise, without loss."""

AT_ONCE = frozenset({"WEBP", "AVIF"})
"""Formats whose decoders unpack the whole picture."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        channels: at most.
        depth: bytes per channel.
        file: bytes of the file.
        at_once: whether any decoder has to unpack the whole picture before the first row.
    """

    width: int
    height: int
    channels: int
    depth: int
    file: int
    at_once: bool

    @property
    def pixels(self) -> int:
        """Bytes of the picture when decoded."""
        return self.width * self.height * self.channels * self.depth


def header(source: Path | bytes) -> Header | None:
    """The head of a file or of its content; None for what cannot be read, which decoding will say in its words."""
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with quiet_pillow(), Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return Header(*image.size, *_channels(image), size, _at_once(image))
    except Exception:  # what a decoder stumbles over in a damaged file may be anything
        return None


def _channels(image: Image.Image) -> tuple[int, int]:
    """Channels and bytes per channel; Pillow shows 16-bit colour as 8-bit."""
    channels = 4 if image.mode in ("P", "PA") else len(image.getbands()) + ("transparency" in image.info)
    if image.format == "TIFF":
        bits: Any = image.getexif().get(ExifTags.Base.BitsPerSample, 8)
        return channels, max(1, (max(bits) if isinstance(bits, tuple) else bits) // 8)
    deep = image.mode.startswith(("I", "F")) or any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    return channels, 2 if deep else 1


def _at_once(image: Image.Image) -> bool:
    return image.format in AT_ONCE or any(image.info.get(key) for key in ("interlace", "progressive"))


def in_memory(head: Header, scale: float, suffix: str) -> int:
    """Bytes for a picture that is decoded, restored and encoded in memory, besides the work on tiles."""
    result = int(head.pixels * scale**2)
    reading = head.file + COPIES_READING * head.pixels
    writing = head.pixels + COPIES_WRITING * result + encoding(head, scale, suffix)
    if head.depth > 1 and suffix not in formats.DEEP:
        writing += REDUCING * result // head.depth
    return max(reading, writing)


def decoding(head: Header) -> int:
    """Bytes for what the decoder unpacks before the first row."""
    return head.file + COPIES_READING * head.pixels if head.at_once else 0


def encoding(head: Header, scale: float, suffix: str) -> int:
    """Bytes for what the encoder gathers before it writes anything."""
    return int(ENCODERS.get(suffix, 0) * head.width * head.height * scale**2)
