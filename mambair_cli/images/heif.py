"""HEIF files (ISO/IEC 23008-12) by pillow-heif, of 8, 10 or 12 bits, lossless unless a quality is asked for."""

import io
from typing import Any

import numpy as np

from . import container, exif, planes
from .exif import PREFIX
from .picture import Metadata, Picture, Pixels

BITS = 12
LOSSLESS: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
"""What pillow-heif takes for lossless, the resolution of colours, and RGB as such (ITU-T H.273, table 4)."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read(name: str, data: bytes) -> Picture:
    """The first picture, more than 8 bits as 16; the library turns it upright by itself."""
    import pillow_heif

    with container.quiet_pillow():
        file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        pixels: Pixels = np.asarray(file[0])
    if pixels.dtype == np.uint16:
        pixels = planes.spread(pixels, 2 ** file.info["bit_depth"] - 1)
    facts, colours = file.info, file.info.get("nclx_profile") or {}
    block, _ = exif.upright_exif(facts.get("exif") or b"")
    icc, xmp = facts.get("icc_profile") or b"", exif.upright_xmp(facts.get("xmp") or b"")
    numbers = int(colours.get("color_primaries", 2)), int(colours.get("transfer_characteristics", 2))
    cicp = b"" if icc else container.numbered_colours(*numbers)
    return Picture(np.atleast_3d(pixels), Metadata(block, icc, xmp, cicp=cicp), container.further_pictures(len(file)))


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    """A file of uint8 or uint16 pixels with 1 to 4 channels, gray with alpha as colour; 16 bits become 12."""
    import pillow_heif

    pixels = planes.coloured(pixels)
    height, width, channels = pixels.shape
    mode = MODES[channels]
    if pixels.dtype == np.uint16:  # the library drops the last four bits
        pixels, mode = planes.narrowed(pixels, BITS) << (16 - BITS), f"{mode};16"
    picture = pillow_heif.from_bytes(mode, (width, height), pixels.tobytes())
    blocks = {"exif": metadata.exif and PREFIX + metadata.exif, "icc_profile": metadata.icc, "xmp": metadata.xmp}
    options = LOSSLESS if quality is None else {"quality": quality, "chroma": 444}
    picture[0].info.update({key: block for key, block in blocks.items() if block})
    file = io.BytesIO()
    before, pillow_heif.options.SAVE_HDR_TO_12_BIT = pillow_heif.options.SAVE_HDR_TO_12_BIT, True
    try:
        picture.save(file, **options)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return file.getvalue()
