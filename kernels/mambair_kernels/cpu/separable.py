"""Native form of linear layers with depthwise convolutions after them, without gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..layout import CODES, Activation, check, dense, rows, threads
from . import native
from .native import DepthwiseArguments, LinearArguments, SeparableArguments, SeparablePair, address


class Pair(NamedTuple):
    """A linear layer, and a depthwise convolution of the first of its outputs.

    weight: (out, in); bias: (out,), only where all outputs are convolved; kernel: (channels, 1, size, size);
    kernel_bias: (channels,); activation: of the convolution.
    """

    weight: Tensor
    bias: Tensor | None
    kernel: Tensor
    kernel_bias: Tensor | None
    dilation: int
    activation: Activation

    def tensors(self) -> tuple[Tensor | None, ...]:
        """The weights."""
        return self.weight, self.bias, self.kernel, self.kernel_bias


def separable(
    x: Tensor, norm: tuple[Tensor, Tensor, float], pairs: tuple[Pair, ...], averaged: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One or two pairs, one after the other, of the normalised image x (batch, height, width, in).

    ``norm``: weight and bias (in,), and what is added to the variance.

    Returns:
        The result, (batch, height, width, channels); the outputs of the first linear layer that are not convolved,
        (batch, height, width, out - channels); and, if wanted, the mean of the result over the image, (batch, 1, 1,
        channels).

    Raises:
        ValueError: shapes do not fit together.
    """
    batch, height, width, channels = x.shape
    pixels = rows(x)
    work = pixels.shape[0] * sum(pair.weight.numel() for pair in pairs)
    job = SeparableArguments(batch, height, width, len(pairs), threads(work))
    alive: list[Tensor | None] = [pixels]
    for name, pair in zip(("first", "second"), pairs, strict=False):
        tensors = [dense(tensor) for tensor in pair.tensors()]
        setattr(job, name, _pair(job, pair, tensors, channels))
        alive += tensors
        channels = len(pair.kernel)
    first = job.first.linear
    first.x_stride, first.x, first.eps = pixels.stride(0), address(pixels), norm[2]
    check("norm_weight", norm[0], x.shape[3])
    check("norm_bias", norm[1], x.shape[3])
    alive += [dense(norm[0]), dense(norm[1])]
    first.norm_weight, first.norm_bias = map(address, alive[-2:])
    y = x.new_empty(batch, height, width, channels)
    rest = x.new_empty(batch, height, width, len(pairs[0].weight) - len(pairs[0].kernel))
    mean = x.new_empty(batch, 1, 1, channels) if averaged else None
    (job.first if len(pairs) == 1 else job.second).depthwise.y = address(y)
    job.rest, job.mean = address(rest), address(mean)
    native.call("mambair_separable", job)
    return y, rest, mean


def _pair(job: SeparableArguments, pair: Pair, tensors: list[Tensor | None], channels: int) -> SeparablePair:
    """A pair that reads ``channels``; ``tensors`` are its weights without gaps."""
    out, inner, size = len(pair.weight), len(pair.kernel), pair.kernel.shape[-1]
    check("weight", pair.weight, max(out, inner), channels)
    check("bias", pair.bias, inner)
    check("kernel", pair.kernel, inner, 1, size, size)
    check("kernel_bias", pair.kernel_bias, inner)
    weight, bias, kernel, kernel_bias = map(address, tensors)
    linear = LinearArguments(job.height * job.width, channels, out, channels, 0, 0, job.threads)
    linear.weight, linear.bias = weight, bias
    sizes = (job.batch, job.height, job.width, inner, size, pair.dilation, inner, CODES[pair.activation], job.threads)
    return SeparablePair(linear, DepthwiseArguments(*sizes, None, kernel, kernel_bias))


def usable(x: Tensor) -> bool:
    """Whether nothing is recorded or compiled, which this form knows nothing of."""
    return type(x) is Tensor and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
