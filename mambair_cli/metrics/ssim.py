"""Structural similarity as the super-resolution literature reports it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .psnr import luma

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = NDArray[np.float64]


def ssim(image: NDArray[np.uint8], target: NDArray[np.uint8], crop_border: int = 0, y_channel: bool = False) -> float:
    """SSIM between 8-bit images (height, width, channels), optionally of the luma, borders left out.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image
    Processing 13, 2004: Gaussian window of 11 pixels, only where it lies inside the image; mean over the channels.

    Raises:
        ValueError: the shapes differ, or less than the window is left.
    """
    if image.shape != target.shape:
        raise ValueError(f"shapes differ: {image.shape} and {target.shape}")
    inner = slice(crop_border, -crop_border or None)
    image, target = image[inner, inner], target[inner, inner]
    if min(image.shape[:2]) < WINDOW:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} pixels is smaller than the window")
    if y_channel and image.shape[2] == 3:
        return _of_planes(luma(image), luma(target))
    channels = range(image.shape[2])
    return float(np.mean([_of_planes(image[:, :, k].astype(float), target[:, :, k].astype(float)) for k in channels]))


def _of_planes(a: Plane, b: Plane) -> float:
    mean_a, mean_b = _mean(a), _mean(b)
    variance_a, variance_b = _mean(a * a) - mean_a**2, _mean(b * b) - mean_b**2
    covariance = _mean(a * b) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return float(np.mean(brightness * structure))


def _mean(plane: Plane) -> Plane:
    """Weighted mean around each pixel whose window lies inside."""
    window = cv2.getGaussianKernel(WINDOW, SIGMA)
    edge = WINDOW // 2
    return np.asarray(cv2.sepFilter2D(plane, -1, window, window), np.float64)[edge:-edge, edge:-edge]
