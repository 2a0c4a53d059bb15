"""TIFF files (TIFF 6.0): which decoder reads which layout rightly, and tags that OpenCV's encoder leaves out.

Pillow reads up to 8 bits right, and deeper colours in 8 bits. OpenCV reads deep gray and colours right if they are
interleaved and have no other channels, and turns them upright by itself.
"""

import io
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

from ..errors import InputError
from . import exif, opencv, profiles, transparency
from .picture import Metadata, Pixels
from .tiff_tags import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    HORIZONTAL,
    MAGIC,
    PREMULTIPLIED,
    PROFILE,
    RGB,
    SIGNED,
    STRAIGHT,
    UNSIGNED,
    UNSPECIFIED,
    WHITE_IS_ZERO,
    XMP,
    Layout,
    with_tags,
)

PLAIN = (
    *(cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE),
    *(cv2.IMWRITE_TIFF_PREDICTOR, cv2.IMWRITE_TIFF_PREDICTOR_NONE),
)
"""Compression that does not look at values."""

COLOURS = {"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
"""What modes of Pillow become."""

LEFT_OUT = "channels that are not transparency are left out"
CONVERT = "Save it as gray or RGB, interleaved, with 8 or 16 bits per channel."


def read(name: str, data: bytes, layout: Layout) -> tuple[Pixels, list[str]]:
    """Upright pixels of whatever type, and notes.

    Raises:
        InputError: the layout is one that no decoder here reads rightly, or the file is damaged.
    """
    notes = [LEFT_OUT] if UNSPECIFIED in layout.extra else []
    if layout.bits <= 8 and layout.kind == UNSIGNED:
        pixels, more = _shallow(name, data, layout)
    elif layout.colours == CMYK:
        pixels, more = _shallow(name, data, layout)
        more.append("16 bits per channel are read as 8")
    elif layout.bits == 16 and (layout.kind, layout.channels, layout.planes) == (UNSIGNED, 2, 1):
        pixels, more = _deep_gray_alpha(name, data, layout), []
    else:
        pixels, more = _deep(name, data, layout), []
    return pixels, notes + more


def _shallow(name: str, data: bytes, layout: Layout) -> tuple[Pixels, list[str]]:
    alpha = bool(layout.extra) and layout.extra[0] != UNSPECIFIED
    if alpha and (layout.colours == WHITE_IS_ZERO or (layout.planes != 1 and layout.colours != RGB)):
        raise _not_read(name, layout)
    with Image.open(io.BytesIO(data)) as file:
        image: Image.Image = ImageOps.exif_transpose(file)
    notes = []
    if image.mode in ("CMYK", "LAB"):
        image, note = profiles.to_srgb(image, layout.icc)
        notes.append(note)
    pixels = np.asarray(image.convert(COLOURS.get(image.mode, image.mode)))
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    if alpha and pixels.shape[2] not in (2, 4):
        notes.append("the transparency is left out")
    return pixels, notes


def _deep(name: str, data: bytes, layout: Layout) -> Pixels:
    known = (layout.bits, layout.kind) in ((16, UNSIGNED), (32, FLOAT)) and layout.channels in (1, 3, 4)
    if not known or layout.planes != 1 or layout.colours not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise _not_read(name, layout)
    pixels = opencv.read(name, data)
    if layout.colours == WHITE_IS_ZERO:
        pixels = np.subtract(np.iinfo(np.uint16).max if layout.kind == UNSIGNED else 1, pixels, dtype=pixels.dtype)
    return _straight(pixels, layout)


def _deep_gray_alpha(name: str, data: bytes, layout: Layout) -> Pixels:
    """Shown to the decoder as four bytes per pixel, because none of the two takes two channels of 16 bits."""
    if data[:4] not in MAGIC[:2] or layout.colours != BLACK_IS_ZERO:
        raise _not_read(name, layout)
    tags = ExifTags.Base
    disguise: dict[int, Any] = {tags.BitsPerSample: (8,) * 4, tags.SampleFormat: (1,) * 4, tags.SamplesPerPixel: 4}
    disguise |= {tags.PhotometricInterpretation: RGB, tags.ExtraSamples: STRAIGHT}
    disguise |= {tags.Predictor: 1, tags.Orientation: 1}
    with Image.open(io.BytesIO(with_tags(data, disguise))) as image:
        pixels = np.array(image).view(f"{'<' if data[:2] == b'II' else '>'}u2").astype(np.uint16)
    if layout.predictor == HORIZONTAL:  # section 14: each value is stored as the difference to the one before
        for left in range(0, layout.width, layout.tile):
            tile = pixels[:, left : left + layout.tile]
            np.cumsum(tile, axis=1, dtype=np.uint16, out=tile)
    return exif.upright(_straight(pixels, layout), layout.orientation)


def _straight(pixels: Pixels, layout: Layout) -> Pixels:
    """Without a fourth channel that means nothing, and with colours that are not multiplied by the transparency."""
    if not layout.extra or pixels.shape[2] not in (2, 4):
        return pixels
    if layout.extra[0] == UNSPECIFIED:
        return np.ascontiguousarray(pixels[:, :, :-1])
    if layout.extra[0] == PREMULTIPLIED:
        pixels = transparency.straight(pixels)
    return pixels


def _not_read(name: str, layout: Layout) -> InputError:
    kind = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "float"}.get(layout.kind, "unknown")
    return InputError(
        f"{name} holds {layout.channels} channels of {layout.bits}-bit {kind} values in a layout that is not read "
        f"(PlanarConfiguration {layout.planes}, PhotometricInterpretation {layout.colours}).",
        CONVERT,
    )


def write(pixels: Pixels, metadata: Metadata) -> bytes:
    """A file of uint8, uint16 or float32 pixels with 1 to 4 channels.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    channels = pixels.shape[2]
    tags = exif.for_tiff(metadata.exif)
    tags |= {key: block for key, block in ((PROFILE, metadata.icc), (XMP, metadata.xmp)) if block}
    if channels in (2, 4):
        tags[ExifTags.Base.ExtraSamples] = STRAIGHT
    if channels != 2:
        return with_tags(opencv.write(".tif", pixels), tags)
    tags[ExifTags.Base.BitsPerSample] = (8 * pixels.itemsize,) * 2
    tags |= {ExifTags.Base.SamplesPerPixel: 2, ExifTags.Base.SampleFormat: (1, 1)}
    tags[ExifTags.Base.PhotometricInterpretation] = BLACK_IS_ZERO
    disguised = np.ascontiguousarray(pixels).view(np.uint16 if pixels.dtype == np.uint8 else np.uint8)
    return with_tags(opencv.write(".tif", disguised, PLAIN), tags)
