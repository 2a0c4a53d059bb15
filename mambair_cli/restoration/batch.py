"""Many images through one pipeline: which inputs, which output names, and one bad file never stops the rest."""

import glob
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, MambairError, OutputError, UsageError
from ..images import formats
from ..images.picture import Picture
from ..weights.loader import Model
from .engine import Progress, Report

SUFFIXES = {"denoise": "_denoised", "dejpeg": "_dejpeg", "dehaze": "_dehazed"}


@dataclass(frozen=True)
class Job:
    """One input and where its result goes."""

    source: Path
    target: Path


@dataclass
class Result:
    """What became of one input; a line of ``--json``."""

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
    error: str | None = None
    hint: str | None = None

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def suffix(task: str, scale: int) -> str:
    """What is appended to the name of an input."""
    return SUFFIXES.get(task, f"_x{scale}")


def jobs(inputs: Sequence[str], output: str | None, ending: str) -> list[Job]:
    """Inputs (files, folders, globs) with their outputs.

    Raises:
        InputError: a folder or pattern holds no image.
        UsageError: an output is an input, is named twice or has an unknown suffix.
    """
    found = [(source, root) for text in inputs for source, root in _expand(text, ending)]
    several = len(found) > 1 or any(Path(text).is_dir() for text in inputs)
    folder = output is not None and (several or output.endswith(("/", os.sep)) or Path(output).is_dir())
    plan = []
    for source, root in found:
        name = f"{source.stem}{ending}.png"
        if output is None:
            target = source.with_name(name)
        elif folder:
            target = Path(output) / source.parent.relative_to(root) / name
        else:
            target = Path(output)
        plan.append(Job(source, target))
    _check(plan)
    return plan


def _expand(text: str, ending: str) -> Iterator[tuple[Path, Path]]:
    """Files with the folder to which their place in the output tree is relative."""
    path = Path(text)
    if path.is_dir():
        images = sorted(file for file in path.rglob("*") if file.is_file() and formats.is_image(file))
        results = {file.with_name(f"{file.stem}{ending}.png") for file in images}
        images = [file for file in images if file not in results]
        if not images:
            raise InputError(f"The folder {path} holds no image.", f"Put images into it: {formats.listing()}.")
        yield from ((image, path) for image in images)
    elif not path.exists() and glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True)) if Path(match).is_file()]  # noqa: PTH207
        if not matches:
            raise InputError(f"Nothing matches {text}.", "Check the pattern.")
        yield from ((match, match.parent) for match in matches)
    else:
        yield path, path.parent


def _check(plan: Iterable[Job]) -> None:
    sources = {job.source.resolve(): job.source for job in plan}
    targets: dict[Path, Path] = {}
    for job in plan:
        target = job.target.resolve()
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


def _check_target(target: Path, overwrite: bool) -> None:
    """Find out that a result cannot be written before hours of work, not after."""
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already.", "Add --overwrite, or choose another output with -o.")
    folder = next(parent for parent in target.parents if parent.exists())
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{target} cannot be written.", "Choose a folder that you may write to with -o.")


def run(job: Job, model: Model, tile: int | None, overlap: int | None, overwrite: bool, progress: Progress) -> Result:
    """Restore one file; a failure is part of the result."""
    started = time.monotonic()
    result = Result(str(job.source), str(job.target), model.name, model.descriptor.scale)
    try:
        _run(job, model, tile, overlap, overwrite, progress, result)
    except MambairError as error:
        result.error, result.hint = error.message, error.hint
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
    from ..images.decode import decode
    from ..images.encode import encode, write
    from .model import restore

    _check_target(job.target, overwrite)
    picture = decode(job.source)
    result.height, result.width = picture.pixels.shape[:2]
    result.megapixels = round(result.height * result.width / 1e6, 3)
    report = Report()
    pixels = restore(picture.pixels, model, tile=tile, overlap=overlap, report=report, progress=progress)
    result.tile, result.tiles, result.retries = report.tile, report.tiles, report.retries
    data = encode(Picture(pixels, picture.metadata), job.target.suffix)
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{job.target.parent} cannot be made: {error.strerror}.", "Choose another -o.") from None
    write(job.target, data)
