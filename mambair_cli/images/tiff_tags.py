"""Directories of TIFF files (TIFF 6.0, section 2): what they say about the pixels, and how tags are added to one."""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from PIL import ExifTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The last two are BigTIFF."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, LAB = 0, 1, 2, 5, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
HORIZONTAL = 2
TILE_WIDTH, XMP, PROFILE = 322, 700, 34675


@dataclass(frozen=True)
class Layout:
    """How the first picture of a file is stored; the numbers are those of the tags."""

    width: int
    height: int
    bits: int
    kind: int
    colours: int
    channels: int
    planes: int
    extra: tuple[int, ...]
    predictor: int
    tile: int
    orientation: int
    icc: bytes
    xmp: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Read from the first directory; may raise any exception if that is broken."""
        tags = ImageFileDirectory_v2(data[:16] if data[2:4] in (b"+\0", b"\0+") else data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        name = ExifTags.Base
        if missing := {name.ImageWidth, name.ImageLength} - set(tags):
            raise ValueError(f"no {missing.pop().name} in its directory")
        return cls(
            width=tags[name.ImageWidth],
            height=tags[name.ImageLength],
            bits=max(tags.get(name.BitsPerSample, (1,))),
            kind=max(tags.get(name.SampleFormat, (UNSIGNED,))),
            colours=tags.get(name.PhotometricInterpretation, BLACK_IS_ZERO),
            channels=tags.get(name.SamplesPerPixel, 1),
            planes=tags.get(name.PlanarConfiguration, 1) if tags.get(name.SamplesPerPixel, 1) > 1 else 1,
            extra=tuple(tags.get(name.ExtraSamples, ())),
            predictor=tags.get(name.Predictor, 1),
            tile=tags.get(TILE_WIDTH, tags[name.ImageWidth]),
            orientation=tags.get(name.Orientation, 1),
            icc=bytes(tags.get(PROFILE, b"")),
            xmp=bytes(tags.get(XMP, b"")),
        )


def with_tags(data: bytes, tags: Mapping[int, Any]) -> bytes:
    """A classic TIFF file with more or other tags in its first directory; everything else stays where it is."""
    if not tags:
        return data
    order = "<" if data[:2] == b"II" else ">"
    ours = ImageFileDirectory_v2(data[:4] + bytes(4))
    for tag, value in tags.items():
        ours[tag] = value
    data += bytes(len(data) % 2)
    values = ours.tobytes(len(data))
    values += bytes(len(values) % 2)
    (first,) = struct.unpack_from(f"{order}L", data, 4)
    entries = _entries(data, first, order) | _entries(values, 0, order)
    table = struct.pack(f"{order}H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return data[:4] + struct.pack(f"{order}L", len(data) + len(values)) + data[8:] + values + table


def _entries(data: bytes, place: int, order: str) -> dict[int, bytes]:
    """The entries of a directory as they are stored, twelve bytes each: tag, type, count, value or its place."""
    (count,) = struct.unpack_from(f"{order}H", data, place)
    entries = [data[at : at + 12] for at in range(place + 2, place + 2 + 12 * count, 12)]
    return {struct.unpack(f"{order}H", entry[:2])[0]: entry for entry in entries}
