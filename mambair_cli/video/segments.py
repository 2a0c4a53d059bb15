"""What is done of a clip, kept beside the result in pieces, so that a later run goes on where this one ended."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import atomic, outputs
from .library import load

LENGTH = 48
"""Frames per piece: what an interruption costs, and the distance of key frames."""

STATE = "state.json"


@dataclass(frozen=True)
class Stored:
    """A packet: its bytes, times in the encoder's time base, and whether decoding can begin with it.

    They are decoded in the order in which they are shown.
    """

    data: bytes
    pts: int
    duration: int
    key: bool

    @classmethod
    def of(cls, packet: Any) -> "Stored":
        """A packet of PyAV."""
        return cls(bytes(packet), packet.pts, packet.duration or 0, packet.is_keyframe)

    def packet(self, stream: Any, time_base: Any) -> Any:
        """For PyAV."""
        packet = load().Packet(self.data)
        packet.stream, packet.time_base = stream, time_base
        packet.pts = packet.dts = self.pts
        packet.duration, packet.is_keyframe = self.duration, self.key
        return packet


class Segments:
    """Pieces in a hidden folder beside ``target``.

    Args:
        target: the result.
        made_of: all that the pieces depend on; pieces of anything else are removed.
        resume: whether to keep those of an earlier run.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, target: Path, made_of: dict[str, Any], resume: bool) -> None:
        self.target, self.folder = target, folder_of(target)
        state = json.dumps(made_of, sort_keys=True, default=str)
        if not (resume and self._state() == state):
            self.remove()
        with outputs.writing(target):
            self.folder.mkdir(exist_ok=True)
            (self.folder / STATE).write_text(state)

    def _state(self) -> str | None:
        with suppress(OSError):
            return (self.folder / STATE).read_text()
        return None

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def add(self, number: int, packets: Iterable[Any]) -> None:
        """Write a piece as a whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        stored = [Stored.of(packet) for packet in packets]
        head = json.dumps([(len(each.data), each.pts, each.duration, each.key) for each in stored])
        with outputs.reserved(self._path(number)) as temporary:
            data = head.encode() + b"\n" + b"".join(each.data for each in stored)
            outputs.publish(temporary, self._path(number), data, overwrite=True)

    def packets(self) -> Iterator[Stored]:
        """Those of all pieces, in the order in which they are decoded."""
        number = 0
        while number in self:
            with self._path(number).open("rb") as file:
                for size, *facts in json.loads(file.readline()):
                    yield Stored(file.read(size), *facts)
            number += 1

    def remove(self) -> None:
        """Remove all pieces."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"


def folder_of(target: Path) -> Path:
    """Where the pieces of a result are."""
    return target.with_name(f".mambair-{atomic.key(target)}.parts")
