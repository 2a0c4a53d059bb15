"""``--profile``: where the time of a training step goes."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ..console import Console
from ..restoration.memory import keep_freed_memory
from . import datacheck
from .basicsr import bridge
from .loop import Trainer
from .recipe.resolving import resolve
from .recipe.schema import RecipeModel
from .team import Processes

WARM_UP, STEPS, ROWS = 2, 3, 15
"""Steps before and during the measurement, and operators that are shown."""


def write(recipe: RecipeModel, root: Path, console: Console, look: bool = True) -> None:
    """Measure a few steps, loading included; print the operators that take most and write a trace of all.

    The trace, ``NAME_profile.json``, opens in ``ui.perfetto.dev`` and in Chrome's ``about:tracing``.

    Raises:
        MambairError: recipe or data are wrong, or a step is not possible.
    """
    bridge.load()
    keep_freed_memory()
    full = resolve(recipe, root, torch.cuda.is_available())
    if look:
        datacheck.check(full["datasets"])
    trainer = Trainer(full, console, Processes())
    trainer.build()
    trainer.total = WARM_UP + STEPS
    batches = trainer.batches()
    for _ in range(WARM_UP):
        trainer.step(next(batches))
    cuda = trainer.model.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as measured:
        for batch in batches:
            trainer.step(batch)
        if cuda:
            torch.cuda.synchronize()
    trace = Path(f"{full['name']}_profile.json")
    measured.export_chrome_trace(str(trace))
    averages = measured.key_averages()
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    most = sorted(averages, key=lambda event: -getattr(event, key))[:ROWS]
    record = {
        "steps": STEPS,
        "trace": str(trace),
        "operators": [{"name": event.key, "calls": event.count, "microseconds": getattr(event, key)} for event in most],
    }
    console.data(averages.table(sort_by=key, row_limit=ROWS, max_name_column_width=50), record)
    console.note(f"{STEPS} steps; the trace is {trace}, for ui.perfetto.dev.")
