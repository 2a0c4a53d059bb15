"""What a file holds around its pixels: size, metadata, orientation, and pixels that only Pillow reads rightly."""

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from . import exif, png, profiles, tiff, tiff_tags
from .opencv import AGAIN
from .picture import Metadata, Pixels

PILLOW = threading.Lock()

LATE = (b"eXIf", png.XMP_KEYWORD, b"Raw profile type exif")
"""Names of PNG chunks that may stand behind the pixels."""

LIKE_SRGB = frozenset({1, 2, 5, 6, 7}), frozenset({1, 2, 4, 5, 6, 13, 14, 15})
"""Primaries and transfer functions (ITU-T H.273, tables 2 and 3) that are unspecified or near to sRGB's."""


@dataclass(frozen=True)
class Container:
    """What Pillow says about a file; everything empty for a file that only OpenCV knows.

    Attributes:
        gray_alpha: whether it is gray with alpha, which OpenCV reads as colour (PNG).
        pixels: pixels that OpenCV would read wrongly, upright.
        transparent: the gray value that stands for full transparency (PNG).
    """

    kind: str = ""
    gray_alpha: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    orientation: int = 1
    pixels: Pixels | None = None
    transparent: int | None = None
    notes: tuple[str, ...] = ()


def look(name: str, data: bytes, max_pixels: int | None) -> Container:
    """Look into a file, and refuse what is found damaged, such as a PNG with a wrong checksum or without an end.

    Raises:
        InputError: it is damaged or has more than ``max_pixels`` pixels.
    """
    try:
        with quiet_pillow():
            return _tiff(name, data, max_pixels) if data[:4] in tiff_tags.MAGIC else _other(name, data, max_pixels)
    except UnidentifiedImageError:
        if data.startswith(png.SIGNATURE):  # its head is damaged, and OpenCV would believe any size that it gives
            raise InputError(f"{name} is damaged or truncated.", AGAIN) from None
        return Container()  # OpenCV may know it all the same
    except (MemoryError, InputError):
        raise
    except Exception as error:  # what a decoder stumbles over in a damaged file may be anything
        raise InputError(f"{name} is damaged or truncated ({error}).", AGAIN) from None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Without warnings and without Pillow's own limit; both belong to the process, so one thread at a time."""
    with PILLOW, warnings.catch_warnings(action="ignore"):
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_size(name: str, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse a picture so large that it may have been made to fill the memory.

    Raises:
        InputError: it has more than ``max_pixels`` pixels.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels:,}.",
            "If you trust the file, raise the limit with --max-pixels.",
        )


def _other(name: str, data: bytes, max_pixels: int | None) -> Container:
    with Image.open(io.BytesIO(data)) as image:
        check_size(name, *image.size, max_pixels)
        notes = _pages(image) + _numbered_colours(image.format or "", data)
        if image.format == "PNG" and any(mark in data for mark in LATE):
            image.load()
        block, orientation = exif.upright_exif(_exif(image))
        metadata = Metadata(block, image.info.get("icc_profile") or b"", exif.upright_xmp(_xmp(image)))
        pixels = None
        if image.mode == "CMYK":
            rgb, note = profiles.to_srgb(image, metadata.icc)
            pixels, notes = exif.upright(np.asarray(rgb), orientation), [*notes, note]
            metadata = replace(metadata, icc=b"")
        elif image.mode == "P" and not metadata.icc and "transparency" not in image.info:
            pixels = _gray_palette(image, orientation)
        found = Container(
            image.format or "",
            image.format == "PNG" and data[png.COLOURS] == png.GRAY_ALPHA,
            metadata,
            orientation,
            pixels,
            _transparent(image, data),
            tuple(notes),
        )
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    return found


def _tiff(name: str, data: bytes, max_pixels: int | None) -> Container:
    layout = tiff_tags.Layout.of(data)
    check_size(name, layout.width, layout.height, max_pixels)
    pixels, notes = tiff.read(name, data, layout)
    with suppress(UnidentifiedImageError), Image.open(io.BytesIO(data)) as image:
        notes = _pages(image) + notes
    icc = b"" if layout.colours in (tiff_tags.CMYK, tiff_tags.LAB) else layout.icc
    return Container(
        "TIFF",
        metadata=Metadata(exif.from_tiff(data), icc, exif.upright_xmp(layout.xmp)),
        pixels=pixels,
        notes=tuple(notes),
    )


def _pages(image: Image.Image) -> list[str]:
    frames = 1
    with suppress(Exception):  # a broken list of further pictures must not stop the first
        frames = getattr(image, "n_frames", 1)
    return [f"only the first of {frames} pictures in the file is restored"] if frames > 1 else []


def _numbered_colours(kind: str, data: bytes) -> list[str]:
    """What is lost with a colour space that is given by numbers instead of a profile, as HDR pictures have it."""
    place = {"PNG": data.find(b"cICP", 0, data.find(b"IDAT")), "AVIF": data.find(b"colrnclx")}.get(kind, -1)
    if place < 0:
        return []
    primaries, transfer = struct.unpack_from(
        "BB" if kind == "PNG" else ">HH", data, place + (4 if kind == "PNG" else 8)
    )
    if primaries in LIKE_SRGB[0] and transfer in LIKE_SRGB[1]:
        return []
    return [f"the colour space (CICP {primaries}/{transfer}) is not kept, the colours will look different"]


def _exif(image: Image.Image) -> bytes:
    raw = image.info.get("Raw profile type exif")  # as ImageMagick writes it: name, length, hexadecimal
    if "exif" in image.info or not raw:
        return image.info.get("exif") or b""
    with suppress(ValueError):
        return bytes.fromhex("".join(raw.split("\n")[3:]))
    return b""


def _xmp(image: Image.Image) -> bytes:
    packet = image.info.get("xmp") or image.info.get(png.XMP_KEYWORD.decode()) or b""
    return packet.encode() if isinstance(packet, str) else packet


def _gray_palette(image: Image.Image, orientation: int) -> Pixels | None:
    """A palette of grays only is a way to store gray."""
    rgb = np.asarray(image.convert("RGB"))
    gray = np.array_equal(rgb[:, :, 0], rgb[:, :, 1]) and np.array_equal(rgb[:, :, 1], rgb[:, :, 2])
    return exif.upright(rgb[:, :, :1], orientation) if gray else None


def _transparent(image: Image.Image, data: bytes) -> int | None:
    value = image.info.get("transparency") if image.format == "PNG" and image.mode in ("1", "L", "I;16") else None
    if value is not None and image.mode == "L":
        value *= 255 // (2 ** data[png.DEPTH] - 1)  # Pillow spreads fewer bits to 8, but not this value
    return value
