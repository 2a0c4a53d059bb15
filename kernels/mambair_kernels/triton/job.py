"""A scan as the Triton kernels take it: sizes, strides, splitting into programs, scratch memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tuning:
    """How work is cut up: steps per tile, channels per program, and where a sequence is split into chunks.

    Of several ``block_sizes`` the one that wastes least is taken. A sequence is split until a launch has ``programs``
    programs, into chunks of at least ``tiles`` tiles.
    """

    tile: int
    block_sizes: tuple[int, ...]
    programs: int
    tiles: int


@dataclass
class ScanJob:
    """Tensors and layout of a scan: for an image ``paths`` share x and out, for sequences they are the groups.

    Shapes are those of the kernels: A (paths, state, channels) in units of log2, dt_proj (paths, rank, channels), bias
    and D (paths, channels). ``strides`` of u are those of batch, path, place and channel, ``row_strides`` those of
    batch, path, place and state in B and C (and in ``delta``, which is low-rank, if ``rank`` is not 0). ``launched``
    is the number of paths in a launch.
    """

    u: Tensor
    delta: Tensor
    dt_proj: Tensor
    bias: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    c_bias: Tensor | None
    D: Tensor
    index: Tensor | None
    orders: int
    batch: int
    height: int
    width: int
    strides: tuple[int, ...]
    row_strides: tuple[int, ...]
    rank: int
    softplus: bool
    tuning: Tuning
    launched: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Paths, states, channels."""
        paths, state, channels = self.A.shape
        return paths, state, channels

    @property
    def length(self) -> int:
        """Steps of a path."""
        return self.height * self.width

    @cached_property
    def block(self) -> int:
        """Channels per program: as few as possible beyond the last channel, then as many as possible."""
        channels = self.sizes[2]
        return min(self.tuning.block_sizes, key=lambda size: (-(-channels // size) * size, -size))

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.sizes[2] // self.block)

    @cached_property
    def span(self) -> int:
        """Steps per chunk, a multiple of the tile."""
        chunks = max(1, self.tuning.programs // (self.batch * self.blocks * self.launched))
        tiles = max(self.tuning.tiles, -(-self.length // (chunks * self.tuning.tile)))
        return tiles * self.tuning.tile

    @property
    def chunks(self) -> int:
        """Chunks of a sequence."""
        return -(-self.length // self.span)

    def summary(self) -> Tensor:
        """Room for one state per chunk."""
        paths, state, channels = self.sizes
        return self.u.new_empty(self.batch, paths, self.chunks, state, channels, dtype=torch.float32)

    def layout(self) -> dict[str, Any]:
        """Arguments that all kernels but ``carry`` take by name."""
        names = ("stride_batch", "stride_path", "stride_place", "stride_channel")
        row_names = ("stride_batch_n", "stride_path_n", "stride_place_n", "stride_n")
        paths, state, channels = self.sizes
        return {
            "orders": self.orders, "paths": paths, "channels": channels, "length": self.length, "height": self.height,
            "width": self.width, "span": self.span, "chunks": self.chunks,
            **dict(zip(names, self.strides, strict=True)), **dict(zip(row_names, self.row_strides, strict=True)),
            "N": state, "RANK": self.rank, "SOFTPLUS": self.softplus,
            "INDEXED": self.index is not None, "C_BIAS": self.c_bias is not None, "TILE": self.tuning.tile,
            "BLOCK": self.block, "num_warps": 1, "enable_fp_fusion": True,
        }  # fmt: skip

    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that all kernels but ``carry`` take first; what does not exist is replaced and never read."""
        nothing = self.A
        c_bias, index = (nothing if tensor is None else tensor for tensor in (self.c_bias, self.index))
        return self.u, self.delta, self.dt_proj, self.bias, self.A, self.B, self.C, c_bias, self.D, index


@dataclass
class Gradients:
    """What the backward kernels leave: of u, of delta, B and C per block of channels, of the weights per chunk."""

    u: Tensor
    delta: Tensor
    B: Tensor
    C: Tensor
    weights: Tensor

    def unpacked(self, job: ScanJob) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of A (paths, channels, state), dt_proj (paths, channels, rank), bias, D (paths, channels)."""
        sizes = [job.sizes[1], job.rank, 1, 1]
        A, dt_proj, bias, D = (part.mT.contiguous() for part in self.weights.sum((0, 1)).split(sizes, dim=1))
        return A, dt_proj, bias[..., 0].clone(), D[..., 0].clone()
