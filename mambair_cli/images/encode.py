"""Encode pictures: the pixels and as much of the metadata as the format holds."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import OutputError
from . import formats, planes
from .picture import Metadata, Picture, Pixels

BLOCKS = {"exif": cv2.IMAGE_METADATA_EXIF, "icc": cv2.IMAGE_METADATA_ICCP}
PARAMETERS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95]}


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture with more pixels along an edge than the format of ``path`` can hold.

    Raises:
        OutputError: it is too large.
    """
    largest = formats.LARGEST.get(path.suffix.lower())
    if largest is not None and max(width, height) > largest:
        raise OutputError(
            f"{path} cannot be written: {width} x {height} pixels are more than the {largest} of {path.suffix}.",
            "Write a .png or .tif file with -o.",
        )


def fit(picture: Picture, suffix: str) -> Picture:
    """The picture as the format holds it, with a note for everything left out (depth, alpha, metadata)."""
    suffix = suffix.lower()
    pixels, notes = picture.pixels, list(picture.notes)
    if pixels.dtype == np.uint16 and suffix not in formats.DEEP:
        pixels = np.rint(pixels / 257).astype(np.uint8)
        notes.append(f"{suffix} holds 8 bits per channel, not 16")
    if planes.has_alpha(pixels) and suffix not in formats.WITH_ALPHA:
        pixels = planes.colour(pixels)
        notes.append(f"{suffix} holds no transparency")
    metadata = picture.metadata
    if metadata != Metadata() and suffix not in formats.WITH_METADATA:
        metadata = Metadata()
        notes.append(f"EXIF and colour profiles are not written to {suffix}")
    if metadata.icc and metadata.icc[16:20] != _colour_space(pixels, suffix):
        metadata = Metadata(exif=metadata.exif)
        notes.append("the colour profile is left out, it is for another kind of colours")
    return Picture(pixels, metadata, tuple(notes))


def _colour_space(pixels: Pixels, suffix: str) -> bytes:
    """What a profile has to be for (ICC.1:2022, 7.2.8: bytes 16 to 19 of the header)."""
    return b"GRAY" if pixels.shape[2] == 1 and suffix not in formats.WITHOUT_GRAY else b"RGB "


def encode(picture: Picture, suffix: str) -> bytes:
    """The bytes of an image file; what the format cannot hold is left out as by :func:`fit`.

    Gray with alpha is written as RGB with alpha, because OpenCV writes no two channels.

    Raises:
        OutputError: OpenCV cannot encode the picture in this format.
    """
    suffix = suffix.lower()
    picture = fit(picture, suffix)
    pixels = picture.pixels
    if pixels.shape[2] == 2:
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    if pixels.shape[2] >= 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    blocks = _blocks(picture.metadata)
    try:
        done, data = cv2.imencodeWithMetadata(
            suffix, pixels, list(blocks), list(blocks.values()), PARAMETERS.get(suffix, [])
        )
    except cv2.error as error:
        raise OutputError(f"The result cannot be written as {suffix}: {error.err}.", "Choose another format.") from None
    if not done:
        raise OutputError(f"The result cannot be written as {suffix}.", "Choose another format, for example .png.")
    return data.tobytes()


def _blocks(metadata: Metadata) -> dict[int, np.ndarray]:
    chunks = {kind: getattr(metadata, name) for name, kind in BLOCKS.items()}
    return {kind: np.frombuffer(chunk, np.uint8) for kind, chunk in chunks.items() if chunk}
