"""What spoils a picture: noise, JPEG and haze, each a function of the picture, its parameters and chance."""

from collections.abc import Callable, Sequence

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


def jpeg(image: Bytes, quality: int, subsampling: str = "4:4:4") -> Bytes:
    """Through a JPEG file and back; the blocks of 8 pixels start at the corner of the picture.

    Args:
        image: gray or RGB.
        quality: 1 to 100, as libjpeg counts it.
        subsampling: ``4:4:4`` keeps the resolution of colours, ``4:2:0`` halves it; without effect on gray.
    """
    gray = image.shape[2] == 1
    planes = image[:, :, 0] if gray else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLING[subsampling]]
    _, file = cv2.imencode(".jpg", planes, parameters)
    back = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.uint8)
    return back[:, :, None] if gray else np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), np.uint8)


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


def smooth_depth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Hills and valleys: a few random values, enlarged smoothly."""
    return _spread(_field(shape, rng, int(rng.integers(2, 6))))


def ramp_depth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A plain seen at an angle: depth grows in one direction, evenly or faster and faster."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return _spread((np.sin(angle) * rows + np.cos(angle) * columns).astype(np.float32)) ** np.float32(rng.uniform(1, 3))


def layered_depth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Things in front of each other: few depths with sharp edges, each leaning a little."""
    layers = int(rng.integers(2, 5))
    outline = _spread(_field(shape, rng, int(rng.integers(3, 8))))
    steps = np.minimum(np.floor(outline * layers), layers - 1)
    return _spread(steps + np.float32(rng.uniform(0, 0.8)) * smooth_depth(shape, rng))


DEPTHS: dict[str, Callable[[tuple[int, int], np.random.Generator], Floats]] = {
    "smooth": smooth_depth,
    "ramp": ramp_depth,
    "layers": layered_depth,
}


def _field(shape: tuple[int, int], rng: np.random.Generator, knots: int) -> Floats:
    coarse = rng.random((knots, knots), dtype=np.float32)
    field: Floats = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    return field


def _spread(field: Floats) -> Floats:
    """Stretched to [0, 1]; a field without relief is all near."""
    low, high = field.min(), field.max()
    relief: Floats = (field - low) / max(high - low, np.float32(1e-6))
    return relief
