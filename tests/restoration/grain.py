"""Pictures with the grain of a camera, made by OpenCV."""

import cv2
import numpy as np


def smooth(rng: np.random.Generator, channels: int = 3) -> np.ndarray:
    """Far from black and white, so that noise is not cut off."""
    coarse = rng.integers(90, 166, (6, 7, channels)).astype(np.float32)
    return cv2.resize(coarse, (420, 331), interpolation=cv2.INTER_CUBIC).reshape(331, 420, channels)


def demosaiced(
    clean: np.ndarray,
    sigma: float,
    rng: np.random.Generator,
    method: int = cv2.COLOR_BayerBG2RGB,
    sharpening: float = 0.5,
) -> np.ndarray:
    """A picture (height, width, 3) as a sensor with noise of ``sigma`` levels sees it, float and not clipped.

    Every pixel has one colour until OpenCV interpolates the others, and an unsharp mask makes the grain stronger.
    """
    sites = np.zeros(clean.shape[:2], int)  # of red, green and blue in OpenCV's BG pattern
    sites[::2, 1::2] = sites[1::2, ::2] = 1
    sites[1::2, 1::2] = 2
    raw = np.take_along_axis(clean, sites[:, :, None], 2)[:, :, 0] + rng.normal(0, sigma, clean.shape[:2])
    deep = np.round(raw * 100 + 10000).clip(0, 65535).astype(np.uint16)  # so that nothing is cut off or rounded
    full = (cv2.cvtColor(deep, method).astype(float) - 10000) / 100
    return np.asarray(full + sharpening * (full - cv2.blur(full, (3, 3))))
