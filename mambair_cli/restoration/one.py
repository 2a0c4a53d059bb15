"""One picture from file to file, in three stages that different threads may run: begin, restore, finish."""

import os
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError, OutOfMemoryError, OutputError, explained
from ..images import claims, files
from ..images.decode import decode, decode_bytes
from ..images.encode import check_size, encode, fit
from ..images.picture import Picture, Pixels
from ..weights.loader import Model
from . import pipes, sizes, stream
from .choices import Choices
from .compare import side_by_side
from .engine import Progress, Report
from .estimate import estimate
from .memory import is_out_of_memory
from .model import restore
from .record import Entry, Record, Stamp, source_stamp
from .result import Job, Result


@dataclass
class Work:
    """A picture on its way.

    Attributes:
        model: the one that restores it.
        stack: what is open: lock, temporary files.
        places: the temporary file for each output.
        replace: whether outputs that exist are replaced.
        before: the input as it was before it was read, if that is to be recorded.
        read: the input as it was when it was read, if that is to be recorded.
        starved: whether memory ran out, or would have.
        streamed: whether the picture is too large for memory; then the result goes straight to its temporary file.
    """

    job: Job
    result: Result
    model: Model
    stack: ExitStack = field(default_factory=ExitStack)
    places: dict[Path, Path] = field(default_factory=dict)
    replace: bool = False
    before: os.stat_result | None = None
    read: Stamp | None = None
    picture: Picture | None = None
    restored: Pixels | None = None
    starved: bool = False
    streamed: bool = False

    @property
    def outputs(self) -> list[Path]:
        """The files to be made; the result itself comes last, so that it is there only when all are."""
        files = [self.job.compare] if self.job.compare else []
        return files if self.job.piped_out else [*files, self.job.target]

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.result.skipped or self.result.held or self.result.error is not None

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Measure the time; whatever happens becomes part of the result, because the other files must go on."""
        started = time.monotonic()
        try:
            yield
        except Exception as error:
            message = explained(error, f"Restoring {self.job.input}")
            self.result.error, self.result.hint = message.message, message.hint
            self.result.trace = traceback.format_exc()
            self.starved = is_out_of_memory(error) or isinstance(error, OutOfMemoryError)
        self.result.seconds = round(self.result.seconds + time.monotonic() - started, 3)
        if self.over:
            self.close()

    def close(self) -> None:
        """Give up what is open."""
        self.stack.close()
        self.picture = self.restored = None


@dataclass
class Restorer:
    """A model with the choices of a run.

    Attributes:
        recipe: checksum of weights and choices if a record of results is to be kept, else None.
        piped: what came through standard input.
        for_poor: takes the place of ``model``, with the same sizes, for pictures that are noisy or compressed.
    """

    model: Model
    choices: Choices
    recipe: str | None = None
    piped: bytes = b""
    for_poor: Model | None = None
    records: dict[Path, Record] = field(default_factory=dict)

    def new(self, job: Job) -> Work:
        """A picture of which nothing is known yet."""
        scale = self.choices.scale or self.model.descriptor.scale
        compare = str(job.compare) if job.compare else None
        device = str(self.model.device)
        result = Result(job.input, job.output, self.model.name, device, scale, compare=compare)
        return Work(job, result, self.model, replace=self.choices.overwrite)

    def begin(self, work: Work) -> None:
        """Claim the output, read the input, and find out before the work that the result can be written."""
        with work.stage():
            self._claim(work)
            if not work.over:
                self._read(work)
                work.places = {path: work.stack.enter_context(files.reserved(path)) for path in work.outputs}

    def restore(self, work: Work, progress: Progress) -> None:
        """Run the network."""
        with work.stage():
            report, result = Report(), work.result
            if work.streamed:
                self._stream(work, report, progress)
            else:
                assert work.picture is not None
                wanted = self.choices.network()
                work.restored = restore(work.picture.pixels, work.model, report=report, progress=progress, **wanted)
            result.tile, result.tiles, result.retries = report.tile, report.tiles, report.retries
            result.notes += report.notes
            result.peak_memory = report.peak_memory

    def finish(self, work: Work) -> None:
        """Write the result."""
        if work.over:
            return
        with work.stage():
            if work.streamed:
                self._place(work, work.job.target)
            else:
                self._write(work)
        work.close()

    def _write(self, work: Work) -> None:
        assert work.picture is not None
        assert work.restored is not None
        job, suffix = work.job, work.job.target.suffix
        fitting = fit(Picture(work.restored, work.picture.metadata, work.picture.notes), suffix)
        work.result.notes += fitting.notes
        data = encode(fitting, suffix, quality=self.choices.quality)
        if job.compare:
            comparison = Picture(side_by_side(work.picture.pixels, work.restored))
            self._publish(work, job.compare, encode(comparison, job.compare.suffix))
        if job.piped_out:
            pipes.write(data)
        else:
            self._publish(work, job.target, data)

    def _stream(self, work: Work, report: Report, progress: Progress) -> None:
        """Restore a picture that is too large for memory into the temporary file of the result."""
        job = work.job
        done = stream.restore_file(
            job.source,
            work.places[job.target],
            job.target,
            self.model,
            self.choices,
            report,
            progress,
        )
        self._stamp(work)
        self._measured(work, done.width, done.height)
        work.result.notes += done.notes

    def _claim(self, work: Work) -> None:
        target = work.job.target
        if (self.choices.resume or work.job.again) and not work.job.piped_out:
            work.stack.enter_context(files.folder_of(target))
            with files.writing(target):
                work.result.held = not work.stack.enter_context(claims.claimed(target))
                if not work.result.held:
                    self._look_for_finished(work)
        elif not self.choices.overwrite:
            for path in work.outputs:
                files.check_new(path)

    def _look_for_finished(self, work: Work) -> None:
        """Skip what is finished; allow to replace results of earlier runs, and nothing else."""
        there = [path for path in work.outputs if os.path.lexists(path)]
        for path in work.outputs:
            if path not in there:
                files.check_new(path)  # which knows impossible names, too
        makers = [self._record(path).maker(path) if path.is_file() else None for path in there]
        if not work.replace and None in makers:
            taken = there[makers.index(None)]
            raise OutputError(
                f"{taken} exists already, and is no result of an earlier run, or was changed since.",
                "Add --overwrite, or choose another output with -o.",
            )
        work.result.skipped = len(there) == len(work.outputs) and all(
            maker is not None and maker.recipe == self.recipe and _same(maker.read, work.job.source) for maker in makers
        )
        work.replace = work.replace or bool(there)

    def _read(self, work: Work) -> None:
        job, choices = work.job, self.choices
        if job.piped_in:
            self._too_large(job)
            picture = decode_bytes(self.piped, "Standard input", **choices.reading())
        else:
            regular = job.source.is_file()  # a named pipe can be read only once, and is another one each time
            recorded = self.recipe is not None and regular and not job.piped_out
            work.before = job.source.stat() if recorded else None
            if regular and self._too_large(job):
                work.streamed = True
                return
            picture = decode(job.source, **choices.reading())
            self._stamp(work)
        height, width = picture.pixels.shape[:2]
        self._measured(work, width, height)
        check_size(job.target, *self._size(width, height))
        if choices.examine or self.for_poor:
            self._examine(work, picture)
        work.picture = picture

    def _examine(self, work: Work, picture: Picture) -> None:
        """Look how noisy and compressed a picture is, and take the model for it."""
        found = estimate(picture.pixels, self.piped if work.job.piped_in else work.job.source)
        if self.choices.examine:
            work.result.estimate = found
        if self.for_poor and found.poor:
            work.model, work.result.model = self.for_poor, self.for_poor.name
            work.result.notes.append(
                f"it has {found.poor}, so {self.for_poor.name} enlarges it; --model {self.model.name} does not repair."
            )

    def _too_large(self, job: Job) -> bool:
        """Whether the picture takes more memory than there is, and is to be streamed."""
        source = self.piped if job.piped_in else job.source
        if not stream.needed(source, job.target, self.model, self.choices, piped_out=job.piped_out):
            return False
        if job.compare:
            raise OutOfMemoryError(
                f"{job.source} is too large for memory, and --compare has to see all of it.", "Leave out --compare."
            )
        return True

    @staticmethod
    def _measured(work: Work, width: int, height: int) -> None:
        work.result.height, work.result.width = height, width
        work.result.megapixels = round(height * width / 1e6, 3)

    @staticmethod
    def _stamp(work: Work) -> None:
        """Note which state of the input was read, if that is to be recorded."""
        if work.before:
            work.read = source_stamp(work.job.source)
            if (work.before.st_size, work.before.st_mtime_ns) != (work.read.size, work.read.mtime_ns):
                raise InputError(f"{work.job.source} changed while it was read.", "Run again when it is complete.")

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Of the result."""
        choices = self.choices
        shape = (height, width)
        size = sizes.target(shape, self.model.descriptor.scale, choices.scale, choices.width, choices.height)
        return size[1], size[0]

    def _publish(self, work: Work, path: Path, data: bytes) -> None:
        files.fill(work.places[path], path, data)
        self._place(work, path)

    def _place(self, work: Work, path: Path) -> None:
        """Give a complete temporary file its name, and record it before."""
        temporary = work.places[path]
        if self.recipe is not None and work.read is not None:
            self._record(path).add(Entry(Stamp.of(temporary, path.name), work.read, self.recipe))
        files.place(temporary, path, work.replace)

    def _record(self, path: Path) -> Record:
        return self.records.setdefault(path.parent, Record(path.parent))


def _same(read: Stamp, source: Path) -> bool:
    """Whether an input is what was read; one that is not there is found missing when it is read."""
    try:
        return read.fits(source, str(source.absolute()))
    except OSError:
        return False
