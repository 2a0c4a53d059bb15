"""Many images through one pipeline: which inputs, which output names, and one bad file never stops the rest."""

import glob
import itertools
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, UsageError, explained
from ..images import files, formats
from ..images.decode import decode
from ..images.encode import check_size, encode, fit
from ..images.picture import Picture
from ..weights.loader import Model
from .engine import Progress, Report
from .model import restore

SUFFIXES = {"denoise": "_denoised", "dejpeg": "_dejpeg", "dehaze": "_dehazed"}


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; ``named`` if the user asked for this very file."""

    source: Path
    target: Path
    named: bool = True


@dataclass(frozen=True)
class Plan:
    """What is to be done, and files in folders and patterns that are results of this or an earlier run."""

    jobs: list[Job]
    left_out: list[Path]


@dataclass
class Result:
    """What became of one input; a line of ``--json``.

    Attributes:
        retries: how and why the tile became smaller.
        notes: what of the input is not in the output.
        trace: traceback of the error, for ``--verbose`` only.
    """

    input: str
    output: str
    model: str
    scale: int
    width: int = 0
    height: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    tile: int = 0
    tiles: int = 0
    retries: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    hint: str | None = None
    trace: str = ""

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {key: value for key, value in asdict(self).items() if key != "trace"}


def suffix(task: str, scale: int) -> str:
    """What is appended to the name of an input."""
    return SUFFIXES.get(task, f"_x{scale}")


def plan(inputs: Sequence[str], output: str | None, ending: str) -> Plan:
    """Inputs (files, folders, globs) with their outputs.

    A file that was found in a folder or by a pattern is left out if another input's result has its name, or if it lies
    in the output folder inside the folder that was searched: it is a result.

    Raises:
        InputError: a folder or pattern holds no image.
        UsageError: an output is an input, is named twice or has an unknown suffix.
    """
    found = [origin for text in inputs for origin in _expand(text)]
    several = len(found) > 1 or any(os.path.isdir(text) for text in inputs)  # noqa: PTH112
    folder = output is not None and (several or output.endswith(("/", os.sep)) or os.path.isdir(output))  # noqa: PTH112
    every = []
    for origin in found:
        name = f"{origin.path.stem}{ending}.png"
        if output is None:
            target = origin.path.with_name(name)
        elif folder:
            target = Path(output) / origin.path.parent.relative_to(origin.root) / name
        else:
            target = Path(output)
        every.append(Job(origin.path, target, origin.searched is None))
    results = _results(every) | (_inside(found, output) if folder and output else set())
    jobs = [job for job in every if job.named or job.source not in results]
    if not jobs:
        raise InputError(f"{', '.join(inputs)} holds only results of earlier runs.", "Name the files to be restored.")
    _check(jobs)
    return Plan(jobs, sorted(results))


@dataclass(frozen=True)
class _Origin:
    """An input; its place in the output tree is relative to ``root``. ``searched``: the folder it was found in."""

    path: Path
    root: Path
    searched: Path | None = None


def _expand(text: str) -> Iterator[_Origin]:
    # os.path asks about any name; pathlib raises for names that are too long and for folders that are closed to us.
    path = Path(text)
    if os.path.isdir(path):  # noqa: PTH112
        images = sorted(file for file in path.rglob("*") if os.path.isfile(file) and formats.is_image(file))  # noqa: PTH113
        if not images:
            raise InputError(f"The folder {path} holds no image.", f"Put images into it: {formats.listing()}.")
        yield from (_Origin(image, path, path) for image in images)
    elif not os.path.lexists(path) and glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True)) if os.path.isfile(match)]  # noqa: PTH113, PTH207
        if not matches:
            raise InputError(f"Nothing matches {text}.", "Check the pattern.")
        searched = Path(*_plain(path.parts))
        yield from (_Origin(match, match.parent, searched) for match in matches)
    else:
        yield _Origin(path, path.parent)


def _plain(parts: Iterable[str]) -> Iterator[str]:
    """The parts before the first with a wildcard."""
    return itertools.takewhile(lambda part: not glob.has_magic(part), parts)


def _results(every: Iterable[Job]) -> set[Path]:
    """Sources, found by a search, that another source's result would replace."""
    makers = {_real(job.target): job for job in every}
    return {job.source for job in every if not job.named and makers.get(_real(job.source), job) != job}


def _inside(found: Iterable[_Origin], output: str) -> set[Path]:
    """Sources in the output folder, if that is a folder inside the one that was searched."""
    place = _real(Path(output))
    return {
        origin.path
        for origin in found
        if origin.searched is not None
        and place in _real(origin.path).parents
        and _real(origin.searched) in place.parents
    }


def _real(path: Path) -> Path:
    """The file behind all links; ``Path.resolve`` raises for links that go round in circles."""
    return Path(os.path.realpath(path))


def _check(jobs: Iterable[Job]) -> None:
    sources = {_real(job.source): job.source for job in jobs}
    targets: dict[Path, Path] = {}
    for job in jobs:
        target = _real(job.target)
        if not formats.is_image(job.target):
            raise UsageError(
                f"The output {job.target} has no suffix of a known image format.", f"Use one of {formats.listing()}."
            )
        if target in sources:
            raise UsageError(f"The output {job.target} is also an input.", "Choose another output with -o.")
        if target in targets:
            raise UsageError(
                f"{targets[target]} and {job.source} would both be written to {job.target}.",
                "Restore them in separate runs with different outputs.",
            )
        targets[target] = job.source


def run(job: Job, model: Model, tile: int | None, overlap: int | None, overwrite: bool, progress: Progress) -> Result:
    """Restore one file; a failure, of whatever kind, is part of the result."""
    started = time.monotonic()
    result = Result(str(job.source), str(job.target), model.name, model.descriptor.scale)
    try:
        _run(job, model, tile, overlap, overwrite, progress, result)
    except Exception as error:  # the other files must go on
        message = explained(error, f"Restoring {job.source}")
        result.error, result.hint, result.trace = message.message, message.hint, traceback.format_exc()
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _run(
    job: Job,
    model: Model,
    tile: int | None,
    overlap: int | None,
    overwrite: bool,
    progress: Progress,
    result: Result,
) -> None:
    if not overwrite:
        files.check_new(job.target)
    picture = decode(job.source)
    result.height, result.width = picture.pixels.shape[:2]
    result.megapixels = round(result.height * result.width / 1e6, 3)
    check_size(job.target, result.width * result.scale, result.height * result.scale)
    report = Report()
    with files.reserved(job.target) as temporary:
        pixels = restore(picture.pixels, model, tile=tile, overlap=overlap, report=report, progress=progress)
        result.tile, result.tiles, result.retries = report.tile, report.tiles, report.retries
        fitting = fit(Picture(pixels, picture.metadata, picture.notes), job.target.suffix)
        result.notes = list(fitting.notes)
        files.publish(temporary, job.target, encode(fitting, job.target.suffix), overwrite)
