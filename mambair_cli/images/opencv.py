"""OpenCV's decoder and encoder, with RGB order and errors in our words."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import InputError, OutputError
from .picture import Metadata, Pixels

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken file is reported once, in our words

AGAIN = "Fetch or export it again."
CHOOSE = "Choose another format, for example .png."


def read(name: str, data: bytes) -> Pixels:
    """The pixels of an image file as (height, width, channels) in RGB order, of whatever type.

    Only within :func:`.damage.listening`, because OpenCV prints.

    Raises:
        InputError: OpenCV cannot decode it.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # libtiff speaks through it
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{name} is damaged or truncated.", AGAIN) from error
    finally:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if pixels is None:
        raise InputError(f"{name} is damaged or truncated.", AGAIN)
    if pixels.ndim == 2:
        return pixels[:, :, None]
    rgb: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return rgb


def write(suffix: str, pixels: Pixels, parameters: Sequence[int] = (), metadata: Metadata | None = None) -> bytes:
    """An image file of pixels with 1, 3 or 4 channels, with those metadata blocks that are not empty.

    Raises:
        OutputError: OpenCV cannot encode them in this format.
    """
    if pixels.shape[2] >= 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    there = {kind: np.frombuffer(block, np.uint8) for kind, block in _blocks(metadata or Metadata()).items() if block}
    try:
        done, data = cv2.imencodeWithMetadata(suffix, pixels, list(there), list(there.values()), list(parameters))
    except cv2.error as error:
        raise OutputError(f"The result cannot be written as {suffix}.", CHOOSE) from error
    if not done:
        raise OutputError(f"The result cannot be written as {suffix}.", CHOOSE)
    return data.tobytes()


def _blocks(metadata: Metadata) -> dict[int, bytes]:
    return {
        cv2.IMAGE_METADATA_EXIF: metadata.exif,
        cv2.IMAGE_METADATA_ICCP: metadata.icc,
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
    }
