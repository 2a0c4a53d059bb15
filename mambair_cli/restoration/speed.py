"""How fast models restore on this machine, beside a network that everybody knows."""

import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..weights.model import Model
from .choices import Choices
from .prepared import restore
from .yardstick import YARDSTICK, edsr_baseline


def processor() -> str:
    """What the processor calls itself, or at least its architecture."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


@dataclass(frozen=True)
class Speed:
    """Wall time of one model.

    Attributes:
        name: the model's, or :data:`YARDSTICK`.
        seconds: per megapixel of input.
        times_yardstick: how many times as fast as EDSR-baseline x4.
    """

    name: str
    seconds: float
    times_yardstick: float

    @property
    def megapixels_per_minute(self) -> float:
        """Input megapixels restored in a minute."""
        return 60 / self.seconds


def medians(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each; they take turns, so that they meet the same machine. The first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(models: Sequence[Model], size: int, rounds: int) -> list[Speed]:
    """Restore a square of noise of ``size`` pixels with each model, tiles and rounding included.

    Returns:
        One row per model, then EDSR-baseline x4 in one piece, on the device of the first model.
    """
    generator = np.random.default_rng(0)
    device = models[0].device
    image = torch.rand(1, 3, size, size, device=device)
    edsr = edsr_baseline(device)
    works: dict[str, Callable[[], object]] = {}
    named = Counter(model.name for model in models)
    for model in models:
        name = model.name if named[model.name] == 1 else str(model.path)
        pixels = generator.integers(0, 256, (size, size, model.descriptor.in_channels), np.uint8)
        works[name] = lambda model=model, pixels=pixels: restore(pixels, model, Choices())  # type: ignore[misc]

    def yardstick() -> float:
        with torch.inference_mode():
            return float(edsr(image).sum())  # waits for a device that computes in the background

    works[YARDSTICK] = yardstick
    seconds = medians(works, rounds)
    return [Speed(name, spent / size**2 * 1e6, seconds[YARDSTICK] / spent) for name, spent in seconds.items()]
