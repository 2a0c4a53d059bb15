"""Pictures that are encoded, and sound and subtitles as they are, become one file."""

import heapq
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from .encoding import Encoding
from .kinds import WRITTEN
from .library import load, reason
from .reading import Clip
from .segments import Segments

MOVING = {"mp4", "mov"}
"""Containers with an index, which goes to the front so that players in browsers can begin at once."""


def check(clip: Clip, target: Path) -> None:
    """Refuse a result that cannot hold the sound or the subtitles.

    Raises:
        InputError: it cannot.
    """
    av = load()
    known = av.ContainerFormat(WRITTEN[target.suffix.lower()], "w")
    with av.open(os.devnull, "w", format=known.name) as probe:
        for stream in clip.others:
            try:
                probe.add_stream_from_template(stream)
            except ValueError:
                what = "sound" if stream.type == "audio" else "subtitles"
                raise InputError(
                    f"A {target.suffix} file cannot hold the {what} of {clip.path} ({stream.codec_context.name}).",
                    "Name another kind with -o, such as .mkv.",
                ) from None


def join(clip: Clip, segments: Segments, encoding: Encoding, temporary: Path, target: Path, *, strip: bool) -> None:
    """Write the file ``temporary`` that becomes ``target``.

    Raises:
        OutputError: it cannot be written.
    """
    av, kind = load(), WRITTEN[target.suffix.lower()]
    options = {"movflags": "+faststart+use_metadata_tags"} if kind in MOVING else {}
    try:
        with av.open(str(temporary), "w", format=kind, container_options=options) as out:
            pictures = out.add_stream(encoding.codec, rate=encoding.rate, time_base=encoding.time_base)
            encoding.configure(pictures.codec_context)
            copies = {stream.index: out.add_stream_from_template(stream) for stream in clip.others}
            _tell(clip, out, pictures, copies, strip)
            every = heapq.merge(
                _pictures(segments, pictures, encoding),
                _copied(clip, copies),
                key=lambda packet: packet.dts * packet.time_base,
            )
            for packet in every:
                out.mux(packet)
    except (av.FFmpegError, OSError) as error:
        hint = "Make room, or choose another place with -o."
        raise OutputError(f"{target} cannot be written: {reason(error)}.", hint) from None


def _tell(clip: Clip, out: Any, pictures: Any, copies: dict[int, Any], strip: bool) -> None:
    """Languages, titles and chapters; of what the clip says, nothing about the file that it was."""
    for stream in clip.others:
        copies[stream.index].metadata.update(stream.metadata)
        copies[stream.index].disposition = stream.disposition
    if strip:
        return
    pictures.metadata.update({key: value for key, value in clip.stream.metadata.items() if key == "language"})
    ours = {"encoder", "major_brand", "minor_version", "compatible_brands"}
    out.metadata.update({key: value for key, value in clip.container.metadata.items() if key.lower() not in ours})
    out.set_chapters(clip.container.chapters())


def _pictures(segments: Segments, stream: Any, encoding: Encoding) -> Iterator[Any]:
    for stored in segments.packets():
        yield stored.packet(stream, encoding.time_base)


def _copied(clip: Clip, copies: dict[int, Any]) -> Iterator[Any]:
    if not copies:
        return
    for packet in clip.packets():
        packet.stream = copies[packet.stream.index]
        yield packet
