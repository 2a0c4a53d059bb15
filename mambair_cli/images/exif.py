"""EXIF and XMP blocks of upright pictures, and the orientation that makes one upright."""

import re
import warnings
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from .picture import Pixels

ORIENTATION = ExifTags.Base.Orientation
PREFIX = b"Exif\0\0"
FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)

RESOLUTION = frozenset({ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit})

DESCRIPTIVE = frozenset(
    {
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        *RESOLUTION,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Rating,
        ExifTags.Base.RatingPercent,
        ExifTags.Base.Copyright,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
        *FOLDERS,
    }
)
"""Tags of a TIFF directory that say something about the picture; the others say how the file stores it."""

XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)([1-8])""")

XMP_SIZE = re.compile(
    rb"""(?<!\s)\s++(?:GPano:\w*Pixels|exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length))\s*=\s*("[^"]*"|'[^']*')"""
    rb"""|<((?:GPano:\w*Pixels|exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length)))>[^<]*</\2>"""
)
"""Sizes of the picture, of the panorama that it is a part of, and its place there, in pixels of the input.

Packets end with kilobytes of blanks, and some with many more; each run of them is looked at once.
"""

SIZES = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def upright_exif(block: bytes, otherwise: int = 1) -> tuple[bytes, int]:
    """The EXIF block for upright pixels of another size, and the orientation that is to be applied to the pixels.

    A block that is broken or doubtful is worth nothing to the next reader either: only its orientation is used. Where
    it says none, it is ``otherwise``. Sizes and the thumbnail are those of the input, and go.
    """
    exif, orientation = Image.Exif(), otherwise
    try:
        while block.startswith(PREFIX):  # some programs write it twice
            block = block[len(PREFIX) :]
        with warnings.catch_warnings(record=True, action="always") as doubts:
            exif.load(block)
            orientation = int(exif.get(ORIENTATION, otherwise))
            stale = _drop_sizes(exif)
            if stale or exif.get(ORIENTATION, 1) != 1:
                exif[ORIENTATION] = 1
                block = exif.tobytes().removeprefix(PREFIX)
    except Exception:  # Pillow lets through whatever it stumbles over
        return b"", orientation
    return b"" if doubts else block, orientation


def _drop_sizes(exif: Image.Exif) -> bool:
    """Whether there were any, or a thumbnail, which Pillow does not write."""
    folder = exif.get_ifd(ExifTags.IFD.Exif)
    found = [tag for tag in SIZES if folder.pop(tag, None) is not None]
    return bool(found) or bool(exif.get_ifd(ExifTags.IFD.IFD1))


def upright_xmp(packet: bytes) -> bytes:
    """The XMP packet for upright pixels of another size: Adobe's programs repeat orientation and sizes in it."""
    return XMP_SIZE.sub(b"", XMP_ORIENTATION.sub(rb"\g<1>1", packet))


def xmp_orientation(packet: bytes) -> int:
    """The orientation that an XMP packet says; 1 where it says none."""
    found = XMP_ORIENTATION.search(packet)
    return int(found[2]) if found else 1


def from_tiff(file: BinaryIO) -> bytes:
    """The descriptive part of a TIFF file's first directory as an EXIF block for upright pixels; empty if broken."""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(record=True, action="always") as doubts:
            exif.load_from_fp(file)
            for tag in set(exif) - DESCRIPTIVE:
                del exif[tag]
            if set(exif) <= RESOLUTION:  # every program writes that
                return b""
            exif[ORIENTATION] = 1
            block = exif.tobytes().removeprefix(PREFIX)
    except Exception:  # as above
        return b""
    return b"" if doubts else block


def tiff_resolution(file: BinaryIO) -> tuple[float, float] | None:
    """What a TIFF file's first directory says of pixels per inch, across and down; None if it does not."""
    exif = Image.Exif()
    with suppress(Exception), warnings.catch_warnings(action="ignore"):  # as above
        exif.load_from_fp(file)
        inches = {2: 1.0, 3: 2.54}[exif.get(ExifTags.Base.ResolutionUnit, 2)]
        across, down = (float(exif[tag]) * inches for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
        return across, down
    return None


def for_tiff(block: bytes) -> dict[int, Any]:
    """What :func:`from_tiff` reads, as tags for a directory; folders of tags are dictionaries. Empty if broken."""
    exif = Image.Exif()
    try:
        exif.load(block)
        tags = {tag: value for tag, value in exif.items() if tag in DESCRIPTIVE}
        for folder in set(FOLDERS) & set(tags):
            tags[folder] = {tag: value for tag, value in exif.get_ifd(folder).items() if tag != ExifTags.IFD.Interop}
    except Exception:  # as above
        return {}
    return tags
