"""Native form of the gated residual, with closed-form gradients."""

from typing import Any

import torch
from torch import Tensor

from ..layout import check, dense, threads
from . import native
from .native import ResidualArguments, ResidualBackwardArguments, address


def gated_residual(x: Tensor, scale: Tensor, features: Tensor, gate: Tensor) -> Tensor:
    """``x * scale + features * gate``; see :mod:`mambair_kernels.fused`.

    Raises:
        ValueError: shapes do not fit together.
    """
    batch, _, _, channels = x.shape
    check("scale", scale, channels)
    check("features", features, *x.shape)
    check("gate", gate, batch, 1, 1, channels)
    y = x.new_empty(x.shape)
    job, _alive = _arguments(x, scale, features, gate)
    job.y = address(y)
    native.call("mambair_gated_residual", job)
    return y


def _arguments(*inputs: Tensor) -> tuple[ResidualArguments, list[Tensor | None]]:
    """All but the result, and the tensors that the addresses point into."""
    batch, height, width, channels = inputs[0].shape
    tensors = [dense(tensor) for tensor in inputs]
    sizes = (batch, height * width, channels, threads(inputs[0].numel()))
    return ResidualArguments(*sizes, *map(address, tensors)), tensors


gated_residual_op = torch.library.custom_op(
    "mambair::cpu_gated_residual", gated_residual, mutates_args=(), device_types="cpu"
)


@gated_residual_op.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("mambair::cpu_gated_residual_backward", mutates_args=(), device_types="cpu")
def gated_residual_backward(
    grad: Tensor, x: Tensor, scale: Tensor, features: Tensor, gate: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, scale, features and gate."""
    grad = grad.contiguous()
    job, _alive = _arguments(x, scale, features, gate)
    grad_x, grad_features = x.new_empty(x.shape), x.new_empty(x.shape)
    sums = x.new_empty(job.images, native.call("mambair_residual_blocks", job), 2, job.channels)
    pointers = (grad, grad_x, grad_features, sums)
    native.call("mambair_gated_residual_backward", ResidualBackwardArguments(job, *map(address, pointers)))
    merged = sums.sum(1)
    return (
        grad_x,
        merged[:, 0].sum(0),
        grad_features,
        merged[:, 1].clone(memory_format=torch.contiguous_format).view(gate.shape),
    )


@gated_residual_backward.register_fake
def _(_grad: Tensor, x: Tensor, scale: Tensor, _features: Tensor, gate: Tensor) -> tuple[Tensor, ...]:
    return x.new_empty(x.shape), scale.new_empty(scale.shape), x.new_empty(x.shape), gate.new_empty(gate.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    results: tuple[Tensor, ...] = gated_residual_backward(grad, *ctx.saved_tensors)
    return results


gated_residual_op.register_autograd(_backward, setup_context=_save)
