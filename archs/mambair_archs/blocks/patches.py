"""Changes of resolution between the stages of visual state-space networks, on (batch, height, width, channels)."""

import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import Conv2d
from .pointwise import apply_linear, norm_linear


class PatchEmbed(nn.Module):
    """A convolution of ``size`` x ``size`` patches and a norm, under its published names."""

    def __init__(self, in_channels: int, dim: int, size: int) -> None:
        super().__init__()
        self.proj = Conv2d(in_channels, dim, size, stride=size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, in) to (batch, height / size, width / size, dim)."""
        out: Tensor = self.norm(self.proj(x))
        return out


def cells(x: Tensor) -> Tensor:
    """The four cells of every 2x2 square side by side as channels, down first; sizes must be even."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return squares.permute(0, 1, 3, 4, 2, 5).flatten(3)


def rearrange(x: Tensor, factor: int) -> Tensor:
    """(batch, h, w, factor * factor * c) to (batch, h * factor, w * factor, c), channels ordered row, column, c."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height, width, factor, factor, channels // factor**2).transpose(2, 3)
    return squares.reshape(batch, height * factor, width * factor, -1)


class PatchMerging(nn.Module):
    """Half the size, twice the channels: 2x2 cells, a norm and a linear layer (Swin, arXiv 2103.14030).

    ``pad`` chooses whether an odd last row or column is completed with zeros (VMamba) or dropped (VM-UNet).
    """

    def __init__(self, dim: int, pad: bool) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to (batch, height / 2, width / 2, 2 * dim)."""
        height, width = x.shape[1:3]
        even = F.pad(x, (0, 0, 0, width % 2, 0, height % 2)) if self.pad else x[:, : height & ~1, : width & ~1]
        return norm_linear(self.norm, self.reduction, cells(even))


class PatchExpand(nn.Module):
    """``factor`` times the size with ``channels`` channels: a linear layer, cells into space, a norm."""

    def __init__(self, dim: int, channels: int, factor: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, factor**2 * channels, bias=False)
        self.norm = nn.LayerNorm(channels)
        self.factor = factor

    def macs_per_pixel(self, inside: float) -> float:
        """Per pixel that comes in: the norm sees those that go out."""
        return inside + 5 * (self.factor**2 - 1) * self.norm.weight.numel()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to (batch, height * factor, width * factor, channels)."""
        out: Tensor = self.norm(rearrange(apply_linear(self.expand, x), self.factor))
        return out
