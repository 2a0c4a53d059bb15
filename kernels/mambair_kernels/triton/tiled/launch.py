"""Launches the kernels of the backend ``triton_tiled``."""

import torch
from torch import Tensor

from ..job import Gradients, ScanJob, Tuning, launching

FORWARD = Tuning(tile=16, block_sizes=(64, 32), programs=4096, tiles=4)
BACKWARD = Tuning(tile=8, block_sizes=(32, 16), programs=4096, tiles=8)
INTERPRETED = Tuning(tile=16, block_sizes=(16, 8), programs=1, tiles=1)  # few programs: each is slow
CARRY_TILE, CARRY_BLOCK = 16, 64


def launched(paths: int, numel: int) -> int:
    """Paths in a launch: one."""
    return 1


def summaries(job: ScanJob, grad_y: Tensor | None) -> tuple[Tensor, Tensor | None]:
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


def _carry(job: ScanJob, decays: Tensor, ends: Tensor, reverse: bool) -> Tensor:
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


def forward(job: ScanJob, merge: bool) -> Tensor:
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


def backward(job: ScanJob, grad_y: Tensor, merge: bool, results: Gradients, stride_block: int) -> None:
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
