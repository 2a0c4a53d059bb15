"""Window self-attention with relative position bias and cyclic shift (Swin, arXiv 2103.14030)."""

import torch
from torch import Tensor, nn

from mambair_kernels.fused import window_attention

from .pointwise import apply_linear, norm_linear

MASKED = -100.0
"""Added to the logits of pixels that are neighbours only through the cyclic shift."""


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for every pair of pixels of a window, int64 (window**2, window**2)."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy = y[:, None] - y[None] + window - 1
    dx = x[:, None] - x[None] + window - 1
    return dy * (2 * window - 1) + dx


def _seam_mask(window: int, shift: int, rows: bool, columns: bool, like: Tensor) -> Tensor:
    """Mask (window**2, window**2) of a window that the shift wraps around the bottom and/or the right border."""
    wrapped = (torch.arange(window, device=like.device) >= window - shift).long()
    region = (2 * wrapped[:, None] * rows + wrapped[None] * columns).flatten()
    return (region[:, None] != region[None]).to(like.dtype) * MASKED


class WindowAttention(nn.Module):
    """Attention inside ``window`` x ``window`` pixels; height and width must be multiples of ``window``."""

    def __init__(self, dim: int, window: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def macs_per_pixel(self, inside: float) -> float:
        """Products of queries and keys, and of weights and values, beside the projection."""
        return inside + 2 * self.window**2 * self.proj.in_features

    def forward(self, x: Tensor, norm: nn.LayerNorm, wqkv: nn.Linear, index: Tensor, shift: int) -> Tensor:
        """Attend within windows that are displaced by ``shift`` pixels.

        Args:
            x: (batch, height, width, dim).
            norm: applied to ``x`` first.
            wqkv: from the normalised ``x`` to queries, keys and values.
            index: :func:`relative_position_index` of the window.
            shift: 0 or less than the window.

        Returns:
            (batch, height, width, dim).
        """
        window, channels = self.window, x.shape[-1]
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
        grid = x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
        tokens = grid.reshape(*grid.shape[:3], window**2, channels)
        qkv = norm_linear(norm, wqkv, tokens).unflatten(-1, (3, self.heads, -1))
        out = apply_linear(self.proj, window_attention(qkv, self._bias(index, shift, x)))
        out = out.unflatten(3, (window, window)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        rolled: Tensor = out.roll((shift, shift), (1, 2)) if shift else out
        return rolled

    def _bias(self, index: Tensor, shift: int, like: Tensor) -> Tensor:
        """(variants, heads, tokens, tokens): only windows of the last row and column touch the seam of the shift."""
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None].to(like.dtype)
        if not shift:
            return bias
        ends = [(rows, columns) for rows in (False, True) for columns in (False, True)]
        return bias + torch.stack([_seam_mask(self.window, shift, *end, like) for end in ends])[:, None]
