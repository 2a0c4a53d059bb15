"""A loaded model applied to a picture: default tile, memory check, the engine, and the size asked for."""

import numpy as np

from mambair_archs.network import GlobalView

from ..errors import UsageError
from ..images.picture import Pixels
from ..weights.loader import Model
from . import ensemble as symmetries
from . import memory, sizes
from .engine import Network, Progress, Report, Settings, fitting
from .engine import restore as run
from .finish import WRAPS, blended, resized, wrapped
from .global_view import Viewing
from .precision import concerns, mixed

DEFAULT_OVERLAP = 16
"""Pixels that neighbouring tiles share. More costs time and gains nothing (docs/results.md, "Borders of tiles")."""


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


def prepared(model: Model, report: Report, *, ensemble: bool, precision: str, strength: float) -> Network | GlobalView:
    """The network of a model as it is to be applied to one picture; what happens is noted in ``report``.

    Raises:
        UsageError: a value is out of range.
    """
    check_precision(model, precision)
    average = symmetries.ensemble if ensemble else _as_it_is
    if model.descriptor.global_view:
        assert isinstance(model.network, GlobalView)
        # The result is linear in what is seen, so that the mean of the views gives the mean of the results. What is
        # seen is divided by the little light that gets through the haze, which takes full precision.
        return Viewing(model.network, average, lambda apply: blended(mixed(apply, precision, report), strength))
    return blended(average(mixed(model.network, precision, report)), strength, model.descriptor.scale)


def check_precision(model: Model, precision: str) -> None:
    """Refuse half precision for what torch does not run.

    Raises:
        UsageError: it is asked for.
    """
    if precision != "fp32" and not model.autocast:
        raise UsageError(f"{model.path} computes in the numbers it was exported with.", "Leave out the precision.")


def _as_it_is(network: Network) -> Network:
    return network


def bytes_per_pixel(model: Model, ensemble: bool) -> int:
    """Working memory per input pixel."""
    descriptor = model.descriptor
    more = symmetries.working_bytes(descriptor.scale, descriptor.in_channels) if ensemble else 0
    return descriptor.bytes_per_pixel + more


def restore(
    pixels: Pixels,
    model: Model,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    precision: str = "fp32",
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    strength: float = 1.0,
    wrap: str = "none",
    report: Report | None = None,
    progress: Progress | None = None,
    unclipped: bool = False,
) -> Pixels:
    """Restore one picture (height, width, channels) with a model; the tile is made smaller if memory is short.

    Args:
        pixels: see :data:`Pixels`.
        model: what to apply.
        tile: edge in input pixels, 0 for the whole picture; None: the network's recommendation.
        overlap: pixels that neighbouring tiles share; None: in proportion to the tile.
        ensemble: average over the 8 symmetries of the square.
        precision: ``fp32``, ``bf16`` or ``fp16``; where half precision fails, fp32 takes over.
        scale: enlargement of the result, at least 1; None: the model's. What the model does not do is resampled.
        width: of the result in pixels; None: in proportion.
        height: of the result in pixels; None: in proportion.
        strength: share of the result in a blend with the input, which is interpolated if the model enlarges; 0 to 1.
        wrap: ``x``, ``y`` or ``xy`` if the picture goes on at the opposite edge along these axes, as a texture does.
        report: filled with what was done.
        progress: called with tiles done and in total.
        unclipped: allow float pixels outside [0, 1], such as noise that was never stored in a file; the result lies in
            [0, 1] all the same.

    Raises:
        UsageError: choices do not fit together or the model, or float pixels lie outside [0, 1].
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    if pixels.dtype == np.float32 and not unclipped and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails both
        raise UsageError("The picture holds values outside 0 to 1.", "Scale it, or give uint8 or uint16.")
    wanted, report = settings(model, tile, overlap), report or Report()
    shape = (pixels.shape[0], pixels.shape[1])
    size = sizes.target(shape, wanted.scale, scale, width, height)
    network = prepared(model, report, ensemble=ensemble, precision=precision, strength=strength)
    if wrap not in WRAPS:
        raise UsageError(f"A picture cannot be wrapped along {wrap}.", f"Use {', '.join(WRAPS)}.")
    if strength == 0 and wanted.scale == 1:
        return pixels.clip(0, 1) if pixels.dtype == np.float32 else pixels.copy()
    pixels, rows, columns = wrapped(pixels, wrap)
    room = memory.available(model.device)
    edge = fitting((pixels.shape[0], pixels.shape[1]), wanted, room, bytes_per_pixel(model, ensemble))
    if edge != wanted.tile:
        wanted = settings(model, edge, wanted.overlap)
        report.retries.append(f"{room >> 20} MiB of free memory are too little, using tiles of {edge} pixels")
    report.notes += concerns(model.descriptor, precision, pixels.dtype)
    report.notes += sizes.notes(shape, wanted.scale, size, width, height)
    result = run(pixels, network, wanted, report, progress)
    rows, columns = rows * wanted.scale, columns * wanted.scale
    return resized(result[rows : len(result) - rows, columns : result.shape[1] - columns], size)
