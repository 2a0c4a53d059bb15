"""Encode pictures: the pixels and as much of the metadata as the format holds."""

from dataclasses import replace

import numpy as np

from ..errors import OutputError
from ..locations.url import Location
from . import formats, planes
from .formats import Format
from .picture import Picture, Pixels

BLOCKS = {
    "exif": "EXIF",
    "xmp": "XMP",
    "icc": "colour profiles",
    "text": "text of PNG",
    "gamma": "gamma and primaries without a profile (gAMA, cHRM)",
    "cicp": "colours given by numbers (CICP)",
}
"""Blocks of metadata, as users call them."""


def check_size(path: Location, width: int, height: int) -> None:
    """Refuse a picture with more pixels along an edge than the format of ``path`` can hold.

    Raises:
        OutputError: it is too large, or the format is not known.
    """
    row = written(path.suffix)
    if max(width, height) > row.longest:
        roomier = row.longest < max(each.longest for each in formats.writable())
        raise OutputError(
            f"{path} cannot be written: {width} x {height} pixels are more than the {row.longest} of {path.suffix}.",
            "Write a .png or .tif file with -o." if roomier else "Ask for a smaller result.",
        )


def written(suffix: str) -> Format:
    """The format in which results with a suffix are written.

    Raises:
        OutputError: there is none.
    """
    row = formats.by_suffix(suffix)
    if row is None or row.write is None:
        raise OutputError(f"The result cannot be written as {suffix}.", "Choose another format, for example .png.")
    if not row.installed:
        raise OutputError(f"What writes {suffix} files is not installed.", formats.EXTRA)
    return row


def fit(picture: Picture, suffix: str) -> Picture:
    """The picture as the format holds it, with a note for everything left out (depth, alpha, metadata).

    Raises:
        OutputError: results are not written in this format.
    """
    suffix, row = suffix.lower(), written(suffix)
    pixels, notes = picture.pixels, list(picture.notes)
    if planes.has_alpha(pixels) and not row.alpha:
        pixels = planes.colour(pixels)
        notes.append(f"{suffix} holds no transparency")
    pixels, note = _in_depth(pixels, suffix, row)
    metadata = picture.metadata
    lost = [block for block in BLOCKS if block not in row.carries and getattr(metadata, block)]
    if lost:
        metadata = metadata.without(*lost)
        note.append(f"{_listed([BLOCKS[block] for block in lost])} cannot be written to {suffix}")
    if metadata.icc and metadata.icc[16:20] != _colour_space(pixels, row):
        metadata = replace(metadata, icc=b"")
        note.append("the colour profile is left out, it is for another kind of colours")
    for block, longest in row.longest_block.items():
        if len(getattr(metadata, block)) > longest:
            metadata = metadata.without(block)
            note.append(f"{suffix} holds no more than {longest} bytes of {block.upper()}")
    return Picture(pixels, metadata, (*notes, *note))


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _in_depth(pixels: Pixels, suffix: str, row: Format) -> tuple[Pixels, list[str]]:
    """The pixels with as many bits as the format takes; 16 where it takes fewer, but more than 8."""
    floats = pixels.dtype == np.float32
    if pixels.dtype == np.uint8 or (floats and pixels.shape[2] in row.floats):
        return pixels, []
    deep = row.depth > 8
    if floats:
        pixels = planes.quantise(pixels, np.dtype(np.uint16 if deep else np.uint8))
        return pixels, [f"{suffix} holds {row.depth} bits per channel, not floats"]
    if not deep:
        pixels = planes.narrowed(pixels, 8).astype(np.uint8)
    return pixels, [f"{suffix} holds {row.depth} bits per channel, not 16"] if row.depth < 16 else []


def _colour_space(pixels: Pixels, row: Format) -> bytes:
    """What a profile has to be for (ICC.1:2022, 7.2.8: bytes 16 to 19 of the header)."""
    gray = row.gray if pixels.shape[2] == 1 else row.gray_alpha and pixels.shape[2] == 2
    return b"GRAY" if gray else b"RGB "


def encode(picture: Picture, suffix: str, *, quality: int | None = None) -> bytes:
    """The bytes of an image file; what the format cannot hold is left out as by :func:`fit`.

    Args:
        picture: what to write.
        suffix: the format.
        quality: 1 to 100, of lossy formats. By default JPEG has 95, always without reduced colour resolution, and the
            others lose nothing.

    Raises:
        OutputError: the picture cannot be encoded in this format.
    """
    picture, row = fit(picture, suffix), written(suffix)
    assert row.write is not None
    data: bytes = formats.resolved(row.write)(picture.pixels, picture.metadata, quality)
    return data
