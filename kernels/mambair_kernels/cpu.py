"""Native CPU backend: C++ on all cores, forward and closed-form backward, wired into torch as custom operations.

The C++ side (``csrc``) computes in float32. What is left to torch is dense linear algebra over the results: the part of
the gradients that passes through ``x_proj``.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import native
from . import paths as scan_paths
from .native import ImageArguments, SequenceArguments, address, available
from .paths import Paths

__all__ = ["available", "scan_2d", "selective_scan"]

SMALL = 1 << 16  # below this many state updates a second thread costs more than it brings


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
        ValueError: an index tensor points outside the image.
    """
    index = paths if isinstance(paths, Tensor) else None
    orders = [] if isinstance(paths, Tensor) else [scan_paths.code(path) for path in paths]
    weights = (tensor.float() for tensor in (x_proj, dt_proj, dt_bias, A_log, D))
    bias = None if c_bias is None else c_bias.float()
    run = native.choose_call(_scan_2d, _scan_image, x)
    y: Tensor = run(x.float(), *weights, orders, index, bias)
    return y.to(x.dtype)


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
    """See :func:`mambair_kernels.selective_scan`."""
    tensors = (tensor.float() for tensor in (u, delta, A, B, C))
    options = (None if tensor is None else tensor.float() for tensor in (D, delta_bias))
    y: Tensor = _selective_scan(*tensors, *options, delta_softplus)
    return y.to(u.dtype)


def _threads(work: int) -> int:
    return torch.get_num_threads() if work >= SMALL else 1


def _unpack(packed: Tensor, channels: int, sizes: list[int]) -> list[Tensor]:
    """Gradients of the weights (batch, groups, vectors, weights, lanes) as (groups, channels, size) each.

    Copies, because results of a custom operation may not share memory.
    """
    merged = packed.sum(0).transpose(-1, -2).flatten(1, 2)[:, :channels]
    return [part.clone(memory_format=torch.contiguous_format) for part in torch.split(merged, sizes, dim=-1)]


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _image(tensors: list[Any], orders: Sequence[int], index: Tensor | None) -> ImageArguments:
    """Arguments for contiguous x, x_proj, dt_proj, dt_bias, A_log, D, c_bias; keeps what it points to alive."""
    x, _, dt_proj, _, A_log = tensors[:5]
    batch, height, width, channels = x.shape
    paths, d_state = dt_proj.shape[0], A_log.shape[1]
    if index is not None and (index.min() < 0 or index.max() >= height * width):
        raise ValueError(f"paths must hold raster positions from 0 to {height * width - 1}")
    flags = None if index is not None else (ctypes.c_int32 * paths)(*orders)
    job = ImageArguments(batch, height, width, channels, d_state, dt_proj.shape[2], paths)
    job.threads = _threads(x.numel() * paths * d_state)
    job.orders = None if flags is None else ctypes.addressof(flags)
    job.index = address(index)
    for name, tensor in zip(native.IMAGE_INPUTS.split(), tensors, strict=True):
        setattr(job, name, address(tensor))
    job.alive = (tensors, flags, index)
    return job


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
    tensors = _contiguous(x, x_proj, dt_proj, dt_bias, A_log, D, c_bias)
    job = _image(tensors, orders, None if index is None else index.contiguous())
    out = torch.empty_like(tensors[0])
    job.out = address(out)
    native.call("mambair_scan_image", job)
    return out


_scan_2d = torch.library.custom_op("mambair::cpu_scan_2d", _scan_image, mutates_args=(), device_types="cpu")


@_scan_2d.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@torch.library.custom_op("mambair::cpu_scan_2d_backward", mutates_args=(), device_types="cpu")
def _scan_2d_backward(
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
    tensors = _contiguous(x, x_proj, dt_proj, dt_bias, A_log, D, c_bias)
    grad_out, index = _contiguous(grad_out, index)
    job = _image(tensors, orders, index)
    batch, height, width, channels = x.shape
    paths, row = x_proj.shape[:2]
    d_state, rank, lanes = A_log.shape[1], dt_proj.shape[2], native.lanes()
    vectors, stride = -(-channels // lanes), -(-paths * row // lanes) * lanes

    grad_x = torch.empty_like(tensors[0])
    allocate = x.new_empty if index is None else x.new_zeros
    grad_rows = allocate(native.call("mambair_image_splits", job), batch * height * width, stride)
    grad_weights = x.new_empty(batch, paths, vectors, d_state + rank + 2, lanes)
    job.grad_out, job.grad_x = address(grad_out), address(grad_x)
    job.grad_rows, job.grad_weights = address(grad_rows), address(grad_weights)
    native.call("mambair_scan_image_backward", job)

    rows = (grad_rows.sum(0) if len(grad_rows) > 1 else grad_rows[0])[:, : paths * row]
    grad_x.view(-1, channels).addmm_(rows, tensors[1].view(-1, channels))
    grad_x_proj = (rows.mT @ tensors[0].view(-1, channels)).view(x_proj.shape)
    grad_A, grad_dt_proj, grad_dt_bias, grad_D = _unpack(grad_weights, channels, [d_state, rank, 1, 1])
    grad_A_log = grad_A.reshape(A_log.shape) * -torch.exp(A_log)
    grad_c = x.new_empty(0)
    if c_bias is not None:
        grad_C = rows.view(batch, height * width, paths, row)[..., rank + d_state :]
        grad_c = scan_paths.sum_by_step(grad_C, index, orders, height, width)
    return (
        grad_x,
        grad_x_proj,
        grad_dt_proj,
        grad_dt_bias.reshape(dt_bias.shape),
        grad_A_log,
        grad_D.reshape(D.shape),
        grad_c,
    )


@_scan_2d_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    x, x_proj, dt_proj, dt_bias, A_log, D, _, _, c_bias = inputs
    tensors = (x, x_proj, dt_proj, dt_bias, A_log, D)
    grads = tuple(torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in tensors)
    return *grads, x.new_empty(0 if c_bias is None else c_bias.shape)


def _save_image(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.orders, index, c_bias = inputs
    ctx.save_for_backward(*tensors, index, c_bias)


def _backward_image(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, index, c_bias = ctx.saved_tensors
    *grads, grad_c = _scan_2d_backward(grad_out, *tensors, ctx.orders, index, c_bias)
    return *grads, None, None, None if c_bias is None else grad_c


_scan_2d.register_autograd(_backward_image, setup_context=_save_image)


def _sequence(tensors: list[Any], softplus: bool) -> SequenceArguments:
    """Arguments for contiguous u, delta, A, B, C, D, delta_bias; keeps what it points to alive."""
    u, B = tensors[0], tensors[3]
    batch, channels, length = u.shape
    groups, d_state = B.shape[1:3]
    job = SequenceArguments(batch, groups, channels // groups, length, d_state, softplus, _threads(u.numel() * d_state))
    for name, tensor in zip(native.SEQUENCE_INPUTS.split(), tensors, strict=True):
        setattr(job, name, address(tensor))
    job.alive = tensors
    return job


@torch.library.custom_op("mambair::cpu_selective_scan", mutates_args=(), device_types="cpu")
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
    tensors = _contiguous(u, delta, A, B, C, D, delta_bias)
    job = _sequence(tensors, delta_softplus)
    out = torch.empty_like(tensors[0])
    job.out = address(out)
    native.call("mambair_scan_sequence", job)
    return out


@_selective_scan.register_fake
def _(u: Tensor, *_: Any) -> Tensor:
    return torch.empty(u.shape, dtype=u.dtype, device=u.device)


@torch.library.custom_op("mambair::cpu_selective_scan_backward", mutates_args=(), device_types="cpu")
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
    tensors = _contiguous(u, delta, A, B, C, D, delta_bias)
    grad_out = grad_out.contiguous()
    job = _sequence(tensors, delta_softplus)
    groups, d_state, lanes = B.shape[1], A.shape[1], native.lanes()
    channels = u.shape[1] // groups

    grad_u, grad_delta = torch.empty_like(tensors[0]), torch.empty_like(tensors[0])
    splits = native.call("mambair_sequence_splits", job)
    grad_B, grad_C = u.new_empty(splits, *B.shape), u.new_empty(splits, *B.shape)
    grad_weights = u.new_empty(len(u), groups, -(-channels // lanes), d_state + 2, lanes)
    job.grad_out, job.grad_u, job.grad_delta = address(grad_out), address(grad_u), address(grad_delta)
    job.grad_B, job.grad_C, job.grad_weights = address(grad_B), address(grad_C), address(grad_weights)
    native.call("mambair_scan_sequence_backward", job)

    grad_A, grad_bias, grad_D = _unpack(grad_weights, channels, [d_state, 1, 1])
    return (
        grad_u,
        grad_delta,
        grad_A.reshape(A.shape),
        grad_B.sum(0),
        grad_C.sum(0),
        grad_D.reshape(-1),
        grad_bias.reshape(-1),
    )


@_selective_scan_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, C = (torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in inputs[:5])
    return u, delta, A, B, C, u.new_empty(u.shape[1]), u.new_empty(u.shape[1])


def _save_sequence(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.save_for_backward(*tensors)


def _backward_sequence(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, D, delta_bias = ctx.saved_tensors
    *grads, grad_D, grad_bias = _selective_scan_backward(grad_out, *tensors, D, delta_bias, ctx.delta_softplus)
    return *grads, None if D is None else grad_D, None if delta_bias is None else grad_bias, None


_selective_scan.register_autograd(_backward_sequence, setup_context=_save_sequence)
