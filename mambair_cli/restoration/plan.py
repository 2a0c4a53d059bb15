"""Which inputs, and which output names."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import tasks
from ..errors import InputError, UsageError
from ..images import formats
from ..locations.either import is_folder, real
from ..locations.url import Location, located, refuse
from ..video.kinds import WRITTEN, is_clip, listing, result_suffix
from .inputs import Origin, expand
from .result import Job

PIPE = "-"


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: every picture.
        left_out: files in folders and patterns that are results of this or an earlier run.
        unread: how many files of each suffix folders hold that are no pictures we read.
        renamed: jobs whose output has the suffix of the input in its name, because another one's has the same stem.
    """

    jobs: list[Job]
    left_out: list[Location] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    renamed: list[Job] = field(default_factory=list)

    def news(self, before: "Plan") -> "Plan":
        """What there is to be said beyond an earlier plan for the same folder; results come all the time."""
        renamed = [job for job in self.renamed if job not in before.renamed]
        return replace(self, left_out=[], unread=self.unread - before.unread, renamed=renamed)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are called.

    Attributes:
        ending: what is appended to the name of an input.
        format: suffix of pictures without its dot; None: that of the output file that is named, else png.
        compare: whether a comparison is written beside each output.
    """

    ending: str
    format: str | None = None
    compare: bool = False

    def name(self, source: Location, attempt: int = 0) -> str:
        """The output's name for an input: made of its stem, then of its whole name, then also of a number from 2 on."""
        suffix = result_suffix(source) if is_clip(source) else f".{self.format or 'png'}"
        number = f"_{attempt}" if attempt > 1 else ""
        return f"{source.name if attempt else source.stem}{number}{self.ending}{suffix}"


def ending(task: str, scale: float, width: int | None = None, height: int | None = None) -> str:
    """What is appended to the name of an input unless the user says something else."""
    if width or height:
        return f"_{width}x{height}" if width and height else f"_w{width}" if width else f"_h{height}"
    return tasks.get(task).suffix or f"_x{scale:g}"


def comparison(target: Location) -> Location:
    """Where the comparison of an output goes."""
    return target.with_name(f"{target.stem}_compare.png")


def plan(
    inputs: Sequence[str],
    output: str | None,
    naming: Naming,
    recursive: bool = True,
    unread: Counter[str] | None = None,
) -> Plan:
    """Inputs (files, folders, patterns, or ``-`` alone) with their outputs.

    In ``unread``, files that are no pictures are counted, also if there are no pictures.

    A file that was found in a folder or by a pattern is left out if another input's result has its name, or if it lies
    in the output folder inside the folder that was searched: it is a result.

    Raises:
        InputError: a folder or pattern holds no image.
        UsageError: an output is an input, is named twice, or does not go with its name or with standard output; or a
            name is empty.
    """
    if "" in inputs or output == "":
        what = "An output" if output == "" else "An input"
        raise UsageError(f"{what} without a name was given.", "Check whether a variable of your shell is empty.")
    if PIPE in inputs:
        return Plan([_piped(inputs, output, naming)])
    unread = Counter() if unread is None else unread
    found = [origin for text in inputs for origin in expand(text, recursive, unread)]
    several = len(found) > 1 or any(is_folder(located(text)) for text in inputs)
    if output == PIPE:
        return Plan([_to_pipe(found, several, naming)])
    file = located(output) if output else None
    if several and output and file and not _is_folder(output) and (formats.is_image(file) or is_clip(file)):
        raise UsageError(f"{len(found)} pictures cannot all become {output}.", f"Name a folder: -o {output}/.")
    folder = output is not None and (several or _is_folder(output))
    every, renamed = _apart([_job(origin, output, folder, naming) for origin in found], naming)
    results = _results(every) | (_inside(found, output) if folder and output else set())
    jobs = [job for job in every if job.named or job.source not in results]
    if not jobs:
        raise InputError(f"{', '.join(inputs)} holds only results of earlier runs.", "Name the files to be restored.")
    _check(jobs, naming)
    return Plan(jobs, sorted(results, key=str), unread, [job for job in renamed if job in jobs])


def _apart(jobs: list[Job], naming: Naming) -> tuple[list[Job], list[Job]]:
    """All jobs, and those that got another output: all but the first of those with one stem, as a.jpg and a.png."""
    taken: dict[Location, Location] = {}
    apart, renamed = [], []
    for job in jobs:
        target, attempts = job.target, itertools.count(1)
        while taken.setdefault(real(target), job.source) != job.source:
            target = job.target.with_name(naming.name(job.source, next(attempts)))
        if target != job.target:
            job = replace(job, target=target, compare=comparison(target) if naming.compare else None)
            renamed.append(job)
        apart.append(job)
    return apart, renamed


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or is_folder(located(output))


def _job(origin: "Origin", output: str | None, folder: bool, naming: Naming) -> Job:
    name = naming.name(origin.path)
    if output is None:
        target = origin.path.with_name(name)
    elif folder:
        target = located(output) / origin.below / name
    else:
        target = located(output)
    return Job(origin.path, target, origin.searched is None, comparison(target) if naming.compare else None)


def _piped(inputs: Sequence[str], output: str | None, naming: Naming) -> Job:
    """From standard input, by default to standard output."""
    if len(inputs) > 1:
        raise UsageError("Standard input is one picture; it cannot be restored with others.", "Give - alone.")
    source = Path("stdin")
    if output is None or output == PIPE:
        return Job(source, _pipe(naming), piped_in=True, piped_out=True)
    target = located(output) / naming.name(source) if _is_folder(output) else located(output)
    job = Job(source, target, True, comparison(target) if naming.compare else None, piped_in=True)
    _check([job], naming)
    return job


def _to_pipe(found: Sequence["Origin"], several: bool, naming: Naming) -> Job:
    if several:
        raise UsageError("Standard output takes one picture, not several.", "Give a folder with -o.")
    if is_clip(found[0].path):
        raise UsageError("A clip cannot go to standard output.", "Give a file with -o.")
    return Job(found[0].path, _pipe(naming), piped_out=True)


def _pipe(naming: Naming) -> Path:
    """A name for standard output, which says the format."""
    if naming.compare:
        raise UsageError("A comparison cannot go to standard output.", "Give a file with -o.")
    return Path("stdout").with_suffix(f".{naming.format or 'png'}")


def _results(every: Iterable[Job]) -> set[Location]:
    """Sources, found by a search, that another source's result or comparison would replace."""
    makers = {real(place): job for job in every for place in (comparison(job.target), job.target)}
    return {job.source for job in every if not job.named and makers.get(real(job.source), job) != job}


def _inside(found: Iterable[Origin], output: str) -> set[Location]:
    """Sources in the output folder, if that is a folder inside the one that was searched."""
    place = real(located(output))
    return {
        origin.path
        for origin in found
        if origin.searched is not None and place in real(origin.path).parents and real(origin.searched) in place.parents
    }


def _check(jobs: Iterable[Job], naming: Naming) -> None:
    sources = {real(job.source): job.source for job in jobs if not job.piped_in}
    targets: dict[Location, Location] = {}
    for job in jobs:
        if job.clip:
            _check_clip(job)
        else:
            check_format(job.target, naming)
        for place in [job.target, *([job.compare] if job.compare else [])]:
            target = real(place)
            if target in sources:
                raise UsageError(f"The output {place} is also an input.", "Choose another output with -o.")
            if target in targets:
                raise UsageError(
                    f"{targets[target]} and {job.source} would both be written to {place}.",
                    "Restore them in separate runs with different outputs.",
                )
            targets[target] = job.source


def _check_clip(job: Job) -> None:
    """Refuse an output that is no clip, or a comparison, which is a picture."""
    for place in (job.source, job.target):
        if not isinstance(place, Path):
            refuse(str(place), "Clips are restored in folders of this machine", "Copy it from or to the store.")
    if job.target.suffix.lower() not in WRITTEN:
        raise UsageError(f"The output {job.target} of a clip has no suffix of one.", f"Use one of {listing()}.")
    if job.compare:
        raise UsageError(f"{job.source} is a clip, and --compare is for pictures.", "Leave out --compare.")


def check_format(target: Location, naming: Naming) -> None:
    """Refuse an output that cannot be written here, or is not of the format that was asked for."""
    row = formats.by_suffix(target.suffix)
    if row is None or row not in formats.writable():
        known = ", ".join(sorted(suffix for each in formats.writable() for suffix in each.suffixes))
        raise UsageError(f"The output {target} has no suffix of a known image format.", f"Use one of {known}.")
    if not row.installed:
        raise UsageError(f"What writes {target.suffix} files is not installed.", formats.EXTRA)
    if naming.format and row.name != naming.format:
        raise UsageError(f"The output {target} is no {naming.format}.", "Leave --format or -o out.")
