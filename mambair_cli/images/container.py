"""What a file holds around its pixels, as Pillow sees it: metadata, orientation, further pictures."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from ..errors import InputError
from . import exif
from .picture import Metadata, Pixels

PILLOW = threading.Lock()

IPTC = "IPTC data is left out"
BROKEN_EXIF = "the EXIF block is damaged and left out"

LARGEST_RESOLUTION = 60_000
"""Pixels per inch that JPEG can say."""

LIKE_SRGB = frozenset({1, 2, 5, 6, 7}), frozenset({1, 2, 4, 5, 6, 13, 14, 15})
"""Primaries and transfer functions (ITU-T H.273, tables 2 and 3) that are unspecified or near to sRGB's."""


@dataclass(frozen=True)
class Container:
    """What stands around the pixels.

    Attributes:
        metadata: for upright pixels.
        orientation: which the pixels still have.
        notes: what is not restored.
    """

    metadata: Metadata
    orientation: int
    notes: tuple[str, ...]


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Without warnings and with our limits; these belong to the process, so one thread at a time."""
    with PILLOW, warnings.catch_warnings(action="ignore"):
        limits = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, PngImagePlugin.MAX_TEXT_MEMORY
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = limits


@contextmanager
def opened(source: bytes | Path) -> Iterator[Image.Image]:
    """A file or its content in Pillow, its pixels not yet decoded."""
    with quiet_pillow(), Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        yield image


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


def described(image: Image.Image) -> Container:
    """Metadata, orientation and further pictures."""
    given, packet = _exif(image), _xmp(image)
    block, orientation = exif.upright_exif(given, exif.xmp_orientation(packet))
    notes = (*pages(image), *(name for name, there in _left_out(image, bool(given and not block)) if there))
    metadata = Metadata(
        exif=block,
        icc=image.info.get("icc_profile") or b"",
        xmp=exif.upright_xmp(packet),
        resolution=resolution(image, orientation),
    )
    return Container(metadata, orientation, notes)


def _left_out(image: Image.Image, broken: bool) -> tuple[tuple[str, bool], ...]:
    return (
        (BROKEN_EXIF, broken),
        ("the comment is left out", bool(image.info.get("comment"))),
        (IPTC, bool(image.info.get("photoshop"))),
    )


def resolution(image: Image.Image, orientation: int = 1) -> tuple[float, float] | None:
    """Pixels per inch of the upright picture; None where the file does not say, or says nonsense."""
    invented = image.format == "JPEG" and image.info.get("jfif_unit") not in (1, 2)  # Pillow says 72 beside any EXIF
    with suppress(TypeError, ValueError, ZeroDivisionError, SyntaxError):
        if invented and ExifTags.Base.XResolution not in image.getexif():
            return None
        across, down = (float(value) for value in image.info["dpi"]) if "dpi" in image.info else (0.0, 0.0)
        return upright_resolution((across, down), orientation)
    return None


def upright_resolution(stored: tuple[float, float], orientation: int) -> tuple[float, float] | None:
    """Pixels per inch, across and down, of the upright picture; None where they are nonsense."""
    across, down = stored
    if not (0 < across < LARGEST_RESOLUTION and 0 < down < LARGEST_RESOLUTION):
        return None
    return (down, across) if orientation in (5, 6, 7, 8) else stored


def pages(image: Image.Image) -> tuple[str, ...]:
    """A note on further pictures in the file."""
    frames = 1
    with suppress(Exception):  # a broken list of further pictures must not stop the first
        frames = getattr(image, "n_frames", 1)
    return further_pictures(frames)


def pixels(image: Image.Image, mode: str) -> Pixels:
    """The pixels in a mode of Pillow's, with as few copies as there can be."""
    found = np.asarray(image if image.mode == mode else image.convert(mode))
    return found if found.ndim == 3 else found[:, :, None]


def further_pictures(count: int) -> tuple[str, ...]:
    """A note if the file holds more than one."""
    return (f"only the first of {count} pictures in the file is restored",) if count > 1 else ()


def numbered_colours(primaries: int, transfer: int) -> bytes:
    """A colour space that is given by numbers instead of a profile, as HDR pictures have it; empty if near to sRGB."""
    near = primaries in LIKE_SRGB[0] and transfer in LIKE_SRGB[1]
    return b"" if near or max(primaries, transfer) > 255 else bytes([primaries, transfer])


def gray_palette(image: Image.Image) -> Pixels | None:
    """The pixels if the palette holds grays only, which is a way to store gray."""
    rgb = pixels(image, "RGB")
    gray = np.array_equal(rgb[:, :, 0], rgb[:, :, 1]) and np.array_equal(rgb[:, :, 1], rgb[:, :, 2])
    return rgb[:, :, :1] if gray else None


def _exif(image: Image.Image) -> bytes:
    raw = image.info.get("Raw profile type exif")  # as ImageMagick writes it: name, length, hexadecimal
    if "exif" in image.info or not raw:
        return image.info.get("exif") or b""
    with suppress(ValueError):
        return bytes.fromhex("".join(raw.split("\n")[3:]))
    return b""


def _xmp(image: Image.Image) -> bytes:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return packet.encode() if isinstance(packet, str) else packet
