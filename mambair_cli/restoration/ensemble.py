"""The mean over the eight symmetries of a square: what a network makes of a picture that is turned and mirrored."""

from itertools import product

import torch
from torch import Tensor

from .engine import Network

SYMMETRIES = tuple(product((False, True), repeat=3))
"""Mirrored, upside down, rows for columns."""


def ensemble(network: Network) -> Network:
    """``network`` averaged over the eight symmetries, one after the other (arXiv 1707.02921, section 3.3).

    Sums of eight single values are exact in double precision, so that their order does not matter: to turn the input
    is to turn the output, and a network to which symmetries mean nothing gives what it gives alone.
    """

    def run(x: Tensor) -> Tensor:
        total: Tensor | None = None
        for symmetry in SYMMETRIES:
            y = _back(network(_there(x, *symmetry)), *symmetry).double()
            total = y if total is None else total.add_(y)
        assert total is not None
        return total.div_(len(SYMMETRIES)).float()

    return run


def working_bytes(scale: int, channels: int) -> int:
    """Memory per input pixel beside that of the network: the sum, one result in both precisions, one turned input."""
    return (8 + 8 + 4) * channels * scale**2 + 4 * channels


def _there(x: Tensor, mirrored: bool, upset: bool, turned: bool) -> Tensor:
    x = x.mT if turned else x
    return torch.flip(x, _axes(mirrored, upset)).contiguous()


def _back(y: Tensor, mirrored: bool, upset: bool, turned: bool) -> Tensor:
    y = torch.flip(y, _axes(mirrored, upset))
    return y.mT if turned else y


def _axes(mirrored: bool, upset: bool) -> list[int]:
    return [axis for axis, wanted in ((-1, mirrored), (-2, upset)) if wanted]
