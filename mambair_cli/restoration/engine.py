"""Restore one image tile by tile in memory bounded by the tile; smaller tiles take over when it runs out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import NumericalError, OutOfMemoryError, UsageError
from ..images import planes
from ..images.picture import Pixels
from . import global_view, memory, tiles

CPU = torch.device("cpu")
BLOCK = 64

Network = Callable[[Tensor], Tensor]
"""(1, channels, height, width) to (1, channels, height * scale, width * scale), values in [0, 1]. With a global view it
has the methods of :class:`mambair_cli.restoration.global_view.Seeing` too."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to tile: edges and overlap in input pixels; ``tile`` 0 takes the whole image at once.

    ``global_view`` is the network's: the longer edge of the reduced copy that it has to see first, 0 for none.
    """

    scale: int
    channels: int
    tile: int
    overlap: int = 0
    multiple: int = 1
    device: torch.device = CPU
    global_view: int = 0

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
    for rows in _Rows(source, network, settings, report or Report(), progress or _silent):
        for first in range(0, len(rows), BLOCK):  # conversions make copies, so they see a few rows at a time
            part = rows[first : first + BLOCK]
            there = slice(row, row + len(part))
            out[there, :, :channels] = planes.quantise(planes.from_network(part, beside[there]), pixels.dtype)
            row += len(part)
    if planes.has_alpha(pixels):
        alpha = planes.enlarge(pixels[:, :, -1:], scale)
        out[:, :, -1:] = np.clip(alpha, 0, planes.white(pixels))  # bicubic weights overshoot
    return out


def _silent(done: int, total: int) -> None:
    """No progress wanted."""


@dataclass
class _Rows:
    """Iterates over finished rows from top to bottom, blocks of (rows, width * scale, network channels), float32."""

    source: Pixels
    network: Network
    settings: Settings
    report: Report
    progress: Progress
    on_region: global_view.OnRegion = field(init=False)

    def __iter__(self) -> Iterator[tiles.Floats]:
        height, width = self.source.shape[:2]
        whole, settings = max(height, width), self.settings
        tile, overlap = (settings.tile, settings.overlap) if 0 < settings.tile < whole else (whole, 0)
        self.report.tile = tile
        pending: tiles.Floats | None = None
        done = 0
        self.on_region = global_view.on_regions(
            self.network,
            lambda start, stop: self.source[start:stop],
            (height, width),
            settings.channels,
            settings.global_view,
            settings.device,
        )
        while done < height:
            columns = tiles.plan(width, tile, overlap, settings.multiple)
            spans = tiles.plan(height, tile, overlap, settings.multiple, done)
            firsts = [span.first for span in spans[1:]] + [height]
            total = self.report.tiles + len(columns) * len(spans)
            for span, next_first in zip(spans, firsts, strict=True):
                strip = self._strip_if_it_fits(span, columns, done, total)
                if strip is None:
                    overlap = settings.overlap
                    tile = _step_down(tile, overlap, self.report)
                    break
                strip = tiles.stack(pending, strip)
                ready = (next_first - done) * settings.scale
                pending = strip[ready:].copy()
                done = next_first
                yield strip[:ready]

    def _strip_if_it_fits(
        self, span: tiles.Span, columns: list[tiles.Span], done: int, total: int
    ) -> tiles.Floats | None:
        """None when memory runs out; the exception, which keeps the tensors alive, is gone by then."""
        try:
            return self._strip(span, columns, done, total)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
        return None

    def _strip(self, span: tiles.Span, columns: list[tiles.Span], done: int, total: int) -> tiles.Floats:
        """One row of tiles, from row ``done`` of the image to the end of ``span``."""
        scale, channels = self.settings.scale, self.settings.channels
        top, bottom = (done - span.start) * scale, (span.last - span.start) * scale
        strip = tiles.Strip(bottom - top, self.source.shape[1] * scale, channels)
        for column in columns:
            region = self.source[span.start : span.stop, column.start : column.stop]
            result = self._run(planes.for_network(region, channels), span.start, column.start)
            left, right = (column.first - column.start) * scale, (column.last - column.start) * scale
            strip.add(result[top:bottom, left:right], column.first * scale)
            self.report.tiles += 1
            self.progress(self.report.tiles, total)
        return strip.pixels

    def _run(self, region: tiles.Floats, top: int, left: int) -> tiles.Floats:
        """A region whose corner is pixel (top, left) of the picture."""
        batch = torch.from_numpy(np.ascontiguousarray(region.transpose(2, 0, 1)))[None].to(self.settings.device)
        with torch.inference_mode():
            result = self.on_region(batch, top, left)[0].permute(1, 2, 0).float().cpu().numpy()
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
            f"Memory ran out even with tiles of {tile} pixels.",
            "Close other programs, give a smaller --overlap or use a smaller model.",
        )
    report.retries.append(f"memory ran out with tiles of {tile} pixels, going on with {edge}")
    report.tile = edge
    return edge


def fitting(shape: tuple[int, int], settings: Settings, room: int, bytes_per_pixel: int) -> int:
    """The tile of ``settings`` if the work on an image of ``shape`` should fit into ``room`` bytes, else a smaller one.

    An estimate only: when nothing on the ladder fits, its smallest usable edge is tried.
    """
    wanted = min(settings.tile or max(shape), max(shape))
    edge = wanted
    while _needed(shape, edge, settings, bytes_per_pixel) > room and (lower := tiles.smaller(edge, settings.overlap)):
        edge = lower
    return settings.tile if edge == wanted else edge


def _needed(shape: tuple[int, int], edge: int, settings: Settings, bytes_per_pixel: int) -> int:
    """Bytes for one tile, the strip being put together with what is left of the one above, and the result."""
    height, width = min(edge, shape[0]), min(edge, shape[1])
    out_width = shape[1] * settings.scale
    strip = 2 * height * settings.scale * out_width * settings.channels * np.dtype(np.float32).itemsize
    result = shape[0] * settings.scale * out_width * 4 * np.dtype(np.uint16).itemsize
    return memory.RESERVE + height * width * bytes_per_pixel + strip + result
