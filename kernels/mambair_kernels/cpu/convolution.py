"""Native form of the 3x3 convolution."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from ..layout import check, dense, threads
from . import native
from .native import ConvolutionArguments, address

Parts = Sequence[Tensor]
"""Rows (batch, rows, width, channels) that follow each other."""


def convolution(
    x: Parts, weight: Tensor, bias: Tensor | None, residual: Parts, above: bool, below: bool, activation: int
) -> Tensor:
    """``activation(conv2d(x)) + residual``; see :func:`mambair_kernels.convolution.convolve_rows`. Without gradients.

    Raises:
        ValueError: shapes do not fit together.
    """
    y = _result(x, weight, bias, residual, above, below, activation)
    batch, height, width, out = y.shape
    channels = x[0].shape[3]
    check("weight", weight, out, channels, 3, 3)
    check("bias", bias, out)
    for part in x:
        check("x", part, batch, part.shape[1], width, channels)
    for part in residual:
        check("residual", part, batch, part.shape[1], width, out)
    if residual and sum(part.shape[1] for part in residual) != height:
        raise ValueError(f"residual has {sum(part.shape[1] for part in residual)} rows, expected {height}")
    x, residual = [part.contiguous() for part in x], [part.contiguous() for part in residual]
    weight, bias = weight.contiguous(), dense(bias)
    sizes = (batch, height, width, channels, out, activation, threads(y.numel() * channels))
    rows = _rows(x, above, below), _rows(residual, False, False) if residual else None
    native.call("mambair_convolution", ConvolutionArguments(*sizes, *rows, *map(address, (weight, bias, y))))
    return y


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
    rows = sum(part.shape[1] for part in x) + above + below - 2
    return x[0].new_empty(x[0].shape[0], rows, x[0].shape[2], len(weight))


convolution_op = torch.library.custom_op("mambair::cpu_convolution", convolution, mutates_args=(), device_types="cpu")
convolution_op.register_fake(_result)
