"""TIFF files with directories (TIFF 6.0, section 2) that are put together at random, some of them broken."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
PAIRS = {5: "I", 10: "i"}
TEXT = 2
RAW = 7

WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS = 256, 257, 258, 259, 262
STRIPS, ORIENTATION, CHANNELS, ROWS, SIZES, PLANES = 273, 274, 277, 278, 279, 284
PREDICTOR, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES = 317, 320, 322, 323, 324, 325
EXTRA, KIND, XMP, EXIF, PROFILE, GPS = 338, 339, 700, 34665, 34675, 34853

DEFLATE, PACKED = 8, 32946
COMPRESSIONS = (
    1,
    1,
    1,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    DEFLATE,
    DEFLATE,
    PACKED,
    32773,
    32809,
    34676,
    34712,
    34887,
    34925,
    50000,
    65535,
)
COLOUR_KINDS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 32803, 34892)

CROSSED = (0, 1, 2, 7, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
"""Numbers at which programs stumble."""


@dataclass
class Entry:
    """A tag; ``content`` in its order of bytes; ``place`` in place of that of the content, if that is to be wrong."""

    tag: int
    kind: int
    count: int
    content: bytes
    place: int | None = None


class Directory:
    """One file, by its number."""

    def __init__(self, number: int) -> None:
        self.rng = np.random.default_rng(number)
        self.order = "<>"[int(self.rng.integers(2))]
        self.big = self.rng.random() < 0.3
        self.entries: list[Entry] = []

    def one_of(self, *values: int) -> int:
        """One of them."""
        return int(values[int(self.rng.integers(len(values)))])

    def add(self, tag: int, *numbers: int, kind: int = 3) -> None:
        """A tag of whole numbers."""
        content = struct.pack(f"{self.order}{len(numbers)}{LETTERS[kind]}", *numbers)
        self.entries.append(Entry(tag, kind, len(numbers), content))

    def picture(self) -> bytes:
        """The tags of a picture, and the bytes of its pixels."""
        rng = self.rng
        width, height = int(rng.integers(1, 70)), int(rng.integers(1, 70))
        usual = rng.random() < 0.6
        channels = self.one_of(1, 3, 3, 4) if usual else self.one_of(1, 2, 3, 4, 5, 6)
        bits = self.one_of(8, 8, 16) if usual else self.one_of(1, 2, 4, 8, 12, 16, 24, 32, 64)
        planes = self.one_of(1, 1, 1, 2) if channels > 1 else 1
        compression = self.one_of(1, 1, DEFLATE) if usual else self.one_of(*COMPRESSIONS)
        colours = (2 if channels > 1 else 1) if usual else self.one_of(*COLOUR_KINDS)
        long = self.one_of(3, 4, 16) if self.big else self.one_of(3, 4)
        self.add(WIDTH, width, kind=long)
        self.add(HEIGHT, height, kind=long)
        self.add(BITS, *[bits] * channels)
        self.add(COMPRESSION, compression)
        self.add(COLOURS, colours)
        self.add(CHANNELS, channels)
        self.add(PLANES, planes)
        if not usual and rng.random() < 0.5:
            self.add(KIND, *[self.one_of(1, 2, 3, 4, 5, 6)] * channels)
        if channels > 1 and rng.random() < 0.6:
            self.add(EXTRA, *[self.one_of(0, 1, 2)] * self.one_of(1, 1, 1, 2, channels))
        if rng.random() < 0.3:
            self.add(PREDICTOR, self.one_of(1, 2, 2, 3, 4))
        if rng.random() < 0.3:
            self.add(ORIENTATION, self.one_of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
        if rng.random() < 0.2 and bits <= 8:
            self.add(PALETTE, *map(int, rng.integers(0, 65536, 3 * 2**bits)))
        return self._parts(width, height, bits, channels, planes, compression)

    def _parts(self, width: int, height: int, bits: int, channels: int, planes: int, compression: int) -> bytes:
        """Strips or tiles, which stand behind the head of the file."""
        tiled = self.rng.random() < 0.3
        across, down = (
            (16 * self.one_of(1, 2, 4), 16 * self.one_of(1, 2)) if tiled else (width, self.one_of(1, 8, height))
        )
        parts = -(-width // across) * -(-height // down) * (channels if planes == 2 else 1)
        size = -(-across * bits * (1 if planes == 2 else channels) // 8) * down
        start, places, sizes, pixels = 16 if self.big else 8, [], [], b""
        for _ in range(parts):
            content = self.rng.integers(0, 256, size, np.uint8).tobytes()
            content = zlib.compress(content) if compression in (DEFLATE, PACKED) else content
            places.append(start + len(pixels))
            sizes.append(len(content))
            pixels += content
        if tiled:
            self.add(TILE_WIDTH, across)
            self.add(TILE_HEIGHT, down)
        else:
            self.add(ROWS, down)
        self.add(TILES if tiled else STRIPS, *places, kind=16 if self.big else 4)
        self.add(TILE_SIZES if tiled else SIZES, *sizes, kind=4)
        return pixels

    def around(self, end: int) -> None:
        """Blocks and folders of tags beside the picture, folders at places where anything may be."""
        rng = self.rng
        for tag in (XMP, PROFILE, 270, 305, 282, 296, 33432, 34377, 330, 40965):
            if rng.random() < 0.15:
                kind = self.one_of(1, TEXT, 5, RAW, 4)
                size = self.one_of(0, 1, 4, 8, 40, 400) // 8 * 8
                each = 8 if kind == 5 else 4 if kind == 4 else 1
                self.entries.append(Entry(tag, kind, size // each, rng.integers(0, 256, size, np.uint8).tobytes()))
        for tag in (EXIF, GPS):
            if rng.random() < 0.2:
                self.add(tag, int(rng.integers(0, end + 400)), kind=self.one_of(4, 13))

    def accidents(self, end: int) -> None:
        """What no program writes."""
        rng = self.rng
        for _ in range(int(rng.integers(0, 4))):
            entry = self.entries[int(rng.integers(len(self.entries)))]
            match int(rng.integers(7)):
                case 0:
                    entry.kind = self.one_of(0, *range(1, 20), 255, 65535)
                case 1:
                    entry.count = self.one_of(*CROSSED)
                case 2:
                    entry.place = self.one_of(*CROSSED, end, int(rng.integers(end + 200)))
                case 3:
                    entry.tag = self.one_of(*(other.tag for other in self.entries), 0, 65535)
                case 4:
                    self.entries.remove(entry)
                case 5 if entry.kind in LETTERS and entry.kind in (3, 4):
                    top = 65535 if entry.kind == 3 else 2**32 - 1
                    numbers = [
                        min(top, self.one_of(*CROSSED))
                        for _ in range(len(entry.content) // (2 if entry.kind == 3 else 4))
                    ]
                    entry.content = struct.pack(f"{self.order}{len(numbers)}{LETTERS[entry.kind]}", *numbers)
                case _:
                    rng.shuffle(self.entries)
            if not self.entries:
                return

    def file(self) -> bytes:
        """All of it."""
        pixels = self.picture()
        start = (16 if self.big else 8) + len(pixels)
        self.around(start)
        self.entries.sort(key=lambda entry: entry.tag)
        self.accidents(start)
        letter, room = ("Q", 8) if self.big else ("I", 4)
        values, table = b"", b""
        for entry in self.entries:
            content = entry.content
            if len(content) > room or entry.place is not None:
                place = start + len(values) if entry.place is None else entry.place
                values += content + bytes(len(content) % 2)
                content = struct.pack(f"{self.order}{letter}", place)
            table += struct.pack(f"{self.order}HH{letter}", entry.tag, entry.kind, entry.count) + content.ljust(
                room, b"\0"
            )
        place = start + len(values)
        number = len(self.entries) if self.rng.random() < 0.95 else self.one_of(*CROSSED) % 65536
        following = self.one_of(0, 0, 0, place, start, 2**32 - 1)
        table = struct.pack(f"{self.order}{'Q' if self.big else 'H'}", number) + table
        table += struct.pack(f"{self.order}{letter}", following)
        magic = b"II" if self.order == "<" else b"MM"
        head = (
            struct.pack(f"{self.order}HHHQ", 43, 8, 0, place) if self.big else struct.pack(f"{self.order}HI", 42, place)
        )
        whole = magic + head + pixels + values + table
        return whole if self.rng.random() < 0.9 else whole[: int(self.rng.integers(len(whole)))]


def directory(number: int) -> bytes:
    """The file of a number."""
    return Directory(number).file()
