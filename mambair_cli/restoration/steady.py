"""Less flicker: each frame of a clip is blended with its neighbours, where these show the same."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..images.picture import Pixels
from .sizes import Shape

Floats = NDArray[np.float32]

TOLERANCE = 8.0
"""Mean difference, in 255ths of white, of the colour that differs most, at which a neighbour counts exp(-1)."""
WINDOW = 5
"""Edge of the squares in which that mean is taken, in pixels of the input."""
SMALLEST = 16
"""Edge below which no optical flow is looked for; OpenCV's takes the process down at 10 pixels."""


def steadied(frame: Pixels, neighbours: Sequence[Pixels], small: Shape) -> Pixels:
    """A restored frame with less of what comes and goes.

    Each neighbour is brought to where things are in the frame by optical flow (DIS: Kroeger et al., ECCV 2016), and
    blended in with a weight of 1 where both look the same, falling to 0 where they do not: behind things that moved
    away, after cuts. Flow and weights are found at the size of the input.

    Args:
        frame: (height, width, 3), uint8 or uint16.
        neighbours: the restored frames before and after, likewise; none at the ends of a clip.
        small: height and width of the input.
    """
    if min(small) < SMALLEST or not neighbours:
        return frame
    white = np.iinfo(frame.dtype).max
    here, own = _reduced(frame, small), frame.astype(np.float32)
    change, weights = np.zeros_like(own), np.ones(frame.shape[:2], np.float32)
    for neighbour in neighbours:
        there = _reduced(neighbour, small)
        flow = _flow(_luma(here), _luma(there))
        weight = _enlarged(_weight(here, _moved(there, flow)), frame.shape)
        moved = _moved(neighbour.astype(np.float32), _scaled(flow, frame.shape))
        change += weight[:, :, None] * (moved - own)
        weights += weight
    result: Pixels = (own + change / weights[:, :, None]).round().clip(0, white).astype(frame.dtype)
    return result


def _reduced(pixels: Pixels, small: Shape) -> NDArray[np.uint8]:
    """In 8 bits, at the size of the input."""
    reduced = np.asarray(cv2.resize(pixels, small[::-1], interpolation=cv2.INTER_AREA))
    if pixels.dtype == np.uint16:
        reduced = reduced // 257
    return reduced.astype(np.uint8)


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _flow(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Floats:
    """How far to the right and down what is ``here`` lies ``there``, in pixels: (height, width, 2)."""
    method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = method.calc(here, there, None)  # an array in place of None would be where it begins
    return np.asarray(found, np.float32)


def _moved(pixels: NDArray[np.uint8] | Floats, flow: Floats) -> Floats:
    """Pixels as they lie ``flow`` further, which edges that repeat themselves fill up."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    found = cv2.remap(
        pixels.astype(np.float32),
        x + flow[:, :, 0],
        y + flow[:, :, 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32)


def _weight(here: NDArray[np.uint8], there: Floats) -> Floats:
    """From 0 to 1, of colours: things of the same brightness can be others."""
    error = cv2.blur(np.abs(here.astype(np.float32) - there).max(2), (WINDOW, WINDOW))
    return np.asarray(np.exp(-np.square(error / TOLERANCE)), np.float32)


def _scaled(flow: Floats, shape: Sequence[int]) -> Floats:
    """At another size, in its pixels."""
    ratio = np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
    return np.asarray(_enlarged(flow, shape) * ratio, np.float32)


def _enlarged(values: Floats, shape: Sequence[int]) -> Floats:
    return np.asarray(cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
