"""What a step makes of the batch that the data set gave: smaller patches for a while, and mixtures of samples."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Low-quality and clean samples, (batch, channels, height, width) each."""


def stage(stages: Sequence[dict[str, Any]], step: int) -> dict[str, Any] | None:
    """The stage of a step, which counts from 1; the last one lasts, and there need not be any."""
    for each in stages:
        step -= each["steps"]
        if step <= 0:
            return each
    return stages[-1] if stages else None


def reduced(lq: Tensor, gt: Tensor, batch: int, size: int, scale: int) -> Pair:
    """The first ``batch`` samples, cut to ``size`` clean pixels at one random place."""
    low = size // scale
    room = [edge - low + 1 for edge in lq.shape[2:]]
    top, left = (int(torch.randint(places, ())) for places in room)
    lq = lq[:batch, :, top : top + low, left : left + low]
    top, left = top * scale, left * scale
    return lq.contiguous(), gt[:batch, :, top : top + size, left : left + size].contiguous()


def mixed(lq: Tensor, gt: Tensor, beta: float, probability: float) -> Pair:
    """Each sample blended with another of the batch, by one share from Beta(beta, beta).

    H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    """
    if float(torch.rand(())) >= probability:
        return lq, gt
    share = float(torch.distributions.Beta(beta, beta).sample())
    order = torch.randperm(len(lq)).to(lq.device)
    return lq.lerp(lq[order], 1 - share), gt.lerp(gt[order], 1 - share)
