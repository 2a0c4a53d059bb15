"""Layers in two or three dimensions, on (batch, channels, ...)."""

from typing import Literal

from torch import nn

Dimensions = Literal[2, 3]


def conv(
    dimensions: Dimensions,
    in_channels: int,
    channels: int,
    size: int,
    stride: int | tuple[int, ...] = 1,
    bias: bool = True,
) -> nn.Conv2d | nn.Conv3d:
    """A convolution of odd ``size`` padded to keep the size but for the stride."""
    if dimensions == 2:
        return nn.Conv2d(in_channels, channels, size, _pair(stride), size // 2, bias=bias)
    return nn.Conv3d(in_channels, channels, size, _triple(stride), size // 2, bias=bias)


def transposed(
    dimensions: Dimensions, in_channels: int, channels: int, factor: tuple[int, ...]
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """A transposed convolution that enlarges every axis by its factor."""
    if dimensions == 2:
        return nn.ConvTranspose2d(in_channels, channels, _pair(factor), _pair(factor))
    return nn.ConvTranspose3d(in_channels, channels, _triple(factor), _triple(factor))


def average(dimensions: Dimensions, factor: tuple[int, ...]) -> nn.AvgPool2d | nn.AvgPool3d:
    """Means of cells of that size."""
    return nn.AvgPool2d(_pair(factor)) if dimensions == 2 else nn.AvgPool3d(_triple(factor))


def batch_norm(dimensions: Dimensions, channels: int) -> nn.BatchNorm2d | nn.BatchNorm3d:
    """A batch norm."""
    return nn.BatchNorm2d(channels) if dimensions == 2 else nn.BatchNorm3d(channels)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return first, second


def _triple(value: int | tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = (value,) * 3 if isinstance(value, int) else value
    return first, second, third
