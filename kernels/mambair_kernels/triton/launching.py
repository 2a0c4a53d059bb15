"""Launches of Triton's kernels: on which device, and in as few steps of Python as there can be."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, reduce
from operator import attrgetter, or_
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ..errors import BackendError

UNALIGNED: Final = 15
"""Bits of an address that are zero where loads may be as wide as they get."""
LARGE: Final = 2**31
"""Whole numbers from here on have another type."""
TYPE, ADDRESS = attrgetter("dtype"), Tensor.data_ptr
HERE: Final = nullcontext()

_compiled: dict[tuple[Any, ...], Any] = {}


@cache
def find_room() -> "tempfile.TemporaryDirectory[str] | None":
    """Triton fails where it cannot keep what it compiles: then a folder that goes with this process is its cache."""
    from triton import knobs

    try:
        Path(knobs.cache.dir).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=knobs.cache.dir).close()
    except OSError:
        folder = tempfile.TemporaryDirectory(prefix="mambair-")
        knobs.cache.dir = folder.name
        return folder
    return None


@contextmanager
def launching(tensor: Tensor) -> Iterator[None]:
    """Launches go to the device of ``tensor``.

    Raises:
        BackendError: a kernel cannot be compiled for it.
    """
    import triton

    try:
        with _on(tensor.device):
            yield
    except (triton.TritonError, triton.runtime.OutOfResources) as error:
        raise BackendError(
            f"Triton cannot compile for {tensor.device}: {error}; choose another scan backend"
        ) from error


def _on(device: torch.device) -> AbstractContextManager[object]:
    if device.type == "cpu":
        return HERE
    module = _module(device.type)
    return HERE if module.current_device() == device.index else module.device(device)


@cache
def _module(kind: str) -> Any:
    return torch.get_device_module(kind)


class Launch:
    """A kernel with the constants and options that it is compiled for, none of whose numbers Triton specialises for.

    Triton looks at every argument of every launch, which takes longer than a small kernel does. What it compiled is
    launched without where it would find the same again: tensors of the same types on the same device.
    """

    def __init__(self, kernel: Any, constants: dict[str, Any], **options: Any) -> None:
        self._kernel, self._named = kernel, {**constants, **options}
        self._constants = tuple(constants.values())

    def __call__(self, grid: tuple[int, int, int], tensors: tuple[Tensor, ...], numbers: tuple[float, ...]) -> None:
        """Launch on the device of the first tensor.

        Raises:
            BackendError: the kernel cannot be compiled for it.
        """
        known = (self, tensors[0].get_device(), *map(TYPE, tensors))
        usual = not reduce(or_, map(ADDRESS, tensors)) & UNALIGNED and max(numbers) < LARGE
        compiled = _compiled.get(known) if usual else None
        if compiled is not None:
            with _on(tensors[0].device):
                compiled[grid](*tensors, *numbers, *self._constants)
            return
        with launching(tensors[0]):
            compiled = self._kernel[grid](*tensors, *numbers, **self._named)
        if usual and compiled is not None:  # the interpreter returns None
            _compiled[known] = compiled
