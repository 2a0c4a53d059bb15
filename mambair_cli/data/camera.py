"""Noise as cameras leave it: that of a sensor behind a mosaic of colours, developed as a picture is.

T. Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..declaration import Range, Within
from ..images.planes import LUMA
from . import degrade
from .degradations import Box, degradation
from .degrade import Bytes, Floats

GAMMA = 2.2
CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
"""What a pixel takes from those of its colour, in the mosaic zeros lie between: green, red or blue."""


@dataclass(frozen=True)
class Development:
    """How a picture is made of what a sensor saw.

    Attributes:
        gains: of white balance, for each colour.
        sharpening: share of the difference to the mean of 3 x 3 pixels that is added.
        top: row of the first red pixel, 0 or 1.
        left: its column.
    """

    gains: Floats
    sharpening: float
    top: int = 0
    left: int = 0

    def __call__(self, light: Floats) -> Floats:
        """The picture, of light (height, width, 3) of which the sensor has one colour a pixel."""
        shown = np.clip(self._demosaiced(light) * self.gains, 1e-6, 1) ** np.float32(1 / GAMMA)
        soft = cv2.blur(shown, (3, 3), borderType=cv2.BORDER_REFLECT_101)
        sharpened: Floats = shown + np.float32(self.sharpening) * (shown - soft)
        return sharpened

    def _demosaiced(self, light: Floats) -> Floats:
        """By the means of the nearest pixels of a colour; mirrored at the border, which keeps the mosaic."""
        rows, columns = np.ogrid[: light.shape[0], : light.shape[1]]
        down, right = (rows - self.top) % 2 == 0, (columns - self.left) % 2 == 0
        masks = np.stack([down & right, down ^ right, ~down & ~right], axis=-1)
        seen = light * masks
        planes = [
            cv2.filter2D(seen[:, :, c], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            for c, kernel in enumerate((SQUARE, CROSS, SQUARE))
        ]
        return np.stack(planes, axis=-1)


def noise(image: Bytes, rng: np.random.Generator, shot: float, read: float, development: Development) -> Floats:
    """Add what a sensor's noise changes in a picture, which does not get softer; neither clipped nor rounded.

    Args:
        image: the clean picture, gray or RGB.
        rng: where the noise comes from.
        shot: variance that photons leave where the light is white, in units of white.
        read: standard deviation of reading the sensor, in units of white.
        development: how the picture is made.
    """
    clean: Floats = image.astype(np.float32) / np.float32(255)
    light: Floats = np.repeat(clean, 3 // image.shape[2], axis=2)
    light = light ** np.float32(GAMMA) / development.gains
    spread = np.sqrt(light * np.float32(shot) + np.float32(read**2))
    change = development(light + rng.standard_normal(light.shape, np.float32) * spread) - development(light)
    if image.shape[2] == 1:
        change = np.matmul(change, LUMA[:, None], dtype=np.float32)
    return clean + change


@degradation("camera")
@dataclass(frozen=True)
class Camera:
    """Noise of a camera, coloured and with grains of some pixels, stored in 8 bits.

    The sensor's noise goes through demosaicing, white balance, gamma and sharpening. ``shot`` and ``read`` are drawn
    evenly in their logarithms.

    Attributes:
        shot: variance that photons leave where the light is white, in units of white.
        read: standard deviation of reading the sensor, in units of white.
        gain: of white balance, of red and of blue.
        sharpening: share of the difference to the mean of 3 x 3 pixels that is added.
    """

    shot: Annotated[Range, Within(1e-9, 1)] = (1e-4, 6.3e-3)
    read: Annotated[Range, Within(1e-9, 1)] = (4e-4, 1e-2)
    gain: Annotated[Range, Within(0.1, 10)] = (1.2, 2.4)
    sharpening: Annotated[Range, Within(0, 4)] = (0.0, 1.0)

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        shot, read = (float(np.exp(rng.uniform(*np.log(limits)))) for limits in (self.shot, self.read))
        red, blue = rng.uniform(*self.gain, 2)
        top, left = (int(shift) for shift in rng.integers(2, size=2))
        gains = np.array([red, 1, blue], np.float32)
        development = Development(gains, rng.uniform(*self.sharpening), top, left)
        return degrade.stored(noise(box.cut(photo), rng, shot, read, development))
