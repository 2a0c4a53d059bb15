"""Decode image files: OpenCV reads the pixels at full depth, Pillow the container and its metadata."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from ..errors import InputError
from . import formats
from .picture import Metadata, Picture, Pixels

cv2.setLogLevel(0)  # a broken file is reported once, in our words

ORIENTATION = ExifTags.Base.Orientation


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
    metadata, orientation = _container(path, data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{path} is damaged or truncated.", "Fetch or export it again.")
    return Picture(_upright(_in_rgb(path, pixels), orientation), metadata)


def _container(path: Path, data: bytes) -> tuple[Metadata, int]:
    """Metadata and the orientation that is still to be applied."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            orientation = exif.get(ORIENTATION, 1)
            if orientation != 1:
                exif[ORIENTATION] = 1
            metadata = Metadata(
                exif=exif.tobytes().removeprefix(b"Exif\0\0") if exif else b"",
                icc=image.info.get("icc_profile") or b"",
                xmp=image.info.get("xmp") or b"",
            )
            already_applied = image.format == "TIFF"  # OpenCV turns TIFF pixels itself
            image.verify()
    except Image.DecompressionBombError:
        raise InputError(f"{path} is too large to be decoded safely.", "Cut it into parts.") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path} is not an image, whatever its name.", f"Use one of {formats.listing()}.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}).", "Fetch or export it again.") from None
    return metadata, 1 if already_applied else orientation


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
