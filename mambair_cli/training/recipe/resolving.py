"""From a recipe without mistakes to the options that BasicSR's classes and our loop read."""

from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...files.places import located
from ...weights import catalog
from .schema import RecipeModel

DATA_KEYS = ("dataroot_gt", "dataroot_lq", "meta_info_file", "meta_info")
WEIGHT_KEYS = ("pretrain_network", "resume_state")


def plain(recipe: RecipeModel) -> dict[str, Any]:
    """All options with their defaults, as BasicSR's parse_options would have them.

    Folders and files are as written, relative to the data root, but for weights named as in the catalogue.
    """
    options: dict[str, Any] = recipe.model_dump(mode="json", warnings="none")  # a range is a tuple, a default is plain
    for name, value in options["path"].items():
        if name.startswith("pretrain_network") and value and (entry := catalog.by_name(value)):
            options["path"][name] = str(entry.path.absolute())
    if recipe.val is not None and not recipe.val.model_fields_set:
        del options["val"]  # an empty one asks for nothing
    if "val" in options:
        options["val"].setdefault("suffix", None)  # BasicSR reads it without asking
    channels = options["network_g"].get("in_chans", options["network_g"].get("num_in_ch"))
    for name, dataset in options["datasets"].items():
        if dataset["type"] == "PairedImageDataset" and channels == 1:
            dataset.setdefault("color", "gray")
        dataset |= {"phase": name.split("_")[0], "scale": options["scale"]}
    return options


def resolve(recipe: RecipeModel, root: Path, cuda: bool, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """All options of a training on this machine, with what BasicSR's own start-up would fill in.

    Args:
        recipe: to be trained.
        root: the folder that data paths are relative to.
        cuda: whether there is a CUDA device.
        rank: of this process among ``world`` ones.
        world: processes that train together.

    Raises:
        UsageError: the recipe is no recipe for training.
    """
    options = plain(recipe)
    if recipe.train is None or "train" not in recipe.datasets:
        raise UsageError(
            f"The recipe {recipe.name} has no section train, so it trains nothing.",
            "Give a recipe for training; mambair test takes the others.",
        )
    options |= {"is_train": True, "auto_resume": False, "root_path": str(Path.cwd())}
    options |= {"dist": world > 1, "rank": rank, "world_size": world}
    options["num_gpu"] = 1 if cuda and options["num_gpu"] != 0 else 0
    options["path"] = _paths(options["path"], recipe.name, root)
    for dataset in options["datasets"].values():
        for key in DATA_KEYS:
            if dataset.get(key):
                dataset[key] = _located(dataset[key], root)
    return options


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
    return [_located(one, root) for one in value] if isinstance(value, list) else str(located(value, root))
