"""Native form of the 3x3 convolution; gradients are those of the convolution alone."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..layout import check, dense, threads
from ..operations import choose_call
from . import native
from .native import ConvolutionArguments, address

Parts = Sequence[Tensor]
"""Rows (batch, rows, width, channels) that follow each other."""


def convolution(
    x: Parts, weight: Tensor, bias: Tensor | None, residual: Parts, above: bool, below: bool, activation: int
) -> Tensor:
    """``activation(conv2d(x)) + residual``; see :func:`mambair_kernels.convolution.convolve_rows`.

    Raises:
        ValueError: shapes do not fit together.
    """
    y = _result(x, weight, bias, residual, above, below, activation)
    _run(x, weight, bias, residual, (above, below), y.shape[1], y, activation)
    return y


def upsample(
    x: Parts, weight: Tensor, bias: Tensor | None, anchor: Parts, factor: int, above: bool, below: bool, to: Tensor
) -> None:
    """A convolution and its pixel shuffle; see :func:`mambair_kernels.convolution.upsample_rows`.

    Raises:
        ValueError: shapes do not fit together.
    """
    rows = result_rows(x, above, below)
    check("to", to, len(x[0]), len(weight) // factor**2, rows * factor, x[0].shape[2] * factor)
    check("weight", weight, to.shape[1] * factor**2, *weight.shape[1:])
    if to.stride(3) != 1:
        raise ValueError("to has gaps between the pixels of a row")
    _run(x, weight, bias, anchor, (above, below), rows, to, 0, factor)


def result_rows(x: Parts, above: bool, below: bool) -> int:
    """Rows of the result."""
    return sum(part.shape[1] for part in x) + above + below - 2


def _run(
    x: Parts,
    weight: Tensor,
    bias: Tensor | None,
    residual: Parts,
    zeros: tuple[bool, bool],
    height: int,
    y: Tensor,
    activation: int,
    factor: int = 0,
) -> None:
    batch, _, width, channels = x[0].shape
    out = len(weight)
    added = residual[0].shape[3] if factor and residual else out
    check("weight", weight, out, channels, 3, 3)
    check("bias", bias, out)
    for part in x:
        check("x", part, batch, part.shape[1], width, channels)
    for part in residual:
        check("residual", part, batch, part.shape[1], width, added)
    if out % added:
        raise ValueError(f"residual has {added} channels, expected a part of {out}")
    if residual and result_rows(residual, True, True) != height:
        raise ValueError(f"residual has {result_rows(residual, True, True)} rows, expected {height}")
    x, residual = [part.contiguous() for part in x], [part.contiguous() for part in residual]
    weight, bias = weight.contiguous(), dense(bias)
    sizes = (batch, height, width, channels, out, activation, threads(batch * height * width * channels * out))
    rows = _rows(x, *zeros), _rows(residual, False, False) if residual else None
    pointers = map(address, (weight, bias, y))
    native.call("mambair_convolution", ConvolutionArguments(*sizes, factor, added, *y.stride()[:3], *rows, *pointers))


def _rows(parts: Parts, above: bool, below: bool) -> ctypes.c_void_p:
    """Where each row begins, image after image; null for one of zeros."""
    places: list[int | None] = []
    for image in range(len(parts[0])):
        places += [None] * above
        for part in parts:
            size, first = 4 * part.shape[2] * part.shape[3], address(part)
            assert first is not None
            first += image * part.shape[1] * size
            places += range(first, first + part.shape[1] * size, size)
        places += [None] * below
    return ctypes.cast((ctypes.c_void_p * len(places))(*places), ctypes.c_void_p)


def _result(x: Parts, weight: Tensor, _bias: object, _residual: object, above: bool, below: bool, _: object) -> Tensor:
    return x[0].new_empty(x[0].shape[0], result_rows(x, above, below), x[0].shape[2], len(weight))


convolution_op = torch.library.custom_op("mambair::cpu_convolution", convolution, mutates_args=(), device_types="cpu")
convolution_op.register_fake(_result)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    (x,), weight, bias, residual, above, below, activation = inputs
    if residual or activation or not above or not below:
        raise NotImplementedError("only a whole convolution without activation and residual has gradients")
    ctx.biased = bias is not None
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """Another convolution for the gradient of x, with the weights turned about; torch's for that of the weights."""
    x, weight = ctx.saved_tensors
    grad_x = None
    if ctx.needs_input_grad[0][0]:
        turned = weight.flip(2, 3).transpose(0, 1)
        grad_x = choose_call(convolution_op, convolution, grad)([grad], turned, None, [], True, True, 0)
    wanted = [False, ctx.needs_input_grad[1], ctx.biased and ctx.needs_input_grad[2]]
    images = (tensor.permute(0, 3, 1, 2) for tensor in (grad, x))
    ones, zeros = [1, 1], [0, 0]
    _, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
        *images, weight, [len(weight)], ones, ones, ones, False, zeros, 1, wanted
    )
    return [grad_x], grad_weight, grad_bias, [], None, None, None


convolution_op.register_autograd(_backward, setup_context=_save)
