"""Native CPU backend: C++ on all cores, forward and closed-form backward, wired into torch as custom operations.

The C++ side (``csrc``) computes in float32. What is left to torch is dense linear algebra over the results: the part of
the gradients that passes through ``x_proj``.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from .. import paths as scan_paths
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
from . import native
from .native import ImageArguments, SequenceArguments, address, available

__all__ = ["available", "scan_2d", "selective_scan"]

SMALL = 1 << 16  # below this many state updates a second thread costs more than it brings


@takes_image
def scan_2d(inputs: ImageScan) -> Tensor:
    """See :func:`mambair_kernels.scan_2d`.

    Raises:
        ValueError: an index tensor points outside the image.
    """
    run = choose_call(_scan_2d, _scan_image, inputs.x)
    y: Tensor = run(ImageScan._make([*single(*inputs[:LEAVES]), *inputs[LEAVES:]]))
    return y.to(inputs.x.dtype)


@takes_sequences
def selective_scan(inputs: SequenceScan) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`."""
    y = _selective_scan(SequenceScan._make([*single(*inputs[:LEAVES]), inputs.delta_softplus]))
    return y.to(inputs.u.dtype)


def _threads(work: int) -> int:
    return torch.get_num_threads() if work >= SMALL else 1


def _unpack(packed: Tensor, channels: int, sizes: list[int]) -> list[Tensor]:
    """Gradients of the weights (batch, groups, vectors, weights, lanes) as (groups, channels, size) each.

    Copies, because results of a custom operation may not share memory.
    """
    merged = packed.sum(0).transpose(-1, -2).flatten(1, 2)[:, :channels]
    return [part.clone(memory_format=torch.contiguous_format) for part in torch.split(merged, sizes, dim=-1)]


def _point(job: Any, names: str, tensors: tuple[Any, ...]) -> None:
    for name, tensor in zip(names.split(), tensors, strict=True):
        setattr(job, name, address(tensor))


def _image(inputs: ImageScan) -> ImageArguments:
    """Arguments for tensors without gaps; keeps what it points to alive."""
    batch, height, width, channels = inputs.x.shape
    paths, d_state, index = inputs.dt_proj.shape[0], inputs.A_log.shape[1], inputs.positions
    if index is not None and (index.min() < 0 or index.max() >= height * width):
        raise ValueError(f"paths must hold raster positions from 0 to {height * width - 1}")
    flags = None if index is not None else (ctypes.c_int32 * paths)(*inputs.orders)
    job = ImageArguments(batch, height, width, channels, d_state, inputs.dt_proj.shape[2], paths)
    job.threads = _threads(inputs.x.numel() * paths * d_state)
    job.orders = None if flags is None else ctypes.addressof(flags)
    job.index = address(index)
    _point(job, native.IMAGE_INPUTS, inputs[:LEAVES])
    job.alive = (inputs, flags)
    return job


def _scan_image(inputs: ImageScan) -> Tensor:
    inputs = ImageScan._make([*dense(*inputs[:-1]), inputs.orders])
    job = _image(inputs)
    out = torch.empty_like(inputs.x)
    job.out = address(out)
    native.call("mambair_scan_image", job)
    return out


def _scan_image_backward(grad_out: Tensor, inputs: ImageScan) -> Gradients:
    grad_out = grad_out.contiguous()
    inputs = ImageScan._make([*dense(*inputs[:-1]), inputs.orders])
    x, x_proj, dt_proj, dt_bias, A_log, D, c_bias, index, _ = inputs
    job = _image(inputs)
    batch, height, width, channels = x.shape
    paths, row = x_proj.shape[:2]
    d_state, rank, lanes = A_log.shape[1], dt_proj.shape[2], native.lanes()
    vectors, stride = -(-channels // lanes), -(-paths * row // lanes) * lanes

    grad_x = torch.empty_like(x)
    allocate = x.new_empty if index is None else x.new_zeros
    grad_rows = allocate(native.call("mambair_image_splits", job), batch * height * width, stride)
    grad_weights = x.new_empty(batch, paths, vectors, d_state + rank + 2, lanes)
    _point(job, "grad_out grad_x grad_rows grad_weights", (grad_out, grad_x, grad_rows, grad_weights))
    native.call("mambair_scan_image_backward", job)

    rows = (grad_rows.sum(0) if len(grad_rows) > 1 else grad_rows[0])[:, : paths * row]
    grad_x.view(-1, channels).addmm_(rows, x_proj.view(-1, channels))
    grad_x_proj = (rows.mT @ x.view(-1, channels)).view(x_proj.shape)
    grad_A, grad_dt_proj, grad_dt_bias, grad_D = _unpack(grad_weights, channels, [d_state, rank, 1, 1])
    grad_A_log = grad_A.reshape(A_log.shape) * -torch.exp(A_log)
    grad_c = None
    if c_bias is not None:
        grad_C = rows.view(batch, height * width, paths, row)[..., rank + d_state :]
        grad_c = scan_paths.sum_by_step(grad_C, inputs.paths, height, width)
    biases = grad_dt_bias.reshape(dt_bias.shape), grad_A_log, grad_D.reshape(D.shape)
    return grad_x, grad_x_proj, grad_dt_proj, *biases, grad_c


_scan_2d = define("cpu_scan_2d", ImageScan, _scan_image, _scan_image_backward, devices="cpu")


def _sequence(inputs: SequenceScan) -> SequenceArguments:
    """Arguments for tensors without gaps; keeps what it points to alive."""
    batch, channels, length = inputs.u.shape
    groups, d_state = inputs.B.shape[1:3]
    threads = _threads(inputs.u.numel() * d_state)
    job = SequenceArguments(batch, groups, channels // groups, length, d_state, inputs.delta_softplus, threads)
    _point(job, native.SEQUENCE_INPUTS, inputs[:LEAVES])
    job.alive = inputs
    return job


def _scan_sequences(inputs: SequenceScan) -> Tensor:
    inputs = SequenceScan._make([*dense(*inputs[:-1]), inputs.delta_softplus])
    job = _sequence(inputs)
    out = torch.empty_like(inputs.u)
    job.out = address(out)
    native.call("mambair_scan_sequence", job)
    return out


def _scan_sequences_backward(grad_out: Tensor, inputs: SequenceScan) -> Gradients:
    grad_out = grad_out.contiguous()
    inputs = SequenceScan._make([*dense(*inputs[:-1]), inputs.delta_softplus])
    job, u, A, B = _sequence(inputs), inputs.u, inputs.A, inputs.B
    groups, d_state, lanes = B.shape[1], A.shape[1], native.lanes()
    channels = u.shape[1] // groups

    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(u)
    splits = native.call("mambair_sequence_splits", job)
    grad_B, grad_C = u.new_empty(splits, *B.shape), u.new_empty(splits, *B.shape)
    grad_weights = u.new_empty(len(u), groups, -(-channels // lanes), d_state + 2, lanes)
    results = (grad_out, grad_u, grad_delta, grad_B, grad_C, grad_weights)
    _point(job, "grad_out grad_u grad_delta grad_B grad_C grad_weights", results)
    native.call("mambair_scan_sequence_backward", job)

    grad_A, grad_bias, grad_D = _unpack(grad_weights, channels, [d_state, 1, 1])
    rows = grad_B.sum(0), grad_C.sum(0)
    return grad_u, grad_delta, grad_A.reshape(A.shape), *rows, grad_D.reshape(-1), grad_bias.reshape(-1)


_selective_scan = define("cpu_selective_scan", SequenceScan, _scan_sequences, _scan_sequences_backward, devices="cpu")
