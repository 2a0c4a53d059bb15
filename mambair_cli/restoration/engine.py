"""Restore one image tile by tile, with memory bounded by the tile, and go on with smaller tiles when memory runs out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import NumericalError, OutOfMemoryError, UsageError
from ..images import planes
from ..images.picture import Pixels
from . import memory, tiles

Network = Callable[[Tensor], Tensor]
"""(1, channels, height, width) to (1, channels, height * scale, width * scale), values in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to tile: edges and overlap in input pixels; ``tile`` 0 takes the whole image at once."""

    scale: int
    channels: int
    tile: int
    overlap: int = 0
    multiple: int = 1
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        if self.tile < 0 or self.overlap < 0:
            raise UsageError("The tile and the overlap cannot be negative.", "Use --tile 0 for the whole image.")
        if self.tile and self.overlap >= self.tile:
            raise UsageError(
                f"An overlap of {self.overlap} leaves nothing of a tile of {self.tile} pixels.",
                "Make the overlap smaller or the tile larger.",
            )


@dataclass
class Report:
    """What was done for one image: tile edge in the end, tiles run, and every step down of the tile."""

    tile: int = 0
    tiles: int = 0
    retries: list[str] = field(default_factory=list)


Progress = Callable[[int, int], None]


def restore(
    pixels: Pixels, network: Network, settings: Settings, report: Report | None = None, progress: Progress | None = None
) -> Pixels:
    """Restore a picture (height, width, channels); the result has the same type and channels.

    Raises:
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced NaN or infinity.
    """
    source = planes.colour(pixels)
    height, width, channels = source.shape
    scale = settings.scale
    out: Pixels = np.empty((height * scale, width * scale, pixels.shape[2]), pixels.dtype)
    beside = planes.enlarge(source, scale) if settings.channels == 1 else source
    row = 0
    for rows in restore_rows(source, network, settings, report or Report(), progress or (lambda done, total: None)):
        stop = row + len(rows)
        out[row:stop, :, :channels] = planes.quantise(planes.from_network(rows, beside[row:stop]), pixels.dtype)
        row = stop
    if planes.has_alpha(pixels):
        out[:, :, -1:] = planes.enlarge(pixels[:, :, -1:], scale)
    return out


def restore_rows(
    source: Pixels, network: Network, settings: Settings, report: Report, progress: Progress
) -> Iterator[tiles.Floats]:
    """Finished rows from top to bottom, each block (rows, width * scale, network channels) in float32."""
    height, width = source.shape[:2]
    whole = max(height, width)
    tile, overlap = (settings.tile, settings.overlap) if 0 < settings.tile < whole else (whole, 0)
    report.tile = tile
    pending: tiles.Floats | None = None
    done = 0
    while done < height:
        columns = tiles.plan(width, tile, overlap, settings.multiple)
        spans = tiles.plan(height, tile, overlap, settings.multiple, done)
        firsts = [span.first for span in spans[1:]] + [height]
        for number, (span, next_first) in enumerate(zip(spans, firsts, strict=True)):
            total = report.tiles + len(columns) * (len(spans) - number)
            try:
                strip = _strip(source, network, settings, span, columns, done, report, lambda n: progress(n, total))
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                overlap = settings.overlap
                tile = _step_down(tile, overlap, report)
                break
            strip = tiles.stack(pending, strip)
            ready = (next_first - done) * settings.scale
            pending = strip[ready:].copy()
            done = next_first
            yield strip[:ready]


def _strip(
    source: Pixels,
    network: Network,
    settings: Settings,
    span: tiles.Span,
    columns: list[tiles.Span],
    done: int,
    report: Report,
    advance: Callable[[int], None],
) -> tiles.Floats:
    """One row of tiles from row ``done`` to the end of ``span``."""
    scale = settings.scale
    top, bottom = (done - span.start) * scale, (span.last - span.start) * scale
    strip = tiles.Strip(bottom - top, source.shape[1] * scale, settings.channels)
    for column in columns:
        region = planes.for_network(source[span.start : span.stop, column.start : column.stop], settings.channels)
        result = _run(network, region, settings.device)
        left, right = (column.first - column.start) * scale, (column.last - column.start) * scale
        strip.add(result[top:bottom, left:right], column.first * scale)
        report.tiles += 1
        advance(report.tiles)
    return strip.pixels


def _run(network: Network, region: tiles.Floats, device: torch.device) -> tiles.Floats:
    batch = torch.from_numpy(np.ascontiguousarray(region.transpose(2, 0, 1)))[None].to(device)
    with torch.inference_mode():
        result = network(batch)[0].permute(1, 2, 0).float().cpu().numpy()
    if not np.isfinite(result).all():
        raise NumericalError("The network produced values that are not numbers.", "Check the model file.")
    return result


def _step_down(tile: int, overlap: int, report: Report) -> int:
    """The next smaller tile after memory ran out at ``tile``."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    edge = tiles.smaller(tile, overlap)
    if edge is None:
        raise OutOfMemoryError(
            f"Memory ran out even with tiles of {tile} pixels.", "Close other programs or use a smaller model."
        )
    report.retries.append(f"memory ran out with tiles of {tile} pixels, going on with {edge}")
    report.tile = edge
    return edge


def fitting(settings_tile: int, overlap: int, size: int, room: int, bytes_per_pixel: int) -> int:
    """The largest tile of the ladder, at most ``settings_tile`` (0: ``size``), expected to fit into ``room`` bytes.

    An estimate only: when nothing fits, the smallest is tried.
    """
    wanted = settings_tile or size
    tile = min(wanted, size)
    while memory.needed(tile, bytes_per_pixel) > room:
        edge = tiles.smaller(tile, overlap)
        if edge is None:
            break
        tile = edge
    return settings_tile if tile == min(wanted, size) else tile
