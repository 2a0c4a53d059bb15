"""Directories of TIFF files (TIFF 6.0, section 2): what they say about the pixels, and how tags are added to one."""

import io
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from PIL import ExifTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from . import exif

BIG = 43
"""The version of BigTIFF, whose numbers of entries and places have eight bytes."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
HORIZONTAL, FLOATING = 2, 3
TILE_WIDTH, XMP, PROFILE = 322, 700, 34675
IPTC = frozenset({33723, 34377})
"""Tags of IPTC records, alone and among those of Photoshop."""

PARTS = frozenset({273, 279, 324, 325})
"""Tags of the places and sizes of strips and of tiles."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of the types of values; those from 16 are of BigTIFF."""

WHOLE = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}
"""Types of whole numbers, in the letters of :mod:`struct`."""

NARROW = {16: 4, 17: 9, 18: 13}
"""Types of eight bytes and those of four for the same."""

OVERLAP = 2
"""Bytes of values per byte of the file: many tags for the same bytes could fill the memory."""

FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass(frozen=True)
class Value:
    """Of a tag: its type, how many there are, their bytes."""

    kind: int
    count: int
    data: bytes

    @classmethod
    def of(cls, order: str, kind: int, *numbers: int) -> Self:
        """Whole numbers of a type."""
        return cls(kind, len(numbers), struct.pack(f"{order}{len(numbers)}{WHOLE[kind]}", *numbers))


@dataclass(frozen=True)
class Directory:
    """The tags of one picture; ``order`` of bytes as in :mod:`struct`."""

    order: str
    values: Mapping[int, Value]

    @classmethod
    def first(cls, file: BinaryIO) -> Self:
        """That of the first picture.

        Raises:
            ValueError: it is broken.
        """
        head = file.read(16)
        order, big = _kind(head)
        return cls.at(file, _unpack(f"{order}{'Q' if big else 'L'}", head[8:] if big else head[4:]), order, big)

    @classmethod
    def at(cls, file: BinaryIO, place: int, order: str, big: bool) -> Self:
        """That at a place.

        Raises:
            ValueError: it is broken.
        """
        end = file.seek(0, io.SEEK_END)
        size, letter, room = (20, "Q", 8) if big else (12, "L", 4)

        def read(start: int, count: int) -> bytes:
            if not 0 <= start <= end - count:
                raise ValueError("something lies behind the end of the file")
            file.seek(start)
            return file.read(count)

        count = _unpack(f"{order}{'Q' if big else 'H'}", read(place, 8 if big else 2))
        entries = read(place + (8 if big else 2), size * count)
        values: dict[int, Value] = {}
        left = OVERLAP * end
        for start in range(0, len(entries), size):
            tag, kind, number = struct.unpack_from(f"{order}HH{letter}", entries, start)
            field = entries[start + size - room : start + size]
            length = SIZES.get(kind, 0) * number
            left -= length
            if left < 0:
                raise ValueError("the values overlap")
            data = field[:length] if length <= room else read(_unpack(f"{order}{letter}", field), length)
            values.setdefault(tag, Value(kind, number, data))
        return cls(order, values)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The whole numbers of a tag; none if it is not there or holds others."""
        value = self.values.get(tag)
        if value is None or value.kind not in WHOLE:
            return ()
        return struct.unpack(f"{self.order}{value.count}{WHOLE[value.kind]}", value.data)

    def number(self, tag: int, default: int) -> int:
        """The first of them."""
        return next(iter(self.numbers(tag)), default)

    def block(self, tag: int) -> bytes:
        """The bytes of a tag, of whatever type."""
        return self.values[tag].data if tag in self.values else b""


def _kind(head: bytes) -> tuple[str, bool]:
    """Order of bytes, and whether it is BigTIFF."""
    return "<" if head[:2] == b"II" else ">", BIG in head[2:4]


def _unpack(letters: str, data: bytes) -> int:
    try:
        (number,) = struct.unpack_from(letters, data)
    except struct.error:
        raise ValueError("the file ends too early") from None
    return int(number)


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
    compression: int
    extra: tuple[int, ...]
    predictor: int
    tile: int
    orientation: int
    icc: bytes
    xmp: bytes

    @classmethod
    def of(cls, tags: Directory) -> Self:
        """Read from a directory.

        Raises:
            ValueError: the size of the picture is not in it.
        """
        name = ExifTags.Base
        sizes = tags.numbers(name.ImageWidth), tags.numbers(name.ImageLength)
        if not (len(sizes[0]) == len(sizes[1]) == 1 and sizes[0][0] and sizes[1][0]):
            raise ValueError("no size of the picture")
        channels = tags.number(name.SamplesPerPixel, 1)
        return cls(
            width=sizes[0][0],
            height=sizes[1][0],
            bits=max(tags.numbers(name.BitsPerSample), default=1),
            kind=max(tags.numbers(name.SampleFormat), default=UNSIGNED),
            colours=tags.number(name.PhotometricInterpretation, BLACK_IS_ZERO),
            channels=channels,
            planes=tags.number(name.PlanarConfiguration, 1) if channels > 1 else 1,
            compression=tags.number(name.Compression, 1),
            extra=tags.numbers(name.ExtraSamples),
            predictor=tags.number(name.Predictor, 1),
            tile=tags.number(TILE_WIDTH, sizes[0][0]),
            orientation=orientation_of(tags),
            icc=tags.block(PROFILE),
            xmp=tags.block(XMP),
        )


def orientation_of(tags: Directory) -> int:
    """What a tag says, or else XMP."""
    return tags.number(ExifTags.Base.Orientation, exif.xmp_orientation(tags.block(XMP)))


def pictures(file: BinaryIO) -> int:
    """How many directories there are, as far as the way from each to the next is not broken."""
    file.seek(0)
    head = file.read(16)
    order, big = _kind(head)
    letter, width, entry = ("Q", 8, 20) if big else ("L", 4, 12)
    seen: set[int] = set()
    with suppress(ValueError, OverflowError):
        place = _unpack(f"{order}{letter}", head[8:] if big else head[4:])
        while place and place not in seen:
            file.seek(place)
            count = _unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
            file.seek(entry * count, io.SEEK_CUR)
            following = _unpack(f"{order}{letter}", file.read(width))
            seen.add(place)
            place = following
    return max(1, len(seen))


def described(file: BinaryIO) -> BinaryIO:
    """What Pillow can read the descriptive tags from: the file, or, if that is BigTIFF, a classic one with them alone.

    Raises:
        ValueError: the first directory is broken.
    """
    file.seek(0)
    tags = Directory.first(file)
    file.seek(0)
    if not _kind(file.read(16))[1]:
        file.seek(0)
        return file
    kept = Directory(tags.order, {tag: value for tag, value in tags.values.items() if tag in exif.DESCRIPTIVE})
    return io.BytesIO(_put_together(b"", kept, lambda place: Directory.at(file, place, tags.order, big=True)))


def classic(data: bytes) -> bytes:
    """A BigTIFF file as one of TIFF 6.0, which all decoders take; what is one already stays as it is.

    Raises:
        ValueError: its directory is broken, or it has places behind 4 GiB.
    """
    return with_directory(data, Directory.first(io.BytesIO(data))) if BIG in data[2:4] else data


def with_directory(data: bytes, tags: Directory) -> bytes:
    """A classic TIFF file with another directory for its first picture; everything else stays where it is.

    Raises:
        ValueError: a place lies behind 4 GiB.
    """

    def folder(place: int) -> Directory:
        return Directory.at(io.BytesIO(data), place, tags.order, big=True)

    return _put_together(data[8:], tags, folder if BIG in data[2:4] else None)


Folder = Callable[[int], Directory]
"""Reads the folder of tags at a place."""


def _put_together(rest: bytes, tags: Directory, folder: Folder | None) -> bytes:
    """A classic file of its first eight bytes, the rest as it is, and a directory; folders are rewritten if read."""
    odd = bytes(len(rest) % 2)
    start = 8 + len(rest) + len(odd)
    try:
        values, table = _written(tags, start, folder)
        place = struct.pack(f"{tags.order}L", start + len(values))
    except struct.error:
        raise ValueError("a place or a number needs more than four bytes") from None
    magic = b"II*\0" if tags.order == "<" else b"MM\0*"
    return b"".join((magic, place, rest, odd, values, table))


def _written(tags: Directory, start: int, folder: Folder | None) -> tuple[bytes, bytes]:
    """Values that stand at ``start``, and the directory that points to them.

    Folders of tags are rewritten too, but not those in folders, with which a few bytes could make gigabytes.
    """
    values, entries = b"", b""
    for tag, value in sorted(tags.values.items()):
        content, kind = value.data, NARROW.get(value.kind, value.kind)
        if folder and tag in FOLDERS and (place := tags.number(tag, 0)):
            more, table = _written(folder(place), start + len(values), None)
            values += more
            content, kind = struct.pack(f"{tags.order}L", start + len(values)), 4
            values += table + bytes(len(table) % 2)
        elif kind != value.kind:
            content = _four_bytes(content, tags.order)
        if len(content) > 4:
            padded = content + bytes(len(content) % 2)
            content, values = struct.pack(f"{tags.order}L", start + len(values)), values + padded
        entries += struct.pack(f"{tags.order}HHL", tag, kind, value.count) + content.ljust(4, b"\0")
    return values, struct.pack(f"{tags.order}H", len(tags.values)) + entries + bytes(4)


def _four_bytes(content: bytes, order: str) -> bytes:
    count = len(content) // 8
    numbers = struct.unpack(f"{order}{count}Q", content)
    return struct.pack(f"{order}{count}L", *numbers)


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
