"""Decode image files: OpenCV reads the pixels at full depth, Pillow the container and its metadata."""

import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..errors import InputError
from . import formats
from .picture import Metadata, Picture, Pixels

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken file is reported once, in our words

ORIENTATION = ExifTags.Base.Orientation
PREFIX = b"Exif\0\0"
CAMERA = {ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}

BY_PILLOW = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "CMYK": "RGB"}
"""Modes of TIFF files of which OpenCV drops the alpha channel, multiplies it into the colours or takes black for one,
and what they become."""

PNG = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH = 24
"""Offset of the bit depth in a PNG file (PNG specification, 11.2.1 IHDR)."""


@dataclass(frozen=True)
class Container:
    """What Pillow says about a file; everything empty for a file that only OpenCV knows.

    Attributes:
        pixels: pixels that OpenCV would read wrongly, upright.
        transparent: the gray value that stands for full transparency (PNG).
    """

    mode: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    orientation: int = 1
    pixels: Pixels | None = None
    transparent: int | None = None
    notes: tuple[str, ...] = ()


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
    container = _container(path, data)
    pixels = container.pixels
    if pixels is None:
        pixels = _upright(_by_opencv(path, data, container), container.orientation)
    return Picture(pixels, container.metadata, container.notes)


def _container(path: Path, data: bytes) -> Container:
    """What Pillow knows; refuses what it finds damaged, such as a PNG with a wrong checksum or without an end."""
    try:
        with warnings.catch_warnings(action="ignore"):
            with Image.open(io.BytesIO(data)) as image:
                found = _look(image, data)
            with Image.open(io.BytesIO(data)) as image:
                image.verify()
    except Image.DecompressionBombError:
        raise InputError(f"{path} is too large to be decoded safely.", "Cut it into parts.") from None
    except UnidentifiedImageError:
        if data.startswith(PNG):  # its head is damaged, and OpenCV would believe any size that it gives
            raise InputError(f"{path} is damaged or truncated.", "Fetch or export it again.") from None
        return Container()  # OpenCV may know it all the same
    except MemoryError:
        raise
    except Exception as error:  # what a decoder stumbles over in a damaged file may be anything
        raise InputError(f"{path} is damaged or truncated ({error}).", "Fetch or export it again.") from None
    return found


def _look(image: Image.Image, data: bytes) -> Container:
    kind, mode, pixels = image.format or "", image.mode, None
    exif, orientation = _upright_exif(image.info.get("exif") or b"")
    icc = image.info.get("icc_profile")
    if kind == "TIFF":
        orientation = 1  # OpenCV turns the pixels of TIFF files itself, and only those
        if mode in BY_PILLOW and not _deep(image):
            pixels = np.asarray(ImageOps.exif_transpose(image).convert(BY_PILLOW[mode]))
    transparent = image.info.get("transparency") if kind == "PNG" and mode in ("1", "L", "I;16") else None
    if transparent is not None and mode == "L":
        transparent *= 255 // (2 ** data[PNG_DEPTH] - 1)  # Pillow spreads fewer bits to 8, but not this value
    metadata = Metadata(exif, icc if isinstance(icc, bytes) else b"")
    return Container(mode, metadata, orientation, pixels, transparent, tuple(_notes(image)))


def _deep(image: Image.Image) -> bool:
    """Whether a TIFF file holds RGB and alpha in 16 bits, which OpenCV reads as they are and Pillow in 8."""
    return image.mode == "RGBA" and max(image.getexif().get(ExifTags.Base.BitsPerSample, (8,))) > 8


def _notes(image: Image.Image) -> Iterator[str]:
    """What the file holds beyond the picture; broken tags of a TIFF file must not stop its pixels."""
    with suppress(Exception):
        if (frames := getattr(image, "n_frames", 1)) > 1:
            yield f"only the first of {frames} pictures in the file is restored"
    with suppress(Exception):
        if image.format == "TIFF" and not CAMERA.isdisjoint(image.getexif()):
            yield "EXIF of TIFF files is not kept"


def _upright_exif(block: bytes) -> tuple[bytes, int]:
    """The EXIF block for upright pixels, and the orientation that is to be applied to the pixels.

    A block that is broken or doubtful is worth nothing to the next reader either: only its orientation is used.
    """
    exif, orientation = Image.Exif(), 1
    try:
        block = block.removeprefix(PREFIX)
        with warnings.catch_warnings(record=True, action="always") as doubts:
            exif.load(block)
            orientation = int(exif.get(ORIENTATION, 1))
            if orientation != 1:
                exif[ORIENTATION] = 1
                block = exif.tobytes().removeprefix(PREFIX)
    except Exception:  # Pillow lets through whatever it stumbles over
        return b"", orientation
    return b"" if doubts else block, orientation


def _by_opencv(path: Path, data: bytes, container: Container) -> Pixels:
    """The pixels as (height, width, channels) in RGB order."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{path} cannot be decoded: {error.err}.", "Fetch or export it again.") from None
    if pixels is None:
        raise InputError(f"{path} is not an image, or is damaged or truncated.", "Fetch or export it again.")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path} holds {pixels.dtype} pixels, which are not supported.", "Convert it to 8 or 16 bits per channel."
        )
    return _in_rgb(pixels, container)


def _in_rgb(pixels: Pixels, container: Container) -> Pixels:
    if pixels.ndim == 2 and container.transparent is not None:
        alpha = np.where(pixels == container.transparent, 0, np.iinfo(pixels.dtype).max)
        return np.stack([pixels, alpha.astype(pixels.dtype)], axis=2)
    if pixels.ndim == 2:
        return pixels[:, :, None]
    if pixels.shape[2] == 4:
        rgba: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
        return np.ascontiguousarray(rgba[:, :, 2:]) if container.mode == "LA" else rgba
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
