"""``mambair``, killed with SIGKILL where the environment's KILL says: ``step:N`` before that iteration, or
``write:N`` in the middle of the N-th file of a checkpoint; by process 0 or the one in KILL_RANK,
and not by those that torchrun starts in its place."""

import os
import signal
from typing import Any

import torch

from mambair_cli.entry import main
from mambair_cli.training.loop import Trainer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


where, _, number = os.environ["KILL"].partition(":")
written = 0
step, save = Trainer.step, torch.save


def doomed_step(self: Trainer, batch: Any) -> None:
    if self.iteration + 1 == int(number):
        die()
    step(self, batch)


def doomed_save(content: Any, file: Any) -> None:
    global written
    written += 1
    if written == int(number):
        file.write(b"half a checkpoint")
        file.flush()
        die()
    save(content, file)


again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
if not again and os.environ.get("RANK", "0") == os.environ.get("KILL_RANK", "0"):
    if where == "step":
        Trainer.step = doomed_step  # type: ignore[method-assign]
    else:
        torch.save = doomed_save  # type: ignore[assignment]
if __name__ == "__main__":
    main()
