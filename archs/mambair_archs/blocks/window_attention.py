"""Window self-attention with relative position bias and cyclic shift (Swin, arXiv 2103.14030)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """Attention within windows: (..., window**2, 3, heads, head_dim) to (..., window**2, heads * head_dim)."""
    q, k, v = qkv.flatten(0, -5).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    return out.transpose(1, 2).reshape(*qkv.shape[:-3], -1)


class WindowAttention(nn.Module):
    """Attention inside ``window`` x ``window`` pixels; height and width must be multiples of ``window``."""

    def __init__(self, dim: int, window: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, qkv: Tensor, index: Tensor, shift: int) -> Tensor:
        """Attend within windows that are displaced by ``shift`` pixels.

        Args:
            qkv: (batch, height, width, 3 * dim).
            index: :func:`relative_position_index` of the window.
            shift: 0 or less than the window.

        Returns:
            (batch, height, width, dim).
        """
        batch, height, width, channels = qkv.shape
        window = self.window
        if shift:
            qkv = qkv.roll((-shift, -shift), (1, 2))
        grid = qkv.view(batch, height // window, window, width // window, window, channels).transpose(2, 3)
        tokens = grid.reshape(*grid.shape[:3], window**2, 3, self.heads, -1)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1).to(qkv.dtype)
        out = self._shifted(tokens, bias, shift) if shift else _attend(tokens, bias)
        out = out.view(*out.shape[:3], window, window, -1).transpose(2, 3).reshape(batch, height, width, -1)
        if shift:
            out = out.roll((shift, shift), (1, 2))
        projected: Tensor = self.proj(out)
        return projected

    def _shifted(self, tokens: Tensor, bias: Tensor, shift: int) -> Tensor:
        """Only windows of the last row and column touch the seam, so four masks serve all windows."""
        out = tokens.new_empty(*tokens.shape[:4], tokens.shape[-1] * self.heads)
        for rows, y in ((False, slice(None, -1)), (True, slice(-1, None))):
            for columns, x in ((False, slice(None, -1)), (True, slice(-1, None))):
                part = tokens[:, y, x]
                if part.numel():
                    out[:, y, x] = _attend(part, bias + _seam_mask(self.window, shift, rows, columns, bias))
        return out
