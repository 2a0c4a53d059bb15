"""A decoded image with what has to travel from the input file to the output file."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""(height, width, channels) with 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha) channels; floats in [0, 1]."""


@dataclass(frozen=True)
class Metadata:
    """Blocks kept as bytes; EXIF says "upright", because the pixels are."""

    exif: bytes = b""
    icc: bytes = b""


@dataclass(frozen=True)
class Picture:
    """Upright pixels in RGB order and their metadata."""

    pixels: Pixels
    metadata: Metadata = field(default_factory=Metadata)
