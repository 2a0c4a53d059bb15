"""Which file formats are read and written, by suffix, and what each of them holds."""

from pathlib import Path

MAX_PIXELS = 500_000_000
"""Default limit: far above what cameras and scanners give, far below what fills the memory unasked."""

READABLE = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif"})

SAME = {".jpeg": ".jpg", ".tiff": ".tif"}
"""Suffixes that mean the same format as another."""

TIFF = frozenset({".tif", ".tiff"})
JPEG = frozenset({".jpg", ".jpeg"})

LOSSY = JPEG | {".webp", ".avif"}

DEEP = TIFF | {".png", ".avif"}
"""Formats that hold more than 8 bits per channel; AVIF 12 of them, the others 16."""

WITH_ALPHA = TIFF | {".png", ".webp", ".avif", ".bmp"}

WITH_GRAY_ALPHA = TIFF | {".png"}
"""Formats that hold gray with alpha as such; the others with alpha hold it as colour."""

WITH_METADATA = READABLE - {".bmp"}
"""Formats that EXIF, XMP and colour profiles are written to."""

WITHOUT_GRAY = frozenset({".webp"})
"""Formats that hold gray pictures as colour."""

_ANY_SIZE = TIFF | {".png", ".bmp"}

LARGEST = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500, ".avif": 65536, **dict.fromkeys(_ANY_SIZE, 1_000_000)}
"""Longest edge in pixels: WebP's 14 bits, what libjpeg and libavif take, and what libpng and OpenCV do."""

JPEG_BLOCKS = {"exif": 65527, "xmp": 65504}
"""Longest block in bytes: a JPEG segment of 65535 less its length and its name."""


def is_image(path: Path) -> bool:
    """Whether the suffix is that of a format that is read."""
    return path.suffix.lower() in READABLE


def listing() -> str:
    """The suffixes for a message."""
    return ", ".join(sorted(READABLE))
