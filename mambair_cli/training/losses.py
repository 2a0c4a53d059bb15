"""Losses and metrics beyond BasicSR's; signature and docstring of each declare its options."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

LOSSES: dict[str, type[nn.Module]] = {}
METRICS: dict[str, Callable[..., Any]] = {}
"""By the name in recipes."""

Loss = TypeVar("Loss", bound=type[nn.Module])
Metric = TypeVar("Metric", bound=Callable[..., Any])


def loss(kind: Loss) -> Loss:
    """Have recipes know a module that makes a number of two batches (batch, channels, height, width) by its name."""
    LOSSES[kind.__name__] = kind
    return kind


def metric(function: Metric) -> Metric:
    """Have recipes know a figure by its name.

    ``function(img, img2, ...)`` compares two images (height, width, channels) of bytes in BGR order.
    """
    METRICS[function.__name__] = function
    return function


@loss
class PSNRLoss(nn.Module):
    """Negative PSNR in dB, averaged over the patches of a batch, each of which counts the same however harmed it was.

    Args:
        loss_weight: factor.
        eps: mean squared error, of values in [0, 1], below which it hardly matters any more.
    """

    def __init__(self, loss_weight: float = 1.0, eps: float = 1e-8) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """A number from two batches (batch, channels, height, width)."""
        errors = (pred - target).square().mean((1, 2, 3))
        return self.loss_weight * 10 * torch.log10(errors + self.eps).mean()
