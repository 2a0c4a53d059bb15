"""How much memory a picture will take, from the head of its file alone."""

import io
from pathlib import Path

from ..images import formats
from ..images.header import Header

COPIES_READING = 4
"""The most that is measured: Pillow's pixels, those of another kind of colours, and ours."""

COPIES_UNPACKED = 2
"""The decoder's pixels and those in our order of channels."""

COPIES_WRITING = 3
"""The result, the same in the encoder's order of channels, and the file, as large if nothing can be compressed."""

REDUCING = 3
"""Bytes per value while 16 bits become 8: those of a table, and the result."""

PER_ROW = 40
"""Bytes of Pillow's bookkeeping, which counts where rows are short."""


def header(source: Path | bytes) -> Header | None:
    """The head of a file or of its content; None for what cannot be read, which decoding will say in its words."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return formats.header(file)
    except OSError:
        return None


def in_memory(head: Header, scale: float, suffix: str) -> int:
    """Bytes for a picture that is decoded, restored and encoded in memory, besides the work on tiles."""
    result = int(head.pixels * scale**2)
    reading = head.file + COPIES_READING * head.pixels + PER_ROW * head.height
    writing = head.pixels + COPIES_WRITING * result + encoding(head, scale, suffix)
    row = formats.by_suffix(suffix)
    if head.depth > 1 and row is not None and row.depth == 8:
        writing += REDUCING * result // head.depth
    return max(reading, writing)


def decoding(head: Header) -> int:
    """Bytes for what the decoder unpacks before the first row."""
    return head.file + COPIES_UNPACKED * head.pixels if head.at_once else 0


def encoding(head: Header, scale: float, suffix: str) -> int:
    """Bytes for what the encoder gathers before it writes anything."""
    row = formats.by_suffix(suffix)
    return int((row.encoder if row else 0) * head.width * head.height * scale**2)
