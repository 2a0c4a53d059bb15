"""Encode pictures and write files that are either complete or not there."""

import os
from pathlib import Path

import cv2
import numpy as np

from ..errors import OutputError, UsageError
from . import formats
from .picture import Metadata, Picture

BLOCKS = {"exif": cv2.IMAGE_METADATA_EXIF, "icc": cv2.IMAGE_METADATA_ICCP}
PARAMETERS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95]}


def check_suffix(path: Path) -> None:
    """Refuse a name whose format is not written.

    Raises:
        UsageError: the suffix is unknown.
    """
    if not formats.is_image(path):
        raise UsageError(f"{path} has no suffix of a known image format.", f"Use one of {formats.listing()}.")


def encode(picture: Picture, suffix: str) -> bytes:
    """The bytes of an image file; what the format cannot hold (depth, alpha, metadata) is left out.

    Raises:
        OutputError: OpenCV cannot encode the picture in this format.
    """
    suffix = suffix.lower()
    pixels = picture.pixels
    if pixels.dtype == np.uint16 and suffix not in formats.DEEP:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.shape[2] in (2, 4) and suffix not in formats.WITH_ALPHA:
        pixels = pixels[:, :, :-1]
    if pixels.shape[2] == 2:
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    if pixels.shape[2] >= 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    blocks = _blocks(picture.metadata) if suffix in formats.WITH_METADATA else {}
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


def write(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name in the same folder, then rename: never half a file.

    Raises:
        OutputError: the folder or file cannot be written.
    """
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", "Choose another place with -o.") from None
    finally:
        temporary.unlink(missing_ok=True)
