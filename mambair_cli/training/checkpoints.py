"""Checkpoints on disk: whole or not there, the newest found again, old ones removed.

The names and contents are BasicSR's (``models/net_g_100.pth``, ``training_states/100.state``), so that either program
goes on with what the other wrote. The state is written last: where it is, the checkpoint is complete.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, OutputError
from ..files import atomic
from ..weights import files


def write(path: Path, content: Any) -> None:
    """``torch.save`` so that a crash leaves the old file or the new, see :mod:`..files.atomic`.

    Raises:
        OutputError: the disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(".")
        raise OutputError(
            f"The checkpoint {path} cannot be written: {reason}.",
            "Make room, then run the same command: it goes on from the checkpoint before.",
        ) from error


def read(path: Path) -> dict[str, Any]:
    """The content of a training state, its tensors on the CPU.

    Raises:
        ModelError: it is missing, damaged or no training state.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"The training state {path} does not exist.", "Check path.resume_state.") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"The training state {path} is damaged ({type(error).__name__}).",
            "Go on from another one with path.resume_state, or start over with --no-resume.",
        ) from error
    if not isinstance(content, dict) or not {"iter", "optimizers", "schedulers"} <= content.keys():
        raise ModelError(f"{path} is no training state.", "Give a .state file to path.resume_state.")
    return content


def numbers(experiment: Path) -> list[int]:
    """Iterations whose training state is there, in order."""
    stems = [path.stem for path in (experiment / "training_states").glob("*.state")]
    return sorted(int(stem) for stem in stems if stem.isdigit())


def newest(experiment: Path, warn: Callable[[str], None]) -> Path | None:
    """The last training state that is whole, with all the weights beside it; None if there is no state at all.

    Args:
        experiment: its folder.
        warn: is told of each that is not.

    Raises:
        ModelError: none of several is whole.
    """
    last: ModelError | None = None
    for number in reversed(numbers(experiment)):
        state = experiment / "training_states" / f"{number}.state"
        try:
            for label in read(state).get("mambair", {}).get("networks", ["g"]):
                files.read(weights_beside(state, label, number))
        except ModelError as error:
            warn(f"the checkpoint of iteration {number} cannot be used: {error.message}")
            last = last or error
        else:
            return state
    if last:
        raise last
    return None


def weights_beside(state: Path, label: str, iteration: int) -> Path:
    """The file of network ``label`` that belongs to a training state."""
    return state.parent.parent / "models" / f"net_{label}_{iteration}.pth"


def prune(experiment: Path, keep: int) -> None:
    """Remove all but the last ``keep`` numbered checkpoints; the state goes first, so that none is ever half there."""
    for number in numbers(experiment)[:-keep]:
        (experiment / "training_states" / f"{number}.state").unlink(missing_ok=True)
        for path in (experiment / "models").glob(f"net_*_{number}.pth"):
            path.unlink(missing_ok=True)


def sweep(experiment: Path) -> None:
    """Remove what a killed run left half-written."""
    for pattern in ("*.part", "*/*.part"):
        for path in experiment.glob(pattern):
            path.unlink(missing_ok=True)


def point_to_weights(options: dict[str, Any], state: Path, iteration: int) -> None:
    """Have the networks start from the weights that belong to a training state, as BasicSR's resume does.

    Raises:
        ModelError: they are gone.
    """
    ignored = options["path"].get("ignore_resume_networks") or []
    for key in [key for key in options if key.startswith("network_")]:
        label = key.removeprefix("network_")
        if key in ignored:
            continue
        path = weights_beside(state, label, iteration)
        if not path.is_file():
            raise ModelError(
                f"The weights {path} of the training state {state} are missing.",
                "Go on from another one with path.resume_state, or start over with --no-resume.",
            )
        options["path"] |= {f"pretrain_{key}": str(path), f"strict_load_{label}": True, f"param_key_{label}": "params"}
