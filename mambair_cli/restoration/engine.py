"""Restore one image tile by tile in memory bounded by the tile; smaller tiles take over when it runs out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mambair_archs.network import GlobalView

from ..errors import OutOfMemoryError, UsageError
from ..images import planes
from ..images.picture import Pixels
from . import ahead, global_view, memory, tiles
from .sources import BLOCK, ArraySink, ArraySource, Enlarged, Source, seen
from .told import Told

CPU = torch.device("cpu")

Network = Callable[[Tensor], Tensor]
"""(1, channels, height, width) to (1, channels, height * scale, width * scale), values in [0, 1]."""


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
    """What was done for one image.

    Attributes:
        tile: tile edge in the end.
        tiles: tiles run.
        retries: every step down of the tile.
        notes: what else the user should know of the result.
        peak_memory: most bytes in use during the work: of the whole process, on a GPU of its tensors.
    """

    tile: int = 0
    tiles: int = 0
    retries: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory: int = 0


Progress = Callable[[int, int], None]


def restore(
    pixels: Pixels,
    network: Network | GlobalView | Told,
    settings: Settings,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Restore a picture (height, width, channels); the result has the same type and channels.

    Raises:
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced NaN or infinity.
    """
    height, width, channels = pixels.shape
    sink = ArraySink((height * settings.scale, width * settings.scale, channels), pixels.dtype)
    for rows in restore_rows(ArraySource(pixels), network, settings, report, progress):
        sink.write(rows)
    return sink.pixels


def restore_rows(
    source: Source,
    network: Network | GlobalView | Told,
    settings: Settings,
    report: Report | None = None,
    progress: Progress | None = None,
    sharing: tiles.Sharing = tiles.alone,
) -> Iterator[Pixels]:
    """Finished rows from top to bottom, blocks of (rows, width * scale, channels) in the type of the source.

    Rows of the source are read when they are needed and released when they are not. Those that a finished block was
    made of are there until the next block is asked for.

    Raises:
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced NaN or infinity.
    """
    report = report or Report()
    source = seen(source)
    beside = Enlarged(source, settings.scale)
    memory.forget_peak(settings.device)
    row = 0
    for strip in _Rows(source, network, settings, report, progress or _silent, sharing):
        for first in range(0, len(strip), BLOCK):  # conversions make copies, so they see a few rows at a time
            part = strip[first : first + BLOCK]
            yield _finished(part, beside, row)
            row += len(part)
        del strip, part  # or they would stay while the next strip is made
        done = row // settings.scale
        source.release(min(tiles.needed(done, settings.overlap, settings.multiple), beside.first(done)))
    report.peak_memory = memory.peak(settings.device)


def _finished(rows: tiles.Floats, beside: Enlarged, row: int) -> Pixels:
    """Rows of the network as rows of the picture: in its depth and with all its channels."""
    shape, dtype = beside.source.shape, beside.source.dtype
    if rows.shape[2] == shape[2]:
        return planes.quantise(rows, dtype)
    large = beside.rows(row, row + len(rows))
    colours = planes.quantise(planes.from_network(rows, planes.colour(large)), dtype)
    if not planes.has_alpha(large):
        return colours
    alpha = np.clip(large[:, :, -1:], 0, planes.white(large))  # bicubic weights overshoot
    return np.concatenate([colours, alpha.astype(dtype)], axis=2)


def _silent(done: int, total: int) -> None:
    """No progress wanted."""


@dataclass
class Strips:
    """Makes rows of tiles of one picture.

    Attributes:
        source: of the picture, alpha and all.
        tick: called after each tile.
    """

    source: Source
    network: Network | GlobalView | Told
    settings: Settings
    tick: Callable[[], None]
    on_region: global_view.OnRegion = field(init=False)

    def __post_init__(self) -> None:
        """The network sees the whole picture, if it has to."""

        def rows(start: int, stop: int) -> Pixels:
            self.source.release(start)
            return planes.colour(self.source.rows(start, stop))

        shape, settings = self.source.shape[:2], self.settings
        longest = settings.global_view
        self.on_region = global_view.on_regions(self.network, rows, shape, settings.channels, longest, settings.device)
        if longest:
            self.source.restart()

    def make(self, row: tiles.TileRow) -> tiles.Floats | None:
        """See :data:`tiles.Make`; the exception, which keeps the tensors alive, is gone when None is returned.

        Raises:
            NumericalError: the network produced NaN or infinity.
        """
        try:
            return self._made(row)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
        return None

    def _made(self, row: tiles.TileRow) -> tiles.Floats:
        span, scale, channels = row.span, self.settings.scale, self.settings.channels
        rows = planes.colour(self.source.rows(span.start, span.stop))
        top, bottom = (row.top - span.start) * scale, (span.last - span.start) * scale
        strip = tiles.Strip(bottom - top, self.source.shape[1] * scale, channels)
        regions = ((planes.for_network(rows[:, each.start : each.stop], channels), span, each) for each in row.columns)
        results = ahead.in_order(regions, self._begin, ahead.Returning.numpy, ahead.depth(self.settings.device))
        for column, result in zip(row.columns, results, strict=True):
            left, right = (column.first - column.start) * scale, (column.last - column.start) * scale
            strip.add(result[top:bottom, left:right], column.first * scale)
            self.tick()
        return strip.pixels

    def _begin(self, item: tuple[tiles.Floats, tiles.Span, tiles.Span]) -> ahead.Returning:
        """Restore a region of these rows and columns."""
        region, rows, columns = item
        with torch.inference_mode():
            return ahead.Returning(self.on_region(ahead.sent(region, self.settings.device), rows.start, columns.start))


@dataclass
class _Rows:
    """Iterates over finished rows from top to bottom, blocks of (rows, width * scale, network channels), float32."""

    source: Source
    network: Network | GlobalView | Told
    settings: Settings
    report: Report
    progress: Progress
    sharing: tiles.Sharing
    total: int = 0

    def __iter__(self) -> Iterator[tiles.Floats]:
        height, width = self.source.shape[:2]
        whole, settings = max(height, width), self.settings
        tile, overlap = (settings.tile, settings.overlap) if 0 < settings.tile < whole else (whole, 0)
        self.report.tile = tile
        pending: tiles.Floats | None = None
        done = 0
        make = Strips(self.source, self.network, settings, self._tick).make
        while done < height:
            columns = tuple(tiles.plan(width, tile, overlap, settings.multiple))
            spans = tiles.plan(height, tile, overlap, settings.multiple, done)
            tops = [done, *(span.first for span in spans[1:])]
            rows = [tiles.TileRow(span, columns, top) for span, top in zip(spans, tops, strict=True)]
            before, self.total = self.report.tiles, self.report.tiles + len(columns) * len(rows)
            strips = self.sharing(rows, make)
            for number, next_first in enumerate([*tops[1:], height], start=1):
                strip = next(strips)
                if strip is None:
                    overlap = settings.overlap
                    tile = _step_down(tile, overlap, self.report)
                    break
                self._count(before + number * len(columns))
                strip = tiles.stack(pending, strip)
                ready = (next_first - done) * settings.scale
                pending = strip[ready:].copy()
                done = next_first
                yield strip[:ready]
                del strip

    def _tick(self) -> None:
        self._count(self.report.tiles + 1)

    def _count(self, tiles_done: int) -> None:
        """Tiles that were made elsewhere are counted with their strip."""
        if tiles_done > self.report.tiles:
            self.report.tiles = tiles_done
            self.progress(tiles_done, self.total)


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


def fitting(
    shape: tuple[int, int], settings: Settings, room: int, bytes_per_pixel: int, *, whole_result: bool = True
) -> int:
    """The tile of ``settings`` if the work on an image of ``shape`` should fit into ``room`` bytes, else a smaller one.

    An estimate only: when nothing on the ladder fits, its smallest usable edge is tried. ``whole_result`` says whether
    the result is put together in memory.
    """
    wanted = min(settings.tile or max(shape), max(shape))
    edge = wanted
    while _needed(shape, edge, settings, bytes_per_pixel, whole_result) > room and (
        lower := tiles.smaller(edge, settings.overlap)
    ):
        edge = lower
    return settings.tile if edge == wanted else edge


def _needed(
    shape: tuple[int, int], edge: int, settings: Settings, bytes_per_pixel: int, whole_result: bool = True
) -> int:
    """Bytes for the work on tiles, and for the result."""
    result = whole_result * shape[0] * shape[1] * settings.scale**2 * 4 * np.dtype(np.uint16).itemsize
    return memory.RESERVE + work(shape, edge, settings, bytes_per_pixel) + result


def work(shape: tuple[int, int], edge: int, settings: Settings, bytes_per_pixel: int) -> int:
    """Bytes for one tile and for the strip being put together with what is left of the one above."""
    height, width = min(edge, shape[0]), min(edge, shape[1])
    out_width = shape[1] * settings.scale
    strip = 2 * height * settings.scale * out_width * settings.channels * np.dtype(np.float32).itemsize
    return height * width * bytes_per_pixel + strip
