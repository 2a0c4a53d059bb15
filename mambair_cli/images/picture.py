"""A decoded image with what has to travel from the input file to the output file."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Pixels = NDArray[Any]
"""Array (height, width, channels) of uint8, uint16 or float32 in [0, 1]; the channels are gray, gray and alpha, RGB, or
RGB and alpha. Alpha is straight: the colours are not multiplied by it."""


@dataclass(frozen=True)
class Metadata:
    """Blocks kept as bytes; EXIF and XMP say "upright", because the pixels are."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""


@dataclass(frozen=True)
class Picture:
    """Upright pixels in RGB order, their metadata, notes on what of the file is not in here, and on what was mended."""

    pixels: Pixels
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
