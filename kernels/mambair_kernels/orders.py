"""Scan orders of the field as arithmetic on rows and columns.

Each function gives raster indices in the order of visit, int64 of shape (height * width,), for a grid (height, width).
Most are a sort by a key that is the rank of a cell, or grows with it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Order = Callable[[int, int], Tensor]


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every cell in raster order, int64 of shape (height * width,) each."""
    index = torch.arange(height * width)
    return index.div(width, rounding_mode="floor"), index % width


def _floor(x: Tensor, by: int) -> Tensor:
    return x.div(by, rounding_mode="floor")


def snake(height: int, width: int) -> Tensor:
    """Rows from the top, every second one from the right (ZigMa, arXiv 2403.13802; PlainMamba, arXiv 2403.17695)."""
    row, column = cells(height, width)
    return row * width + torch.where(row % 2 == 0, column, width - 1 - column)


def antidiagonal(height: int, width: int) -> Tensor:
    """Anti-diagonals row + column = 0, 1, ..., each downwards (EAMamba's diagonal scan)."""
    row, column = cells(height, width)
    return ((row + column) * height + row).argsort()


def zigzag(height: int, width: int) -> Tensor:
    """Anti-diagonals, odd ones downwards and even ones upwards: the order of coefficients in JPEG (ITU-T T.81)."""
    row, column = cells(height, width)
    diagonal = row + column
    return (diagonal * height + torch.where(diagonal % 2 == 1, row, height - 1 - row)).argsort()


def sheared(slope: int) -> Order:
    """Diagonals that wrap round the right edge: step k is in row k mod height (RS-Mamba, arXiv 2404.02668).

    ``slope`` is 1 for diagonals and -1 for anti-diagonals.
    """

    def order(height: int, width: int) -> Tensor:
        row, column = cells(height, width)
        return ((column - slope * row) % width * height + row).argsort()

    return order


def window(size: int) -> Order:
    """Windows of ``size`` x ``size`` in raster order, each in raster order (LocalMamba, arXiv 2403.09338).

    Ragged windows at the right and bottom are smaller; for LocalMamba's padding see :func:`padded`.

    Raises:
        ValueError: ``size`` is below 1.
    """
    _at_least_one("window", size)

    def order(height: int, width: int) -> Tensor:
        row, column = cells(height, width)
        which = _floor(row, size) * -(-width // size) + _floor(column, size)
        return (which * size**2 + row % size * size + column % size).argsort()

    return order


def atrous(step: int) -> Order:
    """The parts of EfficientVMamba's ES2D (arXiv 2403.09977), see :func:`atrous_part`, one after another.

    Raises:
        ValueError: ``step`` is below 1.
    """
    _at_least_one("step", step)

    def order(height: int, width: int) -> Tensor:
        parts = [atrous_part(height, width, step, k % step, k // step) for k in range(step**2)]
        return torch.cat(parts)

    return order


def atrous_part(height: int, width: int, step: int, top: int, left: int) -> Tensor:
    """The cells (top + step * u, left + step * v), by rows if ``top`` is even and else by columns."""
    grid = torch.arange(height * width).view(height, width)[top::step, left::step]
    return (grid.T if top % 2 else grid).flatten()


def nested_snake(width_of_stripe: int, shift: int = 0) -> Order:
    """Vertical stripes, one down and one up, each a snake (NSS of MaIR, arXiv 2412.20066).

    ``shift`` > 0 is the width of the first stripe.

    Raises:
        ValueError: a stripe would be empty, or the first one wider than the others.
    """
    _at_least_one("stripe", width_of_stripe)
    if not 0 <= shift <= width_of_stripe:
        raise ValueError(f"its first stripe cannot be {shift} wide where the others are {width_of_stripe}")

    def order(height: int, width: int) -> Tensor:
        row, column = cells(height, width)
        stripe = _floor(column - shift, width_of_stripe) + (shift > 0)
        step = torch.where(stripe % 2 == 0, row, height - 1 - row)
        across = torch.where(step % 2 == 0, column, width - 1 - column)
        return ((stripe * height + step) * width + across).argsort()

    return order


def spiral(height: int, width: int) -> Tensor:
    """Clockwise from the top left corner inwards."""
    row, column = cells(height, width)
    ring = torch.stack([row, column, height - 1 - row, width - 1 - column]).amin(0)
    down, right = height - 1 - 2 * ring, width - 1 - 2 * ring  # of the ring's last cell
    row, column = row - ring, column - ring
    around = torch.where(column == 0, 2 * right + 2 * down - row, 2 * right + down - column)
    around = torch.where((row == down) & (column > 0), right + down + right - column, around)
    around = torch.where(column == right, right + row, around)
    around = torch.where(row == 0, column, around)
    before = height * width - (down + 1) * (right + 1)
    return (before + around).argsort()


def _polar(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Angle about the centre, clockwise from the right in [0, 2 pi), and squared radius in half cells.

    Cells in one direction have exactly one angle: it is taken of the smallest whole vector in that direction.
    """
    row, column = cells(height, width)
    down, right = 2 * row - height + 1, 2 * column - width + 1
    shared = torch.gcd(down, right).clamp(min=1)
    angle = torch.atan2((down // shared).double(), (right // shared).double())
    return angle % (2 * math.pi), down**2 + right**2


def spokes(height: int, width: int) -> Tensor:
    """By direction from the centre, clockwise from the right, each outwards."""
    angle, radius = _polar(height, width)
    order = radius.argsort(stable=True)
    return order[angle[order].argsort(stable=True)]


def rings(height: int, width: int) -> Tensor:
    """By the whole part of the distance from the centre, each ring clockwise from the right."""
    order = spokes(height, width)
    distance = (_polar(height, width)[1][order].double().sqrt() / 2).floor()
    return order[distance.argsort(stable=True)]


def _at_least_one(what: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"its {what} cannot be {size}, the least is 1")


def padded(order: Order, height: int, width: int, multiple: int) -> Tensor:
    """The order of the grid enlarged at the bottom and right to multiples of ``multiple``.

    Cells that were added are -1.
    """
    rows, columns = (-(-size // multiple) * multiple for size in (height, width))
    index = order(rows, columns)
    row, column = _floor(index, columns), index % columns
    return torch.where((row < height) & (column < width), row * width + column, -1)


def moves(index: Tensor, width: int) -> Tensor:
    """Direction of the move that led to each step of a path: 0 start, 1 right, 2 left, 3 up, 4 down.

    Of a move along both axes, the vertical part counts.
    """
    row, column = _floor(index, width), index % width
    right, down = column.diff(), row.diff()
    across = torch.where(right > 0, 1, 2)
    return torch.cat([index.new_zeros(1), torch.where(down > 0, 4, torch.where(down < 0, 3, across))])
