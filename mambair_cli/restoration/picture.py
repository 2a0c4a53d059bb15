"""One picture or clip from file to file, in three stages that different threads may run: begin, restore, finish."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import OutOfMemoryError, explained
from ..images.decode import decode, decode_bytes
from ..images.encode import check_size, encode, fit
from ..images.picture import Picture, Pixels
from ..locations.url import Url
from ..weights.model import Model
from . import pipes, stream
from .choices import Choices
from .compare import side_by_side
from .copies import copied
from .engine import Progress, Report
from .estimate import estimate
from .memory import is_out_of_memory
from .output import Claim, Output
from .prepared import restore
from .record import Reading, Records
from .result import Job, Result
from .sizes import Shape
from .sources import ArraySource, Source
from .tiles import Floats, Make, Sharing, TileRow, alone


@dataclass(frozen=True)
class Run:
    """What the pictures of a run have in common.

    Attributes:
        records: what was made of what, if that is to be kept.
        piped: what came through standard input.
        for_poor: takes the place of ``model``, with the same sizes, for pictures that are noisy or compressed.
        sharing: who makes the rows of tiles of a picture, given its job, its result and whether it is for ``for_poor``.
    """

    model: Model
    choices: Choices
    records: Records = field(default_factory=Records)
    piped: bytes = b""
    for_poor: Model | None = None
    sharing: Callable[[Job, Result, bool], Sharing] = lambda job, result, poor: alone

    def new(self, job: Job) -> "Work":
        """A picture of which nothing is known yet."""
        scale = self.choices.scale or self.model.descriptor.scale
        compare = str(job.compare) if job.compare else None
        device = str(self.model.device)
        result = Result(job.input, job.output, self.model.name, device, scale, compare=compare)
        return Work(self, job, result, self.model, Output(job, self.records, self.choices.overwrite))


@dataclass
class Work:
    """A picture on its way.

    Attributes:
        model: the one that restores it.
        picture: the input; None for a clip or what is too large for memory, when the result goes straight to its
            temporary file.
        reading: the input file, if that is to be recorded.
        starved: whether memory ran out, or would have.
        file: the input on this machine: itself, or a copy.
    """

    run: Run
    job: Job
    result: Result
    model: Model
    output: Output
    picture: Picture | None = None
    restored: Pixels | None = None
    reading: Reading | None = None
    starved: bool = False
    file: Path = field(init=False)
    _copies: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.file = Path(self.job.source.name) if isinstance(self.job.source, Url) else self.job.source

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.result.skipped or self.result.held or self.result.error is not None

    def begin(self) -> None:
        """Claim the output, read the input, and find out before the work that the result can be written."""
        with self._stage():
            claim = self.output.claim(shared=self.run.choices.resume or self.job.again)
            self.result.held, self.result.skipped = claim is Claim.HELD, claim is Claim.FINISHED
            if not self.over:
                self._read()
                self.output.reserve()

    def restore(self, progress: Progress) -> None:
        """Run the network."""
        with self._stage():
            report, result, choices = Report(), self.result, self.run.choices
            notes: tuple[str, ...] = ()
            if self.picture is None:
                notes = self._stream(report, progress)
            else:
                pixels, sharing = self.picture.pixels, self._sharing
                self.restored = restore(pixels, self.model, choices, report=report, progress=progress, sharing=sharing)
            result.tile, result.tiles, result.retries = report.tile, report.tiles, report.retries
            result.notes += [*report.notes, *notes]
            result.peak_memory = report.peak_memory

    def finish(self) -> None:
        """Write the result."""
        if self.over:
            return
        with self._stage():
            if self.picture is None:
                self.output.place(self.job.target)
            else:
                self._write(self.picture)
        self.close()

    def close(self) -> None:
        """Give up what is open."""
        self.output.close()
        self._copies.close()
        self.picture = self.restored = None

    @contextmanager
    def _stage(self) -> Iterator[None]:
        """Measure the time; whatever happens becomes part of the result, because the other files must go on."""
        started = time.monotonic()
        try:
            yield
        except Exception as error:
            message = explained(error, f"Restoring {self.job.input}")
            text = message.message
            if isinstance(self.job.source, Url) and self.file.is_absolute():  # a copy, of which nobody knows
                text = text.replace(str(self.file), str(self.job.source))
            self.result.error, self.result.hint = text, message.hint
            self.result.trace = traceback.format_exc()
            self.starved = is_out_of_memory(error) or isinstance(error, OutOfMemoryError)
        self.result.seconds = round(self.result.seconds + time.monotonic() - started, 3)
        if self.over:
            self.close()

    def _read(self) -> None:
        """The input, unless it is too large for memory."""
        job, run = self.job, self.run
        recorded = run.records.fingerprint is not None and not (job.piped_in or job.piped_out)
        if isinstance(job.source, Url) and not job.piped_in:
            before = Reading(job.source) if recorded else None
            self.file = self._copies.enter_context(copied(job.source))
            self.reading = before and before.of(self.file)
        content = run.piped if job.piped_in else self.file
        # A named pipe can be read only once, and is another one each time: its size is found out while it is decoded.
        regular = not job.piped_in and self.file.is_file()
        if regular and recorded and not self.reading:
            self.reading = Reading(self.file)
        if job.clip:
            from .clip import check

            assert isinstance(job.target, Path)
            self._was_read(check(self.file, job.target, run.model, run.choices))
            return
        if (regular or job.piped_in) and self._too_large(content):
            return
        if isinstance(content, bytes):
            picture = decode_bytes(content, "Standard input", **run.choices.reading())
        else:
            picture = decode(content, **run.choices.reading())
        shape = (picture.pixels.shape[0], picture.pixels.shape[1])
        self._was_read(shape)
        height, width = run.choices.size(shape, run.model.descriptor.scale)
        check_size(job.target, width, height)
        self._look(ArraySource(picture.pixels))
        self.picture = picture

    def _look(self, source: Source) -> Model:
        """Find out how noisy and compressed the picture is, where that matters, and which model is for it."""
        run, result = self.run, self.result
        if run.choices.examine or run.for_poor:
            found = estimate(source, run.piped if self.job.piped_in else self.file)
            result.estimate = found if run.choices.examine else None
            if run.for_poor and found.poor:
                self.model, result.model = run.for_poor, run.for_poor.name
                plain = f"the model {run.model.name} would leave that as it is"
                result.notes.append(f"it has {found.poor}, so {self.model.name} enlarges it; {plain}.")
        return self.model

    def _too_large(self, content: Path | bytes) -> bool:
        """Whether the picture takes more memory than there is, and is to be streamed."""
        job, run = self.job, self.run
        if not stream.needed(content, job.target, run.model, run.choices, piped_out=job.piped_out):
            return False
        if job.compare:
            raise OutOfMemoryError(
                f"{job.source} is too large for memory, and --compare has to see all of it.", "Leave out --compare."
            )
        return True

    def _stream(self, report: Report, progress: Progress) -> tuple[str, ...]:
        """Restore what is not in memory as a whole into the temporary file of the result; what is not in it."""
        job, run = self.job, self.run
        temporary, look = self.output.temporary, self._look
        if job.clip:
            from .clip import restore_file

            assert isinstance(job.target, Path)
            files, kept = (self.file, temporary, job.target), run.records.fingerprint
            done = restore_file(*files, run.model, run.choices, report, progress, look, kept)
        else:
            how = (run.model, run.choices, report, progress, look, self._sharing)
            done = stream.restore_file(self.file, temporary, job.target, *how)
        self.result.frames = done.frames
        self._was_read(done.shape)
        return done.notes

    def _sharing(self, rows: Sequence[TileRow], make: Make) -> Iterator[Floats | None]:
        """See :data:`mambair_cli.restoration.tiles.Sharing`; which model is the right one is known by now."""
        return self.run.sharing(self.job, self.result, self.model is self.run.for_poor)(rows, make)

    def _was_read(self, shape: Shape) -> None:
        """Note what the input is, and was while it was read."""
        height, width = self.result.height, self.result.width = shape
        self.result.megapixels = round(height * width * (self.result.frames or 1) / 1e6, 3)
        if self.reading:
            self.output.read = self.reading.stamp()

    def _write(self, picture: Picture) -> None:
        assert self.restored is not None
        job, suffix = self.job, self.job.target.suffix
        fitting = fit(Picture(self.restored, picture.metadata, picture.notes), suffix)
        self.result.notes += fitting.notes
        data = encode(fitting, suffix, quality=self.run.choices.quality)
        if job.compare:
            comparison = Picture(side_by_side(picture.pixels, self.restored))
            self.output.publish(job.compare, encode(comparison, job.compare.suffix))
        if job.piped_out:
            pipes.write(data)
        else:
            self.output.publish(job.target, data)
