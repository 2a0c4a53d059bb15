"""UVM-Net (arXiv 2402.04139): a U-Net for dehazing whose blocks see a reduced copy of all features.

The published network holds a billion parameters, nearly all of them in Mambas as wide as a grid of 64 x 64, reshapes
pixels to tokens without a transpose, and normalises its gate over the batch. ``form`` "corrected" mends the latter two;
without ``channel_branch`` and at half the widths it is small.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.uvm import DoubleConv, Form, resize
from ..config import InferenceError, StateDict, create, option, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, describe_u_shape, output_form

LEVELS = 5
GRID = 64
CORRECTED = "corrected"
"""Name of the tensor that tells weights of the corrected form with a channel branch from the published ones."""


@dataclass(frozen=True, kw_only=True)
class UVMNetConfig(UShapeConfig):
    """Options of :class:`UVMNet`; the default is corrected and small.

    The published network has widths 64, 128, 256, 512, 512, a channel branch, grid 64, form "published".
    """

    widths: tuple[int, ...] = option((16, 32, 64, 96, 96), "Channels of each level.")
    grid: int = option(GRID, "Edge of the reduced copy that every block sees.")
    channel_branch: bool = option(False, "Whether a Mamba as wide as the grid reads channels as a sequence.")
    form: Form = option("corrected", "Tokens and gate as they are meant, or as published.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) != LEVELS or min(self.widths) < 2 or self.grid < 2:
            raise ValueError(f"widths must be five numbers of at least 2 and grid at least 2, got {self.widths}")
        if any(width % 2 for width in (self.widths[3], self.widths[2], self.widths[1])):
            raise ValueError(f"widths must be even, got {self.widths}")
        if not self.channel_branch and (self.grid != GRID or self.form != "corrected"):
            raise ValueError(f"without a channel branch, grid must be {GRID} and form 'corrected'")
        if self.widths[4] != self.widths[3]:
            raise ValueError(f"the last two of the widths must be equal, got {self.widths}")


class _Head(nn.Module):
    """The last convolution under its published name."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _Down(nn.Module):
    """Maxima of 2 x 2 pixels, then a double convolution."""

    def __init__(self, block: DoubleConv) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), block)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.maxpool_conv(x)
        return out


class _Up(nn.Module):
    """Twice the size, padded to the skip's, concatenated after it, then a double convolution."""

    def __init__(self, block: DoubleConv) -> None:
        super().__init__()
        self.conv = block

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = resize(x, 2 * x.shape[2], 2 * x.shape[3])
        down, right = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        out: Tensor = self.conv(torch.cat([skip, x], dim=1))
        return out


class UVMNet(UShape):
    """UVM-Net; image in, image out, values in [0, 1].

    Keyword options: see :class:`UVMNetConfig`.
    """

    config: UVMNetConfig
    multiple = 16

    def __init__(self, **options: Any) -> None:
        config = create(UVMNetConfig, options)
        super().__init__(config)
        widths = config.widths

        def block(in_channels: int, channels: int, middle: int) -> DoubleConv:
            return DoubleConv(in_channels, channels, middle, config.grid, config.channel_branch, config.form)

        self.inc = block(config.in_channels, widths[0], widths[0])
        for k in range(1, LEVELS):
            self.add_module(f"down{k}", _Down(block(widths[k - 1], widths[k], widths[k])))
        for k in range(1, LEVELS):
            joined = 2 * widths[LEVELS - 1 - k]
            channels = widths[max(LEVELS - 2 - k, 0)]
            self.add_module(f"up{k}", _Up(block(joined, channels, joined // 2)))
        self.outc = _Head(widths[0], config.out_channels)
        if config.channel_branch and config.form == "corrected":
            self.register_buffer(CORRECTED, torch.ones(1, dtype=torch.uint8))

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`; any size of at least 16."""
        found = [self.inc(x)]
        for k in range(1, LEVELS):
            found.append(getattr(self, f"down{k}")(found[-1]))
        y = found[-1]
        for k in range(1, LEVELS):
            y = getattr(self, f"up{k}")(y, found[LEVELS - 1 - k])
        out: Tensor = self.outc(y)
        return out

    def _blocks(self) -> Iterator[tuple[DoubleConv, float]]:
        for name, module in self.named_children():
            level = int(name[-1]) if name[-1].isdigit() else 0
            level = LEVELS - 1 - level if name.startswith("up") else level
            for part in module.modules():
                if isinstance(part, DoubleConv):
                    yield part, 4.0**-level

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        for block, pixels in self._blocks():
            yield block.double_conv, pixels
        yield self.outc, 1.0

    def once(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`; the Mamba over channels takes as many steps as there are channels."""
        for block, _ in self._blocks():
            for name, part in block.ub.named_children():
                channels = block.ub.ln.normalized_shape[0]
                yield part, float(channels if name == "model3" else self.config.grid**2)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like UVM-Net's."""
    return "inc.ub.convb.0.weight" in state_dict


def infer(state_dict: StateDict) -> UVMNetConfig:
    """Configuration of published or own weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    widths, in_channels = shape(state_dict, "inc.double_conv.0.weight", 4)[:2]
    downs = (shape(state_dict, f"down{k}.maxpool_conv.1.double_conv.0.weight", 4)[0] for k in range(1, LEVELS))
    out_channels = shape(state_dict, "outc.conv.weight", 4)[0]
    branch = "inc.ub.model3.in_proj.weight" in state_dict
    tokens = shape(state_dict, "inc.ub.model3.in_proj.weight", 2)[1] if branch else GRID**2
    grid = round(tokens**0.5)
    if grid**2 != tokens:
        raise InferenceError(f"inc.ub.model3.in_proj.weight is {tokens} wide, which is no square")
    return UVMNetConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        output=output_form(state_dict, in_channels, out_channels),
        widths=(widths, *downs),
        grid=grid,
        channel_branch=branch,
        form="corrected" if CORRECTED in state_dict or not branch else "published",
    )


def describe(config: UVMNetConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, UVMNet.multiple, bytes_per_pixel=4 * 16 * config.widths[0], tile=1024)
