"""The fused operations on torch modules: layers applied pixel by pixel, and depthwise convolutions after them."""

from torch import Tensor, nn

from mambair_kernels import fused
from mambair_kernels.fused import Activation, Pair

from .convolution import Conv2d, DepthwiseConv2d


def apply_linear(layer: nn.Linear, x: Tensor, activation: Activation = "identity") -> Tensor:
    """``activation(layer(x))``."""
    return fused.linear(x, layer.weight, layer.bias, activation)


def norm_linear(norm: nn.LayerNorm, layer: nn.Linear, x: Tensor, activation: Activation = "identity") -> Tensor:
    """``activation(layer(norm(x)))``."""
    return fused.norm_linear(x, norm.weight, norm.bias, layer.weight, layer.bias, activation, norm.eps)


def norm_conv1x1(norm: nn.LayerNorm, layer: nn.Conv2d, x: Tensor) -> Tensor:
    """``layer(norm(x))`` for a convolution of one pixel."""
    return fused.norm_linear(x, norm.weight, norm.bias, layer.weight.flatten(1), layer.bias, eps=norm.eps)


def norm_linear_conv(
    norm: nn.LayerNorm, layer: nn.Linear, convolution: DepthwiseConv2d, x: Tensor
) -> tuple[Tensor, Tensor]:
    """``convolution`` of the first channels of ``layer(norm(x))``, and its other channels; ``layer`` has no bias."""
    assert layer.bias is None
    assert convolution.dilation[0] == 1
    weights = layer.weight, convolution.weight, convolution.bias
    return fused.norm_linear_conv(x, norm.weight, norm.bias, *weights, convolution.activation, norm.eps)


def separable_convolutions(
    norm: nn.LayerNorm, layers: tuple[Conv2d, DepthwiseConv2d, Conv2d, DepthwiseConv2d], x: Tensor
) -> tuple[Tensor, Tensor]:
    """The layers one after the other of ``norm(x)``, and the mean of the result over the image."""
    pairs = _pair(*layers[:2]), _pair(*layers[2:])
    return fused.separable_convolutions(x, norm.weight, norm.bias, pairs, norm.eps)


def channel_gate(mean: Tensor, squeeze: nn.Conv2d, excite: nn.Conv2d) -> Tensor:
    """``sigmoid(excite(relu(squeeze(mean))))`` for convolutions of one pixel with biases."""
    assert squeeze.bias is not None
    assert excite.bias is not None
    first, second = squeeze.weight.flatten(1), excite.weight.flatten(1)
    return fused.channel_gate(mean, first, squeeze.bias, second, excite.bias)


def _pair(layer: Conv2d, convolution: DepthwiseConv2d) -> Pair:
    weights = layer.weight.flatten(1), layer.bias, convolution.weight, convolution.bias
    return Pair(*weights, convolution.dilation[0], convolution.activation)
