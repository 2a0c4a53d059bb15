"""What spoils a picture: noise, JPEG and haze, each a function of the picture, its parameters and chance."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""(height, width, channels), gray or RGB."""

Floats = NDArray[np.float32]
"""(height, width, channels) in units of white; a depth field is (height, width) in [0, 1]."""

SUBSAMPLING = {"4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420}


def noise(image: Bytes, rng: np.random.Generator, sigma: float, *, gray: bool = False, shot: float = 0.0) -> Floats:
    """Add white Gaussian noise; the result is neither clipped nor rounded, as in the papers on denoising.

    Args:
        image: the clean picture.
        rng: where the noise comes from.
        sigma: standard deviation in levels of 8 bits; that at half brightness if ``shot`` is not 0.
        gray: the same noise in all channels.
        shot: share of the variance that grows in proportion to brightness, as photons make it, 0 to 1.
    """
    clean = image.astype(np.float32) / 255
    shape = (*image.shape[:2], 1) if gray else image.shape
    grain = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma / 255)
    if shot:
        grain = grain * np.sqrt(1 - shot + shot * 2 * clean)
    return clean + grain


def published_noise(image: Bytes, sigma: float) -> Floats:
    """The noise on which denoising networks are compared: the same numbers for every image of a size, seed 0.

    They are drawn for blue first, as the images of the published code come from OpenCV.
    """
    grain = np.random.RandomState(0).normal(0, sigma / 255, image.shape)[:, :, ::-1]
    noisy: Floats = (image.astype(np.float32) / 255 + grain).astype(np.float32)
    return noisy


def stored(image: Floats) -> Bytes:
    """Clipped and rounded to 8 bits, as a file holds it."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def jpeg_file(image: Bytes, quality: int, subsampling: str = "4:4:4") -> bytes:
    """A JPEG file; its blocks of 8 pixels start at the corner of the picture.

    Args:
        image: gray or RGB.
        quality: 1 to 100, as libjpeg counts it.
        subsampling: ``4:4:4`` keeps the resolution of colours, ``4:2:0`` halves it; without effect on gray.
    """
    planes = image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLING[subsampling]]
    return cv2.imencode(".jpg", planes, parameters)[1].tobytes()


def jpeg(image: Bytes, quality: int, subsampling: str = "4:4:4") -> Bytes:
    """Through a JPEG file and back; see :func:`jpeg_file`."""
    file = np.frombuffer(jpeg_file(image, quality, subsampling), np.uint8)
    back = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.uint8)
    return back[:, :, None] if image.shape[2] == 1 else np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), np.uint8)


def haze(image: Bytes, depth: Floats, beta: float, airlight: Sequence[float]) -> Floats:
    """Atmospheric scattering (Koschmieder's law): I = J t + A (1 - t) with t = exp(-beta d).

    Args:
        image: the clear picture J.
        depth: d, (height, width).
        beta: scattering per unit of depth.
        airlight: A in [0, 1], one value per channel of ``image``.
    """
    through = np.exp(np.float32(-beta) * depth)[:, :, None]
    light = np.asarray(airlight, np.float32)
    hazy: Floats = light + (image.astype(np.float32) / 255 - light) * through
    return hazy
