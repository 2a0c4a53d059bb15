"""Means of what a step reports, and how fast steps go."""

import time
from dataclasses import dataclass, field

import psutil
import torch


@dataclass
class Meter:
    """Sums since the last report; they are part of a checkpoint, so that the next report is the same after a resume."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, values: dict[str, float]) -> None:
        """Count one step."""
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """The means, and start again."""
        means = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


class Clock:
    """Steps per second since the last report, without what happens between steps."""

    def __init__(self) -> None:
        self.seconds, self.steps, self.rate = 0.0, 0, 0.0
        self.resume()

    def resume(self) -> None:
        """The next step begins now."""
        self._started = time.perf_counter()

    def step(self) -> None:
        """A step is done, and the next begins."""
        now = time.perf_counter()
        self.seconds += now - self._started
        self.steps += 1
        self._started = now

    def take(self) -> float:
        """Steps per second, and start again."""
        if self.steps:
            self.rate = self.steps / max(self.seconds, 1e-9)
        self.seconds, self.steps = 0.0, 0
        return self.rate


def memory(device: torch.device) -> int:
    """Bytes: the most that tensors took on a GPU, or what the process takes now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)
