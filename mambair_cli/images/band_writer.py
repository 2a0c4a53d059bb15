"""Image files written from top to bottom, a few rows at a time, by pyvips.

The encoders of libvips ask for pixels, while the network hands them out. So the encoder runs in a thread of its own and
reads from a pipe, which makes the faster side wait. What goes through the pipe is the simplest thing that libvips takes
from one and that knows gray, alpha and 16 bits: a PNG stream without compression (PNG specification, 5 and 10.1).
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import OutputError
from ..files import atomic
from . import formats, vips
from .picture import Metadata, Pixels

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Number of channels and colour type (PNG specification, 11.2.1 IHDR)."""

PROBE = 1 << 20
"""Bytes that do not fit where a write has just failed."""

KEEP = {"exif": ("exif-data", 1), "xmp": ("xmp-data", 2), "icc": ("icc-profile-data", 8)}
"""Blocks of metadata, what libvips calls them, and their bits in VipsForeignKeep."""

DRAIN = 1 << 16

CLASSIC_TIFF = 4 << 30
"""Bytes that the offsets of TIFF 6.0 reach."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """What is to be written.

    Attributes:
        shape: (height, width, channels) of the rows that will come.
        dtype: uint8 or uint16.
        resolution: pixels per millimetre across and down, which goes into EXIF too.
        quality: 1 to 100; None: the default of the format.
    """

    suffix: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    metadata: Metadata
    resolution: tuple[float, float]
    quality: int | None = None


class _EncoderStoppedError(Exception):
    """Nobody reads the pipe any more."""


@contextmanager
def writing(path: Path, wanted: Format) -> Iterator[Callable[[Pixels], None]]:
    """Write an image file to ``path``; the function that is given takes the rows, from top to bottom.

    Leaving the block by an exception leaves an incomplete file.

    Raises:
        OutputError: it cannot be written.
    """
    vips.load()
    out, into = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        encoder = pool.submit(_encode, out, path, wanted)
        try:
            with os.fdopen(into, "wb", buffering=0) as pipe:
                stream = _Stream(pipe, wanted)
                yield stream.write
                stream.finish()
        except _EncoderStoppedError:
            encoder.result()  # knows why
            raise
        encoder.result()


def _encode(pipe: int, path: Path, wanted: Format) -> None:
    """Run the encoder on what comes through ``pipe``."""
    pyvips = vips.load()
    try:
        source = pyvips.SourceCustom()
        source.on_read(lambda size: os.read(pipe, size))
        image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
        with path.open("wb") as file:
            _save(_described(image, wanted), file, wanted)
            atomic.flush(file)
        while os.read(pipe, DRAIN):
            pass  # what ends the stream may be left; whoever writes it must not fail
    except pyvips.Error as error:
        raise _unwritable(vips.reason(error)) from None
    except OSError as error:
        raise _unwritable(error.strerror) from None
    finally:
        os.close(pipe)


def _unwritable(reason: str | None) -> OutputError:
    return OutputError(f"The result cannot be written: {reason}.", "Make room, or choose another place with -o.")


def _save(image: Any, file: BinaryIO, wanted: Format) -> None:
    row = formats.by_suffix(wanted.suffix)
    assert row is not None
    assert row.saver is not None
    options = dict(row.saver.options) | {
        "keep": sum(bit for block, (_, bit) in KEEP.items() if getattr(wanted.metadata, block))
    }
    if row.name == "tif":
        options["bigtiff"] = image.width * image.height * image.bands * wanted.dtype.itemsize > CLASSIC_TIFF
    if wanted.quality is not None and row.lossy:
        options |= {"Q": wanted.quality} | ({"lossless": False} if "lossless" in options else {})
    target = vips.load().Target.new_to_descriptor(file.fileno())
    try:
        getattr(image, f"{row.saver.operation}_target")(target, **options)
    except vips.load().Error as error:
        if "write" in vips.reason(error):
            file.seek(0, os.SEEK_END)
            file.write(bytes(PROBE))  # libvips does not say why; the system does when it is asked again
            file.flush()
        raise


def _described(image: Any, wanted: Format) -> Any:
    """With the metadata; the encoders write the orientation of the image, not that of the EXIF block."""
    image = image.copy(xres=wanted.resolution[0], yres=wanted.resolution[1])
    values, metadata = vips.load().GValue, wanted.metadata
    for block in KEEP:
        if content := getattr(metadata, block):
            image.set_type(values.blob_type, KEEP[block][0], content)
    image.set_type(values.gint_type, "orientation", 1)
    return image


class _Stream:
    """A PNG file without compression, written row by row."""

    def __init__(self, pipe: BinaryIO, wanted: Format) -> None:
        self.pipe, self.packer = pipe, zlib.compressobj(0)
        self.big_endian = wanted.dtype.newbyteorder(">")
        height, width, channels = wanted.shape
        head = (width, height, 8 * wanted.dtype.itemsize, COLOUR_TYPES[channels], 0, 0, 0)
        self._put(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", *head))

    def write(self, rows: Pixels) -> None:
        """Some rows (count, width, channels)."""
        data = np.ascontiguousarray(rows.astype(self.big_endian)).view(np.uint8).reshape(len(rows), -1)
        filters = np.zeros((len(rows), 1), np.uint8)  # every row begins with the number of its filter, none
        self._chunk(b"IDAT", self.packer.compress(np.hstack([filters, data]).tobytes()))

    def finish(self) -> None:
        """Nothing more will come."""
        self._chunk(b"IDAT", self.packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._put(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self.pipe.write(left) :]
            except BrokenPipeError:
                raise _EncoderStoppedError from None
