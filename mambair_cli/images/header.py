"""What the head of a file says of its picture, from which its memory is known before it is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Header:
    """Size and kind of a picture.

    Attributes:
        channels: at most.
        depth: bytes per channel.
        at_once: whether any decoder has to unpack the whole picture before the first row.
        least: bytes that a whole file with such a picture has, as far as that is known.
        file: bytes of the file.
    """

    width: int
    height: int
    channels: int
    depth: int
    at_once: bool = False
    least: int = 0
    file: int = 0

    @property
    def pixels(self) -> int:
        """Bytes of the picture when decoded."""
        return self.width * self.height * self.channels * self.depth
