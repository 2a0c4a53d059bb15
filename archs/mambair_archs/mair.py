"""MaIR: scans along nested snakes, whose directions are weighed against each other (arXiv 2412.20066)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mambair_kernels.paths import nested_snakes

from . import setting
from .backbone import Backbone, BackboneConfig, infer_backbone
from .blocks.residual import DropPath, ResidualGroup
from .blocks.selective_scan import SS2D
from .blocks.vss import MLP
from .config import InferenceError, StateDict, create, option, ratio, shape
from .descriptor import ANY_FLOAT, WIDE_RANGE, Descriptor

BLOCK = "layers.0.residual_group.blocks.0."

STRIPES = {1: 8, 16: 4}
"""Published width of a stripe by states of a light network; of others it is 8. Published weights do not tell it."""


@dataclass(frozen=True, kw_only=True)
class MaIRConfig(BackboneConfig):
    """Options of :class:`MaIR`; the defaults are those of its smallest network for super-resolution."""

    d_state: int = option(1, "States per channel of the scans.")
    ssm_ratio: float = option(1.1, "Channels of the scan over embed_dim.")
    mlp_ratio: float = option(1.6, "Channels of the feed-forward networks over embed_dim.")
    scan_len: int = option(8, "Width in pixels of the stripes that the scans go along; even.")
    drop_path_rate: float = option(0.1, "Probability of leaving out a block in training, rising linearly to this.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scan_len < 2 or self.scan_len % 2:
            raise ValueError(f"scan_len is {self.scan_len}, expected an even number from 2")
        if int(self.mlp_ratio * self.embed_dim) < 1:
            raise ValueError("mlp_ratio * embed_dim must be at least 1")

    @property
    def d_inner(self) -> int:
        """Channels of the scan."""
        return int(self.ssm_ratio * self.embed_dim)


class MaIRBlock(nn.Module):
    """A scan and a feed-forward network, with learned skip scales; every second block shifts its stripes by half."""

    def __init__(self, config: MaIRConfig, shifted: bool, drop_path: float) -> None:
        super().__init__()
        dim = config.embed_dim
        paths = nested_snakes(config.scan_len, config.scan_len // 2 * shifted)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attention = SS2D(dim, config.d_state, config.d_inner, paths, merging="gated")
        self.drop_path = DropPath(drop_path)
        self.conv_blk = MLP(dim, int(config.mlp_ratio * dim))
        self.skip_scale = nn.Parameter(torch.ones(dim))
        self.skip_scale2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        if self.training and self.drop_path.rate > 0:
            x = x * self.skip_scale + self.drop_path(self.self_attention(x, self.ln_1))
        else:
            x = self.self_attention(x, self.ln_1, self.skip_scale)
        return torch.addcmul(self.conv_blk(x, self.ln_2), x, self.skip_scale2)


class MaIR(Backbone):
    """MambaIR's groups, of blocks that scan along nested snakes.

    Keyword options: see :class:`MaIRConfig`.
    """

    def __init__(self, **given: Any) -> None:
        self.config = config = create(MaIRConfig, given)
        super().__init__(config, list(_groups(config)))
        if config.scan_len != _published_stripe(config.d_state, config.upsampler):
            setting.remember(self, f"stripes {config.scan_len}")


def _groups(config: MaIRConfig) -> Iterator[nn.Module]:
    last, number = max(sum(config.depths) - 1, 1), 0
    for depth in config.depths:
        rates = [config.drop_path_rate * (number + k) / last for k in range(depth)]
        blocks = [MaIRBlock(config, shifted=k % 2 == 1, drop_path=rate) for k, rate in enumerate(rates)]
        number += depth
        yield ResidualGroup(blocks, config.embed_dim, config.resi_connection, "blocks", config.use_checkpoint)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MaIR's."""
    return BLOCK + "self_attention.gating.gating.1.weight" in state_dict and BLOCK + "conv_blk.fc1.weight" in state_dict


def infer(state_dict: StateDict) -> MaIRConfig:
    """Configuration of published or own weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    given = infer_backbone(state_dict, "blocks")
    dim, d_state = given["embed_dim"], shape(state_dict, BLOCK + "self_attention.A_logs", 2)[1]
    return MaIRConfig(
        **given,
        d_state=d_state,
        ssm_ratio=ratio(shape(state_dict, BLOCK + "self_attention.in_proj.weight", 2)[0] // 2, dim),
        mlp_ratio=ratio(shape(state_dict, BLOCK + "conv_blk.fc1.weight", 2)[0], dim),
        scan_len=_stripe(state_dict, d_state, given["upsampler"]),
    )


def _published_stripe(d_state: int, upsampler: str) -> int:
    return STRIPES.get(d_state, 8) if upsampler == "pixelshuffledirect" else 8


def _stripe(state_dict: StateDict, d_state: int, upsampler: str) -> int:
    text = setting.told(state_dict)
    if text is None:
        return _published_stripe(d_state, upsampler)
    word, _, width = text.partition(" ")
    if word != "stripes" or not width.isdecimal():
        raise InferenceError(f"{setting.KEY} holds {text!r}, which is no width of stripes")
    return int(width)


def describe(config: MaIRConfig) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_chans,
        size_multiple=1,
        tile=256 if config.embed_dim <= 96 else 192,
        bytes_per_pixel=4 * max(8 * config.embed_dim + 16 * config.d_inner, config.head_floats),
        dtypes=ANY_FLOAT if config.embed_dim <= 96 else WIDE_RANGE,
    )
