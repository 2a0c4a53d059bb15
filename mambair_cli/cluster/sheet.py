"""What workers tell each other of a picture that is divided among them."""

from dataclasses import dataclass

from ..errors import MambairError
from ..restoration.result import Job

Key = tuple[str, int]
"""Names a strip: the worker that asked for it, and a number."""

Reply = tuple[int, int, int] | MambairError | None
"""The shape of the strip that was made; what was in the way; None: the worker has other work."""


@dataclass(frozen=True)
class Sheet:
    """A picture that is divided.

    Attributes:
        state: size and version of the input, see :func:`mambair_cli.locations.either.state`.
        poor: whether it is for the model for pictures with noise or JPEG artefacts.
    """

    job: Job
    state: tuple[int, int]
    poor: bool
