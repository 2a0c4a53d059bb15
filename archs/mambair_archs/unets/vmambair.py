"""VmambaIR (arXiv 2403.11423): omni-selective scans in the U-shape of Restormer, to derain, denoise and enlarge."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import restormer
from ..blocks.convolution import PixelShuffle, conv3x3
from ..blocks.omni_scan import OmniBlock, Variant
from ..config import InferenceError, StateDict, count, create, option, ratio, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, output_form

SCALES = (1, 4)


@dataclass(frozen=True, kw_only=True)
class VmambaIRConfig(UShapeConfig):
    """Options of :class:`VmambaIR`; the published deraining network is the default."""

    upscale: int = option(1, "Output size over input size: 1 or 4.")
    variant: Variant = option("mamber32", "Form of the scan over channels; realsr11 for real pictures, sisr6 for x4.")
    dim: int = option(48, "Channels of the first level.")
    num_blocks: tuple[int, ...] = option((3, 5, 7, 9), "Blocks of each level, from the finest.")
    num_refinement_blocks: int = option(2, "Blocks after the last level.")
    d_state: int = option(16, "States per channel of the scan.")
    ffn_expansion: float = option(2.66, "Hidden channels of the feed-forward over those of the level.")
    bias: bool = option(False, "Whether the convolutions of the feed-forward and between levels have a bias.")
    use_checkpoint: bool = option(False, "Recompute activations in the backward pass: less memory, more time.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.upscale not in SCALES:
            raise ValueError(f"upscale must be 1 or 4, got {self.upscale}")
        if len(self.num_blocks) != len(restormer.LEVELS) or min(self.num_blocks) < 1 or self.num_refinement_blocks < 1:
            raise ValueError(f"num_blocks must be four positive numbers, got {self.num_blocks}")
        if self.dim < 2 or self.dim % 2 or self.ffn_expansion <= 0:
            raise ValueError(f"dim must be even and at least 2, and ffn_expansion positive, got {self.dim}")
        if self.upscale > 1 and self.output == "aod":
            raise ValueError("output 'aod' needs upscale 1")


class VmambaIR(UShape, restormer.RestormerShape):
    """VmambaIR; image in, image out, values in [0, 1].

    Keyword options: see :class:`VmambaIRConfig`.
    """

    config: VmambaIRConfig
    multiple = 8

    def __init__(self, **options: Any) -> None:
        config = create(VmambaIRConfig, options)
        super().__init__(config)
        self.scale = config.upscale
        dim = config.dim

        def block(width: int) -> OmniBlock:
            return OmniBlock(width, config.variant, config.d_state, config.ffn_expansion, config.bias)

        self.patch_embed = restormer.PatchEmbed(config.in_channels, dim, config.bias)
        self.build_levels(dim, config.num_blocks, config.num_refinement_blocks, block, config.bias)
        if config.upscale == 1:
            self.output = conv3x3(2 * dim, config.out_channels, bias=config.bias)
        else:
            twice = (conv3x3(2 * dim, 8 * dim), PixelShuffle(2), conv3x3(2 * dim, 8 * dim), PixelShuffle(2))
            self.tail = nn.Sequential(nn.Sequential(*twice), conv3x3(2 * dim, config.out_channels))

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        features = self.run_levels(self.patch_embed(x.permute(0, 2, 3, 1)), self.config.use_checkpoint)
        out: Tensor = self.output(features) if self.scale == 1 else self.tail(features)
        return out.permute(0, 3, 1, 2)

    def base(self, x: Tensor) -> Tensor:
        """See :class:`UShape`: enlarged by nearest neighbours."""
        return x if self.scale == 1 else F.interpolate(x, scale_factor=float(self.scale), mode="nearest")

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        for module, pixels in restormer.costs(self):
            if self.scale > 1 and module is self.tail:
                first = self.tail[0]
                assert isinstance(first, nn.Sequential)
                yield first[0], 1.0
                yield first[2], 4.0
                yield self.tail[1], 16.0
            else:
                yield module, pixels


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like VmambaIR's."""
    return "encoder_level1.0.attn.xc_proj_weight" in state_dict


def _variant(state_dict: StateDict, upscale: int) -> Variant:
    """Of the channel branch. Two forms of width 4 have the same tensors: the enlarging one multiplies."""
    block = "encoder_level1.0.attn."
    width = shape(state_dict, block + "xc_proj_weight", 3)[2]
    if f"{block}conv_cin.weight" not in state_dict:
        return "realsr11"
    if width == 2:
        return "mamber33"
    return "mamber32" if upscale == 1 else "sisr6"


def infer(state_dict: StateDict) -> VmambaIRConfig:
    """Configuration of published or own weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    dim, in_channels = shape(state_dict, "patch_embed.proj.weight", 4)[:2]
    upscale = 1 if "output.weight" in state_dict else 4
    out_channels = shape(state_dict, "output.weight" if upscale == 1 else "tail.1.weight", 4)[0]
    depths = tuple(count(state_dict, f"{level}.") for level in restormer.LEVELS)
    if not min(depths):
        raise InferenceError(f"{restormer.LEVELS[depths.index(0)]}.0 is missing")
    block = "latent.0."
    return VmambaIRConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        output=output_form(state_dict, in_channels, out_channels),
        upscale=upscale,
        variant=_variant(state_dict, upscale),
        dim=dim,
        num_blocks=depths,
        num_refinement_blocks=count(state_dict, "refinement."),
        d_state=shape(state_dict, block + "attn.A_logs", 2)[1],
        ffn_expansion=_expansion(state_dict, dim),
        bias="patch_embed.proj.bias" in state_dict,
    )


def _expansion(state_dict: StateDict, dim: int) -> float:
    """The usual 2.66 if it gives the hidden channels of every level, else what gives the finest and the coarsest."""
    hidden = shape(state_dict, "latent.0.ffn.project_out.weight", 4)[1]
    return 2.66 if int(8 * dim * 2.66) == hidden else ratio(hidden, 8 * dim)


def describe(config: VmambaIRConfig) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_channels,
        size_multiple=VmambaIR.multiple,
        tile=256,
        bytes_per_pixel=4 * int(20 * (1 + config.ffn_expansion) * config.dim),
    )
