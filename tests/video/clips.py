"""Small clips, made and read by PyAV."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

av: Any = pytest.importorskip("av", reason="PyAV is not installed: pip install 'mambair[video]'")

RATE, TICKS = 24, 24000
SOUND = 8000
EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000  # bicubic, full chroma, exact rounding (libswscale)


def moving(count: int, height: int = 32, width: int = 48) -> list[Any]:
    """Frames of a picture that moves a pixel to the left each time."""
    rng = np.random.default_rng(0)
    coarse = (rng.integers(40, 176, (5, 9, 1)) + rng.integers(0, 40, (5, 9, 3))).astype(np.uint8)
    large = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(large[:, k : k + width]) for k in range(count)]


def make(
    path: Path,
    frames: list[Any],
    *,
    times: list[int] | None = None,
    sound: bool = False,
    codec: str = "libx264",
    format: str = "yuv420p",
    turned: int = 0,
    **tags: Any,
) -> Path:
    """Write RGB frames; ``times`` in 24000ths of a second, ``tags`` for the encoder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, options={"preset": "ultrafast"} if codec == "libx264" else {})
        context = stream.codec_context
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = format
        context.time_base = Fraction(1, TICKS)
        context.flags |= int(av.codec.context.Flags.frame_duration)
        for name, value in tags.items():
            setattr(context, name, value)
        if turned:
            stream.set_display_rotation(turned)
        heard = out.add_stream("aac", rate=SOUND, layout="mono") if sound else None
        times = times or [1000 * k for k in range(len(frames))]
        for pixels, start, end in zip(frames, times, [*times[1:], times[-1] + 1000], strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
            matrix = {2: 5, 6: 5}.get(context.colorspace, context.colorspace)
            frame = frame.reformat(format=format, dst_colorspace=matrix, dst_color_range=context.color_range or 1)
            frame.pts, frame.time_base, frame.duration = start, Fraction(1, TICKS), end - start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if heard is not None:
            wave = np.sin(np.arange(times[-1] * SOUND // TICKS, dtype=np.float32))[None]
            for start in range(0, wave.shape[1], 1024):
                part = av.AudioFrame.from_ndarray(wave[:, start : start + 1024], "fltp", "mono")
                part.sample_rate, part.pts = SOUND, start
                out.mux(heard.encode(part))
            out.mux(heard.encode(None))
    return path


@dataclass
class Seen:
    """What is in a clip."""

    frames: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    stream: dict[str, Any] = field(default_factory=dict)
    others: dict[str, list[tuple[float, bytes]]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def seen(path: Path) -> Seen:
    """Decode a clip; sound and subtitles by kind, as times and bytes of packets."""
    found = Seen()
    names = ("colorspace", "color_range", "color_primaries", "color_trc", "sample_aspect_ratio", "width", "height")
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        found.metadata = dict(source.metadata)
        for packet in source.demux():
            if packet.stream is not stream:
                if packet.dts is not None:
                    found.others.setdefault(packet.stream.type, []).append(
                        (float(packet.pts * packet.time_base), bytes(packet))
                    )
                continue
            for frame in packet.decode():
                found.frames.append(frame.to_ndarray(format="rgb24", interpolation=EXACT))
                found.times.append(float(frame.pts * frame.time_base))
        found.stream = {name: getattr(stream.codec_context, name) for name in names}
        found.stream["duration"] = stream.duration and float(stream.duration * stream.time_base)
    return found
