"""Image files written from top to bottom, a few rows at a time: PNG here, the others by pyvips.

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
from . import formats, png, vips
from .formats import Saver
from .picture import Metadata, Pixels

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Number of channels and colour type (PNG specification, 11.2.1 IHDR)."""

PROBE = 1 << 20
"""Bytes that do not fit where a write has just failed."""

KEEP = {"exif": ("exif-data", 1), "xmp": ("xmp-data", 2), "icc": ("icc-profile-data", 8)}
"""Blocks of metadata, what libvips calls them, and their bits in VipsForeignKeep."""

DRAIN = 1 << 16

LEVEL, SUB = 6, 1
"""Of compression, and the filter of rows: each byte less that of the pixel to its left."""

INCH = 25.4
SILENT = (72.0, 72.0)
"""Pixels per inch where nothing is said (EXIF 2.32, 0x011A); libvips always writes some."""

CLASSIC_TIFF = 4 << 30
"""Bytes that the offsets of TIFF 6.0 reach."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """What is to be written.

    Attributes:
        shape: (height, width, channels) of the rows that will come.
        dtype: uint8 or uint16.
        quality: 1 to 100; None: the default of the format.
    """

    suffix: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    metadata: Metadata
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
    if _saver(wanted).operation is None:
        with _png(path, wanted) as write:
            yield write
        return
    vips.load()
    out, into = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        encoder = pool.submit(_encode, out, path, wanted)
        try:
            with os.fdopen(into, "wb", buffering=0) as pipe:
                stream = _Stream(_Whole(pipe).write, wanted, png.head(_header(wanted), Metadata()), level=0)
                yield stream.write
                stream.finish()
        except _EncoderStoppedError:
            encoder.result()  # knows why
            raise
        encoder.result()


@contextmanager
def _png(path: Path, wanted: Format) -> Iterator[Callable[[Pixels], None]]:
    with _told():
        file = path.open("wb", buffering=0)
    with file:  # what the work in between raises is not about this file
        whole = _Whole(file)

        def put(data: bytes) -> None:
            with _told():
                whole.write(data)

        stream = _Stream(put, wanted, png.head(_header(wanted), wanted.metadata), LEVEL)
        yield stream.write
        stream.finish()
        with _told():
            atomic.flush(file)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the system says into a message."""
    try:
        yield
    except OSError as error:
        raise _unwritable(error.strerror) from None


def _header(wanted: Format) -> bytes:
    height, width, channels = wanted.shape
    return struct.pack(">IIBBBBB", width, height, 8 * wanted.dtype.itemsize, COLOUR_TYPES[channels], 0, 0, 0)


def _saver(wanted: Format) -> Saver:
    row = formats.by_suffix(wanted.suffix)
    assert row is not None
    assert row.saver is not None
    return row.saver


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
    row, saver = formats.by_suffix(wanted.suffix), _saver(wanted)
    assert row is not None
    options = dict(saver.options) | {
        "keep": sum(bit for block, (_, bit) in KEEP.items() if getattr(wanted.metadata, block))
    }
    if row.name == "tif":
        options["bigtiff"] = image.width * image.height * image.bands * wanted.dtype.itemsize > CLASSIC_TIFF
    if wanted.quality is not None and row.lossy:
        options |= {"Q": wanted.quality} | ({"lossless": False} if "lossless" in options else {})
    target = vips.load().Target.new_to_descriptor(file.fileno())
    try:
        getattr(image, f"{saver.operation}_target")(target, **options)
    except vips.load().Error as error:
        if "write" in vips.reason(error):
            file.seek(0, os.SEEK_END)
            file.write(bytes(PROBE))  # libvips does not say why; the system does when it is asked again
            file.flush()
        raise


def _described(image: Any, wanted: Format) -> Any:
    """With the metadata; the encoders write the orientation of the image, not that of the EXIF block."""
    across, down = (value / INCH for value in wanted.metadata.resolution or SILENT)
    image = image.copy(xres=across, yres=down)
    values, metadata = vips.load().GValue, wanted.metadata
    for block in KEEP:
        if content := getattr(metadata, block):
            image.set_type(values.blob_type, KEEP[block][0], content)
    image.set_type(values.gint_type, "orientation", 1)
    return image


class _Stream:
    """A PNG file, written row by row; rows are filtered (9.2) if they are compressed."""

    def __init__(self, put: Callable[[bytes], object], wanted: Format, head: bytes, level: int) -> None:
        self.put, self.packer, self.filtered = put, zlib.compressobj(level), level > 0
        self.big_endian = wanted.dtype.newbyteorder(">")
        self.put(head)

    def write(self, rows: Pixels) -> None:
        """Some rows (count, width, channels)."""
        data = np.ascontiguousarray(rows.astype(self.big_endian)).view(np.uint8).reshape(len(rows), -1)
        if self.filtered:
            step = rows.shape[2] * rows.itemsize
            data = np.hstack([data[:, :step], data[:, step:] - data[:, :-step]])
        kind = np.full((len(rows), 1), SUB if self.filtered else 0, np.uint8)
        self._chunk(b"IDAT", self.packer.compress(np.hstack([kind, data]).tobytes()))

    def finish(self) -> None:
        """Nothing more will come."""
        self._chunk(b"IDAT", self.packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if data or kind != b"IDAT":
            self.put(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


@dataclass(frozen=True)
class _Whole:
    """A file without a buffer, or a pipe, which may be closed by whoever reads it: all goes in, or an error comes."""

    file: BinaryIO

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self.file.write(left) :]
            except BrokenPipeError:
                raise _EncoderStoppedError from None
