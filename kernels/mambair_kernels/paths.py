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

from . import curves, orders
from .errors import PathError
from .orders import Order

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
        return Path(f"{self.name}_reversed", lambda height, width: self.order(height, width).flip(0))

    @property
    def transposed(self) -> "Path":
        """The same with rows and columns exchanged."""
        if self.strides is not None:
            return STRIDED[self.strides ^ 1]

        def order(height: int, width: int) -> Tensor:
            steps = self.order(width, height)  # of the transposed grid: column * height + row
            return steps % height * width + steps.div(height, rounding_mode="floor")

        return Path(f"{self.name}_transposed", order)

    @property
    def mirrored(self) -> "Path":
        """The same on the grid mirrored left to right."""

        def order(height: int, width: int) -> Tensor:
            steps = self.order(height, width)
            return steps + width - 1 - 2 * (steps % width)

        return Path(f"{self.name}_mirrored", order)

    @property
    def turned(self) -> "Path":
        """The same on the grid turned by 180 degrees."""
        if self.strides is not None:
            return self.reversed
        return Path(f"{self.name}_turned", lambda height, width: height * width - 1 - self.order(height, width))


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

SNAKE = Path("snake", orders.snake)
ANTIDIAGONAL = Path("antidiagonal", orders.antidiagonal)
SHEARED, ANTISHEARED = Path("sheared", orders.sheared(1)), Path("antisheared", orders.sheared(-1))

NAMED = (
    *CROSS_SCAN,
    SNAKE,
    ANTIDIAGONAL,
    Path("zigzag", orders.zigzag),
    SHEARED,
    ANTISHEARED,
    Path("spiral", orders.spiral),
    Path("spokes", orders.spokes),
    Path("rings", orders.rings),
    Path("morton", curves.morton),
    Path("hilbert", curves.hilbert),
    Path("gilbert", curves.gilbert),
)
PATHS = {path.name: path for path in NAMED}
"""Every path that has a name of its own."""


def window(size: int) -> Path:
    """The path through windows, see :func:`.orders.window`."""
    return Path(f"window_{size}", orders.window(size))


def atrous(step: int) -> Path:
    """The path through sub-grids, see :func:`.orders.atrous`."""
    return Path(f"atrous_{step}", orders.atrous(step))


def nested_snake(stripe: int, shift: int = 0) -> Path:
    """The path along stripes, see :func:`.orders.nested_snake`."""
    return Path(f"nss_{stripe}_{shift}", orders.nested_snake(stripe, shift))


FAMILIES: dict[str, Callable[..., Path]] = {"window": window, "atrous": atrous, "nss": nested_snake}
"""What makes paths of numbers that follow the name: ``window_16`` is ``FAMILIES["window"](16)``."""

BIDIRECTIONAL = (RASTER, RASTER_REVERSED)
"""Vim's two directions (arXiv 2401.09417)."""

CONTINUOUS = (SNAKE, SNAKE.reversed, SNAKE.transposed, SNAKE.transposed.reversed)
"""PlainMamba's four directions (arXiv 2403.17695): every step is to a neighbour."""

SNAKES = tuple(
    path
    for corner in (
        (SNAKE, SNAKE.transposed),
        (SNAKE.mirrored, SNAKE.transposed.mirrored),
        (SNAKE.mirrored.turned, SNAKE.transposed.mirrored.turned),
        (SNAKE.turned, SNAKE.transposed.turned),
    )
    for path in corner
)
"""ZigMa's eight (arXiv 2403.13802): by rows and by columns, from top left, top right, bottom left, bottom right."""

OMNIDIRECTIONAL = (*CROSS_SCAN, SHEARED, ANTISHEARED, SHEARED.reversed, ANTISHEARED.reversed)
"""RS-Mamba's eight directions (arXiv 2404.02668)."""

ALL_AROUND = (
    ANTIDIAGONAL,
    ANTIDIAGONAL.turned,
    ANTIDIAGONAL.mirrored,
    ANTIDIAGONAL.mirrored.reversed,
    RASTER,
    RASTER_REVERSED,
    COLUMN,
    COLUMN_REVERSED,
)
"""EAMamba's eight heads (arXiv 2506.22246), one per group of channels."""

VOLUME = (RASTER, RASTER_REVERSED, COLUMN)
"""Vivim's three orders of a volume (arXiv 2401.14168), which is a grid with one row per frame and one column per pixel:
frame by frame, the same from the end, and pixel by pixel through time."""


def nested_snakes(stripe: int, shift: int = 0) -> tuple[Path, ...]:
    """MaIR's four directions (arXiv 2412.20066): one, turned, transposed, and both."""
    path = nested_snake(stripe, shift)
    return path, path.turned, path.transposed, path.transposed.turned


Paths = tuple[Path, ...] | Tensor
"""Static paths, or one permutation per image as an int64 tensor of shape (batch, paths, length)."""


ENDINGS = ("reversed", "transposed", "mirrored", "turned")
"""What makes a path of another one, see the properties of :class:`Path`."""


def get(name: str) -> Path:
    """The path called ``name``; any may end in one of :data:`ENDINGS`, or in several of them.

    Raises:
        PathError: there is none.
    """
    if name in PATHS:
        return PATHS[name]
    stem, _, ending = name.rpartition("_")
    if ending in ENDINGS:
        path: Path = getattr(get(stem), ending)
        return path
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


def add(path: Path) -> None:
    """Make a path of another package known by its name.

    Raises:
        PathError: a path has this name, or nobody could write it.
    """
    if path.name in PATHS or not path.name.isidentifier() or path.name.rpartition("_")[2] in ENDINGS:
        raise PathError(f"{path.name} cannot be the name of another scan path")
    PATHS[path.name] = path


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
