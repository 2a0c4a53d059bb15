"""What a run takes from a checkpoint, and what the recipe decides anew.

Weights, the optimisers' memory of past gradients, random numbers and the position in the data come from the
checkpoint. Everything that a recipe can say comes from the recipe: the learning rate is a function of recipe and
iteration alone, so a run that goes on with another recipe has the rate that it would have had with it from the start.
"""

import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch

from ..errors import UsageError

MACHINE = ("name", "is_train", "auto_resume", "root_path", "dist", "rank", "world_size", "num_gpu")
PLACES = ("experiments_root", "models", "training_states", "log", "visualization", "resume_state")
"""Options that say where a run takes place, not what is trained."""

SHAPING = ("amsgrad", "centered", "momentum")
"""Options that decide what an optimiser remembers."""

COUNTED = ("k", "weight_sum", "lr_max")
"""What a schedule-free optimiser remembers among its settings."""

BASICSR = "Adam"
"""The only optimiser of checkpoints that do not name theirs."""

MISSING = "nothing"


def recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of complete options a checkpoint remembers, as plain values."""
    kept = {key: deepcopy(value) for key, value in options.items() if key not in MACHINE}
    kept["path"] = {key: value for key, value in kept["path"].items() if key not in PLACES}
    return kept


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each key that differs: ``train.optim_g.lr: 0.001 -> 0.0005``."""
    old, new = dict(_flat(before)), dict(_flat(now))
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            without = " (the checkpoint's weights are used)" if key.startswith("path.pretrain_network") else ""
            yield f"{key}: {_shown(old, key)} -> {_shown(new, key)}{without}"


def check(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse what no checkpoint can serve.

    Raises:
        UsageError: the recipe trains other networks than the checkpoint holds.
    """
    held, wanted = ({key for key in options if key.startswith("network_")} for options in (before, now))
    if held != wanted:
        raise UsageError(
            f"The checkpoint is of {before['model_type']} with {_listed(held)}, the recipe wants "
            f"{now['model_type']} with {_listed(wanted)}.",
            "Start over with --no-resume; path.pretrain_network_g takes the weights along.",
        )


def metrics(recipe: Mapping[str, Any]) -> Any:
    """What a recipe measures in validation."""
    return (recipe.get("val") or {}).get("metrics")


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names, reverse=True))


def _flat(options: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(options, Mapping) and options:
        for key, value in options.items():
            yield from _flat(value, f"{at}.{key}" if at else str(key))
    elif options is not None:
        yield at, options


def _shown(values: Mapping[str, Any], key: str) -> str:
    return str(values.get(key, MISSING))


def carry_over(optimizers: list[torch.optim.Optimizer], saved: Mapping[str, Any]) -> None:
    """Give optimisers what those of a checkpoint remember of past gradients, and none of their settings.

    Args:
        optimizers: as the recipe wants them.
        saved: the whole training state.

    Raises:
        UsageError: the checkpoint has another number of optimisers.
    """
    states = saved["optimizers"]
    if len(optimizers) != len(states):
        raise UsageError(
            f"The checkpoint has {len(states)} optimisers, the recipe's model {len(optimizers)}.",
            "Use the model_type that it was trained with, or start over with --no-resume.",
        )
    kinds = (saved.get("mambair") or {}).get("kinds") or [BASICSR] * len(states)
    for optimizer, kind, state in zip(optimizers, kinds, states, strict=True):
        own = optimizer.state_dict()["param_groups"]
        if kind == type(optimizer).__name__ and [_shape(group) for group in own] == [
            _shape(group) for group in state["param_groups"]
        ]:
            for group, old in zip(own, state["param_groups"], strict=True):
                group.update({name: old[name] for name in COUNTED if name in old})
            optimizer.load_state_dict({"state": state["state"], "param_groups": own})
        else:
            logging.getLogger("basicsr").warning(
                "the checkpoint's %s remembers nothing that serves %s with these options, which starts anew.",
                kind,
                type(optimizer).__name__,
            )


def _shape(group: Mapping[str, Any]) -> list[Any]:
    return [group["params"], *(bool(group.get(name)) for name in SHAPING)]


def replay(model: Any, iteration: int, warmup: int) -> None:
    """Bring the learning rate to where the recipe has it after ``iteration`` steps."""
    for optimizer in model.optimizers:
        optimizer._opt_called = True  # else a scheduler that comes before the first step is warned about
    for number in range(1, iteration + 1):
        model.update_learning_rate(number, warmup_iter=warmup)
