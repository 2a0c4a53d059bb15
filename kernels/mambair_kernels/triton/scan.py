"""Triton backend: scans on any GPU that Triton compiles for, wired into torch as custom operations.

A long sequence is split into chunks that are scanned at the same time: every chunk is summarised from a zero state (its
end and the product of its decays), a small scan over the summaries gives the state before each, and a second pass
writes the outputs. Where there are enough sequences to fill the card, there is one chunk and one pass.

All paths of an image are one launch. Each writes an output of its own, in float32, and a last kernel adds them in a
fixed order: atomic additions would change the last bits from run to run. Bytes moved per token, channel and path in
float32, state n, rank r, c channels, chunks of s steps: 4 to read u in each pass, 8 to write and read a path's output,
4 / paths for the sum, ``4 (r + 2 n) / c`` per block of channels for B, C and the low-rank step size, which one matrix
product writes beforehand for all paths in raster order, and ``20 n / s`` for the summaries. With the light network
(c 72, n 10, r 4, s 32) that is about 29; reading B and C per channel, as one program per channel has to, costs
8 n = 80 more. Nothing is copied into scan order. docs/gpu.md counts operations as well.

An image so large that an output per path would take too much memory has its paths launched one after another.
"""

import math
import os
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from .. import chunked, trusted
from .. import paths as scan_paths
from ..constant import constant
from ..operations import (
    LEAVES,
    Gradients,
    ImageScan,
    SequenceScan,
    choose_call,
    define,
    dense,
    single,
    takes_image,
    takes_sequences,
)
from . import launch
from .job import Gradients as Found
from .job import ScanJob, Tuning
from .launching import find_room

__all__ = ["available", "interpreted", "scan_2d", "selective_scan"]

INTERPRET = "TRITON_INTERPRET"
MAX_ORDERS = 15  # two bits each in one integer
LOWEST_RATE = -1e38  # finite, so that a step of size zero keeps the state
TOLERANCE = 1e-2  # of the largest entry: products may be in TF32, what is wrong is far beyond


class Passes(NamedTuple):
    """The functions of a backend: its output for an image and for sequences, and their gradients."""

    image: Callable[[ImageScan], Tensor]
    image_gradients: Callable[[Tensor, ImageScan], Gradients]
    sequences: Callable[[SequenceScan], Tensor]
    sequence_gradients: Callable[[Tensor, SequenceScan], Gradients]


def interpreted() -> bool:
    """Whether Triton runs its programs in numpy on CPU tensors, for tests."""
    return os.environ.get(INTERPRET) == "1"


def availability(name: str, passes: Passes) -> Callable[[], tuple[bool, str]]:
    """What tells whether Triton is there and a backend gives right results on this machine's GPU; found out once.

    Where nothing has gradients only the output counts: to compile for gradients takes longer than for all else.
    """

    @constant
    def available() -> tuple[bool, str]:
        return _available(interpreted(), name, passes, torch.is_grad_enabled())

    return available


@cache
def _available(interpreting: bool, name: str, passes: Passes, gradients: bool) -> tuple[bool, str]:
    try:
        import triton
    except ImportError as error:
        return False, f"the package triton cannot be imported ({error})"
    if interpreting:
        return True, f"Triton {triton.__version__} in its interpreter, asked for by {INTERPRET}: slow"
    try:
        triton.runtime.driver.active.get_current_target()
    except RuntimeError:
        return False, f"Triton {triton.__version__} finds no GPU"
    try:
        find_room()
        device = torch.device(triton.runtime.driver.active.get_active_torch_device())
        what = f"{name}, with gradients" if gradients else name
        deviation = trusted.deviation(what, device, lambda: _deviation(device, passes, gradients), TOLERANCE)
    except Exception as error:  # a missing compiler, an old driver, a card that is not supported: each has its own type
        return False, f"Triton {triton.__version__} cannot compile here: {type(error).__name__}: {error}"
    if not deviation < TOLERANCE:  # also where it is no number
        return False, f"Triton {triton.__version__} computes wrongly here, by {deviation:.1g} of the largest entry"
    return True, f"Triton {triton.__version__}"


@torch.inference_mode(mode=False)  # the first use may be within, where nothing has gradients
def _deviation(
    device: torch.device, passes: Passes, gradients: bool = True, size: tuple[int, int, int] = (7, 9, 40)
) -> float:
    """Largest difference from float64 over output and ``gradients`` of a small image, of the largest entry of each.

    An image of ``size``, height, width and channels, has two chunks and two blocks of channels, so that every kernel
    runs; a compiler that breaks one is not trusted.
    """
    channels = size[-1]
    shapes = ((1, *size), (2, 5, channels), (2, channels, 1), (2, channels), (2 * channels, 2), (2 * channels,))
    random = torch.Generator().manual_seed(1)
    leaves = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    grad_out = torch.randn(shapes[0], generator=random, dtype=torch.float64)
    single = ImageScan._make([*(leaf.to(device, torch.float32) for leaf in leaves), None, None, [0, 3]])
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found: list[Tensor | None] = [passes.image(single)]
        if gradients:
            found += passes.image_gradients(grad_out.to(device, torch.float32), single)[:LEAVES]
    with torch.enable_grad():
        leaves = [leaf.requires_grad_() for leaf in leaves]
        out = chunked.scan_2d(*leaves, [scan_paths.CROSS_SCAN[0], scan_paths.CROSS_SCAN[3]], None)
        exact = [out.detach(), *torch.autograd.grad(out, leaves, grad_out)]
    pairs = zip(found, exact, strict=False)
    return max(float((a.double().cpu() - b).abs().max() / b.abs().max()) for a, b in pairs if a is not None)


def _tuning(x: Tensor, backward: bool) -> Tuning:
    if x.device.type == "cpu":
        return launch.INTERPRETED
    return launch.BACKWARD if backward else launch.FORWARD


def _log2_rates(A: Tensor) -> Tensor:
    """A (paths, channels, state) as the kernels take it."""
    return (A * math.log2(math.e)).clamp(min=LOWEST_RATE).mT.contiguous()


def _check_permutation(index: Tensor) -> None:
    """Pixels that share a place would be written by two programs at once."""
    valid = index.sort(dim=-1).values == torch.arange(index.shape[-1], device=index.device)
    if index.device.type == "cpu":
        if not valid.all():
            raise ValueError(f"every path must hold the raster positions 0 to {index.shape[-1] - 1} once each")
        return
    torch._assert_async(valid.all(), "a path is not a permutation of the raster positions")


def _image(inputs: ImageScan, backward: bool = False) -> ScanJob:
    x, x_proj, dt_proj, bias, A_log, D, c_bias, index = dense(*inputs[:-1])
    batch, height, width, channels = x.shape
    paths, rank = dt_proj.shape[0], dt_proj.shape[2]
    state, row = A_log.shape[1], x_proj.shape[1]
    if index is not None:
        _check_permutation(index)
    rows = x.view(-1, channels).float() @ x_proj.view(-1, channels).mT
    pixels, columns = height * width, paths * row
    return ScanJob(
        u=x, delta=rows, dt_proj=dt_proj.mT.contiguous(), bias=bias,
        A=_log2_rates(-torch.exp(A_log).view(paths, channels, state)), B=rows[:, rank:], C=rows[:, rank + state :],
        c_bias=c_bias, D=D, index=index, orders=sum(order << 2 * k for k, order in enumerate(inputs.orders)),
        batch=batch, height=height, width=width,
        strides=(pixels * channels, 0, channels, 1), row_strides=(pixels * columns, row, columns, 1),
        rank=rank, softplus=True, tuning=_tuning(x, backward), launched=launch.launched(paths, x.numel()),
    )  # fmt: skip


def image_gradients(grad_out: Tensor, inputs: ImageScan) -> Gradients:
    """What autograd asks for, of an image."""
    job, x, x_proj, A_log = _image(inputs, backward=True), inputs.x, inputs.x_proj, inputs.A_log
    (paths, state, channels), rank = job.sizes, job.rank
    row = rank + 2 * state
    rows = x.new_empty(job.blocks, job.batch * job.length, paths * row, dtype=torch.float32)
    found = Found(
        u=torch.empty_like(job.u, dtype=torch.float32),
        delta=rows,
        B=rows[..., rank:],
        C=rows[..., rank + state :],
        weights=x.new_empty(job.batch, job.chunks, paths, state + rank + 2, channels, dtype=torch.float32),
    )
    launch.backward(job, grad_out.contiguous(), True, found, rows.stride(0))

    summed = rows.sum(0)
    found.u.view(-1, channels).addmm_(summed, x_proj.reshape(-1, channels))
    grad_x_proj = (summed.mT @ job.u.view(-1, channels).float()).view(x_proj.shape)
    grad_A, grad_dt_proj, grad_bias, grad_D = found.unpacked(job)
    grad_A_log = grad_A.reshape(A_log.shape) * -torch.exp(A_log)
    grad_c = None
    if inputs.c_bias is not None:
        grad_C = summed.view(job.batch, job.length, paths, row)[..., rank + state :]
        grad_c = scan_paths.sum_by_step(grad_C, inputs.paths, job.height, job.width)
    return found.u.to(x.dtype), grad_x_proj, grad_dt_proj, grad_bias, grad_A_log, grad_D.flatten(), grad_c


def _sequence(inputs: SequenceScan, backward: bool = False) -> ScanJob:
    u, delta, A, B, C = dense(*inputs[:5])
    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    shape = (groups, channels // groups)
    D, bias = (A.new_zeros(shape) if each is None else each.view(shape).contiguous() for each in inputs[5:LEAVES])
    return ScanJob(
        u=u, delta=delta, dt_proj=A, bias=bias, A=_log2_rates(A.view(*shape, state)), B=B, C=C, c_bias=None, D=D,
        index=None, orders=0, batch=batch, height=1, width=length,
        strides=(channels * length, shape[1] * length, 1, length),
        row_strides=(groups * state * length, state * length, 1, length),
        rank=0, softplus=inputs.delta_softplus, tuning=_tuning(u, backward), launched=groups,
    )  # fmt: skip


def sequence_gradients(grad_out: Tensor, inputs: SequenceScan) -> Gradients:
    """What autograd asks for, of sequences."""
    job, u, A, B, C = _sequence(inputs, backward=True), inputs.u, inputs.A, inputs.B, inputs.C
    groups, state, channels = job.sizes
    found = Found(
        u=torch.empty_like(job.u),
        delta=torch.empty_like(job.delta),
        B=u.new_empty(job.blocks, *B.shape, dtype=torch.float32),
        C=u.new_empty(job.blocks, *C.shape, dtype=torch.float32),
        weights=u.new_empty(job.batch, job.chunks, groups, state + 2, channels, dtype=torch.float32),
    )
    launch.backward(job, grad_out.contiguous(), False, found, B.numel())
    grad_A, _, grad_bias, grad_D = found.unpacked(job)
    grad_B, grad_C = found.B.sum(0).to(B.dtype), found.C.sum(0).to(C.dtype)
    return found.u, found.delta, grad_A.reshape(A.shape), grad_B, grad_C, grad_D.flatten(), grad_bias.flatten()


def image(inputs: ImageScan) -> Tensor:
    """The output for an image."""
    return launch.forward(_image(inputs), merge=True)


def sequences(inputs: SequenceScan) -> Tensor:
    """The output for sequences."""
    return launch.forward(_sequence(inputs), merge=False)


PASSES = Passes(image, image_gradients, sequences, sequence_gradients)


def operations(name: str, passes: Passes) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """``scan_2d`` and ``selective_scan`` as operations of torch that begin with ``name``."""
    on_image = define(f"{name}_scan_2d", ImageScan, passes.image, passes.image_gradients)
    on_sequences = define(f"{name}_selective_scan", SequenceScan, passes.sequences, passes.sequence_gradients)

    @takes_image
    def scan_2d(inputs: ImageScan) -> Tensor:
        """See :func:`mambair_kernels.scan_2d`.

        Raises:
            ValueError: an index tensor is not a permutation (on a GPU: an assertion of the device, which does not
                wait).
            BackendError: a kernel cannot be compiled.
        """
        x, index, orders = inputs.x, inputs.positions, inputs.orders
        if len(orders) > MAX_ORDERS:
            height, width = x.shape[1:3]
            index = scan_paths.positions(inputs.paths, height, width, 0, height * width, x.device)
            index, orders = index.expand(len(x), -1, -1), []
        run = choose_call(on_image, passes.image, x)
        result: Tensor = run(ImageScan._make([x, *single(*inputs[1:LEAVES]), index, orders]))
        return result

    @takes_sequences
    def selective_scan(inputs: SequenceScan) -> Tensor:
        """See :func:`mambair_kernels.selective_scan`.

        Raises:
            BackendError: a kernel cannot be compiled.
        """
        u, delta, A, B, C, D, delta_bias, delta_softplus = inputs
        return on_sequences(SequenceScan._make([u, delta, A.float(), B, C, *single(D, delta_bias), delta_softplus]))

    return scan_2d, selective_scan


scan_2d, selective_scan = operations("triton", PASSES)
available = availability("triton", PASSES)
