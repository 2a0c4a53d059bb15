"""What the head of a file says of its picture, from which its memory is known before it is decoded."""

from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from ..errors import InputError
from .container import check_size, quiet_pillow
from .formats import LONGEST, MAX_PIXELS

FEW, DENSE = 1 << 24, 1 << 16
"""Pixels that any file may hold, and those per byte that a larger picture may have: flat colours reach that, too."""


@dataclass(frozen=True)
class Header:
    """Size and kind of a picture.

    Attributes:
        channels: at most.
        depth: bytes per channel.
        at_once: whether any decoder has to unpack the whole picture before the first row.
        least: bytes that a whole file with such a picture has, as far as that is known.
        file: bytes of the file.
    """

    width: int
    height: int
    channels: int
    depth: int
    at_once: bool = False
    least: int = 0
    file: int = 0

    @property
    def pixels(self) -> int:
        """Bytes of the picture when decoded."""
        return self.width * self.height * self.channels * self.depth


def by_pillow(file: BinaryIO) -> Header:
    """From what Pillow finds, which shows 16-bit colour as 8-bit; may raise any exception for a broken file."""
    with quiet_pillow(), Image.open(file) as image:
        channels = 4 if image.mode in ("P", "PA") else len(image.getbands()) + ("transparency" in image.info)
        deep = image.mode.startswith(("I", "F")) or any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        at_once = any(image.info.get(key) for key in ("interlace", "progressive"))
        return Header(*image.size, channels, 2 if deep else 1, at_once)


def check(name: str, head: Header, max_pixels: int | None) -> None:
    """Refuse pictures that are too large, or so large for their file that it may have been made to fill the memory.

    The latter only under the default limit: who raises it trusts the file.

    Raises:
        InputError: it is one of these, or the file is too short for it.
    """
    check_size(name, head.width, head.height, max_pixels)
    if max(head.width, head.height) > LONGEST:
        raise InputError(
            f"{name} has {head.width} x {head.height} pixels, and no result can have longer edges than {LONGEST}.",
            "Cut it into parts.",
        )
    if head.file < head.least:
        what = f"{head.file} bytes cannot hold {head.width} x {head.height} pixels"
        raise InputError(f"{name} is damaged or truncated: {what}.", "Fetch or export it again.")
    pixels = head.width * head.height
    if max_pixels == MAX_PIXELS and pixels > max(FEW, DENSE * head.file):
        raise InputError(
            f"{name} has {head.width} x {head.height} pixels in {head.file} bytes, as if made to fill the memory.",
            f"If you trust the file, give --max-pixels {pixels}.",
        )
