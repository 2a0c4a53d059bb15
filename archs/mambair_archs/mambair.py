"""MambaIR: a simple baseline for image restoration with state-space models (arXiv 2402.15648)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from .backbone import Backbone, BackboneConfig, infer_backbone
from .blocks.channel_attention import ConvBlock
from .blocks.merging import CROSS, Scan, recalled, remember
from .blocks.residual import ResidualGroup, VSSBlock
from .config import StateDict, create, divisor, option, ratio, shape
from .descriptor import ANY_FLOAT, WIDE_RANGE, Descriptor

BLOCK = "layers.0.residual_group.blocks.0."


@dataclass(frozen=True, kw_only=True)
class MambaIRConfig(BackboneConfig):
    """Options of :class:`MambaIR`.

    ``conv_block`` chooses the convolutional half of a block; None means the published rule, ``light`` for the head
    ``pixelshuffledirect`` and ``bottleneck`` otherwise. ``compress_ratio`` None is 2 for ``light``, else 3. The three
    generations of MambaIR-light are (d_state 16, mlp_ratio 1.2, ``depthwise``), (d_state 16, mlp_ratio 1.5,
    ``bottleneck`` with compress_ratio 6) and the present (d_state 10, mlp_ratio 1.2, ``light``).

    ``unshuffle`` 2 takes squares of 2 x 2 pixels as the channels of one, as FFDNet does (arXiv 1710.04026), so that a
    network that keeps the size does a quarter of the work; only for gray and RGB, and no published network has it.
    """

    drop_path_rate: float = option(
        0.1, "Probability of leaving out a block in training, rising linearly to this value."
    )
    conv_block: ConvBlock | None = option(
        None, "Convolutional half of a block: light, bottleneck or depthwise; by default what upsampler implies."
    )
    compress_ratio: int | None = option(
        None, "Channel reduction inside the convolutional half; by default what conv_block implies."
    )
    squeeze_factor: int = option(30, "Channel reduction inside channel attention.")
    unshuffle: int = option(
        1, "Edge of squares of pixels taken as the channels of one pixel; 2 is a quarter of the work."
    )
    scan: Scan = option(CROSS, "Paths of the scans, and how their results are merged.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conv_block is None:
            object.__setattr__(self, "conv_block", "light" if self.upsampler == "pixelshuffledirect" else "bottleneck")
        if self.compress_ratio is None:
            object.__setattr__(self, "compress_ratio", 2 if self.conv_block == "light" else 3)
        if self.embed_dim < max(self.squeeze_factor, self.compress_ratio or 1):
            raise ValueError(f"embed_dim {self.embed_dim} is smaller than squeeze_factor or compress_ratio")
        self.scan.check(self.d_inner)
        if self.unshuffle != 1 and (self.unshuffle < 1 or self.upsampler or self.in_chans not in (1, 3)):
            raise ValueError(f"unshuffle {self.unshuffle} needs upsampler '' and in_chans 1 or 3")


class MambaIR(Backbone):
    """Groups of residual state-space blocks that scan the image in four directions.

    Keyword options: see :class:`MambaIRConfig`.
    """

    def __init__(self, **options: Any) -> None:
        self.config = config = create(MambaIRConfig, options)
        super().__init__(config, list(_groups(config)), unshuffle=config.unshuffle)
        remember(self, config.scan)
        if config.unshuffle > 1:  # training starts from the input itself
            for parameter in self.get_submodule("conv_last").parameters():
                nn.init.zeros_(parameter)


def _groups(config: MambaIRConfig) -> Iterator[nn.Module]:
    assert config.conv_block is not None  # filled in by __post_init__
    assert config.compress_ratio is not None
    last = max(sum(config.depths) - 1, 1)
    number = 0
    for depth in config.depths:
        blocks = [
            VSSBlock(
                config.embed_dim,
                config.d_state,
                config.d_inner,
                config.conv_block,
                config.compress_ratio,
                config.squeeze_factor,
                drop_path=config.drop_path_rate * (number + k) / last,
                scan=config.scan,
                number=number + k,
            )
            for k in range(depth)
        ]
        number += depth
        yield ResidualGroup(blocks, config.embed_dim, config.resi_connection, "blocks", config.use_checkpoint)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaIR's."""
    return any(".residual_group.blocks." in key for key in state_dict)


def infer(state_dict: StateDict) -> MambaIRConfig:
    """Configuration of published or own weights; training-only options keep their defaults.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    options = infer_backbone(state_dict, "blocks")
    if not options["upsampler"]:
        options |= _infer_unshuffle(options["in_chans"])
    dim = options["embed_dim"]
    conv_block: ConvBlock
    if BLOCK + "conv_blk.cab.4.weight" in state_dict:
        conv_block, gate = "light", 5
    elif BLOCK + "conv_blk.cab.2.weight" in state_dict:
        conv_block, gate = "bottleneck", 3
    else:
        conv_block, gate = "depthwise", 1
    squeeze = shape(state_dict, f"{BLOCK}conv_blk.cab.{gate}.attention.1.weight", 4)[0]
    compress = None
    if conv_block != "depthwise":
        hidden = shape(state_dict, BLOCK + "conv_blk.cab.0.weight", 4)[0]
        compress = divisor(dim, hidden, usual=2 if conv_block == "light" else 3)
    return MambaIRConfig(
        **options,
        d_state=shape(state_dict, BLOCK + "self_attention.A_logs", 2)[1],
        mlp_ratio=ratio(shape(state_dict, BLOCK + "self_attention.in_proj.weight", 2)[0] // 2, dim),
        conv_block=conv_block,
        compress_ratio=compress,
        squeeze_factor=divisor(dim, squeeze, usual=30),
        scan=recalled(state_dict),
    )


def _infer_unshuffle(channels: int) -> dict[str, int]:
    """What the input channels of the first convolution are made of."""
    for colours in (1, 3):
        edge = math.isqrt(channels // colours)
        if channels == colours * edge**2:
            return {"in_chans": colours, "unshuffle": edge}
    return {"in_chans": channels}


def describe(config: MambaIRConfig) -> Descriptor:
    """What inference has to know."""
    floats = max(12 * (config.embed_dim + config.d_inner), config.head_floats)
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_chans,
        size_multiple=config.unshuffle,
        tile=(256 if config.embed_dim <= 96 else 192) * config.unshuffle,
        bytes_per_pixel=4 * (floats // config.unshuffle**2 + 8 * config.in_chans),
        dtypes=ANY_FLOAT if config.embed_dim <= 96 else WIDE_RANGE,
    )
