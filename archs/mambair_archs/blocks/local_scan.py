"""Windowed and atrous scans: LocalMamba (arXiv 2403.09338) and EfficientVMamba (arXiv 2403.09977)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels.paths import COLUMN, RASTER, Path, window

from .convolution import Conv2d, DepthwiseConv2d
from .mamba import Directions
from .pointwise import apply_linear
from .selective_scan import SS2D


class BiAttention(nn.Module):
    """A gate per channel made of the mean over all pixels (LocalMamba's BiAttn without its spatial half)."""

    def __init__(self, channels: int, ratio: int = 8) -> None:
        super().__init__()
        reduced = channels // ratio
        self.norm = nn.LayerNorm(channels)
        self.global_reduce = nn.Linear(channels, reduced)
        self.channel_select = nn.Linear(reduced, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ..., channels) to the same shape."""
        mean = self.norm(x).flatten(1, -2).mean(1)
        gate = torch.sigmoid(self.channel_select(F.gelu(self.global_reduce(mean))))
        return x * gate.view(len(x), *[1] * (x.dim() - 2), -1)


class Direction:
    """A direction of LocalMamba by its name: ``h``, ``v``, ``w2``, ``w7`` and the like, each with ``_flip``.

    A window pads the picture with zeros to whole windows, which the scan then passes as well.
    """

    def __init__(self, name: str) -> None:
        stem = name.removesuffix("_flip")
        self.multiple = int(stem[1:]) if stem[0] == "w" else 1
        path = {"h": RASTER, "v": COLUMN}.get(stem) or window(self.multiple)
        self.path: Path = path.reversed if stem != name else path

    def pad(self, x: Tensor) -> Tensor:
        """(batch, height, width, channels), zeros added at the bottom and right."""
        height, width = x.shape[1:3]
        return F.pad(x, (0, 0, 0, -width % self.multiple, 0, -height % self.multiple))

    def gather(self, x: Tensor) -> Tensor:
        """Padded pixels in the order of the scan, (batch, length, channels)."""
        tokens: Tensor = self.pad(x).flatten(1, 2)[:, self.path.index(*self._size(x), x.device)]
        return tokens

    def scatter(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Where they came from, in the size of x."""
        height, width = self._size(x)
        pixels = tokens[:, self.path.inverse(height, width, x.device)].reshape(len(x), height, width, -1)
        return pixels[:, : x.shape[1], : x.shape[2]]

    def _size(self, x: Tensor) -> tuple[int, int]:
        height, width = (-(-size // self.multiple) * self.multiple for size in x.shape[1:3])
        return height, width


class _MultiScan(nn.Module):
    """Holds the attention under its published name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attn = BiAttention(channels)


class LocalSS2D(SS2D):
    """LocalVMamba's SS2D: chosen directions, each gated by a shared attention before the sum.

    Args:
        d_model: channels in and out.
        d_state: states per channel.
        d_inner: channels of the scan.
        directions: names as in :class:`Direction`.
    """

    def __init__(self, d_model: int, d_state: int, d_inner: int, directions: tuple[str, ...]) -> None:
        self.directions = [Direction(name) for name in directions]
        super().__init__(d_model, d_state, d_inner, tuple(direction.path for direction in self.directions))
        self.multi_scan = _MultiScan(d_inner)

    def merge(self, x: Tensor) -> Tensor:
        """See :meth:`SS2D.merge`. A padded pixel has no input, B or C, so that there the state only decays."""
        total = torch.zeros_like(x)
        for k, direction in enumerate(self.directions):
            y = self.scan_along(k, direction.pad(x), direction.path)
            total = total + self.multi_scan.attn(y[:, : x.shape[1], : x.shape[2]])
        return total


class LocalVimMixer(Directions):
    """LocalVim's mixer: every direction permutes tokens and gate and has its own convolution and scan.

    Args:
        d_model: channels in and out.
        directions: names as in :class:`Direction`.
        d_state: states per channel.
        d_conv: taps of the convolutions.
        expand: channels of the scans over ``d_model``.
    """

    def __init__(
        self, d_model: int, directions: tuple[str, ...], d_state: int = 16, d_conv: int = 4, expand: int = 2
    ) -> None:
        super().__init__(d_model, d_state, d_conv, expand, tuple(f"_{k}" for k in range(len(directions))))
        self.directions = [Direction(name) for name in directions]
        self.attn = BiAttention(self.d_inner)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, d_model) to the same shape."""
        u, gate = apply_linear(self.in_proj, x).chunk(2, dim=-1)
        gate = F.silu(gate)
        scanned = (
            direction.scatter(self.weights(suffix).scan(direction.gather(u)), x)
            for suffix, direction in zip(self.suffixes, self.directions, strict=True)
        )
        y = torch.stack([self.attn(each * gate) for each in scanned]).sum(0)
        return apply_linear(self.out_proj, y)


class ES2D(SS2D):
    """EfficientVMamba's scan: each direction reads every second row and column, so that every pixel is read once."""

    def merge(self, x: Tensor) -> Tensor:
        """See :meth:`SS2D.merge`; zeros complete odd sizes."""
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        out = torch.empty_like(x)
        for k in range(4):
            part = (slice(None), slice(k % 2, None, 2), slice(k // 2, None, 2))
            out[part] = self.scan_along(k, x[part], COLUMN if k % 2 else RASTER)
        return out[:, :height, :width]


class EVSSBlock(nn.Module):
    """EfficientVMamba's block: an atrous scan and a depthwise convolution, one attention over both, and the input."""

    def __init__(self, dim: int, d_state: int = 16, ssm_ratio: float = 2.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.op = ES2D(dim, d_state, int(ssm_ratio * dim))
        self.conv_branch = nn.Sequential(
            DepthwiseConv2d(dim, 3), ChannelsLastBatchNorm(dim), nn.GELU(), Conv2d(dim, dim, 1)
        )
        self.se = BiAttention(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        normed = self.norm(x)
        out: Tensor = x + self.se(self.op(normed)) + self.se(self.conv_branch(normed))
        return out


class ChannelsLastBatchNorm(nn.BatchNorm1d):
    """``nn.BatchNorm2d`` on (batch, height, width, channels)."""

    def forward(self, input: Tensor) -> Tensor:
        """Norm every channel over all pixels of the batch."""
        return super().forward(input.flatten(0, -2)).view(input.shape)
