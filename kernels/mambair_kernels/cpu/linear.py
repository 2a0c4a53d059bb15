"""Native form of the fused linear layer, with closed-form gradients."""

from typing import Any

import torch
from torch import Tensor

from ..layout import check, dense, given, optional, rows, threads
from . import native
from .native import LinearArguments, LinearBackwardArguments, address


def linear(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    scale: Tensor | None,
    activation: int,
    eps: float,
) -> Tensor:
    """``activation(W (norm(x) * silu(gate)) + bias) + residual * scale``; see :mod:`mambair_kernels.fused`.

    Raises:
        ValueError: shapes do not fit together.
    """
    out, channels = weight.shape
    check("x", x, *x.shape[:-1], channels)
    check("gate", gate, *x.shape)
    check("residual", residual, *x.shape[:-1], out)
    for name, tensor in (("norm_weight", norm_weight), ("norm_bias", norm_bias)):
        check(name, tensor, channels)
    for name, tensor in (("bias", bias), ("scale", scale)):
        check(name, tensor, out)
    y = x.new_empty(*x.shape[:-1], out)
    job, _alive = _arguments(x, norm_weight, norm_bias, gate, weight, bias, residual, scale, activation, eps)
    job.y = address(y)
    native.call("mambair_linear", job)
    return y


def _arguments(x: Tensor, *options: Any) -> tuple[LinearArguments, list[Tensor | None]]:
    """All but the result, and the tensors that the addresses point into."""
    norm_weight, norm_bias, gate, weight, bias, residual, scale, activation, eps = options
    pixels, gates = rows(x), None if gate is None else rows(gate)
    before = [dense(tensor) for tensor in (norm_weight, norm_bias)]
    after = [dense(tensor) for tensor in (weight, bias, residual, scale)]
    tensors = [pixels, *before, gates, *after]
    job = LinearArguments(
        pixels.shape[0],
        weight.shape[1],
        weight.shape[0],
        pixels.stride(0),
        0 if gates is None else gates.stride(0),
        activation,
        threads(pixels.shape[0] * weight.numel()),
        eps,
        *map(address, tensors),
    )
    return job, tensors


linear_op = torch.library.custom_op("mambair::cpu_linear", linear, mutates_args=(), device_types="cpu")


@linear_op.register_fake
def _(x: Tensor, norm_weight: Any, norm_bias: Any, gate: Any, weight: Tensor, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@torch.library.custom_op("mambair::cpu_linear_backward", mutates_args=(), device_types="cpu")
def linear_backward(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    activation: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What is left of the gradients before plain products.

    Returns:
        The gradient before the activation, (..., out); what W was applied to, (..., channels); the gradients of x and
        of gate, (..., channels); those of the norm's weight and bias, (2, channels). Empty where there is none.
    """
    grad = grad.contiguous()
    options = (norm_weight, norm_bias, gate, weight, bias, None, None, activation, eps)
    job, _alive = _arguments(x, *options)
    before, value, grad_x, grad_gate, _ = _backward_results(grad, x, *options)
    grad_norm = optional(x, norm_weight is not None, job.threads, 2, weight.shape[1])
    pointers = (grad, given(before), given(value), grad_x, given(grad_gate), given(grad_norm))
    native.call("mambair_linear_backward", LinearBackwardArguments(job, *map(address, pointers)))
    return before, value, grad_x, grad_gate, grad_norm.sum(0) if grad_norm.numel() else grad_norm


def _backward_results(grad: Tensor, x: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    norm_weight, _, gate, *_, activation, _ = options
    return (
        optional(grad, activation != 0, *grad.shape),
        optional(x, norm_weight is not None or gate is not None, *x.shape),
        x.new_empty(x.shape),
        optional(x, gate is not None, *x.shape),
        optional(x, norm_weight is not None, 2, x.shape[-1]),
    )


@linear_backward.register_fake
def _(grad: Tensor, x: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _backward_results(grad, x, *options)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.activation, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, norm_weight, norm_bias, gate, weight, bias, residual, scale = ctx.saved_tensors
    results = linear_backward(grad, x, norm_weight, norm_bias, gate, weight, bias, ctx.activation, ctx.eps)
    before, value, grad_x, grad_gate, grad_norm = map(given, results)
    flat = (grad if before is None else before).flatten(0, -2)
    norms = (None, None) if grad_norm is None else grad_norm.unbind(0)
    return (
        grad_x,
        norms[0],
        None if norm_bias is None else norms[1],
        grad_gate,
        flat.mT @ (x if value is None else value).flatten(0, -2),
        None if bias is None else flat.sum(0),
        None if residual is None else grad if scale is None else grad * scale,
        None if residual is None or scale is None else (grad * residual).flatten(0, -2).sum(0),
        None,
        None,
    )


linear_op.register_autograd(_backward, setup_context=_save)
