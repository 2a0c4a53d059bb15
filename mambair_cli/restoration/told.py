"""Denoising when the user says how strong the noise is: a blind network is shown noise of that strength.

A network that was trained on white noise takes grain that spreads over several pixels, as cameras and JPEG leave it,
for detail. Added white noise lets it see as much noise as there is. The mean over the noise and its negative keeps what
is added out of the result: where the network acts linearly, nothing of it is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .sizes import Shape

Denoiser = Callable[[Tensor], Tensor]

PERIOD = 512
"""Pixels after which the noise repeats, far more than a denoiser sees at once."""


@dataclass(frozen=True)
class Noise:
    """White noise that belongs to the places of a picture, whatever tile they are seen in.

    Attributes:
        sigma: standard deviation, where white is 1.
        shape: height and width of the picture.
        above: rows that a wrapped picture has above its first one.
        beside: columns that it has beside its first one.
    """

    sigma: float
    shape: Shape
    above: int = 0
    beside: int = 0

    def over(self, region: Tensor, top: int, left: int) -> Tensor:
        """Of a region (1, channels, height, width) that begins at this row and column of the wrapped picture."""
        height, width = region.shape[-2:]
        rows = (np.arange(height) + top - self.above) % self.shape[0] % PERIOD
        columns = (np.arange(width) + left - self.beside) % self.shape[1] % PERIOD
        values = _white()[: region.shape[1], rows[:, None], columns]
        return self.sigma * torch.from_numpy(values).to(region.device)[None]


@dataclass(frozen=True)
class Told:
    """A denoiser that is shown more noise than there is.

    Attributes:
        network: the denoiser.
        noise: what is added to its input.
        around: what is done with the denoiser so changed, such as a blend with the input.
    """

    network: Denoiser
    noise: Noise
    around: Callable[[Denoiser], Denoiser]

    def at(self, region: Tensor, top: int, left: int) -> Tensor:
        """Restore a region (1, channels, height, width), given its first row and column."""
        noise = self.noise.over(region, top, left)
        return self.around(lambda x: (self.network(x + noise) + self.network(x - noise)) / 2)(region)


def missing(sigma: float, seen: float | None) -> float:
    """Standard deviation of what makes noise of ``seen`` one of ``sigma``: 0 if it is that much."""
    return float(np.sqrt(max(0.0, sigma**2 - (seen or 0.0) ** 2)))


@cache
def _white() -> NDArray[np.float32]:
    """Standard normal numbers (3, PERIOD, PERIOD); numpy promises the same ones of ``RandomState`` for ever."""
    return np.random.RandomState(0).standard_normal((3, PERIOD, PERIOD)).astype(np.float32)
