"""Scan orders: how a two-dimensional grid is read as a sequence.

A path is a permutation ``k -> p`` from step ``k`` of the sequence to the raster index ``p = row * width + column``. It
is known by its name, which is what a configuration and a recipe write. The four orders of the cross-scan (VMamba,
arXiv 2401.10166, figure 4) are also strides, which the fused kernels read without a table; of any other path, the
kernels read its table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile

import torch
from torch import Tensor

from .errors import PathError

Order = Callable[[int, int], Tensor]
"""Raster indices in the order of the path, int64 of shape (height * width,), of a grid (height, width)."""

REVERSED, TRANSPOSED = "_reversed", "_transposed"
SIZES_KEPT = 8
"""Sizes of grids of which tables are kept: the levels of a U-shaped network."""


@dataclass(frozen=True)
class Path:
    """A scan order.

    Attributes:
        name: what identifies it.
        order: computes it; called once per size of the grid.
        strides: bits for the kernels, 1 for columns first and 2 for the reverse, or None if it takes a table.
    """

    name: str
    order: Order = field(compare=False, repr=False)
    strides: int | None = field(default=None, compare=False, repr=False)

    def index(self, height: int, width: int, device: torch.device | None = None) -> Tensor:
        """Raster index visited at every step, int64 of shape (height * width,). It is kept: do not change it."""
        return table((self,), height, width, device)[0]

    def inverse(self, height: int, width: int, device: torch.device | None = None) -> Tensor:
        """Step at which each raster index is visited, int64 of shape (height * width,)."""
        index = self.index(height, width, device)
        return torch.empty_like(index).scatter_(0, index, torch.arange(height * width, device=index.device))

    @property
    def reversed(self) -> "Path":
        """The same from the end."""
        if self.strides is not None:
            return STRIDED[self.strides ^ 2]
        return Path(self.name + REVERSED, lambda height, width: self.order(height, width).flip(0))

    @property
    def transposed(self) -> "Path":
        """The same with rows and columns exchanged."""
        if self.strides is not None:
            return STRIDED[self.strides ^ 1]

        def order(height: int, width: int) -> Tensor:
            steps = self.order(width, height)  # of the transposed grid: column * height + row
            return steps % height * width + steps.div(height, rounding_mode="floor")

        return Path(self.name + TRANSPOSED, order)


def _strided(bits: int) -> Order:
    def order(height: int, width: int) -> Tensor:
        steps = torch.arange(height * width)
        steps = height * width - 1 - steps if bits & 2 else steps
        return steps % height * width + steps.div(height, rounding_mode="floor") if bits & 1 else steps

    return order


RASTER = Path("raster", _strided(0), 0)
COLUMN = Path("column", _strided(1), 1)
RASTER_REVERSED = Path("raster_reversed", _strided(2), 2)
COLUMN_REVERSED = Path("column_reversed", _strided(3), 3)

CROSS_SCAN = (RASTER, COLUMN, RASTER_REVERSED, COLUMN_REVERSED)
"""The four directions of SS2D in the order in which published weights are stored."""

STRIDED = {path.strides: path for path in CROSS_SCAN if path.strides is not None}

PATHS = {path.name: path for path in CROSS_SCAN}
"""Every path that has a name of its own."""

FAMILIES: dict[str, Callable[..., Path]] = {}
"""What makes paths of numbers that follow the name: ``window_16`` is ``FAMILIES["window"](16)``."""

Paths = tuple[Path, ...] | Tensor
"""Static paths, or one permutation per image as an int64 tensor of shape (batch, paths, length)."""


def get(name: str) -> Path:
    """The path called ``name``; any may end in ``_reversed`` or ``_transposed``.

    Raises:
        PathError: there is none.
    """
    if name in PATHS:
        return PATHS[name]
    for ending in (REVERSED, TRANSPOSED):
        if name.endswith(ending):
            path = get(name.removesuffix(ending))
            return path.reversed if ending == REVERSED else path.transposed
    words = name.split("_")
    stem = "_".join(takewhile(lambda word: not word.isdecimal(), words))
    numbers = words[stem.count("_") + 1 :]
    if stem in FAMILIES and all(word.isdecimal() for word in numbers):
        try:
            return FAMILIES[stem](*map(int, numbers))
        except (TypeError, ValueError) as error:
            raise PathError(f"{name} is not a scan path: {error}") from error
    known = ", ".join([*PATHS, *(f"{stem}_N" for stem in FAMILIES)])
    raise PathError(f"{name} is not a scan path; known are {known}")


def count(paths: Paths) -> int:
    """Number of paths."""
    return paths.shape[1] if isinstance(paths, Tensor) else len(paths)


@lru_cache(maxsize=SIZES_KEPT)
def _tables(height: int, width: int, device: torch.device) -> dict[tuple[Path, ...], Tensor]:
    return {}


def table(paths: tuple[Path, ...], height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Raster indices of static paths, int64 of shape (paths, height * width). It is kept: do not change it."""
    device = device or torch.device("cpu")
    if torch.compiler.is_compiling():  # sizes may be symbols, of which no table can be kept
        return _stack(paths, height, width, device)
    kept = _tables(height, width, device)
    if paths not in kept:
        # A table made during inference, or for the default device of the moment, would be of no use later.
        with torch.inference_mode(False), torch.device("cpu"):
            kept[paths] = _stack(paths, height, width, device)
    return kept[paths]


def _stack(paths: tuple[Path, ...], height: int, width: int, device: torch.device) -> Tensor:
    return torch.stack([path.order(height, width) for path in paths]).to(device)


def positions(paths: Paths, height: int, width: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Raster indices of steps ``start`` to ``stop`` of every path, int64 (batch or 1, paths, stop - start)."""
    every = paths if isinstance(paths, Tensor) else table(paths, height, width, device)[None]
    return every[:, :, start:stop]


def codes(paths: tuple[Path, ...]) -> list[int] | None:
    """Static paths as bits for the kernels (see :class:`Path`), or None if one of them takes a table."""
    bits = [path.strides for path in paths if path.strides is not None]
    return bits if len(bits) == len(paths) else None


def sum_by_step(values: Tensor, paths: Paths, height: int, width: int) -> Tensor:
    """Values per pixel and path (batch, length, paths, size), brought into scan order and summed over the paths.

    Returns (batch, length, size).
    """
    steps = positions(paths, height, width, 0, height * width, values.device)
    steps = steps.expand(len(values), -1, -1).transpose(1, 2).unsqueeze(-1).expand_as(values)
    return values.gather(1, steps).sum(2)
