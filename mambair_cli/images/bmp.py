"""BMP files, which Pillow reads in all their kinds and OpenCV writes."""

from . import container, opencv, planes
from .picture import Metadata, Picture, Pixels

MODES = {"1": "L", "P": "RGB"}
"""What modes of Pillow become."""


def read(name: str, data: bytes) -> Picture:
    """One picture; the format knows neither orientation nor metadata."""
    with container.opened(data) as image:
        pixels = container.gray_palette(image) if image.mode == "P" else None
        if pixels is None:
            pixels = container.pixels(image, MODES.get(image.mode, image.mode))
    return Picture(pixels)


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 pixels with 1 to 4 channels, gray with alpha as colour.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    return opencv.write(".bmp", planes.coloured(pixels))
