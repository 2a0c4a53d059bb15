"""Losses and metrics beyond BasicSR's; signature and docstring of each declare its options."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from .perceptual import NEEDED, weights

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


@loss
class LPIPSLoss(nn.Module):
    """Learned distance of features (Zhang et al., CVPR 2018), for perceptual_opt; the extra [perceptual] has it.

    Args:
        loss_weight: factor.
        net: network whose features are compared.
    """

    def __init__(self, loss_weight: float = 1.0, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        with weights(NEEDED[net]), warnings.catch_warnings(action="ignore"):  # about a spelling of 2022
            from lpips import LPIPS

            self.distance = LPIPS(net=net, verbose=False).requires_grad_(False)

    def forward(self, pred: Tensor, target: Tensor) -> tuple[Tensor, None]:
        """The loss of two batches (batch, 3, height, width) in [0, 1], and no style loss."""
        return self.loss_weight * self.distance(pred, target, normalize=True).mean(), None
