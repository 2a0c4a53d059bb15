"""Generic fused operations: linear layers and depthwise convolutions with their surroundings, and window attention.

Each is defined by its torch form. float32 tensors on a CPU take the native form, which keeps what lies in between in
the cache, wherever the dispatcher would choose the native scan. Where it would choose Triton or CUDA, most are one
kernel of Triton's if no gradient is asked for.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import dispatch
from .cpu.attention import attention, attention_op
from .cpu.depthwise import MAX_KERNEL, depthwise, depthwise_op
from .cpu.gate import channel_gate as native_gate
from .cpu.linear import linear as native_linear
from .cpu.linear import linear_op
from .cpu.residual import gated_residual as native_residual
from .cpu.residual import gated_residual_op
from .cpu.separable import Pair, separable, usable
from .layout import CODES, Activation, check
from .operations import choose_call
from .triton import fused as card

__all__ = [
    "Activation",
    "Pair",
    "channel_gate",
    "depthwise_conv2d",
    "gated_norm_linear",
    "gated_residual",
    "linear",
    "norm_linear",
    "norm_linear_conv",
    "separable_convolutions",
    "window_attention",
]


def norm_linear(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: Activation = "identity",
    eps: float = 1e-5,
) -> Tensor:
    """``activation(linear(layer_norm(x)))``.

    Args:
        x: (..., channels).
        norm_weight: (channels,), as ``norm_bias``.
        norm_bias: see ``norm_weight``.
        weight: (out, channels).
        bias: (out,).
        activation: applied last.
        eps: of the normalisation.

    Returns:
        (..., out).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if native(x, norm_weight, norm_bias, weight, bias):
        return _run_linear(x, norm_weight, norm_bias, None, weight, bias, None, None, CODES[activation], eps)
    if _on_card(x, norm_weight, norm_bias, weight, bias) and x.shape[-1] <= card.MAX_COLUMNS:
        return card.linear(x, (norm_weight, norm_bias), None, weight, bias, None, None, CODES[activation], eps)
    return activate(F.linear(F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, eps), weight, bias), activation)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "identity") -> Tensor:
    """``activation(linear(x))``.

    Args:
        x: (..., channels).
        weight: (out, channels).
        bias: (out,).
        activation: applied last.

    Returns:
        (..., out).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if native(x, weight, bias):
        return _run_linear(x, None, None, None, weight, bias, None, None, CODES[activation], 0.0)
    if _on_card(x, weight, bias) and x.shape[-1] <= card.MAX_COLUMNS:
        return card.linear(x, None, None, weight, bias, None, None, CODES[activation], 0.0)
    return activate(F.linear(x, weight, bias), activation)


def gated_norm_linear(
    x: Tensor,
    gate: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    residual: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``linear(layer_norm(x) * silu(gate)) + residual * scale``.

    Args:
        x: (..., channels).
        gate: shaped like ``x``; a slice of the last dimension will do.
        norm_weight: (channels,), as ``norm_bias``.
        norm_bias: see ``norm_weight``.
        weight: (out, channels).
        residual: (..., out), left out if None.
        scale: (out,), ones if None.
        eps: of the normalisation.

    Returns:
        (..., out).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if native(x, gate, norm_weight, norm_bias, weight, residual, scale):
        return _run_linear(x, norm_weight, norm_bias, gate, weight, None, residual, scale, CODES["identity"], eps)
    if _on_card(x, gate, norm_weight, norm_bias, weight, residual, scale) and x.shape[-1] <= card.MAX_COLUMNS:
        norm = norm_weight, norm_bias
        return card.linear(x, norm, gate, weight, None, residual, scale, CODES["identity"], eps)
    gated = F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, eps) * F.silu(gate)
    y = F.linear(gated, weight)
    if residual is None:
        return y
    return y + (residual if scale is None else residual * scale)


def depthwise_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1, activation: Activation = "identity"
) -> Tensor:
    """``activation(conv2d(x))`` with one filter per channel and zero padding that keeps the size.

    Args:
        x: channels-last, (batch, height, width, channels); a slice of the last dimension will do.
        weight: (channels, 1, kernel, kernel), kernel odd.
        bias: (channels,).
        dilation: distance of taps.
        activation: applied last.

    Returns:
        (batch, height, width, channels).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if native(x, weight, bias) and weight.shape[-1] <= MAX_KERNEL:
        run = choose_call(depthwise_op, depthwise, x)
        y: Tensor = run(x, weight, bias, dilation, CODES[activation])
        return y
    if _on_card(x, weight, bias) and weight.shape[-1] <= card.MAX_KERNEL:
        return card.depthwise(x, weight, bias, dilation, CODES[activation])
    return activate(_conv(x, weight, bias, dilation), activation)


def norm_linear_conv(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    kernel: Tensor,
    kernel_bias: Tensor | None = None,
    activation: Activation = "identity",
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """A linear layer of ``layer_norm(x)``, and ``activation(conv2d(...))`` of the first of its outputs.

    Args:
        x: (batch, height, width, in).
        norm_weight: (in,), as ``norm_bias``.
        norm_bias: see ``norm_weight``.
        weight: (out, in).
        kernel: (channels, 1, size, size), size odd: one filter for each of the first outputs.
        kernel_bias: (channels,).
        activation: of the convolution.
        eps: of the normalisation.

    Returns:
        (batch, height, width, channels), and the other outputs, (batch, height, width, out - channels).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    pair = Pair(weight, None, kernel, kernel_bias, 1, activation)
    if _rows_at_a_time(x, norm_weight, norm_bias, pair):
        y, rest, _ = separable(x, (norm_weight, norm_bias, eps), (pair,), False)
        return y, rest
    channels = len(kernel)
    y = norm_linear(x, norm_weight, norm_bias, weight, eps=eps)
    return depthwise_conv2d(y[..., :channels], kernel, kernel_bias, activation=activation), y[..., channels:]


def separable_convolutions(
    x: Tensor, norm_weight: Tensor, norm_bias: Tensor, pairs: tuple[Pair, Pair], eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Two pairs of a linear layer and a depthwise convolution of ``layer_norm(x)``, and the mean of the result.

    Args:
        x: (batch, height, width, in).
        norm_weight: (in,), as ``norm_bias``.
        norm_bias: see ``norm_weight``.
        pairs: of each linear layer all outputs are convolved.
        eps: of the normalisation.

    Returns:
        (batch, height, width, channels), and (batch, 1, 1, channels).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if _rows_at_a_time(x, norm_weight, norm_bias, *pairs):
        y, _, mean = separable(x, (norm_weight, norm_bias, eps), pairs, True)
        assert mean is not None
        return y, mean
    first, second = pairs
    y = norm_linear(x, norm_weight, norm_bias, first.weight, first.bias, eps=eps)
    y = depthwise_conv2d(y, first.kernel, first.kernel_bias, first.dilation, first.activation)
    y = linear(y, second.weight, second.bias)
    y = depthwise_conv2d(y, second.kernel, second.kernel_bias, second.dilation, second.activation)
    # The rows first, which torch does three times as fast as both at once.
    return y, y.mean(2, keepdim=True).mean(1, keepdim=True)


def channel_gate(mean: Tensor, squeeze: Tensor, squeeze_bias: Tensor, excite: Tensor, excite_bias: Tensor) -> Tensor:
    """``sigmoid(linear(relu(linear(mean))))``, squeeze-and-excitation of an image's mean (arXiv 1709.01507).

    Args:
        mean: (batch, 1, 1, channels).
        squeeze: (hidden, channels).
        squeeze_bias: (hidden,).
        excite: (channels, hidden).
        excite_bias: (channels,).

    Returns:
        (batch, 1, 1, channels).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    tensors = mean, squeeze, squeeze_bias, excite, excite_bias
    if usable(mean) and native(*tensors):
        return native_gate(*tensors)
    if _on_card(*tensors) and squeeze.numel() <= card.MAX_GATE:
        return card.channel_gate(*tensors)
    return linear(linear(mean, squeeze, squeeze_bias).relu(), excite, excite_bias).sigmoid()


def gated_residual(x: Tensor, scale: Tensor, features: Tensor, gate: Tensor) -> Tensor:
    """``x * scale + features * gate``.

    Args:
        x: (batch, height, width, channels), as ``features``.
        scale: (channels,).
        features: see ``x``.
        gate: (batch, 1, 1, channels).

    Returns:
        (batch, height, width, channels).

    Raises:
        ValueError, RuntimeError: shapes do not fit together (from the native and the torch form).
    """
    if native(x, scale, features, gate):
        y: Tensor = choose_call(gated_residual_op, native_residual, x)(x, scale, features, gate)
        return y
    if _on_card(x, scale, features, gate):
        return card.gated_residual(x, scale, features, gate)
    return torch.addcmul(x * scale, features, gate)


def window_attention(qkv: Tensor, bias: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(head_dim) + bias) v`` among the tokens of each window of a grid.

    Args:
        qkv: (batch, rows, columns, tokens, 3, heads, head_dim).
        bias: (variants, heads, tokens, tokens): one variant for all windows, or four, of which a window uses number
            ``2 * (it is in the last row) + (it is in the last column)``.

    Returns:
        (batch, rows, columns, tokens, heads * head_dim).

    Raises:
        ValueError: bias does not fit.
    """
    batch, rows, columns, tokens, _, heads, head_dim = qkv.shape
    if len(bias) not in (1, 4):
        raise ValueError(f"bias has {len(bias)} variants, expected 1 or 4")
    check("bias", bias, len(bias), heads, tokens, tokens)
    check("qkv", qkv, batch, rows, columns, tokens, 3, heads, head_dim)
    if native(qkv, bias) and not (torch.is_grad_enabled() and (qkv.requires_grad or bias.requires_grad)):
        y: Tensor = choose_call(attention_op, attention, qkv)(qkv, bias)
        return y
    if len(bias) == 1:
        return _attend(qkv, bias)
    if torch.compiler.is_exporting():  # a picture may have one row or column of windows, or more
        last_row, last_column = (torch.arange(size, device=bias.device) == size - 1 for size in (rows, columns))
        variant = 2 * last_row.long()[:, None] + last_column.long()
        return _attend(qkv, bias[variant.expand(batch, -1, -1).flatten()])
    parts = [[_attend(qkv[:, y, x], bias[2 * i + j, None]) for j, x in enumerate(ENDS)] for i, y in enumerate(ENDS)]
    return torch.cat([torch.cat(row, 2) for row in parts], 1)


ENDS = (slice(None, -1), slice(-1, None))
"""All but the last row or column of windows, and the last."""


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    q, k, v = qkv.flatten(0, 2).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return out.transpose(1, 2).reshape(*qkv.shape[:4], qkv.shape[5] * qkv.shape[6])


def native(*tensors: Tensor | None) -> bool:
    """Whether all are float32 on a CPU, there is something to do, and the native scan would be chosen."""
    x = tensors[0]
    assert x is not None
    if x.device.type != "cpu":
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    single = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in given)
    return single and x.numel() > 0 and dispatch.select(x.device, x.dtype).name == "cpu"


def _on_card(*tensors: Tensor | None) -> bool:
    """Whether a scan of Triton or CUDA would be chosen, and Triton's kernels serve these tensors."""
    x = tensors[0]
    assert x is not None
    chosen = x.dtype in card.TYPES and dispatch.select(x.device, x.dtype).name in ("cuda", "triton")
    return chosen and card.serves(*tensors)


def _rows_at_a_time(x: Tensor, *tensors: Tensor | Pair) -> bool:
    """Whether the form that takes one row after the other can compute it; gradients it knows none."""
    if x.device.type != "cpu" or not usable(x):
        return False
    flat = [part for tensor in tensors for part in (tensor.tensors() if isinstance(tensor, Pair) else (tensor,))]
    return native(x, *flat) and all(t.kernel.shape[-1] <= MAX_KERNEL for t in tensors if isinstance(t, Pair))


def _run_linear(*arguments: Any) -> Tensor:
    y: Tensor = choose_call(linear_op, native_linear, arguments[0])(*arguments)
    return y


def activate(x: Tensor, activation: Activation) -> Tensor:
    """An activation by torch."""
    if activation == "identity":
        return x
    return F.silu(x) if activation == "silu" else F.gelu(x)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding, dilation=dilation, groups=len(weight))
    return y.permute(0, 2, 3, 1)
