"""From a recipe to the options that BasicSR's classes read: paths, devices, processes."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

DATA_KEYS = ("dataroot_gt", "dataroot_lq", "meta_info_file")
WEIGHT_KEYS = ("pretrain_network", "resume_state")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0


def data_root(given: Path | None) -> Path:
    """Where data lies: ``--root``, else $MAMBAIR_DATA, else ./datasets."""
    return given or Path(os.environ.get("MAMBAIR_DATA") or "datasets")


def complete(options: dict[str, Any], root: Path, processes: Processes, cuda: bool) -> dict[str, Any]:
    """A copy of a recipe's options with everything filled in that BasicSR's own start-up would.

    Args:
        options: as read from the recipe.
        root: the folder that data paths are relative to.
        processes: this process and the others.
        cuda: whether there is a CUDA device.

    Raises:
        UsageError: the recipe has no training set or no length.
    """
    options = copy.deepcopy(options)
    _check(options)
    options |= {"is_train": True, "auto_resume": False, "root_path": str(Path.cwd())}
    options |= {"dist": processes.world > 1, "rank": processes.rank, "world_size": processes.world}
    options["num_gpu"] = 1 if cuda and options.get("num_gpu") != 0 else 0
    options["manual_seed"] = int(options.get("manual_seed") or 0)
    options["logger"] = {"print_freq": 100, "save_checkpoint_freq": 5000} | (options.get("logger") or {})
    options["path"] = _paths(options.get("path") or {}, options["name"], root)
    for phase, dataset in options["datasets"].items():
        dataset["phase"] = phase.split("_")[0]
        dataset.setdefault("name", phase)
        if "scale" in options:
            dataset.setdefault("scale", options["scale"])
        for key in DATA_KEYS:
            if dataset.get(key):
                dataset[key] = _located(dataset[key], root)
    return options


def _check(options: dict[str, Any]) -> None:
    if "train" not in options.get("datasets", {}) or "total_iter" not in options.get("train", {}):
        raise UsageError(
            f"The recipe {options.get('name', '')} has no datasets.train or no train.total_iter.",
            "Give a recipe for training; mambair test takes the others.",
        )


def _paths(given: dict[str, Any], name: str, root: Path) -> dict[str, Any]:
    experiment = Path.cwd() / "experiments" / name
    paths = {
        key: _located(value, root) if value and key.startswith(WEIGHT_KEYS) else value for key, value in given.items()
    }
    return paths | {
        "experiments_root": str(experiment),
        "models": str(experiment / "models"),
        "training_states": str(experiment / "training_states"),
        "log": str(experiment),
        "visualization": str(experiment / "visualization"),
    }


def _located(value: Any, root: Path) -> Any:
    """A path below the data root; one that is only there from the working folder, as in BasicSR's recipes, is kept."""
    if isinstance(value, list):
        return [_located(one, root) for one in value]
    path = Path(value).expanduser()
    below = root / path
    return str(path if path.exists() and not below.exists() else below)
