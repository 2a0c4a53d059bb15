"""Decode image files: OpenCV reads the pixels at full depth, Pillow the container and its metadata."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from . import container, exif, formats, opencv, png, profiles
from .container import Container
from .formats import MAX_PIXELS
from .opencv import AGAIN
from .picture import Metadata, Picture, Pixels

AVIF_DEPTH, TWELVE_BIT = 6, 0x20
"""Place behind the name of the configuration box, and the bit there for 12 bits instead of 10 (AV1-ISOBMFF, 2.3)."""


def decode(path: Path, *, max_pixels: int | None = MAX_PIXELS, strip: bool = False) -> Picture:
    """Read one image, upright and in RGB order.

    Args:
        path: the file; its suffix has to be that of a known format, its content may be another.
        max_pixels: refuse larger pictures before they are decoded; None for no limit.
        strip: forget EXIF, XMP and a profile that changes no colour.

    Raises:
        InputError: the file is missing, unreadable, not an image, damaged, too large or of an unsupported kind.
    """
    if not formats.is_image(path):
        raise InputError(f"{path} has no suffix of a known image format.", f"Use one of {formats.listing()}.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", "Check the name and the folder.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check that it is a file you may read.") from None
    return decode_bytes(data, str(path), max_pixels=max_pixels, strip=strip)


def decode_bytes(data: bytes, name: str, *, max_pixels: int | None = MAX_PIXELS, strip: bool = False) -> Picture:
    """The same for the content of a file, which ``name`` names in messages.

    Raises:
        InputError: it is not an image, damaged, too large or of a kind that is not supported.
    """
    if not data:
        raise InputError(f"{name} is empty.", AGAIN)
    found = container.look(name, data, max_pixels)
    pixels = found.pixels
    if pixels is None:
        pixels = exif.upright(_by_opencv(name, data, found), found.orientation)
        container.check_size(name, pixels.shape[1], pixels.shape[0], max_pixels)  # Pillow may not have known it
    metadata, notes = usable(found.metadata, strip)
    return Picture(_typed(name, pixels), metadata, found.notes + notes)


def _by_opencv(name: str, data: bytes, found: Container) -> Pixels:
    pixels = opencv.read(name, png.bare(data) if found.kind == "PNG" else data)
    if found.kind == "AVIF" and pixels.dtype == np.uint16:
        return _spread(pixels, data)
    if pixels.shape[2] == 1 and found.transparent is not None:
        alpha = np.where(pixels == found.transparent, 0, np.iinfo(pixels.dtype).max)
        return np.concatenate([pixels, alpha.astype(pixels.dtype)], axis=2)
    return np.ascontiguousarray(pixels[:, :, 2:]) if found.gray_alpha else pixels


def _spread(pixels: Pixels, data: bytes) -> Pixels:
    """AVIF's 10 or 12 bits as 16."""
    top = 4095 if data[data.find(b"av1C") + AVIF_DEPTH] & TWELVE_BIT else 1023
    table = np.rint(np.arange(top + 1) * (65535 / top)).astype(np.uint16)
    spread: Pixels = table[pixels]
    return spread


def _typed(name: str, pixels: Pixels) -> Pixels:
    """Refuse what is neither 8 nor 16 bits nor a float from 0 to 1."""
    if pixels.dtype == np.float32:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise InputError(
                f"{name} holds float values from {low:g} to {high:g}; the networks work on 0 to 1.",
                "Scale or tone-map it to 0 to 1, or save it with 16 bits per channel.",
            )
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{name} holds {pixels.dtype} pixels, which are not supported.", "Convert it to 8 or 16 bits per channel."
        )
    return pixels


def usable(metadata: Metadata, strip: bool) -> tuple[Metadata, tuple[str, ...]]:
    """What is kept, and what has to be said about it."""
    notes: tuple[str, ...] = ()
    if metadata.icc and not profiles.is_whole(metadata.icc):
        metadata, notes = replace(metadata, icc=b""), ("the colour profile is damaged and left out",)
    if not strip:
        return metadata, notes
    if metadata.icc and not profiles.is_srgb(metadata.icc):
        return Metadata(icc=metadata.icc), (*notes, "the colour profile is kept, without it the colours would change")
    return Metadata(), notes
