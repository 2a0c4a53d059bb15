"""Regions on their way to a device and back: on a card the next one is sent while the last one is computed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import NumericalError

Floats = NDArray[np.float32]
Item = TypeVar("Item")
Begun = TypeVar("Begun")
Done = TypeVar("Done")


def in_order(
    items: Iterable[Item], begin: Callable[[Item], Begun], finish: Callable[[Begun], Done], ahead: int
) -> Iterator[Done]:
    """``finish(begin(item))`` of every item in turn, where ``ahead`` more are begun before one is finished."""
    waiting: deque[Begun] = deque()
    for item in items:
        waiting.append(begin(item))
        if len(waiting) > ahead:
            yield finish(waiting.popleft())
    while waiting:
        yield finish(waiting.popleft())


def depth(device: torch.device) -> int:
    """How many regions may be begun before one is finished."""
    return 1 if device.type == "cuda" else 0


def sent(region: Floats, device: torch.device) -> Tensor:
    """(height, width, channels) as (1, channels, height, width) on the device; on a card it may still be on its way."""
    batch = torch.from_numpy(np.ascontiguousarray(region.transpose(2, 0, 1)))[None]
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)


class Returning:
    """A result (1, channels, height, width) on its way back from a device."""

    def __init__(self, result: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        result = result[0].permute(1, 2, 0).float()
        if result.device.type != "cuda":
            self._here = result.cpu()
            return
        self._here = torch.empty(result.shape, pin_memory=True)
        self._here.copy_(result, non_blocking=True)
        self._event = torch.cuda.current_stream(result.device).record_event()

    def numpy(self) -> Floats:
        """(height, width, channels), once it is here.

        Raises:
            NumericalError: it holds values that are not numbers.
        """
        if self._event is not None:
            self._event.synchronize()
        result: Floats = self._here.numpy()
        if not np.isfinite(result).all():
            raise NumericalError("The network produced values that are not numbers.", "Check the model file.")
        return result
