"""Which pictures are not decoded, by the heads of their files: too large, or made to fill the memory."""

from ..errors import InputError
from .container import check_size
from .formats import LONGEST, MAX_PIXELS
from .header import Header

FEW, DENSE = 1 << 24, 1 << 16
"""Pixels that any file may hold, and those per byte that a larger picture may have: flat colours reach that, too."""


def check(name: str, head: Header, max_pixels: int | None) -> None:
    """Refuse pictures that are too large, or so large for their file that it may have been made to fill the memory.

    The latter only under the default limit: who raises it trusts the file.

    Raises:
        InputError: it is one of these, or the file is too short for it.
    """
    check_size(name, head.width, head.height, max_pixels)
    if max(head.width, head.height) > LONGEST:
        raise InputError(
            f"{name} has {head.width} x {head.height} pixels, and no result can have longer edges than {LONGEST}.",
            "Cut it into parts.",
        )
    if head.file < head.least:
        what = f"{head.file} bytes cannot hold {head.width} x {head.height} pixels"
        raise InputError(f"{name} is damaged or truncated: {what}.", "Fetch or export it again.")
    pixels = head.width * head.height
    if max_pixels == MAX_PIXELS and pixels > max(FEW, DENSE * head.file):
        raise InputError(
            f"{name} has {head.width} x {head.height} pixels in {head.file} bytes, as if made to fill the memory.",
            f"If you trust the file, give --max-pixels {pixels}.",
        )
