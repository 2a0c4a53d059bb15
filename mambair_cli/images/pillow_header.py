"""What Pillow says of a file before it is decoded."""

from typing import BinaryIO

from PIL import Image

from .container import quiet_pillow
from .header import Header


def header(file: BinaryIO) -> Header:
    """From what Pillow finds, which shows 16-bit colour as 8-bit; may raise any exception for a broken file."""
    with quiet_pillow(), Image.open(file) as image:
        channels = 4 if image.mode in ("P", "PA") else len(image.getbands()) + ("transparency" in image.info)
        deep = image.mode.startswith(("I", "F")) or any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        at_once = any(image.info.get(key) for key in ("interlace", "progressive"))
        return Header(*image.size, channels, 2 if deep else 1, at_once)
