"""A decoded image with what has to travel from the input file to the output file."""

from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

Pixels = NDArray[Any]
"""Array (height, width, channels) of uint8, uint16 or float32 in [0, 1]; the channels are gray, gray and alpha, RGB, or
RGB and alpha. Alpha is straight: the colours are not multiplied by it."""


@dataclass(frozen=True)
class Metadata:
    """Blocks kept as bytes; EXIF and XMP say "upright", because the pixels are.

    Attributes:
        text: chunks of PNG that hold text, such as the settings of an image generator.
        gamma: chunks of PNG that describe its colours (gAMA, cHRM), where these are not sRGB's.
        cicp: the numbers of primaries and transfer function (ITU-T H.273), a byte each, unless near to sRGB's.
        resolution: pixels per inch, across and down; that of the input also where the result has more pixels.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    text: bytes = b""
    gamma: bytes = b""
    cicp: bytes = b""
    resolution: tuple[float, float] | None = None

    def without(self, *blocks: str) -> "Metadata":
        """The others."""
        kept: Metadata = replace(self, **dict.fromkeys(blocks, b""))  # type: ignore[arg-type]
        return kept


@dataclass(frozen=True)
class Picture:
    """Upright pixels in RGB order, their metadata, notes on what of the file is not in here, and on what was mended."""

    pixels: Pixels
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
