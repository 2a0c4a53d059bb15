"""Decode image files: the row of the format says how, and what goes wrong is told in the same words for all."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from ..errors import InputError
from . import formats, limits, other, profiles
from .container import check_size
from .damage import MENDED, listening
from .formats import MAX_PIXELS, Format
from .opencv import AGAIN
from .picture import Metadata, Picture, Pixels

SAVE = "Save it with another program as plain PNG, TIFF or JPEG."

UNSUPPORTED = re.compile(r"unsupported|not supported|not available|not implemented", re.IGNORECASE)
"""What decoders say of files that are whole, but of a kind that they do not take."""


def decode(path: Path, *, max_pixels: int | None = MAX_PIXELS, strip: bool = False, strict: bool = False) -> Picture:
    """Read one image, upright and in RGB order.

    Args:
        path: the file; its suffix has to be that of a known format, its content may be another.
        max_pixels: refuse larger pictures before they are decoded; None for no limit.
        strip: forget EXIF, XMP and a profile that changes no colour.
        strict: refuse what a decoder has to mend.

    Raises:
        InputError: the file is missing, unreadable, not an image, damaged, too large or of an unsupported kind.
    """
    if formats.by_suffix(path.suffix) is None:
        raise InputError(f"{path} has no suffix of a known image format.", f"Use one of {formats.listing()}.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", "Check the name and the folder.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check that it is a file you may read.") from None
    return decode_bytes(data, str(path), max_pixels=max_pixels, strip=strip, strict=strict)


def decode_bytes(
    data: bytes, name: str, *, max_pixels: int | None = MAX_PIXELS, strip: bool = False, strict: bool = False
) -> Picture:
    """The same for the content of a file, which ``name`` names in messages.

    Raises:
        InputError: it is not an image, damaged, too large or of a kind that is not supported.
    """
    if not data:
        raise InputError(f"{name} is empty.", AGAIN)
    with listening() as heard:
        picture = _read(name, data, max_pixels)
    mended = picture.mended + ((MENDED,) if heard else ())
    if mended and strict:
        raise InputError(f"{name} is damaged: {mended[0]}.", "Fetch or export it again, or leave out --strict.")
    metadata, notes = usable(picture.metadata, strip)
    return Picture(_typed(name, picture.pixels), metadata, (*mended, *picture.notes, *notes), mended)


def _read(name: str, data: bytes, max_pixels: int | None) -> Picture:
    row = formats.by_content(data)
    if row is not None and not row.installed:
        raise InputError(f"{name} is {row.kind}, and what reads that is not installed.", formats.EXTRA)
    reader = other.read if row is None else formats.resolved(row.read)
    try:
        if head := formats.header(io.BytesIO(data)):
            limits.check(name, head, max_pixels)
        picture: Picture = reader(name, data)
    except (MemoryError, InputError):
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is damaged or truncated.", AGAIN) from error
    except Exception as error:  # what a decoder stumbles over in a damaged file may be anything
        raise _refused(name, row, error) from error
    height, width = picture.pixels.shape[:2]
    check_size(name, width, height, max_pixels)  # nobody may have known it before
    return picture


def _refused(name: str, row: Format | None, error: Exception) -> InputError:
    if UNSUPPORTED.search(str(error)):
        kind = "a picture" if row is None else row.kind
        return InputError(f"{name} is {kind} that is stored in a way that is not supported.", SAVE)
    return InputError(f"{name} is damaged or truncated.", AGAIN)


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
    return np.ascontiguousarray(pixels)


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
