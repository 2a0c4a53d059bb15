"""Layers applied pixel by pixel, each a single pass over the image: the fused operations on torch modules."""

from torch import Tensor, nn

from mambair_kernels import fused
from mambair_kernels.fused import Activation


def apply_linear(layer: nn.Linear, x: Tensor, activation: Activation = "identity") -> Tensor:
    """``activation(layer(x))``."""
    return fused.linear(x, layer.weight, layer.bias, activation)


def norm_linear(norm: nn.LayerNorm, layer: nn.Linear, x: Tensor, activation: Activation = "identity") -> Tensor:
    """``activation(layer(norm(x)))``."""
    return fused.norm_linear(x, norm.weight, norm.bias, layer.weight, layer.bias, activation, norm.eps)


def norm_conv1x1(norm: nn.LayerNorm, layer: nn.Conv2d, x: Tensor) -> Tensor:
    """``layer(norm(x))`` for a convolution of one pixel."""
    return fused.norm_linear(x, norm.weight, norm.bias, layer.weight[:, :, 0, 0], layer.bias, eps=norm.eps)
