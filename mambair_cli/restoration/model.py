"""A loaded model applied to a picture: default tile, memory check, then the engine."""

import numpy as np

from ..errors import UsageError
from ..images.picture import Pixels
from ..weights.loader import Model
from . import memory
from .engine import Progress, Report, Settings, fitting
from .engine import restore as run

DEFAULT_OVERLAP = 32


def settings(model: Model, tile: int | None, overlap: int | None) -> Settings:
    """Tiling for a model; None takes the network's recommended tile and an overlap in proportion.

    Raises:
        UsageError: the numbers do not fit together.
    """
    descriptor = model.descriptor
    edge = descriptor.tile if tile is None else tile
    common = min(DEFAULT_OVERLAP, edge // 4 if edge else DEFAULT_OVERLAP) if overlap is None else overlap
    return Settings(
        scale=descriptor.scale,
        channels=descriptor.in_channels,
        tile=edge,
        overlap=common,
        multiple=descriptor.size_multiple,
        device=model.device,
        global_view=descriptor.global_view,
    )


def restore(
    pixels: Pixels,
    model: Model,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
    unclipped: bool = False,
) -> Pixels:
    """Restore one picture (height, width, channels) with a model; the tile is made smaller if memory is short.

    ``unclipped`` allows float pixels outside [0, 1], such as noise that was never stored in a file; the result lies in
    [0, 1] all the same.

    Raises:
        UsageError: tile and overlap do not fit together, or float pixels lie outside [0, 1].
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    if pixels.dtype == np.float32 and not unclipped and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails both
        raise UsageError("The picture holds values outside 0 to 1.", "Scale it, or give uint8 or uint16.")
    wanted = settings(model, tile, overlap)
    report = report or Report()
    room = memory.available(model.device)
    edge = fitting((pixels.shape[0], pixels.shape[1]), wanted, room, model.descriptor.bytes_per_pixel)
    if edge != wanted.tile:
        wanted = settings(model, edge, wanted.overlap)
        report.retries.append(f"{room >> 20} MiB of free memory are too little, using tiles of {edge} pixels")
    return run(pixels, model.network, wanted, report, progress)
