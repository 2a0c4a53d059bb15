"""Checks of shapes, and what the native forms of the fused operations share: layout and the number of threads."""

from typing import Literal

import torch
from torch import Tensor

SMALL = 1 << 17

Activation = Literal["identity", "silu", "gelu"]
CODES: dict[Activation, int] = {"identity": 0, "silu": 1, "gelu": 2}
"""What the library calls them (``csrc/activation.h``)."""


def check(name: str, tensor: Tensor | None, *shape: int) -> None:
    """The library reads as far as the sizes say, so they must be true.

    Raises:
        ValueError: the tensor has another shape.
    """
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")


def threads(work: int) -> int:
    """Threads for that many multiply-adds; a second one costs more than it brings where there is little to do."""
    return torch.get_num_threads() if work >= SMALL else 1


def dense(tensor: Tensor | None) -> Tensor | None:
    """The tensor without gaps."""
    return None if tensor is None else tensor.contiguous()


def rows(x: Tensor) -> Tensor:
    """The pixels (pixels, channels) of x, a constant distance apart; a copy only if they are not."""
    if x.is_contiguous():
        return x.view(-1, x.shape[-1])
    even = all(x.stride(i) == x.stride(i + 1) * x.shape[i + 1] for i in range(x.dim() - 2))
    x = x if even and x.stride(-1) == 1 else x.contiguous()
    return x.as_strided((x.numel() // x.shape[-1], x.shape[-1]), (x.stride(-2), 1))


def optional(x: Tensor, wanted: bool, *shape: int) -> Tensor:
    """Room for a result, or an empty tensor in place of one that does not exist."""
    return x.new_empty(shape if wanted else (0,))


def given(result: Tensor) -> Tensor | None:
    """The result, or None for one that does not exist."""
    return result if result.numel() else None
