"""3x3 convolution with what follows it: bias, activation and residual in one pass over the result."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu.convolution import Parts, convolution_op, result_rows, upsample
from .cpu.convolution import convolution as native_convolution
from .fused import Activation, activate, native
from .layout import CODES, check
from .operations import choose_call

__all__ = ["convolution", "convolve_rows", "result_rows", "upsample_rows"]


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: Activation = "identity",
    residual: Tensor | None = None,
) -> Tensor:
    """``activation(conv2d(x)) + residual`` with stride 1 and zero padding that keeps the size.

    Args:
        x: channels-last, (batch, height, width, in).
        weight: (out, in, 3, 3).
        bias: (out,).
        activation: applied to the convolution.
        residual: (batch, height, width, out), left out if None.

    Returns:
        (batch, height, width, out).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    added = () if residual is None else (residual,)
    return convolve_rows((x,), weight, bias, activation, added, above=True, below=True)


def convolve_rows(
    x: Parts,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: Activation = "identity",
    residual: Parts = (),
    *,
    above: bool,
    below: bool,
) -> Tensor:
    """The same of rows that lie in several tensors.

    float32 tensors on a CPU take the native form wherever the dispatcher would choose the native scan and no other
    precision is asked for; otherwise torch's layers run one after the other. Where gradients are recorded, rows have to
    lie in one tensor for that, and activation and residual are torch's.

    Args:
        x: tensors (batch, rows, width, in), at least one, with three rows together or what takes their place.
        weight: (out, in, 3, 3).
        bias: (out,).
        activation: applied to the convolution.
        residual: tensors (batch, rows, width, out), with as many rows together as the result; none for no residual.
        above: whether a row of zeros precedes the first row.
        below: whether one follows the last.

    Returns:
        (batch, rows of x + above + below - 2, width, out).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    check("weight", weight, len(weight), x[0].shape[-1], 3, 3)
    served = not torch.is_autocast_enabled("cpu") and native(*x, weight, bias, *residual)
    if served and not _recorded(*x, weight, bias, *residual):
        run = choose_call(convolution_op, native_convolution, x[0])
        y: Tensor = run(x, weight, bias, residual, above, below, CODES[activation])
        return y
    if served and len(x) == 1 and above and below:
        y = convolution_op(list(x), weight, bias, [], True, True, CODES["identity"])
    else:
        rows = F.pad(_joined(x), (0, 0, 0, 0, above, below)) if above != below else _joined(x)
        y = F.conv2d(rows.permute(0, 3, 1, 2), weight, bias, padding=(int(above and below), 1)).permute(0, 2, 3, 1)
    y = activate(y, activation)
    return y + _joined(residual) if residual else y


def upsample_rows(
    x: Parts,
    weight: Tensor,
    bias: Tensor | None,
    anchor: Parts,
    factor: int,
    *,
    above: bool,
    below: bool,
    to: Tensor,
) -> None:
    """Write ``pixel_shuffle(conv2d(x) + anchor)``, each channel of the anchor repeated for as many as there are.

    Without gradients. Values go from the convolution to their places, and nothing of that size lies in between.

    Args:
        x: see :func:`convolve_rows`.
        weight: (channels * factor^2, in, 3, 3).
        bias: (channels * factor^2,).
        anchor: tensors (batch, rows, width, part of the channels of the convolution), with as many rows together.
        factor: pixels along an edge that a pixel becomes.
        above: see :func:`convolve_rows`.
        below: see :func:`convolve_rows`.
        to: (batch, channels, rows * factor, width * factor), pixels of a row side by side.

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    tensors = (*x, weight, bias, *anchor, to)
    if not torch.is_autocast_enabled("cpu") and native(*tensors) and not _recorded(*tensors):
        return upsample(x, weight, bias, anchor, factor, above, below, to)
    y = convolve_rows(x, weight, bias, above=above, below=below)
    y = y + _joined(anchor).repeat_interleave(y.shape[-1] // anchor[0].shape[-1], dim=-1)
    to.copy_(F.pixel_shuffle(y.permute(0, 3, 1, 2), factor))
    return None


def _recorded(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors if tensor is not None)


def _joined(parts: Parts) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)
