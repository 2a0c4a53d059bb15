"""Files that no row of the table recognises, which OpenCV or Pillow may read all the same."""

from contextlib import suppress

from PIL import UnidentifiedImageError

from ..errors import InputError
from . import container, exif, opencv
from .container import Container
from .opencv import AGAIN
from .picture import Metadata, Picture

CONVERT = "Convert it to PNG, TIFF or JPEG."


def read(name: str, data: bytes) -> Picture:
    """One picture, upright.

    Raises:
        InputError: it is none, or damaged.
    """
    kind, found, pixels = "", Container(Metadata(), 1, ()), None
    with suppress(UnidentifiedImageError), container.opened(data) as image:
        kind, found = image.format or "", container.described(image)
        if image.mode == "P" and "transparency" not in image.info:
            pixels = container.gray_palette(image)
    try:
        pixels = opencv.read(name, data) if pixels is None else pixels
    except InputError:
        if kind:
            raise InputError(f"{name} is a picture of the kind {kind}, which is not supported.", CONVERT) from None
        raise InputError(f"{name} is not an image of a known format.", AGAIN) from None
    return Picture(exif.upright(pixels, found.orientation), found.metadata, found.notes)
