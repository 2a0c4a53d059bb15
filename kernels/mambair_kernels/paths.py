"""Scan orders: how a two-dimensional grid is read as a sequence.

A path is a permutation ``k -> p`` from step ``k`` of the sequence to the raster index ``p = row * width + column``.
The four orders of the cross-scan (VMamba, arXiv 2401.10166, figure 4) are affine in the step, so no table is kept:
any range of steps is computed when it is needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Path:
    """Raster (rows left to right) or column (columns top to bottom) order, forwards or from the end."""

    column: bool = False
    reverse: bool = False

    def index(
        self, height: int, width: int, start: int = 0, stop: int | None = None, device: torch.device | None = None
    ) -> Tensor:
        """Raster indices visited at steps ``start`` to ``stop`` (default: all), int64 of shape (stop - start,)."""
        length = height * width
        steps = torch.arange(start, length if stop is None else stop, device=device)
        if self.reverse:
            steps = length - 1 - steps
        if self.column:
            steps = steps % height * width + steps.div(height, rounding_mode="floor")
        return steps

    def inverse(self, height: int, width: int, device: torch.device | None = None) -> Tensor:
        """Step at which each raster index is visited, int64 of shape (height * width,)."""
        raster = torch.arange(height * width, device=device)
        steps = raster
        if self.column:
            steps = raster % width * height + raster.div(width, rounding_mode="floor")
        return height * width - 1 - steps if self.reverse else steps


RASTER = Path()
COLUMN = Path(column=True)
RASTER_REVERSED = Path(reverse=True)
COLUMN_REVERSED = Path(column=True, reverse=True)

CROSS_SCAN = (RASTER, COLUMN, RASTER_REVERSED, COLUMN_REVERSED)
"""The four directions of SS2D in the order in which published weights are stored."""

Paths = tuple[Path, ...] | Tensor
"""Static paths, or one permutation per image as an int64 tensor of shape (batch, paths, length)."""


def count(paths: Paths) -> int:
    """Number of paths."""
    return paths.shape[1] if isinstance(paths, Tensor) else len(paths)


def positions(paths: Paths, height: int, width: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Raster indices of steps ``start`` to ``stop`` of every path, int64 (batch or 1, paths, stop - start)."""
    if isinstance(paths, Tensor):
        return paths[:, :, start:stop]
    return torch.stack([path.index(height, width, start, stop, device) for path in paths])[None]


def code(path: Path) -> int:
    """A static path as bits: 1 for columns first, 2 for the reverse."""
    return int(path.column) + 2 * int(path.reverse)


def decode(bits: int) -> Path:
    """The path of a :func:`code`."""
    return Path(column=bool(bits & 1), reverse=bool(bits & 2))


def sum_by_step(values: Tensor, paths: Paths, height: int, width: int) -> Tensor:
    """Values per pixel and path (batch, length, paths, size), brought into scan order and summed over the paths.

    Returns (batch, length, size).
    """
    steps = positions(paths, height, width, 0, height * width, values.device)
    steps = steps.expand(len(values), -1, -1).transpose(1, 2).unsqueeze(-1).expand_as(values)
    return values.gather(1, steps).sum(2)
