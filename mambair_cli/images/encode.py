"""Encode pictures: the pixels and as much of the metadata as the format holds."""

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import OutputError
from . import formats, opencv, planes, png, tiff
from .exif import PREFIX
from .picture import Metadata, Picture, Pixels

JPEG_QUALITY = 95
LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR)
LOSSLESS_AVIF = 100
AVIF_BITS = 12


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture with more pixels along an edge than the format of ``path`` can hold.

    Raises:
        OutputError: it is too large.
    """
    largest = formats.LARGEST.get(path.suffix.lower())
    if largest is not None and max(width, height) > largest:
        raise OutputError(
            f"{path} cannot be written: {width} x {height} pixels are more than the {largest} of {path.suffix}.",
            "Write a .png or .tif file with -o." if largest < formats.LARGEST[".png"] else "Ask for a smaller result.",
        )


def fit(picture: Picture, suffix: str) -> Picture:
    """The picture as the format holds it, with a note for everything left out (depth, alpha, metadata)."""
    suffix = suffix.lower()
    pixels, notes = picture.pixels, list(picture.notes)
    if planes.has_alpha(pixels) and suffix not in formats.WITH_ALPHA:
        pixels = planes.colour(pixels)
        notes.append(f"{suffix} holds no transparency")
    pixels, note = _in_depth(pixels, suffix)
    metadata = picture.metadata
    if metadata != Metadata() and suffix not in formats.WITH_METADATA:
        metadata = Metadata()
        note.append(f"EXIF, XMP and colour profiles are not written to {suffix}")
    if metadata.icc and metadata.icc[16:20] != _colour_space(pixels, suffix):
        metadata = replace(metadata, icc=b"")
        note.append("the colour profile is left out, it is for another kind of colours")
    for block, longest in formats.JPEG_BLOCKS.items() if suffix in formats.JPEG else ():
        if len(getattr(metadata, block)) > longest:
            metadata = replace(metadata, **{block: b""})
            note.append(f"{suffix} holds no more than {longest} bytes of {block.upper()}")
    return Picture(pixels, metadata, (*notes, *note))


def _in_depth(pixels: Pixels, suffix: str) -> tuple[Pixels, list[str]]:
    """The pixels with as many bits as the format takes."""
    whole = suffix in formats.TIFF and (pixels.dtype == np.uint16 or pixels.shape[2] != 2)
    if pixels.dtype == np.uint8 or whole:
        return pixels, []
    deep = suffix in formats.DEEP
    stored = AVIF_BITS if suffix == ".avif" else 16 if deep else 8
    if pixels.dtype == np.float32:
        pixels = planes.quantise(pixels, np.dtype(np.uint16 if deep else np.uint8))
        return pixels, [f"{suffix} holds {stored} bits per channel, not floats"]
    if not deep:
        pixels = _narrowed(pixels, 8).astype(np.uint8)
    return pixels, [f"{suffix} holds {stored} bits per channel, not 16"] if stored < 16 else []


def _narrowed(pixels: Pixels, bits: int) -> Pixels:
    """Values of 16 bits as fewer, rounded; a table, because floats of a whole picture take much memory."""
    table = np.rint(np.arange(65536) * ((2**bits - 1) / 65535)).astype(np.uint16)
    narrowed: Pixels = table[pixels]
    return narrowed


def _colour_space(pixels: Pixels, suffix: str) -> bytes:
    """What a profile has to be for (ICC.1:2022, 7.2.8: bytes 16 to 19 of the header)."""
    gray = pixels.shape[2] == 1 and suffix not in formats.WITHOUT_GRAY
    return b"GRAY" if gray or (pixels.shape[2] == 2 and suffix in formats.WITH_GRAY_ALPHA) else b"RGB "


def encode(picture: Picture, suffix: str, *, quality: int | None = None) -> bytes:
    """The bytes of an image file; what the format cannot hold is left out as by :func:`fit`.

    Args:
        picture: what to write.
        suffix: the format.
        quality: 1 to 100, of JPEG, WebP and AVIF files. By default JPEG has 95, always without reduced colour
            resolution, and the others lose nothing.

    Raises:
        OutputError: the picture cannot be encoded in this format.
    """
    suffix = suffix.lower()
    picture = fit(picture, suffix)
    pixels, metadata = picture.pixels, picture.metadata
    if suffix == ".png":
        return png.write(pixels, metadata)
    if suffix in formats.TIFF:
        return tiff.write(pixels, metadata)
    if suffix in formats.JPEG:
        return _jpeg(pixels, metadata, quality or JPEG_QUALITY)
    if pixels.shape[2] == 2:
        pixels = pixels[:, :, [0, 0, 0, 1]]
    parameters: list[int] = []
    if suffix == ".webp":
        parameters = [*LOSSLESS_WEBP] if quality is None else [cv2.IMWRITE_WEBP_QUALITY, quality]
    elif suffix == ".avif":
        parameters = [cv2.IMWRITE_AVIF_QUALITY, quality or LOSSLESS_AVIF]
        if pixels.dtype == np.uint16:
            pixels, parameters = _narrowed(pixels, AVIF_BITS), [*parameters, cv2.IMWRITE_AVIF_DEPTH, AVIF_BITS]
    blocks = {
        cv2.IMAGE_METADATA_EXIF: metadata.exif,
        cv2.IMAGE_METADATA_ICCP: metadata.icc,
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
    }
    return opencv.write(suffix, pixels, parameters, blocks)


def _jpeg(pixels: Pixels, metadata: Metadata, quality: int) -> bytes:
    """Written by Pillow: OpenCV writes no XMP, and no profile of more than one segment."""
    blocks = {"icc_profile": metadata.icc, "xmp": metadata.xmp, "exif": metadata.exif and PREFIX + metadata.exif}
    file = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(
        file, "JPEG", quality=quality, subsampling="4:4:4", **{key: value for key, value in blocks.items() if value}
    )
    return file.getvalue()
