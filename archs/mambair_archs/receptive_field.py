"""The effective receptive field of a network, as RepLKNet measures it (arXiv 2203.06717, section 4.1 and its code).

The gradient of the output's central pixel, where it is positive, by every pixel of the input says how much that pixel
contributes. Contributions are summed over colours, averaged over pictures, and described by the smallest central
squares that hold a share of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SHARES = (0.2, 0.3, 0.5, 0.99)
"""Shares of all contributions whose squares are reported there."""


@dataclass(frozen=True)
class Square:
    """The smallest central square that holds ``share`` of the contributions; ``area`` is its share of the picture."""

    share: float
    side: int
    area: float


def contributions(network: nn.Module, pictures: Iterable[Tensor]) -> Tensor:
    """How much every input pixel contributes to the centre of the output.

    Args:
        network: in evaluation mode; (1, channels, height, width) to any multiple of that size.
        pictures: of one size, each (1, channels, height, width), values in [0, 1].

    Returns:
        (height, width), float64, on the CPU: the mean over the pictures.

    Raises:
        ValueError: there are no pictures, or the centre depends on nothing.
    """
    seen = [_contribution(network, picture) for picture in pictures]
    if not seen:
        raise ValueError("there are no pictures")
    mean = torch.stack(seen).mean(0)
    if not mean.sum() > 0:
        raise ValueError("the centre of the output does not depend on the input")
    return mean


def _contribution(network: nn.Module, picture: Tensor) -> Tensor:
    picture = picture.detach().requires_grad_()
    with torch.enable_grad():
        out = network(picture)
        centre = out[:, :, out.shape[2] // 2, out.shape[3] // 2].relu().sum()
        (gradient,) = torch.autograd.grad(centre, picture)
    return gradient.relu().sum((0, 1)).double().cpu()


def squares(contribution: Tensor, shares: Iterable[float] = SHARES) -> list[Square]:
    """The central squares of (height, width) contributions, one for each share, in that order."""
    height, width = contribution.shape
    middle, total = (height // 2, width // 2), contribution.sum()
    held = []
    for radius in range(max(height, width)):
        rows, columns = (slice(max(at - radius, 0), at + radius + 1) for at in middle)
        held.append(contribution[rows, columns].sum() / total)
    return [
        _square(next((r for r, part in enumerate(held) if part >= share), len(held) - 1), share, height, width)
        for share in shares
    ]


def _square(radius: int, share: float, height: int, width: int) -> Square:
    side = min(2 * radius + 1, max(height, width))
    return Square(share, side, min(side, height) * min(side, width) / (height * width))
