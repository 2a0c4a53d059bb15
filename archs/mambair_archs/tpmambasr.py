"""T-PMambaSR: window attention, scans of windows of two sizes and of the whole, and detail that is put back.

Guo et al., IEEE Transactions on Image Processing 2026; layers, names and numerics are those of its published weights.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels.paths import CROSS_SCAN, Path, window

from .backbone import Backbone, BackboneConfig, infer_backbone
from .blocks.channel_attention import GlobalMean
from .blocks.convolution import Conv2d, DepthwiseConv2d, conv3x3
from .blocks.feed_forward import GatedMLP
from .blocks.heads import Upsampler
from .blocks.padding import crop, pad_to_multiple
from .blocks.pointwise import norm_conv1x1, norm_linear
from .blocks.residual import run_blocks
from .blocks.selective_scan import SelectiveScan2d, dt_rank
from .blocks.window_attention import WindowAttention, relative_position_index
from .config import StateDict, create, option, ratio, shape
from .descriptor import ANY_FLOAT, Descriptor
from .mambairv2 import window_size

LAYER = "layers.0.residual_group.layers.0.first_layer."
SQUEEZED = 8
"""Channels between the two convolutions of the detail's gate."""


@dataclass(frozen=True, kw_only=True)
class T_PMambaSRConfig(BackboneConfig):
    """Options of :class:`T_PMambaSR`, named as in the published recipes; the defaults are the published ones."""

    upscale: int = option(4, "Output size over input size; the recipe's scale.")
    embed_dim: int = option(48, "Channels of the features; a multiple of 4.")
    depths: tuple[int, ...] = option((2, 2, 2, 2), "Pairs of window layers of each group.")
    num_heads: tuple[int, ...] = option((4, 4, 4, 4), "Attention heads of each group; each divides embed_dim.")
    d_state: int = option(8, "States per channel of the scans.")
    mlp_ratio: float = option(1.0, "Channels of scans and feed-forward networks over embed_dim.")
    window_size: int = option(16, "Side of the attention windows in pixels; half of the scans have twice that.")
    convffn_kernel_size: int = option(5, "Kernel of the depthwise convolution in the feed-forward networks; odd.")
    upsampler: Upsampler = option("pixelshuffledirect", "Head; see MambaIR.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.num_heads) != len(self.depths):
            raise ValueError(f"num_heads has {len(self.num_heads)} entries for {len(self.depths)} groups")
        if any(self.embed_dim % heads for heads in self.num_heads):
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.d_inner % 4:
            raise ValueError(f"embed_dim * mlp_ratio is {self.d_inner}, which is not a multiple of 4")
        if self.window_size < 2 or self.window_size % 2 or self.convffn_kernel_size % 2 == 0:
            raise ValueError("window_size must be even, convffn_kernel_size odd")


class GroupedScan(nn.Module):
    """A scan whose channels are shared out over ``paths``: a gate, one scan per group of channels, norm and projection.

    Args:
        dim: channels in and out.
        hidden: channels of the scans together.
        d_state: states per channel.
        rank: of the step sizes.
        paths: one for each group of channels.
        multiple: grid to which pictures are padded by their mirror image for the paths.
    """

    def __init__(
        self, dim: int, hidden: int, d_state: int, rank: int, paths: tuple[Path, ...], multiple: int = 1
    ) -> None:
        super().__init__()
        self.paths, self.multiple = paths, multiple
        self.selectiveScan = SelectiveScan2d(hidden // len(paths), d_state, rank, directions=len(paths))
        self.out_norm = nn.LayerNorm(hidden)
        self.out_proj = nn.Linear(hidden, dim)
        self.in_proj = nn.Sequential(Conv2d(dim, hidden, 1))
        self.CPE = nn.Sequential(DepthwiseConv2d(hidden, 3))

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``norm`` comes first."""
        height, width = x.shape[1:3]
        first = self.in_proj[0]
        assert isinstance(first, nn.Conv2d)
        u = norm_conv1x1(norm, first, x)
        u = pad_to_multiple(u * self.CPE(u).sigmoid(), self.multiple, repeat_edge=True)
        y = crop(torch.cat(self.merged(self.selectiveScan.scan_groups(u, self.paths)), -1), height, width)
        return norm_linear(self.out_norm, self.out_proj, y)

    def merged(self, results: list[Tensor]) -> list[Tensor]:
        """The order in which the results of the paths are joined."""
        return results


class WindowScan(GroupedScan):
    """Half of the channels scanned window by window, half in windows twice as large, one of both from the end."""

    def __init__(self, config: T_PMambaSRConfig, *, vertical: bool, odd: bool) -> None:
        small, large = window(config.window_size), window(2 * config.window_size)
        if vertical:
            small, large = small.transposed, large.transposed
        paths = (small.reversed, large) if odd else (small, large.reversed)
        hidden = config.d_inner
        rank = math.ceil(hidden / 2 / 8)
        super().__init__(config.embed_dim, hidden, config.d_state, rank, paths, 2 * config.window_size)


class GlobalScan(GroupedScan):
    """A quarter of the channels scanned in each of the four directions."""

    def __init__(self, config: T_PMambaSRConfig) -> None:
        hidden = config.d_inner
        super().__init__(config.embed_dim, hidden, config.d_state, dt_rank(hidden // 4), CROSS_SCAN)

    def merged(self, results: list[Tensor]) -> list[Tensor]:
        """Rows before columns: published weights depend on how their code merges the directions."""
        row, column, row_back, column_back = results
        return [row, row_back, column, column_back]


class WindowLayer(nn.Module):
    """Window attention and a scan of windows, each followed by a feed-forward network."""

    position_index: Tensor

    def __init__(
        self, config: T_PMambaSRConfig, heads: int, scan: WindowScan, shift: int, position_index: Tensor
    ) -> None:
        super().__init__()
        dim, hidden, kernel = config.embed_dim, config.d_inner, config.convffn_kernel_size
        self.shift = shift
        self.register_buffer("position_index", position_index, persistent=False)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))
        self.scale1 = nn.Parameter(torch.full((dim,), 1e-4))
        self.scale2 = nn.Parameter(torch.full((dim,), 1e-4))
        self.wqkv = nn.Linear(dim, 3 * dim)
        self.win_mhsa = WindowAttention(dim, config.window_size, heads)
        self.assm = scan
        self.convffn1 = GatedMLP(dim, hidden, kernel)
        self.convffn2 = GatedMLP(dim, hidden, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape; sizes are multiples of the window."""
        local = self.win_mhsa(x, self.norm1, self.wqkv, self.position_index, self.shift) + x
        x = torch.addcmul(self.convffn1(local, self.norm2), x, self.scale1) + local
        scanned = self.assm(x, self.norm3) + x
        out: Tensor = torch.addcmul(self.convffn2(scanned, self.norm4), x, self.scale2) + scanned
        return out


class WindowBlock(nn.Module):
    """Two layers, the windows of the second shifted by half, one scanned along rows and one along columns."""

    def __init__(self, config: T_PMambaSRConfig, heads: int, number: int, position_index: Tensor) -> None:
        super().__init__()
        odd = number % 2 == 1
        across, along = (WindowScan(config, vertical=vertical, odd=odd) for vertical in (odd, not odd))
        self.first_layer = WindowLayer(config, heads, across, 0, position_index)
        self.second_layer = WindowLayer(config, heads, along, config.window_size // 2, position_index)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.second_layer(self.first_layer(x))
        return out


class GlobalLayer(nn.Module):
    """A scan of the whole picture and a feed-forward network."""

    def __init__(self, config: T_PMambaSRConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.scale = nn.Parameter(torch.full((dim,), 1e-4))
        self.assm = GlobalScan(config)
        self.convffn = GatedMLP(dim, config.d_inner, config.convffn_kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        scanned = self.assm(x, self.norm1) + x
        out: Tensor = torch.addcmul(self.convffn(scanned, self.norm2), x, self.scale) + scanned
        return out


class Detail(nn.Module):
    """Detail of two kernel sizes, one gating the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_proj = Conv2d(dim, dim, 1)
        self.conv3x3 = DepthwiseConv2d(dim, 3)
        self.conv5x5 = DepthwiseConv2d(dim, 5, activation="gelu")
        self.out_proj = Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        x = self.in_proj(x)
        out: Tensor = self.out_proj(self.conv3x3(x) * self.conv5x5(x))
        return out


class PooledNorm(nn.BatchNorm2d):
    """Batch normalisation of (batch, 1, 1, channels), which a batch of one passes as in inference: it has no spread."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; statistics of the batch are taken and kept in training."""
        flat = input.flatten(1)
        if not self.training or len(flat) == 1:
            weights = self.weight, self.bias
            return F.batch_norm(flat, self.running_mean, self.running_var, *weights, eps=self.eps).view_as(input)
        return super().forward(flat[:, :, None, None]).view_as(input)


class DetailGate(nn.Sequential):
    """The weight of every channel, (batch, 1, 1, channels), from the whole image."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            GlobalMean(), Conv2d(dim, SQUEEZED, 1), PooledNorm(SQUEEZED), nn.GELU(), Conv2d(SQUEEZED, dim, 1)
        )
        self.channels = dim

    def macs_per_pixel(self, inside: float) -> float:
        """The pooling; the rest works once per image."""
        return self.channels


def _sharp(x: Tensor) -> Tensor:
    """What is lost when x (batch, height, width, channels), of even size, is halved."""
    planes = x.permute(0, 3, 1, 2)
    smooth = F.interpolate(F.avg_pool2d(planes, 2), planes.shape[2:], mode="bilinear", align_corners=True)
    return (planes - smooth).permute(0, 2, 3, 1)


class DetailRestoration(nn.Module):
    """Detail of a group's input, and of its result, put back into the result."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lf_in_proj = Conv2d(dim, dim, 1)
        self.extract_hf = DepthwiseConv2d(dim, 3)
        self.fuse = Conv2d(2 * dim, dim, 1)
        self.out_proj = Conv2d(dim, dim, 1)
        self.scale = DetailGate(dim)

    def forward(self, detail: Tensor, x: Tensor) -> Tensor:
        """Both (batch, height, width, dim), of even size, to the same shape."""
        found = self.fuse(torch.cat([self.extract_hf(_sharp(detail)), _sharp(self.lf_in_proj(x))], -1))
        out: Tensor = self.out_proj(torch.addcmul(x, self.scale(x), found))
        return out


class GroupBody(nn.Module):
    """Window blocks, a global layer, and the detail that they lose, under published names."""

    def __init__(self, config: T_PMambaSRConfig, depth: int, heads: int, position_index: Tensor) -> None:
        super().__init__()
        blocks = [WindowBlock(config, heads, number, position_index) for number in range(depth)]
        self.layers = nn.ModuleList([*blocks, GlobalLayer(config)])
        self.conv = Detail(config.embed_dim)
        self.hf_restore = DetailRestoration(config.embed_dim)
        self.use_checkpoint = config.use_checkpoint

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.hf_restore(self.conv(x), run_blocks(self.layers, x, self.use_checkpoint))
        return out


class Group(nn.Module):
    """The body, a convolution and a skip connection around both."""

    def __init__(self, config: T_PMambaSRConfig, depth: int, heads: int, position_index: Tensor) -> None:
        super().__init__()
        self.residual_group = GroupBody(config, depth, heads, position_index)
        self.conv = conv3x3(config.embed_dim, config.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.conv(self.residual_group(x)) + x
        return out


class T_PMambaSR(Backbone):
    """Groups of window layers with a scan of the whole picture in each.

    Keyword options: see :class:`T_PMambaSRConfig`.
    """

    relative_position_index_SA: Tensor

    def __init__(self, **given: Any) -> None:
        self.config = config = create(T_PMambaSRConfig, given)
        index = relative_position_index(config.window_size)
        super().__init__(config, list(_groups(config, index)), multiple=config.window_size)
        # A copy, because what a file holds under this name must not reach the layers.
        self.register_buffer("relative_position_index_SA", index.clone())


def _groups(config: T_PMambaSRConfig, index: Tensor) -> Iterator[nn.Module]:
    for depth, heads in zip(config.depths, config.num_heads, strict=True):
        yield Group(config, depth, heads, index)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like T-PMambaSR's."""
    return any(".first_layer." in key for key in state_dict)


def infer(state_dict: StateDict) -> T_PMambaSRConfig:
    """Configuration of published or own weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    given = infer_backbone(state_dict, "layers")
    given["depths"] = tuple(count - 1 for count in given["depths"])
    tables = [
        shape(state_dict, f"layers.{g}.residual_group.layers.0.first_layer.win_mhsa.relative_position_bias_table", 2)
        for g in range(len(given["depths"]))
    ]
    return T_PMambaSRConfig(
        **given,
        num_heads=tuple(table[1] for table in tables),
        d_state=shape(state_dict, LAYER + "assm.selectiveScan.A_logs", 2)[1],
        mlp_ratio=ratio(shape(state_dict, LAYER + "assm.in_proj.0.weight", 4)[0], given["embed_dim"]),
        window_size=window_size(tables[0][0]),
        convffn_kernel_size=shape(state_dict, LAYER + "convffn1.sg.conv.weight", 4)[-1],
    )


def describe(config: T_PMambaSRConfig) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_chans,
        size_multiple=config.window_size,
        tile=256,
        bytes_per_pixel=4 * max(20 * config.embed_dim + 8 * config.d_inner, config.head_floats),
        dtypes=ANY_FLOAT,
    )
