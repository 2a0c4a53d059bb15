"""What pictures are restored from: a row per task, of which commands, their help and the names of results are made."""

from dataclasses import dataclass

STRONGEST = 2.0
"""The largest strength there is."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One of the commands that restore pictures.

    Attributes:
        name: of the command, and in the metadata of weights.
        text: its help.
        example: what follows the command's name in an example.
        suffix: what is appended to the name of a result; None: the size.
        strongest: the largest strength; above 1 more is done than the network would do by itself.
        estimated: whether it is worth knowing how noisy or compressed a picture is.
    """

    name: str
    text: str
    example: str = "photo.jpg"
    suffix: str | None
    strongest: float = 1.0
    estimated: bool = False

    @property
    def enlarges(self) -> bool:
        """Whether results are larger than their inputs."""
        return self.suffix is None


TASKS = (
    Task(
        name="upscale",
        text="Enlarge pictures with a super-resolution model.",
        example="holiday.jpg --scale 4",
        suffix=None,
    ),
    Task(name="denoise", text="Remove noise from pictures.", suffix="_denoised", estimated=True),
    Task(name="dejpeg", text="Remove JPEG artefacts from pictures.", suffix="_dejpeg", estimated=True),
    Task(name="dehaze", text="Remove haze from pictures.", suffix="_dehazed", strongest=STRONGEST),
)
"""All tasks, in the order of the help."""


def get(name: str) -> Task:
    """The task called ``name``.

    Raises:
        KeyError: there is none.
    """
    return {task.name: task for task in TASKS}[name]
