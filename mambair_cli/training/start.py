"""How a run begins: options complete, data looked at, the checkpoint to go on from chosen."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from ..console import Console
from ..errors import UsageError
from ..restoration.memory import keep_freed_memory
from . import checkpoints, claim, datacheck, team
from .basicsr import bridge
from .journal import warnings_shown
from .loop import Trainer
from .recipe.reading import Recipe
from .recipe.resolving import resolve
from .recipe.schema import RecipeModel
from .team import Processes


def train(given: Recipe, root: Path, resume: bool | None, console: Console, look: bool = True) -> None:
    """Train a recipe, alone or as one of the processes that torchrun started.

    Args:
        given: a recipe without mistakes.
        root: the folder that data paths are relative to.
        resume: whether to go on from the last checkpoint; None goes on if there is one.
        console: where to talk.
        look: whether to look at the images first.

    Raises:
        MambairError: it cannot begin, or cannot go on.
    """
    bridge.load()
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True  # else a resumed run may differ in the last bit
    recipe, processes = given.model, team.here()
    full = resolve(recipe, root, torch.cuda.is_available(), processes.rank, processes.world)
    with ExitStack() as stack:
        stack.enter_context(team.joined(processes))
        if processes.first:
            stack.enter_context(warnings_shown(console.warn))
        _tell(recipe, full, processes, console)
        if processes.first and look:
            datacheck.check(full["datasets"])
        if processes.first:
            stack.enter_context(claim.claimed(Path(full["path"]["experiments_root"]), console.note))
        team.gathered(None, processes)  # the folder is ours before anybody looks into it
        state = state_to_resume(full, resume, console.warn if processes.first else _silent)
        team.gathered(None, processes)  # everybody has looked before anything is moved or written
        trainer = Trainer(full, console, processes)
        trainer.build(state)
        if resume is False and processes.first:
            archive(trainer.folder)
        if trainer.iteration >= trainer.total:
            if processes.first:
                console.note(f"{full['name']} is done: {trainer.iteration} of {trainer.total} iterations.")
                _changed(trainer.news, console)
                if trainer.news:
                    console.note("raise train.total_iter to train with these changes, or start over with --no-resume.")
            return
        if state and processes.first:
            console.note(f"going on from iteration {trainer.iteration} ({state})")
            _changed(trainer.news, console)
        if processes.first:
            claim.record(trainer.folder, given, trainer.iteration)
        trainer.run()


def state_to_resume(options: dict[str, Any], resume: bool | None, warn: Callable[[str], None]) -> Path | None:
    """The training state to go on from: the one the recipe names, else the newest; the newest with ``resume``.

    A newest one that is damaged is passed over for the one before it, which ``warn`` is told.

    Raises:
        ModelError: there are checkpoints, and none is whole.
        UsageError: a checkpoint is asked for and there is none.
    """
    if resume is False:
        return None
    experiment = Path(options["path"]["experiments_root"])
    if (named := options["path"].get("resume_state")) and not resume:
        return Path(named)
    newest = checkpoints.newest(experiment, warn)
    if resume and newest is None:
        raise UsageError(f"There is no checkpoint in {experiment} to go on from.", "Leave out --resume.")
    return newest


def archive(experiment: Path) -> None:
    """Move what an earlier run left out of the way, as BasicSR does; never delete it."""
    if experiment.exists():
        experiment.rename(experiment.with_name(f"{experiment.name}_archived_{time.strftime('%Y%m%d_%H%M%S')}"))


def _changed(news: Iterable[str], console: Console) -> None:
    for change in news:
        console.note(f"changed since then: {change}")


def _silent(text: str) -> None:
    """The first process speaks for all."""


def _tell(given: RecipeModel, full: dict[str, Any], processes: Processes, console: Console) -> None:
    """What of the machine differs from what the recipe expects, since it changes the batch."""
    meant, world = given.num_gpu, processes.world
    if not processes.first or not isinstance(meant, int) or meant == 0:
        return
    if full["num_gpu"] == 0:
        console.warn(f"the recipe asks for {meant} GPUs; there is none, training on the CPU.")
    if meant != world:
        batch = full["datasets"]["train"]["batch_size_per_gpu"]
        accumulate = full["train"]["accumulate"]
        console.warn(
            f"the recipe is meant for {meant} processes of {batch} samples, this run has {world}: a step sees "
            f"{world * batch * accumulate} samples; train.accumulate raises that."
        )
