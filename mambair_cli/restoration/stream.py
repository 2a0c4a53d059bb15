"""Pictures that do not fit into memory: rows go from file to network to file, with no more than a band between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import OutOfMemoryError
from ..images import band_writer, vips
from ..images.bands import Bands, opened
from ..images.encode import check_size, fit
from ..images.picture import Metadata, Picture, Pixels
from ..weights.loader import Model
from . import footprint, memory
from .engine import Progress, Report, Settings, fitting, restore_rows, work
from .model import settings

READABLE = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"})
"""Suffixes of what pyvips reads."""


@dataclass(frozen=True)
class Streamed:
    """What was written: (width, height) of the input, and what of it is not in the output."""

    width: int
    height: int
    notes: tuple[str, ...]


def needed(
    source: Path, target: Path, model: Model, *, tile: int | None = None, overlap: int | None = None, scale: float = 0
) -> bool:
    """Whether a picture is to be streamed because memory is too small for it; known from the head of the file.

    ``scale`` is the enlargement of the result, if it is not the model's.

    Raises:
        OutOfMemoryError: it is too large for memory and cannot be streamed either.
    """
    head = footprint.header(source)
    if head is None:
        return False
    wanted = settings(model, tile, overlap)
    room = max(0, memory.available(torch.device("cpu")) - memory.RESERVE)
    pictures = footprint.in_memory(head, max(scale, wanted.scale), target.suffix.lower())
    bytes_per_pixel = model.descriptor.bytes_per_pixel if model.device.type == "cpu" else 0
    edge = wanted.tile or max(head.width, head.height)
    tiles = work((head.height, head.width), edge, wanted, bytes_per_pixel)
    if pictures + min(tiles, room // 2) <= room:
        return False  # tiles that need more than half of the memory have to become smaller anyway
    obstacle = _obstacle(source, target.suffix.lower(), head, max(scale, wanted.scale), room)
    if obstacle is None:
        return True
    if pictures <= room:
        return False  # smaller tiles will do
    raise OutOfMemoryError(
        f"{source} ({head.width} x {head.height} pixels) takes about {pictures >> 20} MiB of memory and"
        f" {room >> 20} MiB are free; {obstacle[0]}.",
        obstacle[1],
    )


def restore_file(
    source: Path,
    temporary: Path,
    target: Path,
    model: Model,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    strength: float = 1.0,
    strip: bool = False,
    quality: int | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> Streamed:
    """Restore the picture in ``source`` into the file ``temporary``, in the format that ``target`` has by its name.

    The keywords are those of :class:`mambair_cli.restoration.choices.Choices`. If the picture has to be turned, it is
    unpacked to a second temporary file beside.

    Raises:
        InputError: the input is missing, damaged or of a kind that cannot be read in bands.
        OutputError: the result cannot be written.
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    report, suffix = report or Report(), target.suffix.lower()
    with opened(source, temporary.with_name(f"{temporary.stem}-turned.part")) as rows:
        rows_down, across, _ = rows.shape
        size = _size(across, rows_down, scale or model.descriptor.scale, width, height)
        check_size(target, *size)
        metadata, notes = _kept(rows, suffix, strip)
        tiling = _tiling(model, tile, overlap, (rows_down, across), report)
        empty = fit(Picture(np.empty((0, 0, rows.shape[2]), rows.dtype), metadata, notes), suffix)
        wanted = band_writer.Format(
            suffix=suffix,
            shape=(rows_down * tiling.scale, across * tiling.scale, empty.pixels.shape[2]),
            dtype=empty.pixels.dtype,
            size=size,
            metadata=empty.metadata,
            resolution=rows.resolution,
            quality=quality,
        )
        with band_writer.writing(temporary, wanted) as write:
            for block in _restored(rows, model, tiling, strength, report, progress):
                write(fit(Picture(block), suffix).pixels)
    report.peak_memory = max(report.peak_memory, memory.peak(model.device))
    return Streamed(across, rows_down, empty.notes)


def _size(across: int, down: int, scale: float, width: int | None, height: int | None) -> tuple[int, int]:
    """Width and height of the result; one that is given decides about the other."""
    if width and height:
        return width, height
    if width or height:
        scale = width / across if width else (height or down) / down
    return width or max(1, round(across * scale)), height or max(1, round(down * scale))


def _kept(rows: Bands, suffix: str, strip: bool) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata for the result, and what has to be said about it and the input."""
    metadata = Metadata() if strip else rows.metadata
    if metadata.exif and suffix in (".tif", ".tiff"):
        return replace(metadata, exif=b""), (*rows.notes, "EXIF is not written to TIFF files larger than memory")
    return metadata, rows.notes


def _tiling(model: Model, tile: int | None, overlap: int | None, shape: tuple[int, int], report: Report) -> Settings:
    """As for a picture in memory, but the result takes none."""
    wanted = settings(model, tile, overlap)
    room = memory.available(model.device)
    edge = fitting(shape, wanted, room, model.descriptor.bytes_per_pixel, whole_result=False)
    if edge == wanted.tile:
        return wanted
    report.retries.append(f"{room >> 20} MiB of free memory are too little, using tiles of {edge} pixels")
    return settings(model, edge, wanted.overlap)


def _restored(
    rows: Bands, model: Model, tiling: Settings, strength: float, report: Report, progress: Progress | None
) -> Iterator[Pixels]:
    """Finished rows; with ``strength`` below 1 they are blended with those of the input."""
    done = 0
    for block in restore_rows(rows, model.network, tiling, report, progress):
        if strength < 1 and tiling.scale == 1:
            before = rows.rows(done, done + len(block)).astype(np.float32)
            yield np.rint(before + np.float32(strength) * (block - before)).astype(block.dtype)
        else:
            yield block
        done += len(block)


def _obstacle(source: Path, suffix: str, head: footprint.Header, scale: float, room: int) -> tuple[str, str] | None:
    """Why a picture cannot be streamed, and what helps."""
    if source.suffix.lower() not in READABLE:
        return f"{source.suffix} files are only read as a whole", "Convert it to .tif or .png."
    if footprint.decoding(head) > room:
        return "files of its kind are unpacked as a whole", "Convert it to .tif, or to .png without interlacing."
    if suffix not in band_writer.SUFFIXES or footprint.encoding(head, scale, suffix) > room:
        return f"{suffix} files are only written as a whole", "Write a .tif or .png file with -o."
    if not vips.available():
        return "what works on such pictures in bands is not installed", vips.HINT
    return None
