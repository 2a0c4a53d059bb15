"""Pictures that do not fit into memory: rows go from file to network to file, with no more than a band between them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError, OutOfMemoryError
from ..images import band_writer, container, formats, limits, vips
from ..images.bands import Bands, opened
from ..images.decode import usable
from ..images.encode import BLOCKS, check_size, fit, written
from ..images.header import Header
from ..images.picture import Metadata, Picture
from ..locations.url import Location
from ..weights.model import Model
from . import footprint, memory, sizes
from .choices import Choices
from .engine import Progress, Report, work
from .model import bytes_per_pixel, settings
from .prepared import prepare
from .sources import Source
from .tiles import Sharing, alone

PIPED = "pictures in pipes are only handled as a whole", "Give files in place of -."


@dataclass(frozen=True)
class Streamed:
    """What was written: height and width of the input, what of it is not in the output, and frames of a clip."""

    shape: sizes.Shape
    notes: tuple[str, ...]
    frames: int | None = None


def needed(source: Path | bytes, target: Location, model: Model, choices: Choices, *, piped_out: bool = False) -> bool:
    """Whether a picture is to be streamed because memory is too small for it; known from the head of the file.

    Args:
        source: a file, or the content of one that came through a pipe.
        target: by its suffix, the format of the result.
        model: what is to be applied.
        choices: of the run.
        piped_out: whether the result goes through a pipe, which takes it as a whole.

    Raises:
        InputError: it has more pixels than is allowed.
        OutOfMemoryError: it is too large for memory and cannot be streamed either.
    """
    head = footprint.header(source)
    if head is None:
        return False
    name = "Standard input" if isinstance(source, bytes) else str(source)
    limits.check(name, head, choices.max_pixels)
    wanted, shape = settings(model, choices.tile, choices.overlap), (head.height, head.width)
    own, suffix = wanted.scale, target.suffix.lower()
    largest = max(own, choices.scale or sizes.wanted_scale(shape, choices.width, choices.height) or own)
    room = max(0, memory.available(torch.device("cpu")) - memory.RESERVE)
    pictures = footprint.in_memory(head, largest, suffix)
    per_pixel = bytes_per_pixel(model, choices.ensemble) if model.device.type == "cpu" else 0
    tiles = work(shape, wanted.tile or max(shape), wanted, per_pixel)
    if pictures + min(tiles, room // 2) <= room:
        return False  # tiles that need more than half of the memory have to become smaller anyway
    obstacle = PIPED if isinstance(source, bytes) or piped_out else _obstacle(source, suffix, head, largest, room)
    if obstacle is None:
        return True
    if pictures <= room:
        return False  # smaller tiles will do
    raise OutOfMemoryError(
        f"{name} ({head.width} x {head.height} pixels) takes about {pictures >> 20} MiB of memory and"
        f" {room >> 20} MiB are free; {obstacle[0]}.",
        obstacle[1],
    )


def restore_file(
    source: Path,
    temporary: Path,
    target: Location,
    model: Model,
    choices: Choices,
    report: Report | None = None,
    progress: Progress | None = None,
    look: Callable[[Source], Model] | None = None,
    sharing: Sharing = alone,
) -> Streamed:
    """Restore the picture in ``source`` into the file ``temporary``, in the format that ``target`` has by its name.

    If the picture has to be turned, it is unpacked to a second temporary file beside. ``look`` is shown the picture
    first, and may choose another model than ``model``; ``sharing`` says who makes the rows of tiles.

    Raises:
        InputError: the input is missing, damaged or of a kind that cannot be read in bands.
        OutputError: the result cannot be written.
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    if "y" in choices.wrap:
        raise InputError(
            f"{source} is too large for its last rows to be seen above the first.",
            "Restore it with --wrap-x, or with more memory.",
        )
    report, suffix = report or Report(), target.suffix.lower()
    with opened(source, temporary.with_name(f"{temporary.stem}-turned.part"), strict=choices.strict) as bands:
        height, width, channels = bands.shape
        container.check_size(str(source), width, height, choices.max_pixels)
        model = look(bands) if look else model
        task = prepare(bands, model, choices, report)
        check_size(target, task.size[1], task.size[0])
        metadata, notes = _kept(bands, suffix, choices.strip)
        empty = fit(Picture(np.empty((0, 0, channels), bands.dtype), metadata, notes), suffix)
        wanted = band_writer.Format(
            suffix=suffix,
            shape=(*task.size, empty.pixels.shape[2]),
            dtype=empty.pixels.dtype,
            metadata=empty.metadata,
            quality=choices.quality,
        )
        with band_writer.writing(temporary, wanted) as write:
            for rows in task.rows(progress, sharing):
                write(fit(Picture(rows), suffix).pixels)
    report.peak_memory = max(report.peak_memory, memory.peak(model.device))
    return Streamed((height, width), bands.mended + empty.notes)


def _kept(rows: Bands, suffix: str, strip: bool) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata for the result, and what has to be said about it and the input."""
    metadata, notes = usable(rows.metadata, strip)
    row = written(suffix)
    assert row.saver is not None
    for block in BLOCKS.keys() - row.saver.carries:
        if getattr(metadata, block):
            metadata = metadata.without(block)
            notes = (*notes, f"{BLOCKS[block]} cannot be written to {suffix} files larger than memory")
    return metadata, rows.notes + notes


def _obstacle(source: Path, suffix: str, head: Header, scale: float, room: int) -> tuple[str, str] | None:
    """Why a picture cannot be streamed, and what helps."""
    read, write = formats.by_suffix(source.suffix), formats.by_suffix(suffix)
    if read is None or not read.read_in_bands:
        return f"{source.suffix} files are only read as a whole", "Convert it to .tif or .png."
    if footprint.decoding(head) > room:
        return "files of its kind are unpacked as a whole", "Convert it to .tif, or to .png without interlacing."
    if write is None or write.saver is None or footprint.encoding(head, scale, suffix) > room:
        return f"{suffix} files are only written as a whole", "Write a .tif or .png file with -o."
    if not vips.available():
        return "what works on such pictures in bands is not installed", vips.HINT
    return None
