"""Residual building blocks of MambaIR: the state-space block (RSSB) and the group of blocks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mambair_kernels.fused import gated_residual

from .channel_attention import CAB, ConvBlock
from .convolution import add_convolved, residual_conv
from .merging import CROSS, Scan
from .selective_scan import SS2D


class DropPath(nn.Module):
    """Drop a residual branch per sample with probability ``rate`` while training (arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero whole samples, and scale the kept ones so that the expectation stays."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1 - self.rate)


class VSSBlock(nn.Module):
    """Residual state-space block: scan, then local enhancement with channel attention, with learned skip scales.

    ``number`` counts the blocks of a network, whose ``scan`` may take its paths in turn.
    """

    def __init__(
        self,
        dim: int,
        d_state: int,
        d_inner: int,
        conv_block: ConvBlock = "bottleneck",
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        drop_path: float = 0.0,
        scan: Scan = CROSS,
        number: int = 0,
    ) -> None:
        super().__init__()
        paths, merging = scan.of_block(number)
        self.ln_1 = nn.LayerNorm(dim)
        self.self_attention = SS2D(dim, d_state, d_inner, paths, merging=merging)
        self.drop_path = DropPath(drop_path)
        self.skip_scale = nn.Parameter(torch.ones(dim))
        self.conv_blk = CAB(dim, conv_block, compress_ratio, squeeze_factor)
        self.ln_2 = nn.LayerNorm(dim)
        self.skip_scale2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        if self.training and self.drop_path.rate > 0:
            x = x * self.skip_scale + self.drop_path(self.self_attention(x, self.ln_1))
        else:
            x = self.self_attention(x, self.ln_1, self.skip_scale)
        features, gate = self.conv_blk(x, self.ln_2)
        return gated_residual(x, self.skip_scale2, features, gate)


def run_blocks(blocks: nn.ModuleList, x: Tensor, use_checkpoint: bool) -> Tensor:
    """Apply blocks in order; with ``use_checkpoint`` their activations are recomputed in the backward pass."""
    for block in blocks:
        x = checkpoint(block, x, use_reentrant=False) if use_checkpoint and torch.is_grad_enabled() else block(x)
    return x


class ResidualGroup(nn.Module):
    """Blocks, a convolution and a skip connection around both.

    ``name`` is what checkpoints call the list of blocks: ``blocks`` (MambaIR) or ``layers`` (MambaIRv2).
    """

    def __init__(
        self, blocks: Sequence[nn.Module], dim: int, resi_connection: str, name: str, use_checkpoint: bool
    ) -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({name: nn.ModuleList(blocks)})
        self.conv = residual_conv(dim, resi_connection)
        self.name = name
        self.use_checkpoint = use_checkpoint

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        blocks = self.residual_group[self.name]
        assert isinstance(blocks, nn.ModuleList)
        return add_convolved(x, self.conv, run_blocks(blocks, x, self.use_checkpoint))
