"""Where curves and validation pictures go beside the log: TensorBoard, Weights & Biases, Trackio."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import MambairError

RUN = "wandb.json"
"""Names the run at Weights & Biases that a resumed training goes on with."""

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""


class Tracker(Protocol):
    """Shows numbers over iterations, and pictures."""

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        """Points of curves."""

    def picture(self, iteration: int, name: str, picture: Picture) -> None:
        """A picture of a validation."""

    def close(self) -> None:
        """Nothing more will come."""


class TensorBoard:
    """Event files in the experiment's folder; what came after ``iteration`` is taken out of sight."""

    def __init__(self, folder: Path, iteration: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tb_logger"), purge_step=iteration + 1)

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        """Losses stand together."""
        for name, value in values.items():
            self.writer.add_scalar(f"losses/{name}" if name.startswith("l_") else name, value, iteration)

    def picture(self, iteration: int, name: str, picture: Picture) -> None:
        """On the page of images."""
        self.writer.add_image(name, picture, iteration, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class Remote:
    """A module with ``init``, ``log``, ``Image`` and ``finish``, as Weights & Biases and Trackio have them.

    What it cannot take is told once and does not stop the training.

    Raises:
        MambairError: it is not installed, or does not begin.
    """

    def __init__(self, name: str, warn: Callable[[str], None], options: Mapping[str, Any]) -> None:
        self.name, self.warn, self.broken = name, warn, False
        try:
            self.module = import_module(name)
        except ImportError as error:
            raise MambairError(
                f"logger.{name} needs what is not installed: {error}.",
                f"Run pip install 'mambair[{name}]', or delete logger.{name}.",
            ) from None
        try:
            self.run = self.module.init(**options)
        except Exception as error:  # each has a dozen of its own: no account, no network, no such project
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise MambairError(
                f"logger.{name} does not begin: {reason}.", f"Set {name} up, or delete logger.{name}."
            ) from error

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        """As they are named in the log."""
        self._log(iteration, lambda: dict(values))

    def picture(self, iteration: int, name: str, picture: Picture) -> None:
        """Under the name of data set and file."""
        self._log(iteration, lambda: {name: self.module.Image(picture)})

    def _log(self, iteration: int, values: Callable[[], dict[str, Any]]) -> None:
        try:
            self.module.log(values(), step=iteration)
        except Exception as error:
            if not self.broken:
                self.warn(f"{self.name} takes no more of this training ({error}); it goes on without.")
            self.broken = True

    def close(self) -> None:
        """Send what is left."""
        try:
            self.module.finish()
        except Exception as error:
            self.warn(f"{self.name} did not finish ({error}).")


def chosen(
    options: Mapping[str, Any], recipe: dict[str, Any], iteration: int, warn: Callable[[str], None]
) -> list[Tracker]:
    """Those that a recipe asks for.

    Args:
        options: complete.
        recipe: what is shown beside the curves.
        iteration: after which the run goes on.
        warn: is told what does not work.

    Raises:
        MambairError: one is not there.
    """
    logger, folder = options["logger"], Path(options["path"]["experiments_root"])
    found: list[Tracker] = [TensorBoard(folder, iteration)] if logger["use_tb_logger"] else []
    if (wanted := logger.get("wandb") or {}).get("project"):
        begun = {
            "project": wanted["project"],
            "id": wanted.get("resume_id"),
            "resume": "allow",
            "name": options["name"],
        }
        found.append(_wandb(begun | {"config": recipe, "dir": str(folder)}, folder / RUN, iteration, warn))
    if wanted := logger.get("trackio"):
        begun = {"project": wanted["project"], "name": options["name"], "config": recipe}
        found.append(Remote("trackio", warn, begun | {"resume": "allow" if iteration else "never"}))
    return found


def _wandb(begun: dict[str, Any], kept: Path, iteration: int, warn: Callable[[str], None]) -> Remote:
    """A run that the same training goes on with after an interruption."""
    if begun["id"] is None and iteration and kept.is_file():
        begun["id"] = json.loads(kept.read_text(encoding="utf-8"))["id"]
    remote = Remote("wandb", warn, begun)
    kept.write_text(json.dumps({"id": remote.run.id}), encoding="utf-8")
    return remote
