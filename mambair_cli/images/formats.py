"""Which file formats are read and written, by suffix."""

from pathlib import Path

READABLE = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif"})

DEEP = frozenset({".png", ".tif", ".tiff"})
"""Formats that hold 16 bits per channel."""

WITH_ALPHA = frozenset({".png", ".webp", ".tif", ".tiff", ".avif"})

WITH_METADATA = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif"})
"""Formats whose EXIF and ICC blocks OpenCV writes."""

WITHOUT_GRAY = frozenset({".webp"})
"""Formats that hold gray pictures as colour."""

LARGEST = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500, ".avif": 65536}
"""Longest edge in pixels: WebP's 14 bits, and what libjpeg and libavif take."""


def is_image(path: Path) -> bool:
    """Whether the suffix is that of a format that is read."""
    return path.suffix.lower() in READABLE


def listing() -> str:
    """The suffixes for a message."""
    return ", ".join(sorted(READABLE))
