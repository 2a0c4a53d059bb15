"""Decode image files: OpenCV reads the pixels at full depth, Pillow the container and its metadata."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import InputError
from . import formats
from .picture import Metadata, Picture, Pixels

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken file is reported once, in our words

ORIENTATION = ExifTags.Base.Orientation
PREFIX = b"Exif\0\0"


def decode(path: Path) -> Picture:
    """Read one image, upright and in RGB order.

    Raises:
        InputError: the file is missing, unreadable, not an image, damaged or of a kind that is not supported.
    """
    if not formats.is_image(path):
        raise InputError(f"{path} has no suffix of a known image format.", f"Use one of {formats.listing()}.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", "Check the name and the folder.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check that it is a file you may read.") from None
    if not data:
        raise InputError(f"{path} is empty.", "Fetch or export it again.")
    kind, exif, icc = _container(path, data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{path} cannot be decoded: {error.err}.", "Fetch or export it again.") from None
    if pixels is None:
        raise InputError(f"{path} is not an image, or is damaged or truncated.", "Fetch or export it again.")
    exif, orientation = _upright_exif(exif)
    # OpenCV turns TIFF pixels itself, and only those.
    return Picture(_upright(_in_rgb(path, pixels), 1 if kind == "TIFF" else orientation), Metadata(exif, icc))


def _container(path: Path, data: bytes) -> tuple[str, bytes, bytes]:
    """Format, EXIF and ICC blocks; refuses a PNG with a wrong checksum or without an end."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            found = image.format or "", image.info.get("exif") or b"", image.info.get("icc_profile") or b""
            image.verify()
    except Image.DecompressionBombError:
        raise InputError(f"{path} is too large to be decoded safely.", "Cut it into parts.") from None
    except UnidentifiedImageError:
        return "", b"", b""  # OpenCV may know it all the same
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}).", "Fetch or export it again.") from None
    return found


def _upright_exif(block: bytes) -> tuple[bytes, int]:
    """The EXIF block for upright pixels, and the orientation that is to be applied to the pixels."""
    block = block.removeprefix(PREFIX)
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="error"):
            exif.load(block)
            orientation = int(exif.get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, UserWarning):
        return b"", 1  # not readable as EXIF: worth nothing to the next reader either
    if orientation == 1:
        return block, 1
    exif[ORIENTATION] = 1
    return exif.tobytes().removeprefix(PREFIX), orientation


def _in_rgb(path: Path, pixels: np.ndarray) -> Pixels:
    """OpenCV's array as (height, width, channels) in RGB order."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path} holds {pixels.dtype} pixels, which are not supported.", "Convert it to 8 or 16 bits per channel."
        )
    if pixels.ndim == 2:
        return pixels[:, :, None]
    if pixels.shape[2] == 4:
        rgba: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
        gray = bool(np.all(rgba[..., 0] == rgba[..., 1]) and np.all(rgba[..., 0] == rgba[..., 2]))
        return np.ascontiguousarray(rgba[:, :, 2:]) if gray else rgba
    rgb: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
