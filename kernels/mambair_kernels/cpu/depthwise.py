"""Native form of the depthwise convolution, with closed-form gradients."""

from typing import Any

import torch
from torch import Tensor

from ..layout import check, dense, given, optional, rows, threads
from . import native
from .native import DepthwiseArguments, DepthwiseBackwardArguments, address

MAX_KERNEL = 7


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, activation: int) -> Tensor:
    """``activation(conv2d(x))``; see :mod:`mambair_kernels.fused`.

    Raises:
        ValueError: shapes do not fit together.
    """
    check("weight", weight, x.shape[3], 1, weight.shape[-1], weight.shape[-1])
    check("bias", bias, x.shape[3])
    y = x.new_empty(x.shape)
    job, _alive = _arguments(x, weight, bias, dilation, activation)
    job.y = address(y)
    native.call("mambair_depthwise", job)
    return y


def _arguments(
    x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, activation: int
) -> tuple[DepthwiseArguments, list[Tensor | None]]:
    """All but the result, and the tensors that the addresses point into."""
    pixels = rows(x)
    tensors = [pixels, dense(weight), dense(bias)]
    workers = threads(x.numel() * weight[0].numel())
    sizes = (*x.shape, weight.shape[-1], dilation, pixels.stride(0), activation, workers)
    return DepthwiseArguments(*sizes, *map(address, tensors)), tensors


depthwise_op = torch.library.custom_op("mambair::cpu_depthwise", depthwise, mutates_args=(), device_types="cpu")


@depthwise_op.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("mambair::cpu_depthwise_backward", mutates_args=(), device_types="cpu")
def depthwise_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, activation: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    grad = grad.contiguous()
    job, _alive = _arguments(x, weight, bias, dilation, activation)
    grad_x, before = x.new_empty(x.shape), optional(x, activation != 0, *x.shape)
    channels, lanes, area = len(weight), native.lanes(), weight[0].numel()
    parts = x.new_empty(job.threads, -(-channels // lanes), area + 1, lanes)
    pointers = (grad, given(before), grad_x, parts)
    native.call("mambair_depthwise_backward", DepthwiseBackwardArguments(job, *map(address, pointers)))
    sums = parts.sum(0).transpose(-1, -2).flatten(0, 1)[:channels]
    # Copies even where the layout would do: results of an operation must not share memory.
    taps, shifts = (part.clone(memory_format=torch.contiguous_format) for part in (sums[:, :-1], sums[:, -1]))
    return grad_x, taps.view(weight.shape), shifts


@depthwise_backward.register_fake
def _(_grad: Tensor, x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape[:1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.dilation, ctx.activation = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = depthwise_backward(grad, x, weight, bias, ctx.dilation, ctx.activation)
    return grad_x, grad_weight, None if bias is None else grad_bias, None, None


depthwise_op.register_autograd(_backward, setup_context=_save)
