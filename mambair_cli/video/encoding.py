"""Frames become packets of H.264, or of MPEG-4 where libx264 is not there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..images.picture import Pixels
from .colours import Colours
from .library import load
from .reading import Frame

CRF = 17
"""Of libx264: what is restored looks the same after it. 0 is without loss, 51 the worst."""

LONGEST = 16384
"""Pixels along an edge that H.264 takes (libx264)."""

MPEG4_TICKS = 65535
"""Most units of time per second in MPEG-4 part 2 (16 bits)."""


@dataclass(frozen=True)
class Encoding:
    """How the frames of one result are encoded.

    Attributes:
        codec: encoder of libavcodec.
        size: height and width that are stored, even.
        format: of pixels, as libavutil calls it.
        aspect: of a pixel; None if nothing is said.
        time_base: seconds per unit of time, one over a whole number.
        rate: frames per second, on average.
        crf: see ``CRF``.
    """

    codec: str
    size: tuple[int, int]
    format: str
    colours: Colours
    aspect: Fraction | None
    time_base: Fraction
    rate: Fraction
    crf: int

    @classmethod
    def fitting(
        cls,
        size: tuple[int, int],
        colours: Colours,
        aspect: Fraction | None,
        time_base: Fraction,
        rate: Fraction,
        crf: int | None,
    ) -> "Encoding":
        """With the best encoder there is, for pictures of ``size``."""
        av = load()
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        if codec == "mpeg4" and time_base.denominator > MPEG4_TICKS:
            time_base = Fraction(1, MPEG4_TICKS)
        known = [format.name for format in av.Codec(codec, "w").video_formats or []]
        format = colours.format if colours.format in known else "yuv420p"
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        return cls(codec, even, format, colours, aspect, time_base, rate, CRF if crf is None else crf)

    def configure(self, context: Any) -> None:
        """Set up an encoder of PyAV that is not open yet; the same each time, so that headers are the same."""
        av = load()
        context.height, context.width = self.size
        context.pix_fmt = self.format
        context.time_base, context.framerate = self.time_base, self.rate
        context.colorspace, context.color_range = self.colours.matrix, self.colours.range
        context.color_primaries, context.color_trc = self.colours.primaries, self.colours.transfer
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        context.max_b_frames = 0  # with them, MP4 forgets how long each of frames lasts that are not evenly spaced
        context.flags |= int(av.codec.context.Flags.global_header) | int(av.codec.context.Flags.frame_duration)
        if self.codec == "libx264":
            context.options = {"crf": str(self.crf), "preset": "medium"}
        else:
            context.qmin = context.qmax = max(1, self.crf // 6)

    def packets(self, frames: Iterable[tuple[Frame, Pixels]], time_base: Fraction) -> Iterator[Any]:
        """Packets that can be decoded by themselves, of frames with times in ``time_base``, and their pixels."""
        context = load().CodecContext.create(self.codec, "w")
        self.configure(context)
        ratio = time_base / self.time_base
        for moment, pixels in frames:
            frame = self.colours.to_frame(pixels, self.format)
            frame.time_base = self.time_base
            frame.pts, frame.duration = round(moment.pts * ratio), round(moment.duration * ratio)
            yield from context.encode(frame)
        yield from context.encode(None)
