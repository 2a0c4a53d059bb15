"""Image files read from top to bottom, a few rows at a time, by pyvips; memory holds the rows that are still needed."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from ..errors import InputError, OutputError
from . import container, formats, png, profiles, tiff, tiff_tags, vips
from .container import Container
from .damage import MENDED
from .opencv import AGAIN
from .picture import Metadata, Pixels
from .tiff_tags import YCBCR, Directory

DTYPES: dict[str, np.dtype] = {"uchar": np.dtype(np.uint8), "ushort": np.dtype(np.uint16)}
KINDS = {"uchar": "8-bit", "ushort": "16-bit", "float": "float", "double": "float"}
COLOURS = {"b-w": (1, 2), "grey16": (1, 2), "srgb": (3, 4), "rgb": (3, 4), "rgb16": (3, 4), "cmyk": (4,)}
"""Kinds of colours that are supported, and their numbers of channels with and without alpha."""

JPEG = 7
"""Compression in TIFF files (TIFF Technical Note 2)."""

WARNED = re.compile(r"read gave \d+ warnings|error in tile")
"""What libvips says of damaged files."""

READ = 64
IN_ORDER = (1, 2)
"""Orientations that leave the order of rows as it is: upright and mirrored (EXIF 2.32, tag 0x0112)."""


class Bands:
    """Upright rows of one file; a source for :func:`mambair_cli.restoration.engine.restore_rows`.

    Attributes:
        shape: (height, width, channels).
        dtype: uint8 or uint16.
        metadata: blocks of the file, which say that the picture is upright.
        notes: what of the file is not in the rows.
    """

    def __init__(self, path: Path, file: int, scratch: Path, warnings: list[str], strict: bool) -> None:
        self.path, self.file, self.warnings, self.strict = path, file, warnings, strict
        self.tags = _tiff_tags(path)
        colours, compression = ExifTags.Base.PhotometricInterpretation, ExifTags.Base.Compression
        if self.tags.number(colours, 0) == YCBCR and self.tags.number(compression, 0) != JPEG:
            raise _not_read(path, "plain YCbCr values")  # which libvips shows as if they were RGB
        around = _around(path)
        self.orientation = around.orientation if 1 <= around.orientation <= 8 else 1
        image = self._load()
        self.dtype, self.cmyk = _dtype(path, image), image.interpretation == "cmyk"
        self.profile = around.metadata.icc
        self.metadata = replace(around.metadata, icc=b"") if self.cmyk else around.metadata
        self.notes = (*_notes(image, self.profile), *around.notes)
        self.turned = self.orientation not in IN_ORDER
        self._begin(_stored(path, image, scratch).autorot() if self.turned else image.autorot())
        self.shape = (self.image.height, self.image.width, 3 if self.cmyk else self.image.bands)

    def _load(self) -> Any:
        pyvips = vips.load()
        os.lseek(self.file, 0, os.SEEK_SET)
        fail_on = "warning" if self.strict else "error"
        try:
            source = pyvips.Source.new_from_descriptor(self.file)
            image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on=fail_on)
            image = image.extract_band(0, n=image.bands - 1) if self._mute() else image
            image = image.copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", self.orientation)  # libvips does not look at XMP
            return image
        except pyvips.Error:
            raise _damaged(self.path) from None

    def _mute(self) -> bool:
        """Whether the last channel means nothing, although libvips takes it for transparency."""
        return tiff_tags.UNSPECIFIED in self.tags.numbers(ExifTags.Base.ExtraSamples)

    def _begin(self, image: Any) -> None:
        self.image, self.region = image, vips.load().Region.new(image)
        self.kept: list[Pixels] = []
        self.first = self.stop = 0

    def close(self) -> None:
        """Let go of the decoder, which says only then what it thinks of the file."""
        del self.image, self.region

    @property
    def mended(self) -> tuple[str, ...]:
        """What the decoder had to mend; known once it is closed."""
        return (MENDED,) if any(WARNED.search(text) for text in self.warnings) else ()

    def restart(self) -> None:
        """Begin at the first row again."""
        self._begin(self.image if self.turned else self._load().autorot())

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop), decoded if they have not been yet.

        Raises:
            InputError: the file is damaged there.
            ValueError: some were released before.
        """
        if start < self.first:
            raise ValueError(f"row {start} of {self.path} was released, and files are read forward")
        while self.stop < stop:
            self._read(min(READ, self.shape[0] - self.stop))
        self.kept = [np.concatenate(self.kept)] if len(self.kept) > 1 else self.kept
        return self.kept[0][start - self.first : stop - self.first]

    def release(self, row: int) -> None:
        """Forget the rows above ``row``; what was never asked for is decoded all the same, but not kept."""
        while self.stop < min(row, self.shape[0]):
            self._forget(self.stop)
            self._read(min(READ, self.shape[0] - self.stop))
        self._forget(row)

    def _forget(self, row: int) -> None:
        """A copy is kept, or it would hold on to all of them."""
        if self.kept and row > self.first:
            self.kept = [self.rows(row, self.stop).copy()]
            self.first = row

    def _read(self, count: int) -> None:
        try:
            data = self.region.fetch(0, self.stop, self.image.width, count)
        except vips.load().Error:
            raise _damaged(self.path) from None
        pixels: Pixels = np.frombuffer(data, self.dtype).reshape(count, self.image.width, self.image.bands)
        self.kept.append(np.asarray(_converted(pixels, self.profile)[0]) if self.cmyk else pixels)
        self.stop += count


@contextmanager
def opened(path: Path, scratch: Path, *, strict: bool = False) -> Iterator[Bands]:
    """Read ``path`` in bands; a picture that has to be turned is first unpacked to the file ``scratch``.

    With ``strict``, what a decoder has to mend counts as damaged.

    Raises:
        InputError: the file is missing, unreadable, damaged or of a kind that is not read in bands.
        OutputError: there is no room for ``scratch``.
        MambairError: pyvips is not installed.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the name and the folder.") from None
    try:
        with file, vips.warned() as warnings:
            bands = Bands(path, file.fileno(), scratch, warnings, strict)
            try:
                yield bands
            finally:
                bands.close()
    finally:
        scratch.unlink(missing_ok=True)


def _tiff_tags(path: Path) -> Directory:
    """The first directory of a TIFF file; an empty one for other files and for broken ones."""
    with suppress(ValueError), path.open("rb") as file:
        row = formats.by_content(file.read(formats.HEAD))
        if row is not None and row.name == "tif":
            file.seek(0)
            return Directory.first(file)
    return Directory("<", {})


def _dtype(path: Path, image: Any) -> np.dtype:
    if image.format not in DTYPES or image.bands not in COLOURS.get(image.interpretation, ()):
        raise _not_read(path, f"{image.bands} channels of {KINDS.get(image.format, 'other')} values")
    return DTYPES[image.format]


def _not_read(path: Path, content: str) -> InputError:
    return InputError(
        f"{path} holds {content}, which are not supported in pictures that do not fit into memory.",
        "Convert it to gray or RGB of 8 or 16 bits per channel.",
    )


def _orientation(image: Any) -> int:
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _stored(path: Path, image: Any, scratch: Path) -> Any:
    """The picture unpacked to a file, whose rows can be read in any order."""
    pyvips = vips.load()
    size = image.width * image.height * image.bands * DTYPES[image.format].itemsize
    if (room := shutil.disk_usage(scratch.parent).free) < size:
        raise OutputError(
            f"{path} has to be turned, and for that unpacked to {size >> 20} MiB beside the result, where only"
            f" {room >> 20} MiB are free.",
            "Make room, or choose another place with -o.",
        )
    try:
        with scratch.open("wb") as file:
            image.rawsave_target(pyvips.Target.new_to_descriptor(file.fileno()))
        layout = {"format": image.format, "interpretation": image.interpretation}
        stored = pyvips.Image.rawload(os.fsencode(scratch), image.width, image.height, image.bands, **layout).copy()
    except pyvips.Error:
        raise _damaged(path) from None
    if os.name == "posix":
        scratch.unlink()  # the open file stays; its name must not, even if the process is killed
    stored.set_type(pyvips.GValue.gint_type, "orientation", _orientation(image))
    return stored


def _around(path: Path) -> Container:
    """What stands around the pixels, as for pictures in memory; nothing where the file is not understood."""
    with suppress(Exception), path.open("rb") as file:  # libvips may read it all the same
        row = formats.by_content(file.read(formats.HEAD))
        if row is not None and row.name == "tif":
            return tiff.around(file)
        file.seek(len(png.SIGNATURE))
        is_png = row is not None and row.name == "png"
        with container.opened(png.around(file) if is_png else path) as image:
            found = container.described(image)
        file.seek(len(png.SIGNATURE))
        return replace(found, metadata=png.with_chunks(found.metadata, file)) if is_png else found
    return Container(Metadata(), 1, ())


def _notes(image: Any, icc: bytes) -> Iterator[str]:
    if image.interpretation == "cmyk":
        yield _converted(np.zeros((1, 1, 4), np.uint8), icc)[1]


def _converted(cmyk: Pixels, icc: bytes) -> tuple[Image.Image, str]:
    height, width, _ = cmyk.shape
    return profiles.to_srgb(Image.frombuffer("CMYK", (width, height), cmyk.tobytes(), "raw", "CMYK", 0, 1), icc)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged or truncated.", AGAIN)
