"""MambaIRv2: attentive state-space restoration (arXiv 2411.15269), window attention followed by one sorted scan."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import Backbone, BackboneConfig, infer_backbone
from .blocks.attentive_state_space import ASSM
from .blocks.feed_forward import ConvFFN, GatedMLP
from .blocks.residual import ResidualGroup
from .blocks.window_attention import WindowAttention, relative_position_index
from .config import InferenceError, StateDict, create, option, ratio, shape
from .descriptor import ANY_FLOAT, WIDE_RANGE, Descriptor

LAYER = "layers.0.residual_group.layers.0."


@dataclass(frozen=True, kw_only=True)
class MambaIRv2Config(BackboneConfig):
    """Options of :class:`MambaIRv2` and :class:`MambaIRv2Light`.

    ``stochastic_routing`` restores the published sampling; without it the output is deterministic.
    """

    num_heads: tuple[int, ...] = option((4, 4, 4, 4), "Attention heads of each group; each divides embed_dim.")
    window_size: int = option(16, "Side of the attention windows in pixels.")
    inner_rank: int = option(32, "Inner rank of the prompt pool.")
    num_tokens: int = option(64, "Prompts in the pool.")
    convffn_kernel_size: int = option(5, "Kernel of the depthwise convolution in the feed-forward networks; odd.")
    qkv_bias: bool = option(True, "Whether the attention projections have a bias.")
    stochastic_routing: bool = option(False, "Sample the prompts as published, in place of taking the likeliest.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.num_heads) != len(self.depths):
            raise ValueError(f"num_heads has {len(self.num_heads)} entries for {len(self.depths)} groups")
        if any(self.embed_dim % heads for heads in self.num_heads):
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.embed_dim < 3 or self.window_size < 2 or self.convffn_kernel_size % 2 == 0:
            raise ValueError("embed_dim must be at least 3, window_size at least 2, convffn_kernel_size odd")


class AttentiveLayer(nn.Module):
    """Window attention and an attentive scan, each followed by a feed-forward network."""

    position_index: Tensor

    def __init__(
        self, config: MambaIRv2Config, heads: int, shift: int, feed_forward: type[nn.Module], position_index: Tensor
    ) -> None:
        super().__init__()
        dim, hidden = config.embed_dim, config.d_inner
        self.shift = shift
        self.register_buffer("position_index", position_index, persistent=False)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))
        self.scale1 = nn.Parameter(torch.full((dim,), 1e-4))
        self.scale2 = nn.Parameter(torch.full((dim,), 1e-4))
        self.wqkv = nn.Linear(dim, 3 * dim, bias=config.qkv_bias)
        self.win_mhsa = WindowAttention(dim, config.window_size, heads)
        self.assm = ASSM(dim, hidden, config.d_state, config.num_tokens, config.inner_rank, config.stochastic_routing)
        self.convffn1 = feed_forward(dim, hidden, config.convffn_kernel_size)
        self.convffn2 = feed_forward(dim, hidden, config.convffn_kernel_size)
        self.embeddingA = nn.Embedding(config.inner_rank, config.d_state)
        nn.init.uniform_(self.embeddingA.weight, -1 / config.inner_rank, 1 / config.inner_rank)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape; sizes are multiples of the window."""
        local = self.win_mhsa(x, self.norm1, self.wqkv, self.position_index, self.shift) + x
        x = torch.addcmul(self.convffn1(local, self.norm2), x, self.scale1) + local
        scanned = self.assm(self.norm3(x), self.embeddingA.weight) + x
        out: Tensor = torch.addcmul(self.convffn2(scanned, self.norm4), x, self.scale2) + scanned
        return out


class MambaIRv2(Backbone):
    """Groups of attentive layers. Keyword options: see :class:`MambaIRv2Config`."""

    feed_forward: type[nn.Module] = ConvFFN
    relative_position_index_SA: Tensor

    def __init__(self, **options: Any) -> None:
        self.config = config = create(MambaIRv2Config, options)
        index = relative_position_index(config.window_size)
        super().__init__(config, list(self._groups(config, index)), multiple=config.window_size)
        # A copy, because what a file holds under this name must not reach the layers.
        self.register_buffer("relative_position_index_SA", index.clone())

    def _groups(self, config: MambaIRv2Config, index: Tensor) -> Iterator[nn.Module]:
        for depth, heads in zip(config.depths, config.num_heads, strict=True):
            layers = [
                AttentiveLayer(config, heads, config.window_size // 2 * (k % 2), self.feed_forward, index)
                for k in range(depth)
            ]
            yield ResidualGroup(layers, config.embed_dim, config.resi_connection, "layers", config.use_checkpoint)


class MambaIRv2Light(MambaIRv2):
    """MambaIRv2 with gated feed-forward networks."""

    feed_forward = GatedMLP


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like those of :class:`MambaIRv2`."""
    return any(".residual_group.layers." in key for key in state_dict) and not matches_light(state_dict)


def matches_light(state_dict: StateDict) -> bool:
    """Whether the keys look like those of :class:`MambaIRv2Light`."""
    return any(".convffn1.sg." in key for key in state_dict)


def window_size(rows: int) -> int:
    """Side of the windows whose table of relative positions has that many rows.

    Raises:
        InferenceError: no window has.
    """
    window = (math.isqrt(rows) + 1) // 2
    if (2 * window - 1) ** 2 != rows:
        raise InferenceError(f"relative_position_bias_table has {rows} rows, fits no window")
    return window


def infer(state_dict: StateDict) -> MambaIRv2Config:
    """Configuration of published or own weights of either class.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    options = infer_backbone(state_dict, "layers")
    dim = options["embed_dim"]
    tables = [
        shape(state_dict, f"layers.{g}.residual_group.layers.0.win_mhsa.relative_position_bias_table", 2)
        for g in range(len(options["depths"]))
    ]
    light = matches_light(state_dict)
    kernel = "convffn1.sg.conv.weight" if light else "convffn1.dwconv.depthwise_conv.0.weight"
    return MambaIRv2Config(
        **options,
        num_heads=tuple(table[1] for table in tables),
        d_state=shape(state_dict, LAYER + "assm.selectiveScan.A_logs", 2)[1],
        mlp_ratio=ratio(shape(state_dict, LAYER + "assm.in_proj.0.weight", 4)[0], dim),
        window_size=window_size(tables[0][0]),
        inner_rank=shape(state_dict, LAYER + "embeddingA.weight", 2)[0],
        num_tokens=shape(state_dict, LAYER + "assm.embeddingB.weight", 2)[0],
        convffn_kernel_size=shape(state_dict, LAYER + kernel, 4)[-1],
        qkv_bias=LAYER + "wqkv.bias" in state_dict,
    )


def describe(config: MambaIRv2Config) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=config.upscale,
        in_channels=config.in_chans,
        size_multiple=config.window_size,
        tile=256 if config.embed_dim <= 96 else 192,
        bytes_per_pixel=4 * max(20 * config.embed_dim + 8 * config.d_inner, config.head_floats),
        dtypes=ANY_FLOAT if config.embed_dim <= 96 else WIDE_RANGE,
    )
