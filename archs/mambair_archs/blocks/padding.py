"""Padding by mirrored copies that works for any size, one pixel included (``F.pad`` needs more pixels than it adds)."""

import torch
from torch import Tensor


def _mirror(length: int, padded: int, repeat_edge: bool, device: torch.device) -> Tensor:
    # 1 // length makes the period of a single pixel 1; a branch would be decided while a network is traced.
    period = 2 * length if repeat_edge else 2 * length - 2 + 1 // length
    positions = torch.arange(padded, device=device) % period
    return torch.minimum(positions, (2 * length - 1 if repeat_edge else period) - positions)


def _up(length: int, multiple: int) -> int:
    """The next multiple; without negative numbers, whose division ONNX rounds towards zero."""
    return (length + multiple - 1) // multiple * multiple


def pad_to_multiple(x: Tensor, multiple: int, repeat_edge: bool) -> Tensor:
    """Pad (batch, height, width, channels) at the bottom and right up to multiples of ``multiple``.

    ``repeat_edge`` chooses numpy's ``symmetric`` over its ``reflect``; both go on periodically when the image is
    smaller than what is added.
    """
    height, width = x.shape[1:3]
    # An exported network takes any size, so the choice must not be made while it is being traced.
    always = multiple > 1 and torch.compiler.is_exporting()
    if always or height % multiple:
        x = x[:, _mirror(height, _up(height, multiple), repeat_edge, x.device)]
    if always or width % multiple:
        x = x[:, :, _mirror(width, _up(width, multiple), repeat_edge, x.device)]
    return x


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """The top left part of (batch, height', width', channels)."""
    if torch.compiler.is_exporting():  # the layout of a view would depend on whether anything is cut off
        rows, columns = (torch.arange(size, device=x.device) for size in (height, width))
        return x.index_select(1, rows).index_select(2, columns)
    return x[:, :height, :width]


def pad_axes(x: Tensor, multiples: tuple[int, ...]) -> Tensor:
    """Mirror (batch, channels, ...) at the end of every further axis up to a multiple of its number."""
    for axis, multiple in enumerate(multiples, start=2):
        if (multiple > 1 and torch.compiler.is_exporting()) or x.shape[axis] % multiple:
            padded = _up(x.shape[axis], multiple)
            x = x.index_select(axis, _mirror(x.shape[axis], padded, False, x.device))
    return x


def crop_axes(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The first part of (batch, channels, ...) along every further axis."""
    for axis, size in enumerate(sizes, start=2):
        if torch.compiler.is_exporting():
            x = x.index_select(axis, torch.arange(size, device=x.device))
        else:
            x = x.narrow(axis, 0, size)
    return x
