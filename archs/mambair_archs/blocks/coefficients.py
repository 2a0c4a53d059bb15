"""Maps of the coefficients of an affine change of colours, made small and applied to a picture of any size.

A picture J = k * I + b is wanted whose k and b vary slowly but for edges that are edges of the picture too. Fast guided
filtering (arXiv 1505.00996): on the small picture k and b are fitted by lines in its luma, window by window; the lines'
slopes and offsets are smooth, so they can be enlarged and evaluated at the luma of every pixel of the large picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network import Place

LUMA = (0.299, 0.587, 0.114)


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luma of (batch, 3, height, width), (batch, 1, height, width)."""
    red, green, blue = rgb.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def _mean(x: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


def lines(maps: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Slopes and offsets of lines in ``guide`` that fit ``maps``.

    Args:
        maps: (batch, n, height, width).
        guide: (batch, 1, height, width).
        radius: windows have 2 * radius + 1 pixels.
        eps: variance of the guide below which a window is flat.

    Returns:
        (batch, 2 * n, height, width): slopes, then offsets.
    """
    mean_guide, mean_maps = _mean(guide, radius), _mean(maps, radius)
    variance = _mean(guide.square(), radius) - mean_guide.square()
    slopes = (_mean(guide * maps, radius) - mean_guide * mean_maps) / (variance + eps)
    return _mean(torch.cat([slopes, mean_maps - slopes * mean_guide], 1), radius)


def _blended(grid: Tensor, start: int, count: int, size: int, cells: float) -> Tensor:
    """Linear values, along the first dimension, at ``count`` pixels from ``start`` of ``size``, covered by ``cells``.

    Each value depends on its pixel alone. Along the first dimension indexing copies whole rows, which is quick.
    """
    last = grid.shape[0] - 1
    pixels = torch.arange(count, dtype=torch.float64, device=grid.device)
    places = ((pixels + start + 0.5) * (cells / size) - 0.5).clamp(0, last)
    before = places.floor().long()
    grid = grid.contiguous()
    low, high = grid.index_select(0, before), grid.index_select(0, (before + 1).clamp(max=last))
    return low + (places - before).to(grid.dtype)[:, None, None, None] * (high - low)


def enlarged(grid: Tensor, cells: tuple[float, float], place: Place, height: int, width: int) -> Tensor:
    """Bilinear values of a grid at the pixels of a region.

    Args:
        grid: (batch, n, rows, columns).
        cells: how many rows and columns of the grid cover the whole picture.
        place: of the region.
        height: of the region.
        width: of the region.

    Returns:
        (batch, n, height, width); no value depends on where the region ends.
    """
    columns = _blended(grid.permute(3, 0, 1, 2), place.left, width, place.width, cells[1])
    rows = _blended(columns.permute(3, 1, 2, 0), place.top, height, place.height, cells[0])
    return rows.permute(1, 2, 0, 3)
