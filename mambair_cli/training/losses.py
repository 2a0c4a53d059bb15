"""Losses beyond BasicSR's."""

import torch
from torch import Tensor, nn


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
