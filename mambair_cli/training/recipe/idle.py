"""Keys that published recipes carry and that change nothing here, told in one line."""

from collections.abc import Iterator, Mapping

from ..basicsr import signatures
from .messages import PROCEDURES
from .mistakes import Path as KeyPath
from .mistakes import dotted
from .schema import PLAIN_MODELS
from .view import View

LOADING = {"prefetch_mode": None, "num_prefetch_queue": 1, "persistent_workers": False}
"""Loading processes run ahead and stay by themselves; the value of each that asks for nothing."""

TRAINING = {
    "batch_size_per_gpu": 1,
    "num_worker_per_gpu": 0,
    "dataset_enlarge_ratio": 1,
    "pin_memory": False,
    "gt_size": None,
    "use_shuffle": False,
    "use_hflip": False,
    "use_rot": False,
}
"""What only the training's data set heeds: others are shown picture by picture, whole, in order."""

MEETING = {"backend": "nccl", "port": 29500}
"""Processes meet as torchrun or --nproc has them meet, over NCCL between GPUs and over gloo elsewhere."""


def note(recipe: View) -> str:
    """A sentence that names the keys without effect; empty if there are none."""
    names = [dotted(path) for path in _idle(recipe)]
    return f"no effect here: {', '.join(names)}." if names else ""


def _idle(recipe: View) -> Iterator[KeyPath]:
    for name in recipe.mapping("datasets"):
        section: KeyPath = ("datasets", name)
        if name != "train" and recipe.get("train") and not recipe.get("val"):
            yield section  # nothing says when to validate
            continue
        yield from _other(recipe, section, LOADING if name == "train" else LOADING | TRAINING)
    yield from _other(recipe, ("dist_params",), MEETING)
    yield from _other(recipe, ("val",), {"pbar": False})
    yield from _of_other_models(recipe)


def _of_other_models(recipe: View) -> Iterator[KeyPath]:
    """Keys that a model of BasicSR reads, but not the chosen one."""
    kind = recipe.get("model_type")
    if not isinstance(kind, str) or kind in PLAIN_MODELS or not (read := signatures.model_keys(kind)):
        return
    for path, section in PROCEDURES.items():
        known = section.model_fields.keys() | read
        yield from ((*path, name) for name in recipe.mapping(*map(str, path)) if name not in known)


def _other(recipe: View, section: KeyPath, quiet: Mapping[str, object]) -> Iterator[KeyPath]:
    given = recipe.mapping(*map(str, section))
    yield from ((*section, name) for name, value in quiet.items() if name in given and given[name] not in (value, None))
