"""Convolution and pixel rearrangement on channels-last tensors."""

import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels.convolution import convolution
from mambair_kernels.fused import Activation, depthwise_conv2d, linear


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` from (batch, height, width, in) to (batch, height', width', out), with the same parameters."""

    @property
    def keeps_size(self) -> bool:
        """Whether it is 3x3 and nothing else, with a zero beyond each edge."""
        shape = self.kernel_size, self.padding, self.stride, self.dilation, self.groups
        return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve; the permutations are views, the memory stays channels-last."""
        if self.kernel_size == (1, 1):
            return linear(input, self.weight.flatten(1), self.bias)
        if self.keeps_size:
            return convolution(input, self.weight, self.bias)
        return super().forward(input.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def add_convolved(residual: Tensor, layer: nn.Module, x: Tensor) -> Tensor:
    """``residual + layer(x)``, in one pass if the layer is one 3x3 convolution."""
    if isinstance(layer, Conv2d) and layer.keeps_size:
        return convolution(x, layer.weight, layer.bias, residual=residual)
    out: Tensor = residual + layer(x)
    return out


class DepthwiseConv2d(nn.Conv2d):
    """One odd filter per channel, size kept, on (batch, height, width, channels), with an activation after it."""

    def __init__(
        self, channels: int, kernel_size: int, dilation: int = 1, activation: Activation = "identity", bias: bool = True
    ) -> None:
        super().__init__(channels, channels, kernel_size, dilation=dilation, groups=channels, bias=bias)
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        """Convolve and activate in one pass."""
        return depthwise_conv2d(input, self.weight, self.bias, self.dilation[0], self.activation)


def conv3x3(in_channels: int, out_channels: int, **options: int | bool) -> Conv2d:
    """3x3 convolution that keeps the size; ``options`` as for ``nn.Conv2d``."""
    return Conv2d(in_channels, out_channels, 3, padding=1, **options)  # type: ignore[arg-type]


class PixelShuffle(nn.Module):
    """(batch, h, w, c * r * r) to (batch, h * r, w * r, c), channels ordered as in ESPCN (arXiv 1609.05158)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Move channels into space."""
        return F.pixel_shuffle(x.permute(0, 3, 1, 2), self.factor).permute(0, 2, 3, 1)


class PixelUnshuffle(nn.Module):
    """Inverse of :class:`PixelShuffle`; height and width must be multiples of ``factor``."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Move space into channels."""
        return F.pixel_unshuffle(x.permute(0, 3, 1, 2), self.factor).permute(0, 2, 3, 1)


def residual_conv(channels: int, kind: str) -> nn.Module:
    """The convolution that closes a group of blocks: one 3x3, or the thinner ``3conv`` of SwinIR."""
    if kind == "1conv":
        return conv3x3(channels, channels)
    if kind == "3conv":
        return nn.Sequential(
            conv3x3(channels, channels // 4),
            nn.LeakyReLU(0.2),
            Conv2d(channels // 4, channels // 4, 1),
            nn.LeakyReLU(0.2),
            conv3x3(channels // 4, channels),
        )
    raise ValueError(f"resi_connection is {kind!r}, expected '1conv' or '3conv'")
