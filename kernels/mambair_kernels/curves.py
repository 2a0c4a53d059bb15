"""Scan orders that fill a grid by halving it: Morton, Hilbert, and the Hilbert curve generalised to any rectangle.

As in :mod:`.orders`, each gives raster indices in the order of visit, int64 of shape (height * width,).
"""

import torch
from torch import Tensor

from .orders import cells

Vector = tuple[int, int]


def _bits(height: int, width: int) -> range:
    """Bits of the larger side, the highest first."""
    return range((max(height, width) - 1).bit_length() - 1, -1, -1)


def morton(height: int, width: int) -> Tensor:
    """By the interleaved bits of row and column, those of the column the lower ones (Z-order)."""
    row, column = cells(height, width)
    rank = torch.zeros_like(row)
    for bit in _bits(height, width):
        rank = rank * 4 + (row >> bit & 1) * 2 + (column >> bit & 1)
    return rank.argsort()


def hilbert(height: int, width: int) -> Tensor:
    """Hilbert's curve on the next power of two, cells outside skipped: it jumps where it is cropped.

    The curve starts at the top left and ends at the bottom left. Quadrant by quadrant, the remaining bits are turned
    such that the smaller curve inside is the same one (Hilbert 1891; Skilling, AIP Conf. Proc. 707, 2004).
    """
    row, column = cells(height, width)
    rank = torch.zeros_like(row)
    for bit in _bits(height, width):
        down, right = row >> bit & 1, column >> bit & 1
        rank = rank * 4 + (3 * down ^ right)
        mirror = (right == 0) & (down == 1)
        row, column = (torch.where(mirror, ~x, x) for x in (row, column))
        row, column = torch.where(right == 0, column, row), torch.where(right == 0, row, column)
    return rank.argsort()


def gilbert(height: int, width: int) -> Tensor:
    """The Hilbert curve generalised to rectangles: neighbours follow each other wherever parity lets them.

    A rectangle that is long along its course is cut in two, another one in three: up, across and back down (the
    construction of J. Cerveny's gilbert). Rectangles one cell wide are drawn as lines.
    """
    lines: list[Tensor] = []
    along, across = ((0, width), (height, 0)) if width >= height else ((height, 0), (0, width))
    _fill((0, 0), along, across, width, lines)
    return torch.cat(lines)


def _length(v: Vector) -> int:
    return abs(v[0] + v[1])


def _unit(v: Vector) -> Vector:
    return (v[0] > 0) - (v[0] < 0), (v[1] > 0) - (v[1] < 0)


def _add(*vectors: Vector) -> Vector:
    return sum(v[0] for v in vectors), sum(v[1] for v in vectors)


def _minus(v: Vector) -> Vector:
    return -v[0], -v[1]


def _half(v: Vector, even_above: int) -> Vector:
    """Half of v, made even where v is longer than ``even_above``: then a curve ends beside where the next starts."""
    half = (v[0] // 2, v[1] // 2)
    return _add(half, _unit(v)) if _length(half) % 2 and _length(v) > even_above else half


def _fill(start: Vector, along: Vector, across: Vector, width: int, lines: list[Tensor]) -> None:
    """Append what visits the rectangle from ``start`` to the end of ``along``."""
    for course, other in ((along, across), (across, along)):
        if _length(other) == 1:
            step = _unit(course)
            steps = torch.arange(_length(course)) * (step[0] * width + step[1])
            lines.append(steps + start[0] * width + start[1])
            return
    if 2 * _length(along) > 3 * _length(across):
        half = _half(along, 2)
        _fill(start, half, across, width, lines)
        _fill(_add(start, half), _add(along, _minus(half)), across, width, lines)
        return
    half_along, half_across = (along[0] // 2, along[1] // 2), _half(across, 2)
    rest = _add(across, _minus(half_across))
    _fill(start, half_across, half_along, width, lines)
    _fill(_add(start, half_across), along, rest, width, lines)
    corner = _add(start, along, _minus(_unit(along)), half_across, _minus(_unit(across)))
    _fill(corner, _minus(half_across), _minus(_add(along, _minus(half_along))), width, lines)
