"""Channel attention and the convolutional half of a MambaIR block (arXiv 2402.15648, section 3.3)."""

from typing import Literal, cast

from torch import Tensor, nn

from .convolution import Conv2d, DepthwiseConv2d, conv3x3
from .pointwise import channel_gate, separable_convolutions

ConvBlock = Literal["bottleneck", "light", "depthwise"]
"""``bottleneck``: 3x3, GELU, 3x3. ``light``: the present MambaIR-light. ``depthwise``: its first generation."""

Light = tuple[Conv2d, DepthwiseConv2d, Conv2d, DepthwiseConv2d]


class GlobalMean(nn.Module):
    """Mean over the image: (batch, height, width, channels) to (batch, 1, 1, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average all pixels: the rows first, which torch does three times as fast as both at once."""
        return x.mean(2, keepdim=True).mean(1, keepdim=True)


class ChannelAttention(nn.Module):
    """Squeeze-and-excitation gate (arXiv 1709.01507) with ``channels // squeeze_factor`` hidden channels."""

    def __init__(self, channels: int, squeeze_factor: int) -> None:
        super().__init__()
        self.channels = channels
        self.attention = nn.Sequential(
            GlobalMean(),
            Conv2d(channels, channels // squeeze_factor, 1),
            nn.ReLU(),
            Conv2d(channels // squeeze_factor, channels, 1),
            nn.Sigmoid(),
        )

    def macs_per_pixel(self, inside: float) -> float:
        """The pooling; the gate itself works once per image."""
        return self.channels

    def forward(self, x: Tensor) -> Tensor:
        """The weight of every channel, (batch, 1, 1, channels), computed from the whole image."""
        return self.of_mean(self.attention[0](x))

    def of_mean(self, mean: Tensor) -> Tensor:
        """The same of an image whose mean is known, (batch, 1, 1, channels)."""
        _, squeeze, _, excite, _ = self.attention
        return channel_gate(mean, cast(Conv2d, squeeze), cast(Conv2d, excite))


class CAB(nn.Module):
    """Convolutions followed by channel attention, on (batch, height, width, channels).

    Layers sit at the indices of the published checkpoints.
    """

    def __init__(self, channels: int, kind: ConvBlock, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        self.kind = kind
        layers: list[nn.Module]
        if kind == "bottleneck":
            hidden = channels // compress_ratio
            layers = [conv3x3(channels, hidden), nn.GELU(), conv3x3(hidden, channels)]
        elif kind == "light":
            hidden = channels // compress_ratio
            layers = [
                Conv2d(channels, hidden, 1),
                DepthwiseConv2d(hidden, 3, activation="gelu"),
                nn.Identity(),  # the activation's place in the published checkpoints
                Conv2d(hidden, channels, 1),
                DepthwiseConv2d(channels, 3, dilation=2),
            ]
        else:
            layers = [DepthwiseConv2d(channels, 3)]
        self.cab = nn.Sequential(*layers, ChannelAttention(channels, squeeze_factor))

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
        """Local enhancement of ``norm(x)``: the features, and the gate that is to scale them."""
        first, *others, attention = self.cab
        if self.kind == "light":
            reduce, convolve, _, expand, enhance, _ = self.cab
            layers = cast(Light, (reduce, convolve, expand, enhance))
            features, mean = separable_convolutions(norm, layers, x)
            return features, cast(ChannelAttention, attention).of_mean(mean)
        x = first(norm(x))
        for layer in others:
            x = layer(x)
        return x, attention(x)
