"""TIFF files (TIFF 6.0): which decoder reads which layout rightly, and tags that OpenCV's encoder leaves out.

Pillow reads up to 8 bits right, and deeper colours in 8 bits. OpenCV reads deep gray and colours right if they are
interleaved and have no other channels, and turns them upright by itself.
"""

import io
import itertools
from dataclasses import replace
from fractions import Fraction
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, ImageOps

from ..errors import InputError
from . import container, exif, opencv, profiles, transparency
from .container import Container
from .header import Header
from .picture import Metadata, Picture, Pixels
from .tiff_tags import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    FLOATING,
    HORIZONTAL,
    IPTC,
    LAB,
    PALETTE,
    PARTS,
    PREMULTIPLIED,
    PROFILE,
    RGB,
    SIGNED,
    STRAIGHT,
    TILE_WIDTH,
    UNSIGNED,
    UNSPECIFIED,
    WHITE_IS_ZERO,
    XMP,
    Directory,
    Layout,
    Value,
    classic,
    described,
    orientation_of,
    pictures,
    with_directory,
    with_tags,
)

PLAIN = (
    *(cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE),
    *(cv2.IMWRITE_TIFF_PREDICTOR, cv2.IMWRITE_TIFF_PREDICTOR_NONE),
)
"""Compression that does not look at values."""

COLOURS = {"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
"""What modes of Pillow become."""

KINDS = ((8, UNSIGNED), (16, UNSIGNED), (32, FLOAT))
"""Bits and kinds of values that pixels have here."""

FACTORS = {1: 1, 5: 4096, 8: 1040, 32773: 64, 32946: 1040}
"""How much compressions shrink at most: none, LZW, deflate, PackBits, deflate by its older number."""

ONLY_PILLOW = frozenset({34925, 50000})
"""Compressions that OpenCV's libtiff does not know: LZMA and Zstandard."""

ROWS = 64
"""How many are worked on at once, so that there are few copies."""

LEFT_OUT = "channels that are not transparency are left out"
CONVERT = "Save it as gray or RGB, interleaved, with 8 or 16 bits per channel."


def header(file: BinaryIO) -> Header:
    """Size and kind; may raise any exception for a broken file."""
    layout = Layout.of(Directory.first(file))
    channels = 4 if layout.colours == PALETTE else layout.channels
    stored = layout.width * layout.height * layout.channels * layout.bits // 8
    least = stored // FACTORS[layout.compression] if layout.compression in FACTORS else 0
    return Header(layout.width, layout.height, channels, max(1, layout.bits // 8), least=least)


def read(name: str, data: bytes) -> Picture:
    """The first picture, upright, its pixels of whatever type.

    Raises:
        InputError: the layout is one that no decoder here reads rightly, or the file is damaged.
    """
    found = around(io.BytesIO(data))
    data = classic(data)
    layout = Layout.of(Directory.first(io.BytesIO(data)))
    pixels, more = _pixels(name, data, layout)
    metadata = replace(found.metadata, icc=b"") if layout.colours in (CMYK, LAB) else found.metadata
    return Picture(pixels, metadata, (*found.notes, *more))


def around(file: BinaryIO) -> Container:
    """What stands around the pixels of the first picture.

    Raises:
        ValueError: its directory is broken.
    """
    file.seek(0)
    tags = Directory.first(file)
    orientation, further = orientation_of(tags), container.further_pictures(pictures(file))
    block = exif.from_tiff(described(file))
    stored = exif.tiff_resolution(described(file))
    metadata = Metadata(
        exif=block,
        icc=tags.block(PROFILE),
        xmp=exif.upright_xmp(tags.block(XMP)),
        resolution=container.upright_resolution(stored, orientation) if stored else None,
    )
    broken = bool((exif.DESCRIPTIVE - exif.RESOLUTION) & set(tags.values)) and not block
    return Container(metadata, orientation, (*further, *((container.BROKEN_EXIF,) if broken else ()), *_left_out(tags)))


def _left_out(tags: Directory) -> tuple[str, ...]:
    mute = UNSPECIFIED in tags.numbers(ExifTags.Base.ExtraSamples)
    return ((LEFT_OUT,) if mute else ()) + ((container.IPTC,) if IPTC & set(tags.values) else ())


def _pixels(name: str, data: bytes, layout: Layout) -> tuple[Pixels, list[str]]:
    plain = layout.colours in (BLACK_IS_ZERO, RGB) and (layout.bits, layout.kind) in KINDS
    if layout.planes == 2 and plain and layout.channels <= 4:
        return _planes(name, data, layout), []
    if layout.bits <= 8 and layout.kind == UNSIGNED:
        return _shallow(name, data, layout)
    if layout.colours == CMYK and (layout.bits, layout.kind) == (16, UNSIGNED):
        pixels, notes = _shallow(name, data, layout)
        return pixels, [*notes, "16 bits per channel are read as 8"]
    return _deep(name, data, layout), []


def _planes(name: str, data: bytes, layout: Layout) -> Pixels:
    """Each channel shown to the decoder as a gray picture of its own, because none takes all kinds of planes."""
    tags, base, short, long = Directory.first(io.BytesIO(data)), ExifTags.Base, 3, 4
    gray = {base.SamplesPerPixel: 1, base.PlanarConfiguration: 1, base.PhotometricInterpretation: BLACK_IS_ZERO}
    gray |= {base.BitsPerSample: layout.bits, base.SampleFormat: layout.kind}
    common = {tag: value for tag, value in tags.values.items() if tag != base.ExtraSamples}
    common |= {tag: Value.of(tags.order, short, number) for tag, number in gray.items()}
    planes = []
    for channel in range(layout.channels):
        parts = {}
        for tag in PARTS & set(tags.values):
            numbers = tags.numbers(tag)
            each = len(numbers) // layout.channels
            parts[tag] = Value.of(tags.order, long, *numbers[channel * each : (channel + 1) * each])
        directory = Directory(tags.order, common | parts)
        plane, own = with_directory(data, directory), Layout.of(directory)
        planes.append(_shallow(name, plane, own)[0] if own.bits == 8 else _deep(name, plane, own))
    return _straight(np.concatenate(planes, axis=2), layout)


def _shallow(name: str, data: bytes, layout: Layout) -> tuple[Pixels, list[str]]:
    alpha = bool(layout.extra) and layout.extra[0] != UNSPECIFIED
    if alpha and (layout.colours == WHITE_IS_ZERO or (layout.planes != 1 and layout.colours != RGB)):
        raise _not_read(name, layout)
    notes = []
    with container.opened(data) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode in ("CMYK", "LAB"):
            rgb, note = profiles.to_srgb(image, layout.icc)
            pixels, notes = container.pixels(rgb, "RGB"), [note]
        else:
            pixels = container.pixels(image, COLOURS.get(image.mode, image.mode))
    if alpha and pixels.shape[2] not in (2, 4):
        notes.append("the transparency is left out")
    return pixels, notes


def _deep(name: str, data: bytes, layout: Layout) -> Pixels:
    known = (layout.bits, layout.kind) in ((16, UNSIGNED), (32, FLOAT)) and layout.channels <= 4
    if not known or layout.planes != 1 or layout.colours not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise _not_read(name, layout)
    if layout.channels == 2 or layout.compression in ONLY_PILLOW:
        return _as_bytes(name, data, layout)
    pixels = opencv.read(name, data)
    if ExifTags.Base.Orientation not in Directory.first(io.BytesIO(data)).values:  # OpenCV looks at nothing else
        pixels = exif.upright(pixels, layout.orientation)
    if layout.colours == WHITE_IS_ZERO:
        pixels = _inverted(pixels)
    return _straight(pixels, layout)


def _as_bytes(name: str, data: bytes, layout: Layout) -> Pixels:
    """Shown to Pillow's decoder as gray bytes, of which a row has as many as it has of values."""
    tags, base, short, long = Directory.first(io.BytesIO(data)), ExifTags.Base, 3, 4
    each = layout.channels * layout.bits // 8
    gray = {base.SamplesPerPixel: 1, base.PhotometricInterpretation: BLACK_IS_ZERO, base.BitsPerSample: 8}
    gray |= {base.SampleFormat: UNSIGNED, base.Predictor: 1, base.Orientation: 1}
    values = {tag: value for tag, value in tags.values.items() if tag != base.ExtraSamples}
    values |= {tag: Value.of(tags.order, short, number) for tag, number in gray.items()}
    across = -(-layout.width // layout.tile) * layout.tile  # whole tiles, which predictors need
    for tag, number in ((base.ImageWidth, across), (TILE_WIDTH, layout.tile)):
        if tag in values:
            values[tag] = Value.of(tags.order, long, number * each)
    kind = np.dtype(f"{tags.order}{'f' if layout.kind == FLOAT else 'u'}{layout.bits // 8}")
    with container.opened(with_directory(data, Directory(tags.order, values))) as image:
        stored = np.array(image)
    for top, left in itertools.product(range(0, layout.height, ROWS), range(0, across * each, layout.tile * each)):
        part = stored[top : top + ROWS, left : left + layout.tile * each]
        part[:] = _without_predictor(np.ascontiguousarray(part), layout, kind)
    pixels = stored.view(kind).reshape(layout.height, across, layout.channels)[:, : layout.width]
    pixels = pixels.astype(kind.newbyteorder("="))
    if layout.colours == WHITE_IS_ZERO:
        pixels = _inverted(pixels)
    return exif.upright(_straight(pixels, layout), layout.orientation)


def _without_predictor(rows: Pixels, layout: Layout, kind: np.dtype) -> Pixels:
    """Bytes of rows as they were before differences were taken: section 14, and Adobe's technical note 3 for floats."""
    if layout.predictor == HORIZONTAL:  # each value is stored as the difference to that of the pixel before
        whole = rows.view(kind.str.replace("f", "u")).reshape(len(rows), -1, layout.channels)
        sums = np.cumsum(whole, axis=1, dtype=whole.dtype.newbyteorder("="))
        return sums.astype(whole.dtype).reshape(len(rows), -1).view(np.uint8)
    if layout.predictor == FLOATING:  # the first bytes of all values come first, and then differences
        bytewise = np.cumsum(rows.reshape(len(rows), -1, layout.channels), axis=1, dtype=np.uint8)
        planes = bytewise.reshape(len(rows), kind.itemsize, -1)[:, :: 1 if kind.byteorder == ">" else -1]
        return planes.transpose(0, 2, 1).reshape(len(rows), -1)
    return rows


def _inverted(pixels: Pixels) -> Pixels:
    top = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    return np.subtract(top, pixels, dtype=pixels.dtype)


def _straight(pixels: Pixels, layout: Layout) -> Pixels:
    """Without a fourth channel that means nothing, and with colours that are not multiplied by the transparency."""
    if not layout.extra or pixels.shape[2] not in (2, 4):
        return pixels
    if layout.extra[0] == UNSPECIFIED:
        return np.ascontiguousarray(pixels[:, :, :-1])
    if layout.extra[0] == PREMULTIPLIED:
        pixels = transparency.straight(pixels)
    return pixels


def _not_read(name: str, layout: Layout) -> InputError:
    kind = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "float"}.get(layout.kind, "unknown")
    return InputError(
        f"{name} holds {layout.channels} channels of {layout.bits}-bit {kind} values in a layout that is not read "
        f"(PlanarConfiguration {layout.planes}, PhotometricInterpretation {layout.colours}).",
        CONVERT,
    )


def write(pixels: Pixels, metadata: Metadata, quality: int | None = None) -> bytes:
    """A file of uint8, uint16 or float32 pixels with 1 to 4 channels.

    Raises:
        OutputError: OpenCV cannot encode it.
    """
    channels = pixels.shape[2]
    tags = exif.for_tiff(metadata.exif)
    if metadata.resolution:
        across, down = (Fraction(value).limit_denominator(1000) for value in metadata.resolution)
        tags |= {ExifTags.Base.XResolution: across, ExifTags.Base.YResolution: down, ExifTags.Base.ResolutionUnit: 2}
    tags |= {key: block for key, block in ((PROFILE, metadata.icc), (XMP, metadata.xmp)) if block}
    if channels in (2, 4):
        tags[ExifTags.Base.ExtraSamples] = STRAIGHT
    if channels != 2:
        return with_tags(opencv.write(".tif", pixels), tags)
    tags[ExifTags.Base.BitsPerSample] = (8 * pixels.itemsize,) * 2
    tags |= {ExifTags.Base.SamplesPerPixel: 2, ExifTags.Base.SampleFormat: (1, 1)}
    tags[ExifTags.Base.PhotometricInterpretation] = BLACK_IS_ZERO
    disguised = np.ascontiguousarray(pixels).view(np.uint16 if pixels.dtype == np.uint8 else np.uint8)
    return with_tags(opencv.write(".tif", disguised, PLAIN), tags)
