"""The U-shape of Restormer (arXiv 2111.09881) for any block, on (batch, height, width, channels)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .convolution import Conv2d, PixelShuffle, PixelUnshuffle, conv3x3
from .residual import run_blocks

LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")

MakeBlock = Callable[[int], nn.Module]
"""A block of so many channels."""


class PatchEmbed(nn.Module):
    """The first convolution, under its published name."""

    def __init__(self, in_channels: int, dim: int, bias: bool) -> None:
        super().__init__()
        self.proj = conv3x3(in_channels, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, in) to (batch, height, width, dim)."""
        out: Tensor = self.proj(x)
        return out


class Resample(nn.Module):
    """A convolution without bias and a pixel rearrangement, under the published name ``body``."""

    def __init__(self, dim: int, channels: int, rearrange: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3x3(dim, channels, bias=False), rearrange)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to half or twice the size."""
        out: Tensor = self.body(x)
        return out


def _down(dim: int) -> Resample:
    return Resample(dim, dim // 2, PixelUnshuffle(2))


def _up(dim: int) -> Resample:
    return Resample(dim, dim * 2, PixelShuffle(2))


class RestormerShape(nn.Module):
    """Encoder and decoder of three halvings, under the published names; a network derives from it."""

    encoder_level1: nn.ModuleList
    down1_2: Resample
    encoder_level2: nn.ModuleList
    down2_3: Resample
    encoder_level3: nn.ModuleList
    down3_4: Resample
    latent: nn.ModuleList
    up4_3: Resample
    reduce_chan_level3: Conv2d
    decoder_level3: nn.ModuleList
    up3_2: Resample
    reduce_chan_level2: Conv2d
    decoder_level2: nn.ModuleList
    up2_1: Resample
    decoder_level1: nn.ModuleList
    refinement: nn.ModuleList

    def build_levels(
        self, dim: int, depths: tuple[int, ...], refinement: int, make_block: MakeBlock, bias: bool
    ) -> None:
        """Make all levels; ``depths`` are those from the finest to the coarsest."""

        def level(width: int, depth: int) -> nn.ModuleList:
            return nn.ModuleList(make_block(width) for _ in range(depth))

        self.encoder_level1 = level(dim, depths[0])
        self.down1_2 = _down(dim)
        self.encoder_level2 = level(2 * dim, depths[1])
        self.down2_3 = _down(2 * dim)
        self.encoder_level3 = level(4 * dim, depths[2])
        self.down3_4 = _down(4 * dim)
        self.latent = level(8 * dim, depths[3])
        self.up4_3 = _up(8 * dim)
        self.reduce_chan_level3 = Conv2d(8 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = level(4 * dim, depths[2])
        self.up3_2 = _up(4 * dim)
        self.reduce_chan_level2 = Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = level(2 * dim, depths[1])
        self.up2_1 = _up(2 * dim)
        self.decoder_level1 = level(2 * dim, depths[0])
        self.refinement = level(2 * dim, refinement)

    def run_levels(self, shallow: Tensor, use_checkpoint: bool) -> Tensor:
        """(batch, height, width, dim), sizes multiples of 8, to (batch, height, width, 2 * dim)."""

        def blocks(level: nn.ModuleList, x: Tensor) -> Tensor:
            return run_blocks(level, x, use_checkpoint)

        enc1 = blocks(self.encoder_level1, shallow)
        enc2 = blocks(self.encoder_level2, self.down1_2(enc1))
        enc3 = blocks(self.encoder_level3, self.down2_3(enc2))
        latent = blocks(self.latent, self.down3_4(enc3))
        dec3 = self.reduce_chan_level3(torch.cat([self.up4_3(latent), enc3], dim=-1))
        dec3 = blocks(self.decoder_level3, dec3)
        dec2 = self.reduce_chan_level2(torch.cat([self.up3_2(dec3), enc2], dim=-1))
        dec2 = blocks(self.decoder_level2, dec2)
        dec1 = torch.cat([self.up2_1(dec2), enc1], dim=-1)
        return blocks(self.refinement, blocks(self.decoder_level1, dec1))


def costs(network: nn.Module) -> Iterator[tuple[nn.Module, float]]:
    """Parts with the number of pixels that they see per input pixel."""
    for name, module in network.named_children():
        level = next((int(c) for c in name if c.isdigit()), 4 if name == "latent" else 1)
        yield module, 4.0 ** (1 - level)
