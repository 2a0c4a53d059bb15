"""A clip from file to file: each frame is restored as a picture, in no more memory than that takes."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..images.picture import Pixels
from ..video import joining
from ..video.encoding import LONGEST, Encoding
from ..video.library import load
from ..video.reading import Clip, Frame, opened
from ..video.segments import LENGTH, Segments
from ..weights.model import Model
from .choices import Choices
from .engine import Progress, Report
from .prepared import restore
from .sizes import Shape
from .sources import ArraySource, Source
from .steady import steadied
from .stream import Streamed


def check(source: Path, target: Path, model: Model, choices: Choices) -> Shape:
    """Height and width of a clip, once it is known that it can be restored to ``target``.

    Raises:
        InputError: it cannot be read, is of high dynamic range, or becomes too large.
        MambairError: PyAV is not installed.
    """
    with opened(source, max_pixels=choices.max_pixels) as clip:
        height, width = choices.size(clip.shape, model.descriptor.scale)
        if max(height, width) > LONGEST:
            raise InputError(
                f"{target} would have {width} x {height} pixels, and H.264 ends at {LONGEST} along an edge.",
                "Give a smaller --scale or --width.",
            )
        joining.check(clip, target)
        return clip.shape


@dataclass
class Work:
    """A clip on its way."""

    clip: Clip
    model: Model
    choices: Choices
    report: Report
    progress: Progress
    done: int = 0

    def moments(self) -> Iterator["Moment"]:
        """All frames, each with its neighbours if it is to be blended with them."""
        before: Moment | None = None
        for frame in self.clip.frames():
            moment = Moment(frame, self)
            if before:
                if self.choices.steady:
                    before.neighbours.append(moment)
                    moment.neighbours.append(before)
                yield before
                before.neighbours.clear()  # or each would hold all before it
            before = moment
        if before:
            yield before

    def results(self, moments: Iterable["Moment"]) -> Iterator[tuple[Frame, Pixels]]:
        """Frames with what becomes of them."""
        for moment in moments:
            neighbours = [each.restored for each in moment.neighbours]
            yield moment.frame, steadied(moment.restored, neighbours, self.clip.shape)
            self.passed(1)

    def restored(self, frame: Frame) -> Pixels:
        """A frame by itself."""
        own = Report()
        pixels = restore(frame.pixels, self.model, self.choices, report=own)
        self._note(own)
        return pixels

    def passed(self, frames: int) -> None:
        """Count frames as done."""
        self.done += frames
        self.progress(self.done, max(self.done, self.clip.total))

    def _note(self, own: Report) -> None:
        """Sum up; what is said of every frame is said once, and memory that ran out once is not tried again."""
        report = self.report
        if own.retries:
            self.choices = replace(self.choices, tile=own.tile)
        report.retries += [text for text in own.retries if text not in report.retries]
        report.notes += [text for text in own.notes if text not in report.notes]
        report.tile, report.tiles = own.tile, report.tiles + own.tiles
        report.peak_memory = max(report.peak_memory, own.peak_memory)


@dataclass(eq=False)
class Moment:
    """A frame that is restored when it is needed, which is never if an earlier run did that."""

    frame: Frame
    work: Work
    neighbours: list["Moment"] = field(default_factory=list)

    @cached_property
    def restored(self) -> Pixels:
        """The frame by itself."""
        return self.work.restored(self.frame)


def restore_file(
    source: Path,
    temporary: Path,
    target: Path,
    model: Model,
    choices: Choices,
    report: Report,
    progress: Progress,
    look: Callable[[Source], Model],
    fingerprint: str | None = None,
) -> Streamed:
    """Restore the clip in ``source`` into the file ``temporary``, of the kind that ``target`` has by its name.

    What is done is kept in pieces beside ``target`` until all is; after an interruption, ``choices.resume`` goes on
    with them if they were made of the same file and have the same ``fingerprint`` of weights and choices.

    Raises:
        InputError: the clip is damaged, or of a kind that cannot be restored.
        OutputError: the result cannot be written.
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    with opened(source, strict=choices.strict, max_pixels=choices.max_pixels) as clip:
        model = look(ArraySource(clip.middle()))
        size = choices.size(clip.shape, model.descriptor.scale)
        encoding = Encoding.fitting(size, clip.colours, clip.aspect, clip.time_base, clip.rate, choices.crf)
        segments = Segments(target, _made_of(source, encoding, fingerprint), choices.resume and fingerprint is not None)
        work = Work(clip, model, choices, report, progress)
        for number, frames in enumerate(_pieces(work.moments())):
            if number in segments:
                work.passed(sum(1 for _ in frames))
            else:
                segments.add(number, encoding.packets(work.results(frames), clip.time_base))
        joining.join(clip, segments, encoding, temporary, target, strip=choices.strip)
        segments.remove()
        return Streamed(clip.shape, (*clip.notes, *_differences(clip, encoding, size)), work.done)


def _made_of(source: Path, encoding: Encoding, fingerprint: str | None) -> dict[str, Any]:
    state = source.stat()
    return {
        "source": [str(source.absolute()), state.st_size, state.st_mtime_ns],
        "fingerprint": fingerprint,
        "encoding": encoding,
        "libraries": load().library_versions,
    }


def _pieces(frames: Iterator[Moment]) -> Iterator[Iterator[Moment]]:
    for first in frames:
        piece = itertools.chain([first], itertools.islice(frames, LENGTH - 1))
        yield piece
        for _ in piece:  # what the caller left of it
            pass


def _differences(clip: Clip, encoding: Encoding, size: Shape) -> Iterator[str]:
    if encoding.size != size:
        yield f"the result has {encoding.size[1]} x {encoding.size[0]} pixels, because H.264 takes even sizes"
    if encoding.format != clip.colours.format:
        yield f"it is encoded as {encoding.codec} with {encoding.format}, which holds less than {clip.colours.format}"
