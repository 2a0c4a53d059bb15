"""MambaIRNano: residual 3x3 convolutions, and state-space blocks that see the picture at a fraction of its resolution.

At equal time on a processor, plain 3x3 convolutions restore detail better than state-space blocks at full resolution
do; what they lack is sight beyond a few pixels. A scan of the features at a quarter of the height and width costs a
sixteenth and sees all of them. The body is EDSR's (arXiv 1707.02921) without its width; the input is added to the
output as in ABPN (arXiv 2105.09750), which leaves flat colours alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mambair_kernels.convolution import convolution, convolve_rows, result_rows, upsample_rows

from .blocks import bands
from .blocks.convolution import Conv2d, PixelShuffle, PixelUnshuffle
from .blocks.padding import pad_to_multiple
from .blocks.selective_scan import SS2D
from .config import StateDict, count, create, option, shape
from .descriptor import ANY_FLOAT, Descriptor
from .network import Network


@dataclass(frozen=True, kw_only=True)
class MambaIRNanoConfig:
    """Options of :class:`MambaIRNano`."""

    upscale: int = option(4, "Output size over input size; 1 keeps the size.")
    in_chans: int = option(3, "Channels of the picture: 1 or 3.")
    embed_dim: int = option(48, "Channels of the features.")
    depth: int = option(6, "Residual blocks of two convolutions.")
    scan_after: tuple[int, ...] = option((3,), "Numbers of the residual blocks that a state-space block follows.")
    scan_dim: int = option(48, "Channels of the state-space blocks.")
    scan_stride: int = option(4, "Edge of the square of pixels that is one step of the scan.")
    d_state: int = option(4, "States per channel of the scan.")
    unshuffle: int = option(
        1, "Edge of the square of pixels that are one pixel's channels; only where the size is kept."
    )

    def __post_init__(self) -> None:
        sizes = (
            self.upscale,
            self.embed_dim,
            self.depth,
            self.scan_dim,
            self.scan_stride,
            self.d_state,
            self.unshuffle,
        )
        if min(sizes) < 1 or self.in_chans not in (1, 3):
            raise ValueError("in_chans must be 1 or 3, and every other number at least 1")
        if self.unshuffle > 1 and self.upscale > 1:
            raise ValueError(f"unshuffle {self.unshuffle} needs upscale 1")
        if list(self.scan_after) != sorted(set(self.scan_after)) or not set(self.scan_after) <= set(
            range(1, self.depth + 1)
        ):
            raise ValueError(f"scan_after {self.scan_after} must be rising numbers from 1 to {self.depth}")

    @property
    def multiple(self) -> int:
        """Grid in pixels to which the picture is padded."""
        return self.unshuffle * (self.scan_stride if self.scan_after else 1)


class Convolution(Conv2d):
    """3x3 convolution on (batch, height, width, channels) that runs together with what follows it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def silu(self, x: Tensor) -> Tensor:
        """Convolve and activate."""
        return convolution(x, self.weight, self.bias, "silu")

    def onto(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` plus the convolution of ``x``."""
        return convolution(x, self.weight, self.bias, residual=residual)

    def by_bands(self, given: Iterator[bands.Band], residual: bands.Rows | None = None) -> Iterator[bands.Band]:
        """Convolve bands of rows, and add ``residual``."""

        def layer(rows: list[Tensor], above: bool, below: bool) -> Tensor:
            other = residual.take(result_rows(rows, above, below)) if residual else ()
            return convolve_rows(rows, self.weight, self.bias, residual=other, above=above, below=below)

        return bands.convolved(given, layer)


class ResidualBlock(nn.Module):
    """Two convolutions with SiLU between them, added to their input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = Convolution(dim, dim)
        self.conv2 = Convolution(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        return self.conv2.onto(x, self.conv1.silu(x))

    def by_bands(self, given: Iterator[bands.Band]) -> Iterator[bands.Band]:
        """The same of bands of rows."""

        def activated(rows: list[Tensor], above: bool, below: bool) -> Tensor:
            return convolve_rows(rows, self.conv1.weight, self.conv1.bias, "silu", above=above, below=below)

        x = bands.Rows()
        return self.conv2.by_bands(bands.convolved(x.noting(given), activated), x)


class ReducedScan(nn.Module):
    """A selective scan of squares of ``stride`` pixels, added to the input; untrained, it adds nothing."""

    def __init__(self, dim: int, scan_dim: int, stride: int, d_state: int) -> None:
        super().__init__()
        self.stride = stride
        self.down = Conv2d(dim, scan_dim, stride, stride=stride)
        self.norm = nn.LayerNorm(scan_dim)
        self.scan = SS2D(scan_dim, d_state, scan_dim)
        self.up = Conv2d(scan_dim, dim * stride**2, 1)
        self.shuffle = PixelShuffle(stride)
        nn.init.zeros_(self.up.weight)
        if self.up.bias is not None:
            nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape; height and width are multiples of the stride."""
        out: Tensor = x + self._seen(self._squares(x))
        return out

    def by_bands(self, given: Iterator[bands.Band], height: int, rows: int) -> Iterator[bands.Band]:
        """The same of bands of rows, in bands of ``rows``, a multiple of the stride; all rows have to come first."""
        x = bands.whole(given, height)
        squares = self._squares(x)
        seen = bands.split(squares, rows // self.stride)
        for (band, last), (part, _) in zip(bands.split(x, rows), seen, strict=True):
            yield band + self._seen(part), last

    def _squares(self, x: Tensor) -> Tensor:
        squares = self.down(x)
        seen: Tensor = squares + self.scan(squares, self.norm)
        return seen

    def _seen(self, squares: Tensor) -> Tensor:
        seen: Tensor = self.shuffle(self.up(squares))
        return seen

    def macs_per_pixel(self, inside: float) -> float:
        """Everything here runs once per square."""
        return inside / self.stride**2


class MambaIRNano(Network):
    """Residual convolutions with scans at reduced resolution, for super-resolution and restoration in seconds.

    Keyword options: see :class:`MambaIRNanoConfig`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(MambaIRNanoConfig, options)
        self.scale, self.multiple = config.upscale, config.multiple
        dim, channels = config.embed_dim, config.in_chans * config.unshuffle**2
        self.conv_first = Convolution(channels, dim)
        blocks: list[nn.Module] = []
        for number in range(1, config.depth + 1):
            blocks.append(ResidualBlock(dim))
            if number in config.scan_after:
                blocks.append(ReducedScan(dim, config.scan_dim, config.scan_stride, config.d_state))
        self.body = nn.ModuleList(blocks)
        self.conv_body = Convolution(dim, dim)
        self.upsample = Convolution(dim, channels * config.upscale**2)
        self.gather, self.spread = PixelUnshuffle(config.unshuffle), PixelShuffle(config.upscale * config.unshuffle)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (batch, in_chans, h, w) to (batch, in_chans, h * upscale, w * upscale), any size."""
        height, width = image.shape[2:]
        x = pad_to_multiple(image.permute(0, 2, 3, 1), self.multiple, repeat_edge=True).contiguous()
        if self.config.unshuffle > 1:
            x = self.gather(x)
        pixels = self._by_bands(x) if _cached(x) else self._layer_by_layer(x)
        return pixels[:, :, : height * self.scale, : width * self.scale].contiguous()

    def _layer_by_layer(self, x: Tensor) -> Tensor:
        features = shallow = self.conv_first(x)
        for block in self.body:
            features = block(features)
        features = self.conv_body.onto(shallow, features)
        anchor = x.repeat_interleave(self.scale**2, dim=-1)
        pixels: Tensor = self.spread(self.upsample.onto(anchor, features))
        return pixels.permute(0, 3, 1, 2)

    def _by_bands(self, x: Tensor) -> Tensor:
        """The same, with one layer's features in memory instead of several."""
        height = x.shape[1]
        rows = bands.height_of(x, self.config.embed_dim, self.config.scan_stride)

        def shallow() -> Iterator[bands.Band]:
            return self.conv_first.by_bands(bands.split(x, rows))

        features = shallow()
        for block in self.body:
            if isinstance(block, ReducedScan):
                features = block.by_bands(features, height, rows)
            elif isinstance(block, ResidualBlock):
                features = block.by_bands(features)
        features = self.conv_body.by_bands(features, bands.Rows(shallow()))  # again, which costs less than to keep it
        batch, _, width, channels = x.shape
        factor, top = self.spread.factor, 0
        pixels = x.new_empty(batch, channels // self.config.unshuffle**2, height * factor, width * factor)

        def upsample(rows: list[Tensor], above: bool, below: bool) -> Tensor:
            nonlocal top
            bottom = top + result_rows(rows, above, below)
            part = pixels[:, :, top * factor : bottom * factor]
            weight, bias = self.upsample.weight, self.upsample.bias
            upsample_rows(rows, weight, bias, [x[:, top:bottom]], factor, above=above, below=below, to=part)
            top = bottom
            return part

        for _ in bands.convolved(features, upsample):
            pass
        return pixels

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        for module in self.children():
            yield module, 1 / self.config.unshuffle**2


def _cached(x: Tensor) -> bool:
    """Whether bands of rows are worth their while: on processors, where nothing is recorded or compiled."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaIRNano's."""
    return "body.0.conv1.weight" in state_dict and "conv_body.weight" in state_dict


def infer(state_dict: StateDict) -> MambaIRNanoConfig:
    """Configuration of weights. Networks of one channel and of three with a larger output are told apart by squares.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    dim, channels = shape(state_dict, "conv_first.weight", 4)[:2]
    blocks = count(state_dict, "body.")
    scans = [k for k in range(blocks) if f"body.{k}.down.weight" in state_dict]
    in_chans = 3 if channels % 3 == 0 else 1
    growth = shape(state_dict, "upsample.weight", 4)[0] / channels
    options: dict[str, Any] = {}
    if scans:
        scan_dim, _, stride, _ = shape(state_dict, f"body.{scans[0]}.down.weight", 4)
        states = shape(state_dict, f"body.{scans[0]}.scan.A_logs", 2)[1]
        options = {"scan_dim": scan_dim, "scan_stride": stride, "d_state": states}
    return MambaIRNanoConfig(
        upscale=round(growth**0.5),
        in_chans=in_chans,
        embed_dim=dim,
        depth=blocks - len(scans),
        scan_after=tuple(k - number for number, k in enumerate(scans)),
        unshuffle=math.isqrt(channels // in_chans),
        **options,
    )


def describe(config: MambaIRNanoConfig) -> Descriptor:
    """What inference has to know."""
    floats = 4 * config.embed_dim + 3 * config.in_chans * (config.upscale * config.unshuffle) ** 2
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_chans,
        size_multiple=config.multiple,
        tile=256 * config.unshuffle,
        bytes_per_pixel=4 * (floats // config.unshuffle**2 + 8 * config.in_chans),
        dtypes=ANY_FLOAT,
    )
