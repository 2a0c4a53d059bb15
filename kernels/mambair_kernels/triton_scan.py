"""Triton backend: scans on any GPU that Triton compiles for, wired into torch as custom operations.

A long sequence is split into chunks that are scanned at the same time: every chunk is summarised from a zero state (its
end and the product of its decays), a small scan over the summaries gives the state before each, and a second pass
writes the outputs. Where there are enough sequences to fill the card, there is one chunk and one pass.

Bytes moved per token, channel and path in float32, state n, rank r, c channels: 4 to read u in each pass, 8 to add to
the output in place (4 for the first path), and ``4 (r + 2 n) / c`` per block of channels for B, C and the low-rank step
size, which one matrix product writes beforehand for all paths, in raster order. With the light network (c 72, n 10,
r 4) that is about 20; reading B and C per channel, as one program per channel has to, costs 8 n = 80 more. Nothing is
copied into scan order.

The paths of an image are launched one after the other and add to the output in place. Atomic additions would allow one
launch, but their order, and with it the last bits of the result, changes from run to run; a buffer per path would move
as many bytes and take ``paths`` times the memory.
"""

import math
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from . import paths as scan_paths
from . import triton_launch as launch
from .paths import Paths
from .triton_launch import BACKWARD, FORWARD, INTERPRETED, Gradients, Job, Tuning

__all__ = ["available", "interpreted", "scan_2d", "selective_scan"]

INTERPRET = "TRITON_INTERPRET"
MAX_ORDERS = 15  # two bits each in one integer
LOWEST_RATE = -1e38  # finite, so that a step of size zero keeps the state


def interpreted() -> bool:
    """Whether Triton runs its programs in numpy on CPU tensors, for tests."""
    return os.environ.get(INTERPRET) == "1"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def available() -> tuple[bool, str]:
    """Whether Triton is there and compiles the kernels for this machine's GPU; found out once."""
    return _available(interpreted())


@cache
def _available(interpreting: bool) -> tuple[bool, str]:
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
        _probe(torch.device(triton.runtime.driver.active.get_active_torch_device()))
    except Exception as error:  # a missing compiler, an old driver, a card that is not supported: each has its own type
        return False, f"Triton {triton.__version__} cannot compile here: {type(error).__name__}: {error}"
    return True, f"Triton {triton.__version__}"


def _probe(device: torch.device) -> None:
    """Forward and backward of a tiny image."""
    shapes = ((1, 2, 2, 8), (1, 5, 8), (1, 8, 1), (1, 8), (8, 2), (8,))
    inputs: list[Any] = [*(torch.zeros(shape, device=device) for shape in shapes), [0], None, None]
    _scan_image_backward(_scan_image(*inputs), *inputs)


def scan_2d(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: Paths,
    c_bias: Tensor | None,
) -> Tensor:
    """See :func:`mambair_kernels.scan_2d`.

    Raises:
        ValueError: an index tensor is not a permutation (on a GPU: an assertion of the device, which does not wait).
        BackendError: a kernel cannot be compiled.
    """
    if not isinstance(paths, Tensor) and len(paths) > MAX_ORDERS:
        height, width = x.shape[1:3]
        paths = scan_paths.positions(paths, height, width, 0, height * width, x.device).expand(len(x), -1, -1)
    index = paths if isinstance(paths, Tensor) else None
    orders = [] if isinstance(paths, Tensor) else [scan_paths.code(path) for path in paths]
    weights = (tensor.float() for tensor in (x_proj, dt_proj, dt_bias, A_log, D))
    bias = None if c_bias is None else c_bias.float()
    y: Tensor = _scan_2d(x, *weights, orders, index, bias)
    return y


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`.

    Raises:
        BackendError: a kernel cannot be compiled.
    """
    D, delta_bias = (None if tensor is None else tensor.float() for tensor in (D, delta_bias))
    y: Tensor = _selective_scan(u, delta, A.float(), B, C, D, delta_bias, delta_softplus)
    return y


def _tuning(x: Tensor, tuning: Tuning) -> Tuning:
    return INTERPRETED if x.device.type == "cpu" else tuning


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


def _image(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    orders: Sequence[int],
    index: Tensor | None,
    c_bias: Tensor | None,
    tuning: Tuning,
) -> Job:
    """The scan of an image; ``x`` is contiguous."""
    batch, height, width, channels = x.shape
    paths, rank = dt_proj.shape[0], dt_proj.shape[2]
    state, row = A_log.shape[1], x_proj.shape[1]
    if index is not None:
        _check_permutation(index)
    rows = x.view(-1, channels).float() @ x_proj.reshape(-1, channels).mT
    pixels, columns = height * width, paths * row
    return Job(
        u=x, delta=rows, dt_proj=dt_proj.mT.contiguous(), bias=dt_bias.contiguous(),
        A=_log2_rates(-torch.exp(A_log).view(paths, channels, state)), B=rows[:, rank:], C=rows[:, rank + state :],
        c_bias=None if c_bias is None else c_bias.contiguous(), D=D.contiguous(),
        index=None if index is None else index.contiguous(),
        orders=sum(order << 2 * k for k, order in enumerate(orders)), batch=batch, height=height, width=width,
        strides=(pixels * channels, 0, channels, 1), row_strides=(pixels * columns, row, columns, 1),
        rank=rank, softplus=True, tuning=_tuning(x, tuning),
    )  # fmt: skip


def _scan_image(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    orders: Sequence[int],
    index: Tensor | None,
    c_bias: Tensor | None,
) -> Tensor:
    job = _image(x.contiguous(), x_proj, dt_proj, dt_bias, A_log, D, orders, index, c_bias, FORWARD)
    return launch.forward(job, merge=True)


_scan_2d = torch.library.custom_op("mambair::triton_scan_2d", _scan_image, mutates_args=())


@_scan_2d.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _scan_image_backward(
    grad_out: Tensor,
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    orders: Sequence[int],
    index: Tensor | None,
    c_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    job = _image(x.contiguous(), x_proj, dt_proj, dt_bias, A_log, D, orders, index, c_bias, BACKWARD)
    (paths, state, channels), rank = job.sizes, job.rank
    row = rank + 2 * state
    rows = x.new_empty(job.blocks, job.batch * job.length, paths * row, dtype=torch.float32)
    found = Gradients(
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
    grad_c = x.new_empty(0)
    if c_bias is not None:
        grad_C = summed.view(job.batch, job.length, paths, row)[..., rank + state :]
        grad_c = scan_paths.sum_by_step(grad_C, index, orders, job.height, job.width)
    return (
        found.u.to(x.dtype),
        grad_x_proj,
        grad_dt_proj,
        grad_bias,
        grad_A.reshape(A_log.shape) * -torch.exp(A_log),
        grad_D.reshape(D.shape),
        grad_c,
    )


_scan_2d_backward = torch.library.custom_op("mambair::triton_scan_2d_backward", _scan_image_backward, mutates_args=())


@_scan_2d_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    x, x_proj, dt_proj, dt_bias, A_log, D, _, _, c_bias = inputs
    tensors = (x, x_proj, dt_proj, dt_bias, A_log, D)
    grads = tuple(torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in tensors)
    return *grads, x.new_empty(0) if c_bias is None else c_bias.new_empty(c_bias.shape)


def _save_image(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.orders, index, c_bias = inputs
    ctx.save_for_backward(*tensors, index, c_bias)


def _backward_image(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, index, c_bias = ctx.saved_tensors
    *grads, grad_c = _scan_2d_backward(grad_out, *tensors, ctx.orders, index, c_bias)
    return *grads, None, None, None if c_bias is None else grad_c


_scan_2d.register_autograd(_backward_image, setup_context=_save_image)


def _sequence(tensors: Sequence[Tensor | None], softplus: bool, tuning: Tuning) -> Job:
    """The scan of sequences: u, delta, A, B, C, D, delta_bias."""
    u, delta, A, B, C = (tensor.contiguous() for tensor in tensors[:5] if tensor is not None)
    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    shape = (groups, channels // groups)
    D, bias = (A.new_zeros(shape) if each is None else each.view(shape).contiguous() for each in tensors[5:])
    return Job(
        u=u, delta=delta, dt_proj=A, bias=bias, A=_log2_rates(A.view(*shape, state)), B=B, C=C, c_bias=None, D=D,
        index=None, orders=0, batch=batch, height=1, width=length,
        strides=(channels * length, shape[1] * length, 1, length),
        row_strides=(groups * state * length, state * length, 1, length),
        rank=0, softplus=softplus, tuning=_tuning(u, tuning),
    )  # fmt: skip


@torch.library.custom_op("mambair::triton_selective_scan", mutates_args=())
def _selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    return launch.forward(_sequence((u, delta, A, B, C, D, delta_bias), delta_softplus, FORWARD), merge=False)


@_selective_scan.register_fake
def _(u: Tensor, *_: Any) -> Tensor:
    return torch.empty(u.shape, dtype=u.dtype, device=u.device)


@torch.library.custom_op("mambair::triton_selective_scan_backward", mutates_args=())
def _selective_scan_backward(
    grad_out: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    job = _sequence((u, delta, A, B, C, D, delta_bias), delta_softplus, BACKWARD)
    groups, state, channels = job.sizes
    found = Gradients(
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


@_selective_scan_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, C = (torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in inputs[:5])
    return u, delta, A, B, C, A.new_empty(u.shape[1]), A.new_empty(u.shape[1])


def _save_sequence(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.save_for_backward(*tensors)


def _backward_sequence(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, D, delta_bias = ctx.saved_tensors
    *grads, grad_D, grad_bias = _selective_scan_backward(grad_out, *tensors, D, delta_bias, ctx.delta_softplus)
    return *grads, None if D is None else grad_D, None if delta_bias is None else grad_bias, None


_selective_scan.register_autograd(_backward_sequence, setup_context=_save_sequence)
