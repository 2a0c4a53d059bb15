"""The block of UVM-Net (U-shaped Vision Mamba for dehazing, arXiv 2402.04139), on (batch, channels, height, width)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mamba import Mamba

Form = Literal["published", "corrected"]
"""``published`` takes pixels for tokens without a transpose and normalises its gate over the batch."""


class UVMB(nn.Module):
    """Tokens through one Mamba and, across a grid of fixed size, through another, gated by a third.

    Args:
        channels: in and out.
        grid: edge of the grid, which is the width of the Mamba that reads channels as a sequence.
        channel_branch: whether there is that Mamba; it holds 105 M parameters at the published grid of 64.
        form: see :data:`Form`.
        hidden: width of the first convolutions.
    """

    def __init__(
        self, channels: int, grid: int, channel_branch: bool = True, form: Form = "corrected", hidden: int = 16
    ) -> None:
        super().__init__()
        self.form = form
        self.convb = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 3, padding=1)
        )
        self.model1 = Mamba(channels)
        self.model2 = Mamba(channels)
        if channel_branch:
            self.model3 = Mamba(grid**2)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)
        self.ln = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, grid, grid) to the same shape."""
        x = x + self.convb(x)
        published = self.form == "published"
        tokens = self.ln(x.reshape(len(x), -1, x.shape[1]) if published else x.flatten(2).mT)
        y = self.model1(tokens)
        z = self.model3(y.mT).mT if hasattr(self, "model3") else y
        y = torch.softmax(self.model2(tokens), dim=0 if published else -1) * z
        out: Tensor = self.smooth(y.reshape(x.shape) if published else y.mT.reshape(x.shape))
        return out


class DoubleConv(nn.Module):
    """A block on a reduced copy of the features, added to them, and two convolutions with batch norm."""

    def __init__(
        self, in_channels: int, channels: int, middle: int, grid: int, channel_branch: bool, form: Form
    ) -> None:
        super().__init__()
        self.grid = grid
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.ub = UVMB(in_channels, grid, channel_branch, form)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) to (batch, channels, height, width)."""
        reduced = resize(x, self.grid, self.grid)
        out: Tensor = self.double_conv(x + resize(self.ub(reduced), *x.shape[2:]))
        return out


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corners kept."""
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=True)
