"""``--dry-run``: all that a training would do up to its second step, and nothing of it written."""

import time
from pathlib import Path

import torch
import yaml

from ..console import Console
from ..restoration import memory
from ..restoration.memory import keep_freed_memory, peak
from . import datacheck, footprint
from .basicsr import bridge
from .loop import Trainer
from .recipe.resolving import resolve
from .recipe.schema import RecipeModel
from .team import Processes


def rehearse(recipe: RecipeModel, root: Path, console: Console, look: bool = True) -> None:
    """Print the resolved recipe, the data found, the number of parameters, and time and memory of a step.

    Raises:
        MambairError: recipe or data are wrong, or a step is not possible.
    """
    bridge.load()
    keep_freed_memory()
    full = resolve(recipe, root, torch.cuda.is_available())
    reports = datacheck.check(full["datasets"]) if look else []
    text = yaml.safe_dump(full, sort_keys=False)
    trainer = Trainer(full, console, Processes())
    trainer.build()
    _foretell(trainer, console)
    parameters = sum(parameter.numel() for parameter in trainer.model.net_g.parameters())
    seconds, size = _measured(trainer)
    found = {report.name: report.images for report in reports}
    lines = [f"{name}: {count} images" for name, count in found.items()]
    lines += [
        f"{trainer.epoch_size} samples in an epoch, {trainer.batch} in a step, {trainer.total} steps",
        f"{parameters:,} parameters",
        f"{seconds:.3f} s a step, {size / 2**30:.2f} GiB; {trainer.total * seconds / 3600:.1f} hours in all",
    ]
    record = {"recipe": full, "parameters": parameters, "images": found, "seconds_per_step": seconds, "bytes": size}
    console.data("\n".join([text, *lines]), record)


def _foretell(trainer: Trainer, console: Console) -> None:
    """Warn before a step that will not fit; of data that are no single pictures nothing is foretold."""
    sample = trainer.dataset[0].get("lq")
    if sample is None or sample.ndim != 3:
        return
    batch = trainer.options["datasets"]["train"]["batch_size_per_gpu"]
    size, room = footprint.of_step(trainer.model.net_g, sample, batch), memory.available(trainer.model.device)
    if size > room:
        console.warn(
            f"a step will take at least {size / 2**30:.1f} GiB, and {room / 2**30:.1f} GiB are free: lower "
            "batch_size_per_gpu and raise train.accumulate, or set network_g.use_checkpoint=true."
        )


def _measured(trainer: Trainer) -> tuple[float, int]:
    """Seconds of the second step (the first one warms up) and the most memory so far."""
    trainer.total = 2
    seconds = 0.0
    for batch in trainer.batches():
        started = time.perf_counter()
        trainer.step(batch)
        if trainer.model.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    trainer.total = int(trainer.train["total_iter"])
    return seconds, peak(trainer.model.device)
