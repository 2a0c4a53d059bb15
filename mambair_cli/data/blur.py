"""Blur kernels of blind super-resolution (Wang et al., "Real-ESRGAN", ICCVW 2021, section 3.2), drawn or computed.

All are square of an odd edge, float64, and sum to 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Kernel = NDArray[np.float64]

EDGE = 21
"""Of every kernel once it is padded."""

EDGES = tuple(range(7, EDGE + 1, 2))
KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
"""Shapes, alike in all directions or not."""


@dataclass(frozen=True)
class Blur:
    """From what kernels are drawn.

    Attributes:
        shares: of the :data:`KINDS`.
        sinc: how often it is a sinc filter instead.
        sigma: standard deviations in pixels.
        generalized, plateau: exponents of these shapes; half are below 1.
    """

    shares: tuple[float, ...]
    sinc: float
    sigma: tuple[float, float]
    generalized: tuple[float, float]
    plateau: tuple[float, float]

    def draw(self, rng: np.random.Generator) -> Kernel:
        """A kernel, (21, 21)."""
        edge = int(rng.choice(EDGES))
        if rng.random() < self.sinc:
            return padded(sinc(rng.uniform(np.pi / 3 if edge < 13 else np.pi / 5, np.pi), edge))
        shares = np.array(self.shares)
        kind = KINDS[rng.choice(len(KINDS), p=shares / shares.sum())]
        first = second = rng.uniform(*self.sigma)
        turn = 0.0
        if kind.endswith("aniso"):
            second, turn = rng.uniform(*self.sigma), rng.uniform(-np.pi, np.pi)
        form = kind.partition("_")[0]
        exponents = self.plateau if form == "plateau" else self.generalized
        low, high = (exponents[0], 1.0) if rng.random() < 0.5 else (1.0, exponents[1])
        beta = rng.uniform(low, high)
        distance = _distance(edge, first, second, turn)
        if form == "plateau":
            return padded(plateau(distance, beta))
        return padded(gaussian(distance, beta if form == "generalized" else 1.0))


def _distance(edge: int, first: float, second: float, turn: float) -> Kernel:
    """Squared distance from the middle in standard deviations along two axes, the first one turned by ``turn``."""
    away = np.arange(edge) - (edge - 1) / 2
    x, y = np.meshgrid(away, away)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return np.asarray((along / first) ** 2 + (across / second) ** 2, np.float64)


def gaussian(distance: Kernel, beta: float = 1.0) -> Kernel:
    """exp(-d^beta / 2): 1 is the normal distribution."""
    return _normed(np.exp(-0.5 * distance**beta))


def plateau(distance: Kernel, beta: float) -> Kernel:
    """1 / (1 + d^beta): flat in the middle."""
    return _normed(1 / (1 + distance**beta))


def sinc(cutoff: float, edge: int) -> Kernel:
    """The circular low-pass filter, cut off at ``cutoff`` radians per pixel; it rings, as sharpened photos do."""
    away = np.arange(edge) - (edge - 1) / 2
    radius = np.hypot(*np.meshgrid(away, away))
    middle = radius == 0
    radius[middle] = 1
    bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    kernel = cutoff * bessel / (2 * np.pi * radius)
    kernel[middle] = cutoff**2 / (4 * np.pi)
    return _normed(kernel)


def pulse() -> Kernel:
    """The kernel that changes nothing."""
    return padded(np.ones((1, 1)))


def padded(kernel: Kernel) -> Kernel:
    """With zeros around, up to an edge of 21."""
    return np.pad(kernel, (EDGE - len(kernel)) // 2)


def _normed(kernel: Kernel) -> Kernel:
    return np.asarray(kernel / kernel.sum(), np.float64)
