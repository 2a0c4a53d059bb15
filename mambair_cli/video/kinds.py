"""Which files are clips, by their suffix; nothing here needs PyAV."""

from ..locations.url import Location

WRITTEN = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes that results may have, with libavformat's names. All keep a time for every frame, which AVI does not."""

OTHERS = (".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv")
"""Suffixes that are only read."""

GENERAL = ".mkv"
"""For results of clips whose own kind is not written: it takes nearly every kind of sound and subtitles."""


def is_clip(path: Location) -> bool:
    """Whether the suffix is that of a clip."""
    return path.suffix.lower() in (*WRITTEN, *OTHERS)


def result_suffix(source: Location) -> str:
    """That of a result which nobody named."""
    suffix = source.suffix.lower()
    return suffix if suffix in WRITTEN else GENERAL


def listing() -> str:
    """The suffixes that are written, for a message."""
    return ", ".join(WRITTEN)
