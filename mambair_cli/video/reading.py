"""The frames of a clip, upright, one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..images import container
from ..images.picture import Pixels
from .colours import Colours
from .library import load, reason

MISSING_SECONDS, MISSING_SHARE = 0.5, 0.05
"""From when on pictures end too early: sound may be a little longer."""

HDR = "Make it SDR first: docs/video.md has the command."


@dataclass(frozen=True)
class Frame:
    """One moment.

    Attributes:
        pixels: upright R'G'B', uint8 or uint16.
        pts: when it is shown, in the clip's time base.
        duration: for how long, likewise; 0 if nobody knows.
    """

    pixels: Pixels
    pts: int
    duration: int


@dataclass
class Clip:
    """A clip that is open for reading.

    Attributes:
        container: of PyAV.
        stream: of its pictures.
        shape: height and width, upright.
        turn: quarter turns, counterclockwise, that make frames upright.
        aspect: of an upright pixel, width : height; None if the clip says nothing.
        rate: frames per second, on average.
        total: frames, as far as the clip or its length says; 0 if it does not.
        notes: what of the clip is not restored, and what was mended.
    """

    path: Path
    container: Any
    stream: Any
    strict: bool
    colours: Colours
    shape: tuple[int, int]
    turn: int
    aspect: Fraction | None
    rate: Fraction
    total: int
    notes: list[str] = field(default_factory=list)

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of time, as one over a whole number: encoders want it so."""
        return Fraction(1, Fraction(self.stream.time_base).denominator)

    @property
    def others(self) -> list[Any]:
        """Sound and subtitles."""
        return [stream for stream in self.container.streams if stream.type in ("audio", "subtitle")]

    def frames(self) -> Iterator[Frame]:
        """All frames from the first to the last; times grow from frame to frame.

        Raises:
            InputError: the clip is damaged and ``strict``, or changes its size.
        """
        ticks, last, step = Fraction(self.stream.time_base).numerator, None, 0
        for frame in self._decoded():
            if (frame.height, frame.width) != self._stored:
                raise InputError(
                    f"{self.path} changes its size to {frame.width} x {frame.height} pixels.", "Cut it there first."
                )
            self._look(frame)
            step = frame.duration or max(1, round(1 / (self.rate * Fraction(self.stream.time_base))))
            pts = frame.pts if frame.pts is not None else 0 if last is None else last + step
            pts = pts if last is None else max(pts, last + 1)
            last = pts
            pixels = np.rot90(self.colours.to_pixels(frame), self.turn)
            yield Frame(np.ascontiguousarray(pixels), pts * ticks, frame.duration * ticks)
        if last is not None:
            self._check_end(float((last + step) * self.stream.time_base))

    def middle(self) -> Pixels:
        """A frame from the middle, or the first where that cannot be reached."""
        av = load()
        with av.open(str(self.path)) as other:
            stream = other.streams[self.stream.index]
            for position in (self._half, 0):
                try:
                    other.seek(position, stream=stream)
                    frame = next(other.decode(stream))
                except (av.FFmpegError, StopIteration):
                    continue
                return np.ascontiguousarray(np.rot90(self.colours.to_pixels(frame), self.turn))
        raise InputError(f"{self.path} holds no frame that can be read.", "Check the file.")

    @property
    def _half(self) -> int:
        return int(self.stream.start_time or 0) + int(self.stream.duration or 0) // 2

    @property
    def _stored(self) -> tuple[int, int]:
        return self.shape[::-1] if self.turn % 2 else self.shape

    def _decoded(self) -> Iterator[Any]:
        av = load()
        with av.open(str(self.path)) as source:
            stream = source.streams[self.stream.index]
            stream.thread_type = "AUTO"
            packets = source.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet else []
                except av.FFmpegError as error:
                    self._damaged(f"damaged frames are left out ({reason(error)})")
                    continue
                if packet is None:
                    return
                yield from frames

    def packets(self) -> Iterator[Any]:
        """Those of sound and subtitles; from a file of its own, because a way back can miss the first of them."""
        with load().open(str(self.path)) as source:
            for packet in source.demux([source.streams[stream.index] for stream in self.others]):
                if packet.dts is not None:
                    yield packet

    def _damaged(self, text: str) -> None:
        if self.strict:
            raise InputError(f"{self.path} is refused: {text}.", "Leave out --strict, or mend it.")
        self._note(text)

    def _check_end(self, end: float) -> None:
        """What reads containers ends without a word where it finds no way on."""
        if self.seconds - end > max(MISSING_SECONDS, MISSING_SHARE * self.seconds):
            self._damaged(f"its pictures end at {end:.1f} s, though it should last {self.seconds:.1f} s")

    @property
    def seconds(self) -> float:
        """How long the clip says that it lasts, from time 0; 0 if it does not say."""
        if self.stream.duration:
            return float((self.stream.duration + (self.stream.start_time or 0)) * self.stream.time_base)
        return ((self.container.duration or 0) + (self.container.start_time or 0)) / 1e6

    def _look(self, frame: Any) -> None:
        if frame.interlaced_frame:
            self._note("it is interlaced, and rows of two moments are restored as one picture; deinterlace it first")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@contextmanager
def opened(path: Path, *, strict: bool = False, max_pixels: int | None = None) -> Iterator[Clip]:
    """A clip, once it is known that its frames can be restored.

    Raises:
        InputError: it is missing, damaged, of high dynamic range, too large, or holds no pictures.
        MambairError: PyAV is not installed.
    """
    av = load()
    if not path.is_file():
        raise InputError(f"{path} is missing or no file.", "Check its name.")
    try:
        source = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a clip: {reason(error)}.", "Check the file.") from None
    with source:
        yield _clip(path, source, strict, max_pixels)


def _clip(path: Path, source: Any, strict: bool, max_pixels: int | None) -> Clip:
    av = load()
    cover = av.stream.Disposition.attached_pic
    moving = [stream for stream in source.streams.video if not stream.disposition & cover]
    if not moving:
        raise InputError(f"{path} holds no moving pictures.", "Give a clip.")
    stream = moving[0]
    try:
        frame = next(source.decode(stream))
    except (av.FFmpegError, StopIteration):
        raise InputError(f"{path} holds no frame that can be read.", "Check the file.") from None
    container.check_size(str(path), frame.width, frame.height, max_pixels)
    colours = Colours.of(frame)
    if colours.hdr:
        raise InputError(f"{path} has high dynamic range ({colours.hdr}), which would come out pale and dark.", HDR)
    turn = round(frame.rotation / 90) % 4
    shape = (frame.width, frame.height) if turn % 2 else (frame.height, frame.width)
    aspect = stream.sample_aspect_ratio or None
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    clip = Clip(
        path=path,
        container=source,
        stream=stream,
        strict=strict,
        colours=colours,
        shape=shape,
        turn=turn,
        aspect=1 / aspect if aspect and turn % 2 else aspect,
        rate=rate,
        total=stream.frames or _counted(source, stream, rate),
    )
    clip.notes += _left_out(source, moving, frame)
    return clip


def _counted(source: Any, stream: Any, rate: Fraction) -> int:
    """Frames by the length of the clip."""
    if stream.duration:
        return round(Fraction(stream.duration * stream.time_base) * rate)
    return round(Fraction(source.duration or 0, 1_000_000) * rate)


def _left_out(source: Any, moving: list[Any], frame: Any) -> list[str]:
    notes = []
    if len(moving) > 1:
        notes.append(f"{len(moving) - 1} more streams of pictures are left out")
    if any(part.is_alpha for part in frame.format.components):
        notes.append("transparency is left out")
    if data := sum(stream.type == "data" for stream in source.streams):
        notes.append(f"{data} stream{'s' if data > 1 else ''} of data (time code, position) left out")
    return notes
