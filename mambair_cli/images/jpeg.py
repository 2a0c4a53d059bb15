"""JPEG files (ITU-T T.81)."""

import io
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import InputError
from . import container, exif, opencv, profiles
from .damage import listening
from .exif import PREFIX
from .header import Header
from .opencv import AGAIN
from .picture import Metadata, Picture, Pixels

QUALITY = 95

END, SCAN = 0xD9, 0xDA
MARK_OF_END = b"\xff\xd9"
LONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
READ = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Kinds of frames (B.1.1.3), and those that libjpeg decodes: Huffman or arithmetic, sequential or progressive."""

PIXELS_PER_BYTE = 520
"""More than Huffman codes reach: at least one bit for the 64 values of a block."""

ARITHMETIC, PROGRESSIVE = frozenset({0xC9, 0xCA}), frozenset({0xC2, 0xCA})
LONGEST_HEAD = 16 << 20
"""Where the frame is: profiles and other blocks stand before it."""

NEXT = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""The marker that ends the data of a scan (B.1.1.5)."""

PADDING = "extraneous bytes before marker 0xd9"
"""What libjpeg says of bytes between the last pixel and the end marker."""

NO_END = "the end of the file is missing, but nothing of the picture"
TRUNCATED = "{} is damaged or truncated."


@dataclass(frozen=True)
class Segment:
    """A marker and the content of its segment."""

    marker: int
    content: bytes


def segments(data: bytes) -> Iterator[Segment]:
    """All of them in order; data of scans is passed over. Ends early where the file does."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0:
        while data[place : place + 1] == b"\xff":
            place += 1
        if place >= len(data):
            return
        marker = data[place]
        place += 1
        if marker in LONE or marker == 0:
            continue
        if marker == END:
            yield Segment(marker, b"")
            return
        size = int.from_bytes(data[place : place + 2], "big")
        yield Segment(marker, data[place + 2 : place + size])
        place += size
        if marker == SCAN:
            found = NEXT.search(data, place)
            place = found.start() if found else len(data)


def header(file: BinaryIO) -> Header:
    """Size and kind (B.2.2).

    Raises:
        ValueError: there is no frame.
    """
    frame = _frame(segments(file.read(LONGEST_HEAD)))
    if frame is None:
        raise ValueError("no frame")
    height, width = struct.unpack_from(">HH", frame.content, 1)
    least = 0 if frame.marker in ARITHMETIC else height * width // PIXELS_PER_BYTE
    return Header(width, height, frame.content[5], depth=1, at_once=frame.marker in PROGRESSIVE, least=least)


def read(name: str, data: bytes) -> Picture:
    """One picture, upright; CMYK as sRGB.

    Raises:
        InputError: it is damaged, or of a kind that is not read.
    """
    found = list(segments(data))
    _check_kind(name, found)
    ended = found[-1].marker == END or data.endswith(MARK_OF_END)
    if not (ended or _has_all_scans(found)):
        raise InputError(TRUNCATED.format(name), AGAIN)
    if not ended:
        data = data.rstrip(b"\xff") + MARK_OF_END
    with listening() as heard:
        pixels = opencv.read(name, data)
    if not (ended or all(PADDING in line for line in heard)):
        raise InputError(TRUNCATED.format(name), AGAIN)
    with container.opened(data) as image:
        around = container.described(image)
        notes, metadata = around.notes, around.metadata
        if image.mode == "CMYK":  # OpenCV converts it by a formula, but it says what is damaged, which Pillow does not
            del pixels
            rgb, note = profiles.to_srgb(image, metadata.icc)
            pixels, notes, metadata = np.asarray(rgb), (*notes, note), replace(metadata, icc=b"")
    return Picture(exif.upright(pixels, around.orientation), metadata, notes, () if ended else (NO_END,))


def _check_kind(name: str, found: list[Segment]) -> None:
    """Refuse kinds that no decoder here takes."""
    frame = _frame(found)
    if frame is None:
        raise InputError(TRUNCATED.format(name), AGAIN)
    if frame.marker not in READ or frame.content[0] != 8:
        raise InputError(
            f"{name} is a JPEG picture of a kind that is not supported"
            f" ({frame.content[0]} bits per channel, frame of type {frame.marker - 0xC0}).",
            "Convert it to PNG, TIFF or plain JPEG.",
        )


def _frame(found: Iterable[Segment]) -> Segment | None:
    return next((segment for segment in found if segment.marker in FRAMES and len(segment.content) >= 6), None)


def _has_all_scans(found: list[Segment]) -> bool:
    """Whether every coefficient of every component was sent, down to the last bit (G.1.1.1)."""
    frame = _frame(found)
    assert frame is not None
    left = {component: set(range(64)) for component in frame.content[6::3][: frame.content[5]]}
    for scan in (segment.content for segment in found if segment.marker == SCAN):
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            return False
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
        for component in scan[1 : 1 + 2 * count : 2] if bits & 15 == 0 else ():
            left.get(component, set()).difference_update(range(first, last + 1))
    return not any(left.values())


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 pixels, gray or colour, by Pillow: OpenCV writes no XMP, and profiles of one segment only."""
    blocks = {"icc_profile": metadata.icc, "xmp": metadata.xmp, "exif": metadata.exif and PREFIX + metadata.exif}
    given: dict[str, Any] = {key: value for key, value in blocks.items() if value}
    if metadata.resolution:
        given["dpi"] = tuple(round(value) for value in metadata.resolution)
    file = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(file, "JPEG", quality=quality or QUALITY, subsampling="4:4:4", **given)
    return file.getvalue()
