"""Convolution blocks of nnU-Net's networks as U-Mamba (arXiv 2401.04722) has them, in two and three dimensions.

Modules are listed under all the names that the published checkpoints have for them.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .dimensions import Dimensions, average, conv
from .mamba import Mamba

Norm = Literal["instance", "layer"]
"""Over the picture, as published, which loses the level of a picture; or over channels, as suits restoration."""

SLOPE = 0.01


class InstanceNorm(nn.Module):
    """``nn.InstanceNorm2d`` and ``3d`` with weights, for features of one pixel as well."""

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__()
        template = nn.InstanceNorm2d(channels, affine=affine)
        self.weight, self.bias = template.weight, template.bias

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        if x[0, 0].numel() == 1:  # torch refuses what has no deviation
            zeros = x * 0
            return zeros if self.bias is None else zeros + self.bias.view(-1, *[1] * (x.dim() - 2))
        return F.instance_norm(x, weight=self.weight, bias=self.bias)


class ChannelNorm(nn.Module):
    """A layer norm over channels, under a name that tells it from an instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        out: Tensor = self.layer(x.movedim(1, -1))
        return out.movedim(-1, 1)


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """A norm of that kind."""
    return InstanceNorm(channels) if kind == "instance" else ChannelNorm(channels)


def rectify(x: Tensor) -> Tensor:
    """Leaky rectifier with nnU-Net's slope."""
    return F.leaky_relu(x, SLOPE)


class BasicResBlock(nn.Module):
    """Two normed convolutions and a 1x1 shortcut without norm."""

    def __init__(self, dims: Dimensions, in_channels: int, channels: int, stride: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        self.conv1 = conv(dims, in_channels, channels, 3, stride)
        self.norm1 = make_norm(norm, channels)
        self.conv2 = conv(dims, channels, channels, 3)
        self.norm2 = make_norm(norm, channels)
        self.conv3 = conv(dims, in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...), divided by the stride."""
        y = self.norm2(self.conv2(rectify(self.norm1(self.conv1(x)))))
        return rectify(y + self.conv3(x))


class Again(nn.Sequential):
    """Modules listed a second time, as the published checkpoints do; they cost nothing more."""

    def macs_per_pixel(self, inside: float) -> float:
        """They are counted where they are used."""
        return 0 * inside


class ConvNorm(nn.Module):
    """A convolution and a norm, with a rectifier unless ``activate`` is False."""

    def __init__(
        self,
        dims: Dimensions,
        in_channels: int,
        channels: int,
        size: int,
        stride: tuple[int, ...],
        norm: Norm,
        activate: bool,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = conv(dims, in_channels, channels, size, stride, bias)
        self.norm = make_norm(norm, channels)
        self.all_modules = Again(self.conv, self.norm)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...)."""
        x = self.norm(self.conv(x))
        return rectify(x) if self.activate else x


class BasicBlock(nn.Module):
    """nnU-Net's residual block: the shortcut is the input, averaged where it is strided, and widened where needed."""

    def __init__(self, dims: Dimensions, in_channels: int, channels: int, stride: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        one = (1,) * dims
        self.conv1 = ConvNorm(dims, in_channels, channels, 3, stride, norm, activate=True)
        self.conv2 = ConvNorm(dims, channels, channels, 3, one, norm, activate=False)
        strided = [average(dims, stride)] if max(stride) > 1 else []
        widened = (
            [ConvNorm(dims, in_channels, channels, 1, one, norm, activate=False, bias=False)]
            if in_channels != channels
            else []
        )
        self.skip = nn.Sequential(*strided, *widened)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...), divided by the stride."""
        return rectify(self.conv2(self.conv1(x)) + self.skip(x))


class MambaLayer(nn.Module):
    """A norm and a Mamba that replace the features: over pixels, or over channels whose width is the grid's."""

    def __init__(self, dim: int, over_channels: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mamba = Mamba(dim)
        self.over_channels = over_channels

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        tokens = x.flatten(2) if self.over_channels else x.flatten(2).mT
        mixed: Tensor = self.mamba(self.norm(tokens))
        return (mixed if self.over_channels else mixed.mT).reshape(x.shape)
