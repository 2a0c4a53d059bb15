"""AVIF files (AV1-ISOBMFF), of 8, 10 or 12 bits, lossless unless a quality is asked for."""

import re
import struct
from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np

from . import container, exif, opencv, planes
from .container import Container
from .picture import Metadata, Picture, Pixels

BITS = 12
LOSSLESS = 100

DEPTH, TWELVE_BIT = 6, 0x20
"""Place behind the name of the configuration box, and the bit there for 12 bits instead of 10 (AV1-ISOBMFF, 2.3)."""

NUMBERED, UNSPECIFIED = b"colrnclx", struct.pack(">HH", 2, 2)
"""Name and kind of the box with the colour space by number, and what OpenCV writes there."""

METADATA = re.compile(rb"(infe[\x02\x03]...(?:....|..)\0\0)(?:Exif|mime)", re.DOTALL)
"""Entries of items with EXIF or XMP (ISO/IEC 14496-12, 8.11.6): version 2 has numbers of two bytes, 3 of four."""


def read(name: str, data: bytes) -> Picture:
    """One picture, upright, more than 8 bits as 16.

    Raises:
        InputError: it is damaged.
    """
    found = Container(Metadata(), 1, ())
    with suppress(Exception), container.opened(data) as image:  # which wants whole EXIF
        found = container.described(image)
    pixels = opencv.read(name, bare(data))
    if pixels.dtype == np.uint16:
        pixels = _spread(pixels, data)
    metadata = found.metadata if found.metadata.icc else replace(found.metadata, cicp=_numbered_colours(data))
    return Picture(exif.upright(pixels, found.orientation), metadata, found.notes)


def bare(data: bytes) -> bytes:
    """The file with the items of its metadata renamed: OpenCV gives up where they begin behind the first 500 bytes."""
    return METADATA.sub(rb"\1skip", data)


def _spread(pixels: Pixels, data: bytes) -> Pixels:
    top = 4095 if data[data.find(b"av1C") + DEPTH] & TWELVE_BIT else 1023
    return planes.spread(pixels, top)


def _numbered_colours(data: bytes) -> bytes:
    place = data.find(NUMBERED)
    return container.numbered_colours(*struct.unpack_from(">HH", data, place + len(NUMBERED))) if place >= 0 else b""


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 or uint16 pixels with 1 to 4 channels, gray with alpha as colour; 16 bits become 12.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    pixels, parameters = planes.coloured(pixels), [cv2.IMWRITE_AVIF_QUALITY, quality or LOSSLESS]
    if pixels.dtype == np.uint16:
        pixels, parameters = planes.narrowed(pixels, BITS), [*parameters, cv2.IMWRITE_AVIF_DEPTH, BITS]
    data = opencv.write(".avif", pixels, parameters, metadata)
    if metadata.cicp:
        data = data.replace(NUMBERED + UNSPECIFIED, NUMBERED + struct.pack(">HH", *metadata.cicp), 1)
    return data
