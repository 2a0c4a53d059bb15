"""Depth fields for haze: (height, width), float32, from 0 (near) to 1 (far); up is up in the picture."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 64
"""Rows whose distances to all sites are in memory at a time."""


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


def room_depth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """An empty room: the inside of a box, seen by a camera that looks to one side and a little up or down."""
    rays = _rays(shape, rng.uniform(0.4, 0.8), rng.uniform(-0.9, 0.9), rng.uniform(-0.35, 0.35))
    low = -rng.uniform((0.6, 0.8, 1.0), (3.0, 1.8, 2.0))
    high = rng.uniform((0.6, 0.8, 1.5), (3.0, 1.8, 6.0))
    with np.errstate(divide="ignore"):
        walls = np.maximum(low / rays, high / rays)
    return _spread(walls.min(axis=2).astype(np.float32))


def ground_depth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A level ground up to a horizon, which may lie above the picture, and the sky over it."""
    rays = _rays(shape, rng.uniform(0.3, 0.7), 0.0, rng.uniform(-0.7, 0.1))
    sight = rng.uniform(3, 30)  # in heights of the camera
    return _spread((1 / np.maximum(rays[:, :, 1], 1 / sight)).astype(np.float32))


DEPTHS: dict[str, Callable[[tuple[int, int], np.random.Generator], Floats]] = {
    "smooth": smooth_depth,
    "ramp": ramp_depth,
    "layers": layered_depth,
    "room": room_depth,
    "ground": ground_depth,
}


def standing(depth: Floats, image: NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    """Things that stand in a scene: parts of ``image`` of one colour move towards one depth each.

    Parts are the pixels nearest, in place and colour, to some random sites; so depth has edges where the image has.
    """
    count = int(rng.integers(6, 50))
    features = _features(image, np.float32(rng.uniform(0.15, 0.6)))
    places = rng.integers(0, depth.shape, (count, 2))
    sites = features[places[:, 0], places[:, 1]]
    parts = np.concatenate([_nearest(features[top : top + BLOCK], sites) for top in range(0, len(depth), BLOCK)])
    offsets = rng.normal(0, rng.uniform(0, 0.25), count)
    standing_at = (depth[places[:, 0], places[:, 1]] + offsets).astype(np.float32)
    share = np.float32(rng.uniform(0.4, 1))
    return _spread(depth + share * (standing_at[parts] - depth))


def _features(image: NDArray[np.uint8], distance: np.float32) -> Floats:
    """Colour, slightly blurred, and place, of which ``distance`` of the picture counts as much as all of a colour."""
    height, width = image.shape[:2]
    colours = cv2.blur(image, (3, 3)).reshape(height, width, -1).astype(np.float32) / 255
    rows, columns = np.mgrid[:height, :width].astype(np.float32) / (max(height, width) * distance)
    return np.concatenate([colours, rows[:, :, None], columns[:, :, None]], axis=2)


def _nearest(features: Floats, sites: Floats) -> NDArray[np.intp]:
    """Number of the site nearest to each pixel."""
    nearest: NDArray[np.intp] = ((sites**2).sum(axis=1) - 2 * features @ sites.T).argmin(axis=2)
    return nearest


def _rays(shape: tuple[int, int], half: float, yaw: float, pitch: float) -> NDArray[np.float64]:
    """Directions (height, width, 3) right, down and ahead, one unit along the camera's axis; angles in radians.

    ``half`` is the tangent of half the angle of view along the longer edge.
    """
    height, width = shape
    longer = max(height, width)
    rows, columns = np.mgrid[:height, :width]
    right = (2 * columns + 1 - width) / longer * half
    down = (2 * rows + 1 - height) / longer * half
    down, ahead = down * np.cos(pitch) - np.sin(pitch), np.cos(pitch) + down * np.sin(pitch)
    right, ahead = right * np.cos(yaw) + ahead * np.sin(yaw), ahead * np.cos(yaw) - right * np.sin(yaw)
    return np.stack([right, down, ahead], axis=2)


def _field(shape: tuple[int, int], rng: np.random.Generator, knots: int) -> Floats:
    coarse = rng.random((knots, knots), dtype=np.float32)
    field: Floats = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    return field


def _spread(field: Floats) -> Floats:
    """Stretched to [0, 1]; a field without relief is all near."""
    low, high = field.min(), field.max()
    relief: Floats = (field - low) / max(high - low, np.float32(1e-6))
    return relief
