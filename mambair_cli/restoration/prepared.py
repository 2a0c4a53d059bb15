"""What is decided of a picture before its first row is restored; the same whether it is in memory or read in bands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mambair_archs.network import GlobalView

from ..errors import UsageError
from ..images.picture import Pixels
from ..weights.model import Model
from . import memory, sizes
from .choices import Choices
from .engine import Network, Progress, Report, Settings, Strips, fitting, restore_rows
from .model import applied, bytes_per_pixel, check_sigma, settings
from .noise import measure
from .precision import precision_notes
from .resample import resampled
from .sizes import Shape
from .sources import BLOCK, ArraySink, ArraySource, Source, Wrapped, seen
from .tiles import Sharing, alone
from .told import Noise, Told, missing


@dataclass(frozen=True)
class Prepared:
    """A picture that can be restored.

    Attributes:
        source: where its rows come from.
        network: what is applied to them; None if they stay as they are.
        tiling: how.
        size: height and width of the result.
        wrap: axes along which it goes on at the opposite edge.
        report: filled with what is done.
    """

    source: Source
    network: Network | GlobalView | Told | None
    tiling: Settings
    size: Shape
    wrap: str
    report: Report

    def rows(self, progress: Progress | None = None, sharing: Sharing = alone) -> Iterator[Pixels]:
        """Blocks (rows, width, channels) of the result from top to bottom, in the type of the picture.

        Raises:
            OutOfMemoryError: even the smallest tile does not fit.
            NumericalError: the network produced values that are not numbers.
        """
        if self.network is None:
            return _untouched(self.source)
        source = Wrapped(self.source, self.wrap)
        scale, (height, width) = self.tiling.scale, self.source.shape[:2]
        shape = (height * scale, width * scale)
        made = restore_rows(source, self.network, self.tiling, self.report, progress, sharing)
        return resampled(_inside(made, source.above * scale, source.beside * scale, shape), shape, self.size)

    def strips(self, tick: Callable[[], None]) -> Strips:
        """What makes single rows of tiles of the picture; there is none of a picture that stays as it is."""
        assert self.network is not None
        return Strips(seen(Wrapped(self.source, self.wrap)), self.network, self.tiling, tick)


def prepare(source: Source, model: Model, choices: Choices, report: Report, *, whole_result: bool = False) -> Prepared:
    """Decide about network, tiles and size, and note in ``report`` what a user should know of that.

    Args:
        source: the picture.
        model: what to apply.
        choices: how.
        report: is kept, and filled further by the work.
        whole_result: whether the result is put together in memory.

    Raises:
        UsageError: the choices do not fit together or the model.
    """
    shape, wanted = (source.shape[0], source.shape[1]), settings(model, choices.tile, choices.overlap)
    size = choices.size(shape, wanted.scale)
    network = applied(model, choices, report, _noise(source, model, choices, report))
    if choices.strength == 0 and wanted.scale == 1:
        return Prepared(source, None, wanted, size, choices.wrap, report)
    around = Wrapped(source, choices.wrap).shape
    room = memory.available(model.device)
    per_pixel = bytes_per_pixel(model, choices.ensemble)
    edge = fitting((around[0], around[1]), wanted, room, per_pixel, whole_result=whole_result)
    if edge != wanted.tile:
        wanted = settings(model, edge, wanted.overlap)
        report.retries.append(f"{room >> 20} MiB of free memory are too little, using tiles of {edge} pixels")
    report.notes += precision_notes(model.descriptor, choices.precision, source.dtype)
    report.notes += sizes.notes(shape, wanted.scale, size, choices.width, choices.height)
    return Prepared(source, network, wanted, size, choices.wrap, report)


def _noise(source: Source, model: Model, choices: Choices, report: Report) -> Noise | None:
    """What a denoiser is shown beside the picture, if the user says that there is more noise than it would see."""
    if choices.sigma is None:
        return None
    check_sigma(model)
    seen = measure(source).noise
    source.restart()
    sigma = missing(choices.sigma, seen)
    if not sigma:
        report.notes.append(
            "it shows that much noise by itself, so sigma changes nothing; a strength below 1 takes less"
        )
        return None
    around = Wrapped(source, choices.wrap)
    return Noise(sigma / 255, (source.shape[0], source.shape[1]), around.above, around.beside)


def restore(
    pixels: Pixels,
    model: Model,
    choices: Choices,
    *,
    report: Report | None = None,
    progress: Progress | None = None,
    unclipped: bool = False,
    sharing: Sharing = alone,
) -> Pixels:
    """Restore one picture in memory; the tile is made smaller if memory is short.

    Args:
        pixels: see :data:`Pixels`.
        model: what to apply.
        choices: how; what concerns files has no meaning here.
        report: filled with what was done.
        progress: called with tiles done and in total.
        unclipped: allow float pixels outside [0, 1], such as noise that was never stored in a file; the result lies in
            [0, 1] all the same.
        sharing: who makes the rows of tiles.

    Raises:
        UsageError: choices do not fit together or the model, or float pixels lie outside [0, 1].
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    if pixels.dtype == np.float32 and not unclipped and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails both
        raise UsageError("The picture holds values outside 0 to 1.", "Scale it, or give uint8 or uint16.")
    task = prepare(ArraySource(pixels), model, choices, report or Report(), whole_result=True)
    sink = ArraySink((*task.size, pixels.shape[2]), pixels.dtype)
    for rows in task.rows(progress, sharing):
        sink.write(rows)
    return sink.pixels


def _untouched(source: Source) -> Iterator[Pixels]:
    """The rows as they are, but floats from 0 to 1."""
    for first in range(0, source.shape[0], BLOCK):
        rows = source.rows(first, min(source.shape[0], first + BLOCK))
        yield rows.clip(0, 1) if rows.dtype == np.float32 else rows
        source.release(first + len(rows))


def _inside(made: Iterator[Pixels], above: int, beside: int, shape: Shape) -> Iterator[Pixels]:
    """Rows without a border: of ``above`` rows on top and below, of ``beside`` columns on each side."""
    row = -above
    for block in made:
        part = block[max(0, -row) : max(0, shape[0] - row), beside : beside + shape[1]]
        row += len(block)
        if len(part):
            yield part
