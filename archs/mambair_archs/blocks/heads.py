"""Reconstruction heads, kept as attributes of the network so that their keys equal the published ones."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import PixelShuffle, conv3x3

Upsampler = Literal["", "pixelshuffle", "pixelshuffledirect", "nearest+conv"]

FEATURES = 64
"""Channels of the classic heads."""


def upsampling_layers(scale: int) -> nn.Sequential:
    """Convolutions and pixel shuffles for a scale of 3 or a power of two."""
    if scale == 3:
        return nn.Sequential(conv3x3(FEATURES, 9 * FEATURES), PixelShuffle(3))
    layers: list[nn.Module] = []
    for _ in range(int(math.log2(scale))):
        layers += [conv3x3(FEATURES, 4 * FEATURES), PixelShuffle(2)]
    return nn.Sequential(*layers)


def check_scale(upsampler: str, scale: int) -> None:
    """Refuse a head that cannot make this scale.

    Raises:
        ValueError: the head is unknown or does not offer the scale.
    """
    offered = {
        "": scale == 1,
        "pixelshuffle": scale == 3 or (scale > 1 and scale & (scale - 1) == 0),
        "pixelshuffledirect": scale > 1,
        "nearest+conv": scale == 4,
    }
    if upsampler not in offered:
        raise ValueError(f"upsampler is {upsampler!r}, expected one of {', '.join(map(repr, offered))}")
    if not offered[upsampler]:
        raise ValueError(f"upsampler {upsampler!r} does not offer a scale of {scale}")


def add_head(network: nn.Module, upsampler: Upsampler, scale: int, dim: int, out_channels: int) -> None:
    """Give ``network`` the layers of a head under their published names."""
    if upsampler == "pixelshuffledirect":
        network.upsample = nn.Sequential(conv3x3(dim, scale**2 * out_channels), PixelShuffle(scale))
        return
    if upsampler == "":
        network.conv_last = conv3x3(dim, out_channels)
        return
    network.conv_before_upsample = nn.Sequential(conv3x3(dim, FEATURES), nn.LeakyReLU(0.01))
    if upsampler == "pixelshuffle":
        network.upsample = upsampling_layers(scale)
    else:
        network.conv_up1 = conv3x3(FEATURES, FEATURES)
        network.conv_up2 = conv3x3(FEATURES, FEATURES)
        network.conv_hr = conv3x3(FEATURES, FEATURES)
    network.conv_last = conv3x3(FEATURES, out_channels)


def working_floats(upsampler: str, scale: int, dim: int, out_channels: int) -> int:
    """Values per input pixel that a head keeps at its widest, with the features and images around it."""
    channels = out_channels if upsampler in ("", "pixelshuffledirect") else FEATURES
    return 16 * dim + 2 * channels * scale**2


def _nearest_conv(x: Tensor, conv: nn.Module) -> Tensor:
    doubled = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    return F.leaky_relu(conv(doubled), 0.2)


def apply_head(network: nn.Module, upsampler: Upsampler, features: Tensor, x: Tensor) -> Tensor:
    """Turn features (batch, h, w, dim) into pixels; ``x`` is the network's input, the residual of the plain head."""
    out: Tensor
    if upsampler == "":
        out = x + network.get_submodule("conv_last")(features)
        return out
    if upsampler == "pixelshuffledirect":
        out = network.get_submodule("upsample")(features)
        return out
    features = network.get_submodule("conv_before_upsample")(features)
    if upsampler == "pixelshuffle":
        features = network.get_submodule("upsample")(features)
    else:
        features = _nearest_conv(features, network.get_submodule("conv_up1"))
        features = _nearest_conv(features, network.get_submodule("conv_up2"))
        features = F.leaky_relu(network.get_submodule("conv_hr")(features), 0.2)
    out = network.get_submodule("conv_last")(features)
    return out
