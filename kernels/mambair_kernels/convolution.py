"""Convolution with what follows it: bias, activation and residual in one pass over the result.

Without gradients, float32 images on a CPU take oneDNN's convolution with its post-operations, which costs what the bare
convolution costs; otherwise torch's layers run one after the other.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .fused import Activation

ATTRIBUTES: dict[Activation, str] = {"identity": "none", "silu": "swish", "gelu": "gelu"}
"""What oneDNN's bindings call the activations."""


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: Activation = "identity",
    residual: Tensor | None = None,
    *,
    around: bool = False,
) -> Tensor:
    """``activation(conv2d(x))``, or ``residual + conv2d(x)``, with stride 1 and zero padding that keeps the size.

    Args:
        x: channels-last, (batch, height, width, in).
        weight: (out, in, kernel, kernel), kernel odd.
        bias: (out,).
        activation: applied to the convolution; only without ``residual``.
        residual: (batch, height, width, out).
        around: ``x`` is a part of an image and holds kernel // 2 more rows above and below than the result.

    Returns:
        (batch, height, width, out).

    Raises:
        ValueError: both an activation and a residual are given.
        RuntimeError: shapes do not fit together.
    """
    if residual is not None and activation != "identity":
        raise ValueError("an activation before a residual is not offered")
    padding = [0 if around else weight.shape[-2] // 2, weight.shape[-1] // 2]
    image = x.permute(0, 3, 1, 2)
    if _onednn(x, weight, bias, residual):
        y = _run(image, weight, bias, padding, activation, residual)
        return y.permute(0, 2, 3, 1)
    y = F.conv2d(image, weight, bias, padding=padding).permute(0, 2, 3, 1)
    if residual is not None:
        return residual + y
    if activation == "identity":
        return y
    return F.silu(y) if activation == "silu" else F.gelu(y)


def _run(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: list[int],
    activation: Activation,
    residual: Tensor | None,
) -> Tensor:
    operation: Any = torch.ops.mkldnn._convolution_pointwise
    shape = (padding, [1, 1], [1, 1], 1)
    algorithm = "none" if activation == "gelu" else ""  # the exact form, not tanh's
    if residual is None:
        y: Tensor = operation(image, weight, bias, *shape, ATTRIBUTES[activation], [], algorithm)
    else:
        other = residual.permute(0, 3, 1, 2)
        y = operation.binary(image, other, weight, bias, *shape, "add", None, None, [], None)
    return y


def _onednn(*tensors: Tensor | None) -> bool:
    given = [tensor for tensor in tensors if tensor is not None]
    if torch.compiler.is_compiling() or not torch.backends.mkldnn.is_available() or not given[0].numel():
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        return False
    if torch.is_autocast_enabled("cpu"):
        return False
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in given)
