"""File formats, one row each, from which suffixes, recognition by content, limits, choices and messages are made."""

import importlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, BinaryIO

from ..errors import UsageError
from ..locations.url import Location
from .header import Header

MAX_PIXELS = 500_000_000
"""Default limit: far above what cameras and scanners give, far below what fills the memory unasked."""

LONGEST = 1_000_000
"""Pixels along an edge that libpng and OpenCV take."""

HEAD = 64
"""Bytes by which a format is recognised."""

EXTRA = "Install it with pip install 'mambair[formats]'."

Function = Callable[..., Any] | str
"""A function, or ``module:function`` of this package, which is imported when it is needed."""


ALL = frozenset({"exif", "icc", "xmp"})
"""Blocks of :class:`.picture.Metadata` that most formats hold."""


@dataclass(frozen=True)
class Saver:
    """How a format is written from top to bottom: libvips' operation and options, and the blocks that it writes.

    Without an operation, it is written here.
    """

    operation: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    carries: frozenset[str] = ALL


@dataclass(frozen=True, kw_only=True)
class Format:
    """What there is to know about a file format.

    Attributes:
        name: as the user calls it.
        kind: a picture in it, for messages.
        mime: types by which desktops know its files (IANA, media types).
        suffixes: those that its files have; the first is the one that is written.
        content: matches the first ``HEAD`` bytes of its files.
        read: ``(name, data) -> Picture``, upright, ``name`` being for messages.
        write: ``(pixels, metadata, quality) -> bytes``; the pixels are as :func:`.encode.fit` leaves them. None: the
            format is only read.
        header: ``(file) -> Header``, without decoding.
        depth: most bits per channel, of those that a result has (8 or 16) or between.
        floats: numbers of channels with which it holds floats.
        gray: whether it holds gray; else as colour.
        alpha: whether it holds transparency.
        gray_alpha: whether it holds gray with alpha as such; else as colour with alpha.
        lossy: whether it takes a quality.
        longest: most pixels along an edge, up to ``LONGEST``.
        carries: blocks of :class:`.picture.Metadata` that are written.
        longest_block: most bytes of blocks, where there is a limit.
        module: what has to be installed beside this package.
        read_in_bands: whether libvips reads the same pixels from it.
        saver: how it is written in bands; None: only as a whole.
        at_once: whether any decoder has to unpack the whole picture before the first row.
        encoder: bytes per pixel that the encoder takes, measured on noise without loss, beside those of the picture.
    """

    name: str
    kind: str
    mime: tuple[str, ...]
    suffixes: tuple[str, ...]
    content: re.Pattern[bytes]
    read: Function
    write: Function | None = None
    header: Function = "pillow_header:header"
    depth: int = 8
    floats: frozenset[int] = frozenset()
    gray: bool = True
    alpha: bool = False
    gray_alpha: bool = False
    lossy: bool = False
    longest: int = LONGEST
    carries: frozenset[str] = frozenset()
    longest_block: Mapping[str, int] = field(default_factory=dict)
    module: str | None = None
    read_in_bands: bool = False
    saver: Saver | None = None
    at_once: bool = False
    encoder: int = 0

    @property
    def suffix(self) -> str:
        """The one that is written."""
        return self.suffixes[0]

    @property
    def installed(self) -> bool:
        """Whether what it needs is there."""
        return self.module is None or find_spec(self.module) is not None


def _starts(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


FORMATS: list[Format] = [
    Format(
        name="png",
        kind="a PNG picture",
        mime=("image/png",),
        suffixes=(".png",),
        content=_starts(rb"\x89PNG\r\n\x1a\n"),
        read="png:read",
        write="png:write",
        depth=16,
        alpha=True,
        gray_alpha=True,
        carries=ALL | {"text", "gamma", "cicp"},
        read_in_bands=True,
        saver=Saver(carries=ALL | {"text", "gamma", "cicp"}),
    ),
    Format(
        name="jpg",
        kind="a JPEG picture",
        mime=("image/jpeg",),
        suffixes=(".jpg", ".jpeg", ".jfif", ".jpe", ".jif"),
        content=_starts(rb"\xff\xd8\xff"),
        read="jpeg:read",
        write="jpeg:write",
        header="jpeg:header",
        lossy=True,
        longest=65500,  # of libjpeg
        carries=ALL,
        longest_block={"exif": 65527, "xmp": 65504},  # a segment of 65535 less its length and its name
        read_in_bands=True,
        saver=Saver("jpegsave", {"Q": 95, "subsample_mode": "off"}),
    ),
    Format(
        name="webp",
        kind="a WebP picture",
        mime=("image/webp",),
        suffixes=(".webp",),
        content=_starts(rb"RIFF....WEBP"),
        read="webp:read",
        write="webp:write",
        gray=False,
        alpha=True,
        lossy=True,
        longest=16383,  # 14 bits
        carries=ALL,
        read_in_bands=True,
        saver=Saver("webpsave", {"lossless": True, "exact": True}),
        at_once=True,
        encoder=48,
    ),
    Format(
        name="tif",
        kind="a TIFF picture",
        mime=("image/tiff",),
        suffixes=(".tif", ".tiff"),
        content=_starts(rb"II[*+]\0|MM\0[*+]"),
        read="tiff:read",
        write="tiff:write",
        header="tiff:header",
        depth=16,
        floats=frozenset({1, 3, 4}),
        alpha=True,
        gray_alpha=True,
        carries=ALL,
        read_in_bands=True,
        saver=Saver("tiffsave", {"compression": "lzw", "predictor": "horizontal"}, ALL - {"exif"}),
    ),
    Format(
        name="bmp",
        kind="a BMP picture",
        mime=("image/bmp",),
        suffixes=(".bmp",),
        content=_starts(rb"BM.{12}[\x0c-\x7c]\0\0\0"),
        read="bmp:read",
        write="bmp:write",
        alpha=True,
    ),
    Format(
        name="avif",
        kind="an AVIF picture",
        mime=("image/avif",),
        suffixes=(".avif",),
        content=_starts(rb"....ftyp(?:....){0,12}?avi[fs]"),
        read="avif:read",
        write="avif:write",
        header="isobmff:header",
        depth=12,
        alpha=True,
        lossy=True,
        longest=65536,  # of libavif
        carries=ALL | {"cicp"},
        at_once=True,
        encoder=40,
    ),
    Format(
        name="heic",
        kind="a HEIC picture",
        mime=("image/heic", "image/heif"),
        suffixes=(".heic", ".heif", ".hif"),
        content=_starts(rb"....ftyp(?:....){0,12}?(?:hei[cmsx]|hev[cx]|mif1|msf1)"),
        read="heif:read",
        write="heif:write",
        header="isobmff:header",
        depth=12,
        alpha=True,
        lossy=True,
        longest=16384,
        carries=ALL,
        module="pillow_heif",
        at_once=True,
        encoder=75,
    ),
    Format(
        name="jxl",
        kind="a JPEG XL picture",
        mime=("image/jxl",),
        suffixes=(".jxl",),
        content=_starts(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
        read="jxl:read",
        write="jxl:write",
        header="jxl:header",
        alpha=True,
        gray_alpha=True,
        lossy=True,
        carries=frozenset({"exif", "xmp"}),
        module="pillow_jxl",
        at_once=True,
        encoder=65,
    ),
]
"""Where two recognise a file, the first one reads it."""


def add(row: Format) -> None:
    """Add a format, for example from a plugin.

    Raises:
        ValueError: its name or one of its suffixes is taken.
    """
    for there in FORMATS:
        if row.name == there.name or set(row.suffixes) & set(there.suffixes):
            raise ValueError(f"{row.name} or one of its suffixes is taken by {there.name}")
    FORMATS.append(row)


def resolved(function: Function) -> Callable[..., Any]:
    """The function, imported if it is named."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f".{module}", __package__), name)
    return found


def by_suffix(suffix: str) -> Format | None:
    """The format of files with a suffix, in whatever case."""
    return next((row for row in FORMATS if suffix.lower() in row.suffixes), None)


def by_name(name: str) -> Format:
    """A format that results are written in.

    Raises:
        UsageError: there is none of this name.
    """
    for row in writable():
        if row.name == name.lower():
            return row
    known = ", ".join(row.name for row in writable())
    raise UsageError(f"There is no format {name}.", f"Use one of {known}.")


def by_content(data: bytes) -> Format | None:
    """The format of a file that begins with ``data``."""
    return next((row for row in FORMATS if row.content.match(data[:HEAD])), None)


def header(file: BinaryIO) -> Header | None:
    """What the head of a file says; None for what cannot be read, which decoding will say in its words."""
    row = by_content(file.read(HEAD))
    file.seek(0)
    try:
        found: Header = resolved(row.header if row else Format.header)(file)
    except Exception:  # what a decoder stumbles over in a damaged file may be anything
        return None
    at_once = found.at_once or (row is not None and row.at_once)
    return replace(found, at_once=at_once, file=file.seek(0, io.SEEK_END))


def is_image(path: Location) -> bool:
    """Whether the suffix is that of a format that is read here."""
    row = by_suffix(path.suffix)
    return row is not None and row.installed


def listing() -> str:
    """The suffixes for a message."""
    return ", ".join(sorted(suffix for row in FORMATS if row.installed for suffix in row.suffixes))


def writable() -> list[Format]:
    """Formats that results are written in."""
    return [row for row in FORMATS if row.write is not None]
