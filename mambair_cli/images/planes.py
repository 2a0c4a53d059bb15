"""Between pictures and networks: pick the planes a network sees, and put its result back into the picture.

A gray picture is shown three times to an RGB network and averaged after. A colour picture is shown to a luminance
network as BT.601 luma; the change in luma is added to all three colours, which keeps the chroma.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .picture import Pixels

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Floats = NDArray[np.float32]


def white(pixels: Pixels) -> float:
    """The value of white: 255, 65535 or 1."""
    return float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0


def has_alpha(pixels: Pixels) -> bool:
    """Whether the last channel is transparency."""
    return pixels.shape[2] in (2, 4)


def colour(pixels: Pixels) -> Pixels:
    """The picture without its alpha channel."""
    return pixels[:, :, :-1] if has_alpha(pixels) else pixels


def coloured(pixels: Pixels) -> Pixels:
    """Gray with alpha as colour with alpha."""
    return pixels[:, :, [0, 0, 0, 1]] if pixels.shape[2] == 2 else pixels


def spread(pixels: Pixels, top: int) -> Pixels:
    """Values from 0 to ``top`` as 16 bits, rounded; a table, because floats of a whole picture take much memory."""
    table = np.rint(np.arange(top + 1) * (65535 / top)).astype(np.uint16)
    found: Pixels = table[pixels]
    return found


def narrowed(pixels: Pixels, bits: int) -> Pixels:
    """Values of 16 bits as fewer, likewise."""
    table = np.rint(np.arange(65536) * ((2**bits - 1) / 65535)).astype(np.uint16)
    found: Pixels = table[pixels]
    return found


def check_channels(channels: int, name: str) -> None:
    """Refuse a network that wants neither luminance nor RGB.

    Raises:
        ModelError: there is no way to show it a picture.
    """
    if channels not in (1, 3):
        raise ModelError(
            f"The model {name} works on {channels} channels; pictures have 1 or 3.", "Use a gray or a colour model."
        )


def for_network(region: Pixels, channels: int) -> Floats:
    """A region without alpha as the network wants it: (height, width, channels), floats in [0, 1]."""
    values: Floats = region.astype(np.float32) / np.float32(white(region))
    if values.shape[2] == channels:
        return values
    if channels == 3:
        return np.repeat(values, 3, axis=2)
    return _luma(values)


def enlarge(plane: Pixels, scale: int) -> Pixels:
    """Bicubic enlargement of all channels, in the type of the input."""
    if scale == 1:
        return plane
    height, width, channels = plane.shape
    out: Pixels = cv2.resize(plane, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    return out.reshape(height * scale, width * scale, channels)


def from_network(rows: Floats, source: Pixels) -> Floats:
    """Rows of the result with as many colour channels as ``source``, the same rows of the enlarged input."""
    channels = source.shape[2]
    if rows.shape[2] == channels:
        return rows
    if channels == 1:
        gray: Floats = rows.mean(axis=2, keepdims=True, dtype=np.float32)
        return gray
    values = for_network(source, channels)
    return values + (rows - _luma(values))


def _luma(rgb: Floats) -> Floats:
    luma: Floats = rgb @ LUMA
    return luma[:, :, None]


def quantise(rows: Floats, dtype: np.dtype) -> Pixels:
    """Clip to [0, 1] and round to the depth of the picture; floats are only clipped."""
    rows = np.clip(rows, 0, 1)
    if np.issubdtype(dtype, np.integer):
        rows = np.rint(rows * np.float32(np.iinfo(dtype).max))
    pixels: Pixels = rows.astype(dtype)
    return pixels
