"""What becomes of one input."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..locations.url import Location
from ..video.kinds import is_clip
from .estimate import Estimate


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        named: whether the user asked for this very file.
        compare: where input and result go side by side.
        piped_in: the input comes through standard input; ``source`` only names it.
        piped_out: the result goes to standard output; ``target`` only gives the format.
        again: a process died over it, perhaps after it had finished.
    """

    source: Location
    target: Location
    named: bool = True
    compare: Location | None = None
    piped_in: bool = False
    piped_out: bool = False
    again: bool = False

    @property
    def clip(self) -> bool:
        """Whether the input is a clip."""
        return not self.piped_in and is_clip(self.source)

    @property
    def input(self) -> str:
        """The input as it is called in messages and records."""
        return "-" if self.piped_in else str(self.source)

    @property
    def output(self) -> str:
        """The output as it is called in messages and records."""
        return "-" if self.piped_out else str(self.target)


@dataclass
class Result:
    """What became of one input; a line of ``--json``.

    Attributes:
        width: of the input.
        height: of the input.
        seconds: time for reading, restoring and writing, without waiting.
        tiles: how often the network ran.
        workers: of a cluster, among which the picture was divided.
        frames: of a clip; None for a picture.
        retries: how and why the tile became smaller.
        notes: what is different from what one may expect, such as what of the input is not in the output.
        peak_memory: bytes at the worst moment.
        skipped: finished by an earlier run from the same input with the same model and choices.
        trace: traceback of the error, for ``--verbose`` only.
        estimate: of noise and compression in the input, if it was asked for.
        held: nothing was done, another process works on it.
    """

    input: str
    output: str
    model: str
    device: str
    scale: float
    width: int = 0
    height: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    tile: int = 0
    tiles: int = 0
    workers: int = 1
    frames: int | None = None
    peak_memory: int = 0
    compare: str | None = None
    retries: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    estimate: Estimate | None = None
    skipped: bool = False
    error: str | None = None
    hint: str | None = None
    trace: str = ""
    held: bool = False

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {key: value for key, value in asdict(self).items() if key not in ("trace", "held")}
