"""What AVIF and HEIF files share: boxes (ISO/IEC 14496-12) that name the size of pictures (ISO/IEC 23008-12)."""

import math
import re
import struct
from typing import BinaryIO

from .header import Header

LONGEST_HEAD = 1 << 20
SIZE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)
"""Width and height of an item (ISO/IEC 23008-12, 6.5.3)."""


def header(file: BinaryIO) -> Header:
    """The largest size that is named, which is that of the picture.

    Raises:
        ValueError: none is.
    """
    sizes = [struct.unpack(">II", found[1]) for found in SIZE.finditer(file.read(LONGEST_HEAD))]
    width, height = max(sizes, key=math.prod)
    return Header(width, height, channels=4, depth=2)
