"""What MambaIR and MambaIRv2 share: shallow features, groups of blocks with a long skip, a reconstruction head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .blocks.convolution import PixelShuffle, PixelUnshuffle, add_convolved, conv3x3, residual_conv
from .blocks.heads import FEATURES, Upsampler, add_head, apply_head, check_scale, working_floats
from .blocks.padding import crop, pad_to_multiple
from .config import InferenceError, StateDict, count, option, shape
from .network import Network

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K, subtracted by RGB networks."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Options common to the family, named as in the published recipes."""

    upscale: int = option(1, "Output size over input size; the recipe's scale.")
    in_chans: int = option(3, "Channels of the image: 3 for RGB, 1 for luminance.")
    img_size: int = option(64, "Carried by published recipes; has no effect.")
    img_range: float = option(1.0, "Values are multiplied by it inside the network.")
    embed_dim: int = option(60, "Channels of the features.")
    depths: tuple[int, ...] = option((6, 6, 6, 6), "Blocks of each group.")
    d_state: int = option(16, "States per channel of the scan.")
    mlp_ratio: float = option(2.0, "Channels of the scan over embed_dim: the expansion of the state-space model.")
    upsampler: Upsampler = option(
        "", "Head: pixelshuffle (classic), pixelshuffledirect (light), nearest+conv, or empty for scale 1."
    )
    resi_connection: str = option("1conv", "Convolution after each group: 1conv, or 3conv with a bottleneck.")
    use_checkpoint: bool = option(False, "Recompute activations in the backward pass: less memory, more time.")

    def __post_init__(self) -> None:
        check_scale(self.upsampler, self.upscale)
        sizes = (self.in_chans, self.embed_dim, self.d_state, *self.depths)
        if min(sizes) < 1 or not self.depths or self.d_inner < 1:
            raise ValueError("in_chans, embed_dim, d_state, depths and embed_dim * mlp_ratio must be at least 1")

    @property
    def head_floats(self) -> int:
        """Values per input pixel that the reconstruction head needs."""
        return working_floats(self.upsampler, self.upscale, self.embed_dim, self.in_chans)

    @property
    def d_inner(self) -> int:
        """Channels of the scan; "mlp_ratio" is the state-space expansion factor."""
        return int(self.mlp_ratio * self.embed_dim)


class PatchEmbed(nn.Module):
    """The normalisation of the shallow features, under its published name."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.norm(x)
        return out


def initialise(module: nn.Module) -> None:
    """Published initialisation of linear layers; convolutions and scan parameters keep their own."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Backbone(Network):
    """Image in, image out, both (batch, channels, height, width) with values in [0, 1].

    ``multiple`` is the grid to which the input is padded by its mirror image, and cropped after. With ``unshuffle``
    above 1, squares of that edge become the channels of one pixel, and everything works on that smaller image; the
    mirror image then leaves out the edge itself, whose noise would be there twice.
    """

    mean: Tensor

    def __init__(
        self, config: BackboneConfig, groups: Sequence[nn.Module], multiple: int = 1, unshuffle: int = 1
    ) -> None:
        super().__init__()
        dim, channels = config.embed_dim, config.in_chans * unshuffle**2
        self.multiple, self.scale, self.upsampler = multiple * unshuffle, config.upscale, config.upsampler
        self.unshuffle = unshuffle
        self.img_range = config.img_range
        mean = RGB_MEAN if config.in_chans == 3 else (0.0,) * config.in_chans
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.conv_first = conv3x3(channels, dim)
        self.patch_embed = PatchEmbed(dim)
        self.layers = nn.ModuleList(groups)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = residual_conv(dim, config.resi_connection)
        add_head(self, config.upsampler, config.upscale, dim, channels)
        self.apply(initialise)

    def body(self, x: Tensor) -> Tensor:
        """Deep features of the shallow ones, added to them: (batch, height, width, dim) to the same shape."""
        deep = self.patch_embed(x)
        for group in self.layers:
            deep = group(deep)
        return add_convolved(x, self.conv_after_body, self.norm(deep))

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch: (batch, channels, height, width) to (batch, channels, height * scale, width * scale).

        Raises:
            ValueError: the number of channels is not the network's.
        """
        if x.dim() != 4 or x.shape[1] != len(self.mean):
            raise ValueError(f"expected (batch, {len(self.mean)}, height, width), got {tuple(x.shape)}")
        height, width = x.shape[2] * self.scale, x.shape[3] * self.scale
        x = pad_to_multiple(x.permute(0, 2, 3, 1), self.multiple, repeat_edge=self.unshuffle == 1)
        x = (x - self.mean) * self.img_range
        if self.unshuffle > 1:
            x = PixelUnshuffle(self.unshuffle)(x)
        shallow = self.conv_first(x)
        out = apply_head(self, self.upsampler, self.body(shallow), x)
        if self.unshuffle > 1:
            out = PixelShuffle(self.unshuffle)(out)
        return crop(out / self.img_range + self.mean, height, width).permute(0, 3, 1, 2).contiguous()

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        share = 1 / self.unshuffle**2
        for name, module in self.named_children():
            if name in ("upsample", "conv_up1", "conv_up2", "conv_hr", "conv_last"):
                continue
            yield module, share
        if self.upsampler in ("", "pixelshuffledirect"):
            yield self.get_submodule("upsample" if self.upsampler else "conv_last"), share
            return
        pixels = 1.0
        names = ("conv_up1", "conv_up2", "conv_hr") if self.upsampler == "nearest+conv" else ()
        for name in names:
            pixels = min(4 * pixels, self.scale**2)
            yield self.get_submodule(name), pixels
        if not names:
            for layer in self.get_submodule("upsample").children():
                yield layer, pixels
                pixels *= getattr(layer, "factor", 1) ** 2
        yield self.get_submodule("conv_last"), float(self.scale**2)


def infer_backbone(state_dict: StateDict, blocks: str) -> dict[str, Any]:
    """The options of :class:`BackboneConfig` that ``state_dict`` determines.

    ``blocks`` is the name of the list of blocks inside a group.

    Raises:
        InferenceError: a key that is needed is missing, or the head is none of the known ones.
    """
    dim, in_chans = shape(state_dict, "conv_first.weight", 4)[:2]
    groups = count(state_dict, "layers.")
    depths = tuple(count(state_dict, f"layers.{g}.residual_group.{blocks}.") for g in range(groups))
    if not depths or not min(depths):
        raise InferenceError(f"layers.0.residual_group.{blocks}.0 is missing")
    upsampler, upscale = _infer_head(state_dict, in_chans)
    return {
        "upscale": upscale,
        "in_chans": in_chans,
        "embed_dim": dim,
        "depths": depths,
        "upsampler": upsampler,
        "resi_connection": "3conv" if "conv_after_body.0.weight" in state_dict else "1conv",
    }


def _infer_head(state_dict: StateDict, in_chans: int) -> tuple[Upsampler, int]:
    if "conv_up1.weight" in state_dict:
        return "nearest+conv", 4
    if "upsample.0.weight" not in state_dict:
        shape(state_dict, "conv_last.weight", 4)
        return "", 1
    growth = shape(state_dict, "upsample.0.weight", 4)[0]
    if "conv_before_upsample.0.weight" in state_dict:
        steps = sum(key.startswith("upsample.") and key.endswith(".weight") for key in state_dict)
        return "pixelshuffle", 3 if growth == 9 * FEATURES else 2**steps
    scale = round((growth / in_chans) ** 0.5)
    if scale < 2 or scale**2 * in_chans != growth:
        raise InferenceError(f"upsample.0.weight has {growth} output channels, which fit no scale")
    return "pixelshuffledirect", scale
