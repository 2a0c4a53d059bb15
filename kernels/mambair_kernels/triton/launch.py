"""Launches the kernels of the Triton backend."""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from .job import Gradients, ScanJob, Tuning
from .launching import Launch, launching

FORWARD = Tuning(tile=8, block_sizes=(32,), programs=8192, tiles=4)
BACKWARD = Tuning(tile=4, block_sizes=(32,), programs=4096, tiles=4)
INTERPRETED = Tuning(tile=8, block_sizes=(16,), programs=1, tiles=1)  # few programs: each is slow
CARRY_TILE, CARRY_BLOCK, MERGE_BLOCK = 16, 32, 1024
ROOM = 1 << 28
"""Bytes that one output per path may take; beyond, the paths follow one another and each adds to what is there."""


def launched(paths: int, numel: int) -> int:
    """Paths in a launch: all if there is room for an output of ``numel`` numbers each, else one."""
    return paths if paths * numel * 4 <= ROOM else 1


def _summaries(job: ScanJob, grad_y: Tensor | None) -> tuple[Tensor, Tensor]:
    """State before every chunk, and with ``grad_y`` what the chunk after it sends back; of one chunk, nothing."""
    if job.chunks == 1:
        return job.A, job.A
    from . import kernels

    decays, ends = job.summary(), job.summary()
    grads = ends if grad_y is None else job.summary()
    *tensors, _, index = job.inputs()
    kernels.summarise[(job.chunks * job.blocks, job.sizes[0], job.batch)](
        *tensors, tensors[0] if grad_y is None else grad_y, index, decays, ends, grads,
        path_offset=0, **job.layout(), GRADIENT=grad_y is not None,
    )  # fmt: skip
    starts = carry(decays, ends, reverse=False)
    return starts, starts if grad_y is None else carry(decays, grads, reverse=True)


def carry(decays: Tensor, ends: Tensor, reverse: bool) -> Tensor:
    """State before every chunk from the summaries, all (batch, paths, chunks, state, channels)."""
    starts = torch.empty_like(ends)
    batch, paths, chunks, state, channels = ends.shape
    size = state * channels
    _carry(reverse)((-(-size // CARRY_BLOCK), batch * paths, 1), (decays, ends, starts), (chunks, size))
    return starts


@cache
def _carry(reverse: bool) -> Launch:
    from . import kernels

    constants = {"REVERSE": reverse, "TILE": CARRY_TILE, "BLOCK": CARRY_BLOCK}
    return Launch(kernels.carry, constants, num_warps=1, enable_fp_fusion=True)


def _launches(job: ScanJob, out: Tensor, merge: bool) -> Iterator[tuple[int, int, int, Tensor, Tensor]]:
    """What :func:`forward` launches: first path, number of paths, numbers per path, what is added, where it goes."""
    paths = job.sizes[0]
    if not merge:
        yield 0, paths, 0, out, out
    elif job.launched > 1:
        parts = out.new_empty(paths, *out.shape, dtype=torch.float32)
        yield 0, paths, out.numel(), parts, parts
        add_up(parts, out)
    else:
        total = out if paths == 1 or out.dtype == torch.float32 else torch.empty_like(out, dtype=torch.float32)
        for path in range(paths):
            yield path, 1, 0, total, out if path == paths - 1 else total


def add_up(parts: Tensor, out: Tensor) -> None:
    """Sum of the parts, (paths, *out), one after another."""
    size = out.numel()
    _merge()((-(-size // MERGE_BLOCK), 1, 1), (parts, out), (parts.shape[0], size, size))


@cache
def _merge() -> Launch:
    from . import kernels

    return Launch(kernels.merge, {"BLOCK": MERGE_BLOCK}, num_warps=4)


def forward(job: ScanJob, merge: bool) -> Tensor:
    """Output shaped and typed like u; with ``merge`` the paths are summed.

    Each path writes an output of its own and a last kernel adds them, or they follow one another; either way one
    program at a time owns a pixel and the sum has a fixed order without atomics.
    """
    from . import kernels

    with launching(job.u):
        starts, _ = _summaries(job, None)
        out = torch.empty_like(job.u)
        for path, paths, slot, before, target in _launches(job, out, merge):
            kernels.outputs[(job.chunks * job.blocks, paths, job.batch)](
                *job.inputs(), starts, before, target, int(path > 0), path_offset=path, stride_slot=slot,
                **job.layout(), STARTS=job.chunks > 1,
            )  # fmt: skip
    return out


def backward(job: ScanJob, grad_y: Tensor, merge: bool, results: Gradients, stride_block: int) -> None:
    """Fills ``results``; grad_u is summed over the paths as the output of :func:`forward`, in its own type."""
    from . import gradient as kernels

    *tensors, D, index = job.inputs()
    with launching(job.u):
        starts, sent = _summaries(job, grad_y)
        for path, paths, slot, before, target in _launches(job, results.u, merge):
            programs = job.chunks * job.blocks * paths * job.batch
            tiles = job.span // job.tuning.tile
            tile_states = job.u.new_empty(programs, tiles + 2, job.sizes[1], job.block, dtype=torch.float32)
            kernels.gradients[(job.chunks * job.blocks, paths, job.batch)](
                *tensors, D, grad_y, index, starts, sent, tile_states, before, target,
                results.delta, results.B, results.C, results.weights, int(path > 0),
                path_offset=path, stride_slot=slot, stride_block=stride_block, **job.layout(), STARTS=job.chunks > 1,
            )  # fmt: skip
