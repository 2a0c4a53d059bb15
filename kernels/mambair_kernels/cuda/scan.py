"""CUDA backend: the output of the scan of an image in CUDA, all else as the Triton backend does it."""

from functools import cache

import torch
from torch import Tensor

from ..constant import constant
from ..operations import ImageScan
from ..triton import scan as triton
from . import launch

__all__ = ["available", "scan_2d", "selective_scan"]


def image(inputs: ImageScan) -> Tensor:
    """The output for an image; one that is too large, or has too many states, is Triton's."""
    return launch.scan(inputs) if launch.handles(inputs) else triton.image(inputs)


PASSES = triton.PASSES._replace(image=image)
_works = triton.availability("cuda", PASSES)
scan_2d, selective_scan = triton.operations("cuda", PASSES)


@constant
def available() -> tuple[bool, str]:
    """Whether a card's program can be compiled, Triton is there, and both give right results; found out once."""
    return _available(triton.interpreted(), torch.is_grad_enabled())


@cache
def _available(interpreting: bool, gradients: bool) -> tuple[bool, str]:
    """See :func:`.triton.scan.availability`; ``gradients`` is what it finds itself, as the result hangs on it."""
    missing = "Triton's interpreter was asked for" if interpreting else launch.missing()
    if missing:
        return False, missing
    works, reason = _works()
    return works, f"compiled at run time, gradients by {reason}" if works else reason
