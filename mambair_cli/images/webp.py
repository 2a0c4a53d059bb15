"""WebP files (RFC 9649), lossless unless a quality is asked for."""

import cv2

from . import container, exif, opencv, planes
from .picture import Metadata, Picture, Pixels

LOSSLESS = (cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR)

LEAST = 32
"""Bytes that OpenCV wants to see of a file; one flat pixel takes 26."""


def read(name: str, data: bytes) -> Picture:
    """One picture, upright.

    Raises:
        InputError: it is damaged.
    """
    with container.opened(data) as image:
        found = container.described(image)
    pixels = exif.upright(opencv.read(name, data.ljust(LEAST, b"\0")), found.orientation)
    return Picture(pixels, found.metadata, found.notes)


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 pixels with 1 to 4 channels, gray as colour.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    parameters = LOSSLESS if quality is None else (cv2.IMWRITE_WEBP_QUALITY, quality)
    return opencv.write(".webp", planes.coloured(pixels), parameters, metadata)
