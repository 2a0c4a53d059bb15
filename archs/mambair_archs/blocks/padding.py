"""Padding by mirrored copies that works for any size, one pixel included (``F.pad`` needs more pixels than it adds)."""

import torch
from torch import Tensor


def _mirror(length: int, padded: int, repeat_edge: bool, device: torch.device) -> Tensor:
    positions = torch.arange(padded, device=device)
    if length == 1:
        return torch.zeros_like(positions)
    period = 2 * length if repeat_edge else 2 * length - 2
    positions = positions % period
    return torch.minimum(positions, (2 * length - 1 if repeat_edge else period) - positions)


def pad_to_multiple(x: Tensor, multiple: int, repeat_edge: bool) -> Tensor:
    """Pad (batch, height, width, channels) at the bottom and right up to multiples of ``multiple``.

    ``repeat_edge`` chooses numpy's ``symmetric`` over its ``reflect``; both go on periodically when the image is
    smaller than what is added.
    """
    height, width = x.shape[1:3]
    if height % multiple:
        x = x[:, _mirror(height, -(-height // multiple) * multiple, repeat_edge, x.device)]
    if width % multiple:
        x = x[:, :, _mirror(width, -(-width // multiple) * multiple, repeat_edge, x.device)]
    return x
