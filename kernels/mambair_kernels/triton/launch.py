"""Prepares and launches the kernels of the Triton backend: sizes, strides, splitting into programs, scratch memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import BackendError


@dataclass(frozen=True)
class Tuning:
    """How work is cut up: steps per tile, largest block of channels, and where a sequence is split into chunks.

    A sequence is split until there are ``programs`` programs, into chunks of at least ``tiles`` tiles.
    """

    tile: int
    block: int
    programs: int
    tiles: int


FORWARD = Tuning(tile=16, block=64, programs=4096, tiles=4)
BACKWARD = Tuning(tile=8, block=32, programs=4096, tiles=8)
INTERPRETED = Tuning(tile=16, block=16, programs=1, tiles=1)  # few programs: each is slow
CARRY_TILE, CARRY_BLOCK = 16, 64


@dataclass
class Job:
    """Tensors and layout of a scan: for an image ``paths`` share x and out, for sequences they are the groups.

    Shapes are those of the kernels: A (paths, state, channels) in units of log2, dt_proj (paths, rank, channels), bias
    and D (paths, channels). ``strides`` of u are those of batch, path, place and channel, ``row_strides`` those of
    batch, path, place and state in B and C (and in ``delta``, which is low-rank, if ``rank`` is not 0).
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
        channels, sizes = self.sizes[2], [self.tuning.block >> i for i in range(2)]
        return min(sizes, key=lambda size: (-(-channels // size) * size, -size))

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.sizes[2] // self.block)

    @cached_property
    def span(self) -> int:
        """Steps per chunk, a multiple of the tile."""
        chunks = max(1, self.tuning.programs // (self.batch * self.blocks))
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


@contextmanager
def launching(tensor: Tensor) -> Iterator[None]:
    """Launches go to the device of ``tensor``.

    Raises:
        BackendError: a kernel cannot be compiled for it.
    """
    import triton

    try:
        if tensor.device.type == "cpu":
            yield
        else:
            with torch.get_device_module(tensor.device).device(tensor.device):
                yield
    except (triton.TritonError, triton.runtime.OutOfResources) as error:
        raise BackendError(
            f"Triton cannot compile for {tensor.device}: {error}; choose another scan backend"
        ) from error


def summaries(job: Job, grad_y: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """State before every chunk, and with ``grad_y`` what the chunk after it sends back."""
    if job.chunks == 1:
        return job.summary().zero_(), None if grad_y is None else job.summary().zero_()
    from . import kernels

    decays, ends = job.summary(), job.summary()
    grads = ends if grad_y is None else job.summary()
    *tensors, _, index = job.inputs()
    grid = (job.chunks * job.blocks, job.sizes[0], job.batch)
    kernels.summarise[grid](
        *tensors, tensors[0] if grad_y is None else grad_y, index, decays, ends, grads,
        **job.layout(), GRADIENT=grad_y is not None,
    )  # fmt: skip
    starts = _carry(job, decays, ends, reverse=False)
    return starts, None if grad_y is None else _carry(job, decays, grads, reverse=True)


def _carry(job: Job, decays: Tensor, ends: Tensor, reverse: bool) -> Tensor:
    from . import kernels

    starts = torch.empty_like(ends)
    paths, state, channels = job.sizes
    size = state * channels
    grid = (-(-size // CARRY_BLOCK), job.batch * paths)
    kernels.carry[grid](
        decays,
        ends,
        starts,
        job.chunks,
        size,
        REVERSE=int(reverse),
        TILE=CARRY_TILE,
        BLOCK=CARRY_BLOCK,
        num_warps=1,
        enable_fp_fusion=True,
    )
    return starts


def forward(job: Job, merge: bool) -> Tensor:
    """Output shaped and typed like u; with ``merge`` the paths are summed, one launch after the other.

    One program at a time owns a pixel and launches follow each other, so the sum has a fixed order without atomics.
    """
    from . import kernels

    with launching(job.u):
        starts, _ = summaries(job, None)
        out = torch.empty_like(job.u)
        paths = job.sizes[0] if merge else 1
        total = out if paths == 1 or out.dtype == torch.float32 else torch.empty_like(out, dtype=torch.float32)
        for path in range(paths):
            grid = (job.chunks * job.blocks, 1 if merge else job.sizes[0], job.batch)
            target = out if path == paths - 1 else total
            kernels.outputs[grid](*job.inputs(), starts, total, target, path_offset=path, **job.layout(), ADD=path > 0)
    return out


@dataclass
class Gradients:
    """What the backward kernels leave: of u, of delta, B and C per block of channels, of the weights per chunk."""

    u: Tensor
    delta: Tensor
    B: Tensor
    C: Tensor
    weights: Tensor

    def unpacked(self, job: Job) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of A (paths, channels, state), dt_proj (paths, channels, rank), bias, D (paths, channels)."""
        sizes = [job.sizes[1], job.rank, 1, 1]
        A, dt_proj, bias, D = (part.mT.contiguous() for part in self.weights.sum((0, 1)).split(sizes, dim=1))
        return A, dt_proj, bias[..., 0].clone(), D[..., 0].clone()


def backward(job: Job, grad_y: Tensor, merge: bool, results: Gradients, stride_block: int) -> None:
    """Fills ``results``; grad_u is summed over the paths as the output of :func:`forward`, in its own type."""
    from . import gradient as kernels

    paths, state, _ = job.sizes
    *tensors, D, index = job.inputs()
    tiles = job.span // job.tuning.tile
    launched = 1 if merge else paths
    with launching(job.u):
        starts, sent = summaries(job, grad_y)
        programs = job.chunks * job.blocks * launched * job.batch
        tile_states = job.u.new_empty(programs, tiles, state, job.block, dtype=torch.float32)
        for path in range(paths if merge else 1):
            kernels.gradients[(job.chunks * job.blocks, launched, job.batch)](
                *tensors, D, grad_y, index, starts, sent, tile_states,
                results.u, results.u, results.delta, results.B, results.C, results.weights,
                path_offset=path, stride_block=stride_block, **job.layout(),
                ADD=path > 0,
            )  # fmt: skip
