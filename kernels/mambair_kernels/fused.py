"""Generic fused operations: linear layers and depthwise convolutions with their surroundings, and window attention.

Each is defined by its torch form. float32 tensors on a CPU take the native form, which keeps what lies in between in
the cache, wherever the dispatcher would choose the native scan.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from . import dispatch, native
from .native import AttentionArguments, DepthwiseArguments, LinearArguments, address

Activation = Literal["identity", "silu", "gelu"]
CODES: dict[Activation, int] = {"identity": 0, "silu": 1, "gelu": 2}
MAX_KERNEL = 7
SMALL = 1 << 17


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
    if _native(x, norm_weight, norm_bias, weight, bias):
        return _run_linear(x, norm_weight, norm_bias, None, weight, bias, None, None, CODES[activation], eps)
    return _activate(F.linear(F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, eps), weight, bias), activation)


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
    if _native(x, weight, bias):
        return _run_linear(x, None, None, None, weight, bias, None, None, CODES[activation], 0.0)
    return _activate(F.linear(x, weight, bias), activation)


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
    if _native(x, gate, norm_weight, norm_bias, weight, residual, scale):
        return _run_linear(x, norm_weight, norm_bias, gate, weight, None, residual, scale, CODES["identity"], eps)
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
    if _native(x, weight, bias) and weight.shape[-1] <= MAX_KERNEL:
        run = native.choose_call(_depthwise_op, _depthwise, x)
        y: Tensor = run(x, weight, bias, dilation, CODES[activation])
        return y
    return _activate(_conv(x, weight, bias, dilation), activation)


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
    _check("bias", bias, len(bias), heads, tokens, tokens)
    _check("qkv", qkv, batch, rows, columns, tokens, 3, heads, head_dim)
    if _native(qkv, bias) and not (torch.is_grad_enabled() and (qkv.requires_grad or bias.requires_grad)):
        y: Tensor = native.choose_call(_attention_op, _attention, qkv)(qkv, bias)
        return y
    if len(bias) == 1:
        return _attend(qkv, bias)
    parts = [[_attend(qkv[:, y, x], bias[2 * i + j, None]) for j, x in enumerate(ENDS)] for i, y in enumerate(ENDS)]
    return torch.cat([torch.cat(row, 2) for row in parts], 1)


ENDS = (slice(None, -1), slice(-1, None))
"""All but the last row or column of windows, and the last."""


def _attend(qkv: Tensor, bias: Tensor) -> Tensor:
    q, k, v = qkv.flatten(0, 2).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return out.transpose(1, 2).reshape(*qkv.shape[:4], qkv.shape[5] * qkv.shape[6])


def _native(*tensors: Tensor | None) -> bool:
    """Whether all are float32 on a CPU, there is something to do, and the native scan would be chosen."""
    given = [tensor for tensor in tensors if tensor is not None]
    single = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in given)
    x = given[0]
    return single and x.numel() > 0 and dispatch.select(x.device, x.dtype).name == "cpu"


def _check(name: str, tensor: Tensor | None, *shape: int) -> None:
    """The library reads as far as the sizes say, so they must be true."""
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")


def _run_linear(*arguments: Any) -> Tensor:
    y: Tensor = native.choose_call(_linear_op, _linear, arguments[0])(*arguments)
    return y


def _activate(x: Tensor, activation: Activation) -> Tensor:
    if activation == "identity":
        return x
    return F.silu(x) if activation == "silu" else F.gelu(x)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding, dilation=dilation, groups=len(weight))
    return y.permute(0, 2, 3, 1)


def _activation_backward(grad: Tensor, before: Tensor, code: int) -> Tensor:
    """Gradient before an activation from the gradient after it."""
    if code == CODES["identity"]:
        return grad
    backward = torch.ops.aten.silu_backward if code == CODES["silu"] else torch.ops.aten.gelu_backward
    result: Tensor = backward(grad, before)
    return result


def _threads(work: int) -> int:
    """Threads for that many multiply-adds; a second one costs more than it brings where there is little to do."""
    return torch.get_num_threads() if work >= SMALL else 1


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _rows(x: Tensor) -> Tensor:
    """The pixels (pixels, channels) of x, a constant distance apart; a copy only if they are not."""
    if x.is_contiguous():
        return x.view(-1, x.shape[-1])
    dense = all(x.stride(i) == x.stride(i + 1) * x.shape[i + 1] for i in range(x.dim() - 2))
    x = x if dense and x.stride(-1) == 1 else x.contiguous()
    return x.as_strided((x.numel() // x.shape[-1], x.shape[-1]), (x.stride(-2), 1))


def _linear(
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
    rows, gates = _rows(x), None if gate is None else _rows(gate)
    out, channels = weight.shape
    _check("x", x, *x.shape[:-1], channels)
    _check("gate", gate, *x.shape)
    _check("residual", residual, *x.shape[:-1], out)
    for name, tensor in (("norm_weight", norm_weight), ("norm_bias", norm_bias)):
        _check(name, tensor, channels)
    for name, tensor in (("bias", bias), ("scale", scale)):
        _check(name, tensor, out)
    y = x.new_empty(*x.shape[:-1], out)
    parameters = [_dense(tensor) for tensor in (weight, bias, residual, scale)]
    norm = [_dense(tensor) for tensor in (norm_weight, norm_bias)]
    job = LinearArguments(
        len(rows),
        channels,
        out,
        rows.stride(0),
        0 if gates is None else gates.stride(0),
        activation,
        _threads(len(rows) * weight.numel()),
        eps,
        *map(address, (rows, *norm, gates, *parameters, y)),
    )
    native.call("mambair_linear", job)
    return y


_linear_op = torch.library.custom_op("mambair::cpu_linear", _linear, mutates_args=(), device_types="cpu")


@_linear_op.register_fake
def _(x: Tensor, norm_weight: Any, norm_bias: Any, gate: Any, weight: Tensor, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _save_linear(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.activation, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Closed form; the normalised input is computed again."""
    x, norm_weight, norm_bias, gate, weight, bias, residual, scale = ctx.saved_tensors
    shape, grad = list(x.shape[-1:]), grad.contiguous()
    normalised, mean, rstd = x, x, x
    if norm_weight is not None:
        normalised, mean, rstd = torch.ops.aten.native_layer_norm(x, shape, norm_weight, norm_bias, ctx.eps)
    silu = None if gate is None else F.silu(gate)
    value = normalised if silu is None else normalised * silu
    grad_out = grad
    if ctx.activation != CODES["identity"]:
        grad_out = _activation_backward(grad, F.linear(value, weight, bias), ctx.activation)
    flat = grad_out.flatten(0, -2)
    grad_value = grad_out @ weight
    grad_x = grad_value if silu is None else grad_value * silu
    grad_norm: list[Tensor | None] = [None, None]
    if norm_weight is not None:
        grad_x, *grad_norm = torch.ops.aten.native_layer_norm_backward(
            grad_x, x, shape, mean, rstd, norm_weight, norm_bias, [True, True, True]
        )
    return (
        grad_x,
        *grad_norm,
        None if gate is None else torch.ops.aten.silu_backward(grad_value * normalised, gate),
        flat.mT @ value.flatten(0, -2),
        None if bias is None else flat.sum(0),
        None if residual is None else grad if scale is None else grad * scale,
        None if scale is None else (grad * residual).flatten(0, -2).sum(0),
        None,
        None,
    )


_linear_op.register_autograd(_linear_backward, setup_context=_save_linear)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, activation: int) -> Tensor:
    _check("weight", weight, x.shape[3], 1, weight.shape[-1], weight.shape[-1])
    _check("bias", bias, x.shape[3])
    rows, taps, shift, y = _rows(x), _dense(weight), _dense(bias), x.new_empty(x.shape)
    threads = _threads(y.numel() * weight[0].numel())
    sizes = (*x.shape, weight.shape[-1], dilation, rows.stride(0), activation, threads)
    native.call("mambair_depthwise", DepthwiseArguments(*sizes, *map(address, (rows, taps, shift, y))))
    return y


_depthwise_op = torch.library.custom_op("mambair::cpu_depthwise", _depthwise, mutates_args=(), device_types="cpu")


@_depthwise_op.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _save_depthwise(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.dilation, ctx.activation = inputs
    ctx.save_for_backward(*tensors)


def _depthwise_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient of the input is again such a convolution, with the filters turned round."""
    x, weight, bias = ctx.saved_tensors
    if ctx.activation != CODES["identity"]:
        grad = _activation_backward(grad.contiguous(), depthwise_conv2d(x, weight, bias, ctx.dilation), ctx.activation)
    grad_x = depthwise_conv2d(grad, weight.flip(-1, -2), None, ctx.dilation)
    padding = ctx.dilation * (weight.shape[-1] // 2)
    _, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
        grad.permute(0, 3, 1, 2),
        x.permute(0, 3, 1, 2),
        weight,
        None if bias is None else list(bias.shape),
        [1, 1],
        [padding, padding],
        [ctx.dilation, ctx.dilation],
        False,
        [0, 0],
        len(weight),
        [False, True, bias is not None],
    )
    return grad_x, grad_weight, grad_bias if bias is not None else None, None, None


_depthwise_op.register_autograd(_depthwise_backward, setup_context=_save_depthwise)


def _attention(qkv: Tensor, bias: Tensor) -> Tensor:
    batch, rows, columns, tokens, _, heads, head_dim = qkv.shape
    qkv, bias = qkv.contiguous(), bias.contiguous()
    y = qkv.new_empty(batch, rows, columns, tokens, heads * head_dim)
    threads = _threads(qkv.numel() * tokens)
    sizes = (batch, rows, columns, tokens, heads, head_dim, len(bias), threads)
    native.call("mambair_attention", AttentionArguments(*sizes, *map(address, (qkv, bias, y))))
    return y


_attention_op = torch.library.custom_op(
    "mambair::cpu_window_attention", _attention, mutates_args=(), device_types="cpu"
)


@_attention_op.register_fake
def _(qkv: Tensor, _: Tensor) -> Tensor:
    return qkv.new_empty(*qkv.shape[:4], qkv.shape[5] * qkv.shape[6])
