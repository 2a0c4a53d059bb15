"""MambaIRNanoUNet: residual 3x3 convolutions of normalised features in a U-shape, with a scan where it is coarsest.

For pictures that keep their size. Against MambaIRNano, levels of half and a quarter of the resolution see further for
less work; after equal training a norm before each block is worth 0.4 to 1.4 dB of denoising (docs/results.md): the
blocks then need not know how strong the harm is. The U-shape with skips is that of arXiv 1505.04597 with additions in
place of concatenations, as in DRUNet (arXiv 2008.13751); squares of pixels are channels as in FFDNet (1710.04026).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from mambair_kernels.fused import linear

from .blocks.convolution import Conv2d, PixelShuffle, PixelUnshuffle
from .blocks.padding import crop, pad_to_multiple
from .config import StateDict, count, create, option, shape
from .descriptor import ANY_FLOAT, Descriptor
from .mambair_nano import Convolution, ReducedScan
from .network import Network


@dataclass(frozen=True, kw_only=True)
class MambaIRNanoUNetConfig:
    """Options of :class:`MambaIRNanoUNet`."""

    in_chans: int = option(3, "Channels of the picture: 1 or 3.")
    dims: tuple[int, ...] = option((64, 64, 64), "Channels of each level, from the finest.")
    blocks: tuple[int, ...] = option(
        (2, 3, 4), "Residual blocks of each level; all but the coarsest have as many again on the way back."
    )
    scan_dim: int = option(48, "Channels of the state-space block in the middle of the coarsest level.")
    d_state: int = option(4, "States per channel of the scan.")
    unshuffle: int = option(2, "Edge of the square of pixels that are one pixel's channels.")

    def __post_init__(self) -> None:
        if self.in_chans not in (1, 3):
            raise ValueError(f"in_chans must be 1 or 3, got {self.in_chans}")
        if len(self.dims) != len(self.blocks) or not self.dims:
            raise ValueError(f"dims {self.dims} and blocks {self.blocks} must have one number for each level")
        if min(*self.dims, *self.blocks, self.scan_dim, self.d_state, self.unshuffle) < 1:
            raise ValueError("every number must be at least 1")

    @property
    def multiple(self) -> int:
        """Grid in pixels to which the picture is padded."""
        return self.unshuffle << (len(self.dims) - 1)


class NormedBlock(nn.Module):
    """Two convolutions of the normalised input with SiLU between them, added to the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv1 = Convolution(dim, dim)
        self.conv2 = Convolution(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        return self.conv2.onto(x, self.conv1.silu(self.norm(x)))


class Level(nn.Sequential):
    """Blocks of one resolution."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__(*(NormedBlock(dim) for _ in range(blocks)))


class Enlarge(Conv2d):
    """A pixel becomes a square of 2 x 2, by a matrix whose rows are ordered as for a pixel shuffle, added to others."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, 4 * out_channels, 1)

    def onto(self, skip: Tensor, x: Tensor) -> Tensor:
        """Add ``x`` (batch, h, w, in) enlarged to ``skip`` (batch, 2 * h, 2 * w, out)."""
        batch, height, width, _ = x.shape
        assert self.bias is not None
        weight = self.weight.view(-1, 2, 2, self.in_channels).permute(1, 2, 0, 3).reshape(self.out_channels, -1)
        bias = self.bias.view(-1, 2, 2).permute(1, 2, 0).flatten()
        square = linear(x, weight, bias).view(batch, height, width, 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
        return (skip.view(batch, height, 2, width, 2, -1) + square).view_as(skip)


class MambaIRNanoUNet(Network):
    """Residual convolutions in a U-shape with one scan, for restoration in a second per megapixel.

    Keyword options: see :class:`MambaIRNanoUNetConfig`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(MambaIRNanoUNetConfig, options)
        self.multiple = config.multiple
        dims, blocks = config.dims, config.blocks
        channels = config.in_chans * config.unshuffle**2
        self.conv_first = Convolution(channels, dims[0])
        finer = list(zip(dims[:-1], dims[1:], blocks[:-1], strict=True))
        self.encoder = nn.ModuleList(Level(dim, number) for dim, _, number in finer)
        self.down = nn.ModuleList(Conv2d(dim, coarser, 2, stride=2) for dim, coarser, _ in finer)
        self.middle = Level(dims[-1], blocks[-1])
        self.scan = ReducedScan(dims[-1], config.scan_dim, 1, config.d_state)
        self.up = nn.ModuleList(Enlarge(coarser, dim) for dim, coarser, _ in finer)
        self.decoder = nn.ModuleList(Level(dim, number) for dim, _, number in finer)
        self.conv_last = Convolution(dims[0], channels)
        for parameter in self.conv_last.parameters():  # training starts from the input itself
            nn.init.zeros_(parameter)
        self.gather, self.spread = PixelUnshuffle(config.unshuffle), PixelShuffle(config.unshuffle)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (batch, in_chans, height, width) to the same shape, any size."""
        x = pad_to_multiple(image.permute(0, 2, 3, 1), self.multiple, repeat_edge=True)
        x = self.gather(x).contiguous()
        features, skips = self.conv_first(x), []
        for encoder, down, _, _ in self.finer():
            skips.append(encoder(features))
            features = down(skips[-1])
        for block in self.coarsest():
            features = block(features)
        for _, _, up, decoder in reversed(self.finer()):
            features = decoder(up.onto(skips.pop(), features))
        pixels = self.spread(self.conv_last.onto(x, features))
        return crop(pixels, *image.shape[2:]).permute(0, 3, 1, 2).contiguous()

    def finer(self) -> list[tuple[Level, Conv2d, Enlarge, Level]]:
        """Encoder, the steps down and up again, and decoder of all levels but the coarsest, from the finest."""
        found = zip(self.encoder, self.down, self.up, self.decoder, strict=True)
        return cast(list[tuple[Level, Conv2d, Enlarge, Level]], list(found))

    def coarsest(self) -> Iterator[nn.Module]:
        """The modules of the coarsest level in their order."""
        blocks = list(self.middle)
        half = len(blocks) // 2
        yield from (*blocks[:half], self.scan, *blocks[half:])

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        share = 1 / self.config.unshuffle**2
        yield self.conv_first, share
        yield self.conv_last, share
        for number, (encoder, down, up, decoder) in enumerate(self.finer()):
            yield encoder, share / 4**number
            yield decoder, share / 4**number
            yield down, share / 4 ** (number + 1)
            yield up, share / 4 ** (number + 1)
        yield self.middle, share / 4 ** len(self.encoder)
        yield self.scan, share / 4 ** len(self.encoder)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaIRNanoUNet's."""
    return "middle.0.conv1.weight" in state_dict and "scan.scan.A_logs" in state_dict


def infer(state_dict: StateDict) -> MambaIRNanoUNetConfig:
    """Configuration of weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    finer = count(state_dict, "encoder.")
    levels = [*(f"encoder.{number}." for number in range(finer)), "middle."]
    channels = shape(state_dict, "conv_first.weight", 4)[1]
    in_chans = 3 if channels % 3 == 0 else 1
    return MambaIRNanoUNetConfig(
        in_chans=in_chans,
        dims=tuple(shape(state_dict, f"{level}0.conv1.weight", 4)[0] for level in levels),
        blocks=tuple(count(state_dict, level) for level in levels),
        scan_dim=shape(state_dict, "scan.down.weight", 4)[0],
        d_state=shape(state_dict, "scan.scan.A_logs", 2)[1],
        unshuffle=math.isqrt(channels // in_chans),
    )


def describe(config: MambaIRNanoUNetConfig) -> Descriptor:
    """What inference has to know."""
    floats = sum(6 * dim / 4**number for number, dim in enumerate(config.dims))
    return Descriptor(
        scale=1,
        in_channels=config.in_chans,
        size_multiple=config.multiple,
        tile=256 * config.unshuffle,
        bytes_per_pixel=4 * (int(floats) // config.unshuffle**2 + 12 * config.in_chans),
        dtypes=ANY_FLOAT,
    )
