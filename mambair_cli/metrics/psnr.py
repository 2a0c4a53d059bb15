"""Peak signal-to-noise ratio as the super-resolution literature reports it."""

import numpy as np
from numpy.typing import NDArray


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Y of ITU-R BT.601 in studio range [16, 235], not rounded: MATLAB's ``rgb2ycbcr`` on (..., 3) uint8."""
    weights = np.array([65.481, 128.553, 24.966])
    y: NDArray[np.float64] = rgb.astype(np.float64) / 255 @ weights + 16
    return y


def psnr(image: NDArray[np.uint8], target: NDArray[np.uint8], crop_border: int = 0, y_channel: bool = False) -> float:
    """PSNR in dB between 8-bit images (height, width, channels), optionally of the luma, borders left out.

    Equal images give infinity.

    Raises:
        ValueError: the shapes differ.
    """
    if image.shape != target.shape:
        raise ValueError(f"shapes differ: {image.shape} and {target.shape}")
    inner = slice(crop_border, -crop_border or None)
    image, target = image[inner, inner], target[inner, inner]
    a, b = (luma(image), luma(target)) if y_channel and image.shape[2] == 3 else (image.astype(float), target)
    error = np.mean((a - b) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))
