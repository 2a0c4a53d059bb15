"""The fused operations of :mod:`mambair_kernels.fused` on cards, without gradients."""

from functools import cache, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import trusted
from .launching import Launch
from .scan import interpreted

MAX_COLUMNS = 128  # of a matrix product: a row is held in registers
MAX_KERNEL = 5
BLOCK, ROWS = 256, 8
"""Numbers of a row, and rows, of a program of the depthwise convolution: the fastest of six on an H200."""
RESIDUAL_BLOCK = 1024
ENOUGH = 1 << 13
"""Pixels that are enough programs of 64 for a large card; of fewer a program takes 32, which is another compilation."""
MAX_GATE = 4096  # numbers of a matrix that a program holds in registers
TYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCE = 1e-4
"""Of the largest entry: products are those of three TF32 each."""


@torch.inference_mode(mode=False)
def deviation(device: torch.device, channels: int = 72) -> float:
    """Largest difference from float64 over all operations on a small image, of the largest entry of each."""
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    wide, weight, taps, out = (
        draw(1, 7, 9, 2 * channels),
        draw(40, channels),
        draw(channels, 1, 3, 3),
        draw(1, 7, 9, 40),
    )
    one, two, three = draw(channels), draw(channels), draw(40)

    def run(wide: Tensor, weight: Tensor, taps: Tensor, out: Tensor, one: Tensor, two: Tensor, three: Tensor) -> Any:
        x, gate = wide.chunk(2, -1)
        if wide.dtype == torch.float32:
            return (
                linear(x, (one, two), gate, weight, three, out, three, 2, 1e-5),
                depthwise(x, taps, one, 2, 1),
                gated_residual(x, one, x, gate[:, :1, :1]),
                channel_gate(x[:, :1, :1], weight, three, weight.mT, one),
            )
        y = F.gelu(F.linear(F.layer_norm(x, (channels,), one, two) * F.silu(gate), weight, three)) + out * three
        image = F.conv2d(x.permute(0, 3, 1, 2), taps, one, padding=2, dilation=2, groups=channels)
        squeezed = F.linear(x[:, :1, :1], weight, three).relu()
        gated = x * one + x * gate[:, :1, :1]
        return y, F.silu(image.permute(0, 2, 3, 1)), gated, F.linear(squeezed, weight.mT, one).sigmoid()

    given = (wide, weight, taps, out, one, two, three)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found = run(*(each.to(device, torch.float32) for each in given))
        exact = run(*given)
    pairs = zip(found, exact, strict=True)
    return max(float((a.double().cpu() - b).abs().max() / b.abs().max()) for a, b in pairs)


@cache
def works(device: torch.device) -> bool:
    """Whether these kernels compile and give right results there; under Triton's interpreter, for tests, yes."""
    if interpreted():
        return True

    def check() -> float:
        return max(deviation(device), deviation(device))  # a kernel's first launch is not as the others

    try:
        return trusted.deviation("fused", device, check, TOLERANCE) < TOLERANCE
    except Exception:  # whatever a compiler fails with: torch's layers are used instead
        return False


def serves(*tensors: Tensor | None) -> bool:
    """Whether tensors of a device on which Triton was chosen for scans are handled here: no gradients, no compiler."""
    x, recording = tensors[0], torch.is_grad_enabled()
    assert x is not None
    device = x.device
    for each in tensors:  # one loop, as a network comes here a hundred times
        if each is None:
            continue
        if each.device != device or each.dtype not in TYPES or (recording and each.requires_grad):
            return False
    return not torch.compiler.is_compiling() and x.numel() > 0 and works(device)


@cache
def _columns(outputs: int) -> int:
    """Columns of a product at a time: as few as possible beyond the last, then as many as possible."""
    return min((64, 32), key=lambda size: (-(-outputs // size) * size, -size))


@cache
def _pieces(columns: int) -> tuple[int, int]:
    """Powers of two, at least 16, that reach over so many columns: as few numbers beyond as two can do."""
    first = 1 << (columns.bit_length() - 1)
    if first < 16 or first == columns:
        return max(first, 16) if columns <= max(first, 16) else 2 * first, 0
    rest = max(16, 1 << (columns - first - 1).bit_length())
    return (2 * first, 0) if rest == first else (first, rest)


def _even(x: Tensor) -> tuple[Tensor, int]:
    """x, copied where its rows of the last dimension do not lie at one distance, and that distance."""
    if x.is_contiguous():
        return x, x.shape[-1]
    if x.stride(-1) == 1 or x.shape[-1] == 1:
        try:
            return x, x.view(-1, x.shape[-1]).stride(0)
        except RuntimeError:
            pass
    return x.contiguous(), x.shape[-1]


def linear(
    x: Tensor,
    norm: tuple[Tensor, Tensor] | None,
    gate: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    scale: Tensor | None,
    activation: int,
    eps: float,
) -> Tensor:
    """``activation(linear(layer_norm(x) * silu(gate))) + residual * scale``; what is None is left out."""
    factor = _factor(x, weight)
    columns_out, columns_in = weight.shape
    kind = factor if residual is None else _promoted(factor, residual.dtype, factor if scale is None else scale.dtype)
    out = x.new_empty(*x.shape[:-1], columns_out, dtype=kind)
    pixels = x.numel() // columns_in
    (x, stride), weight = _even(x), weight.contiguous()
    gate, gate_stride = (x, 0) if gate is None else _even(gate)
    added, added_stride = (x, 0) if residual is None else _even(residual)
    norm_weight, norm_bias = norm or (weight, weight)
    block = 64 if pixels >= ENOUGH else 32
    run = _linear(
        columns_in, columns_out, stride, gate_stride, added_stride, norm is not None, bias is not None, activation,
        residual is not None, scale is not None, factor, block,
    )  # fmt: skip
    run(
        (-(-pixels // block), 1, 1),
        (x, gate, norm_weight, norm_bias, weight, weight if bias is None else bias, added,
         weight if scale is None else scale, out),
        (pixels, eps),
    )  # fmt: skip
    return out


@cache
def _linear(
    columns_in: int,
    columns_out: int,
    stride: int,
    gate_stride: int,
    added_stride: int,
    norm: bool,
    bias: bool,
    activation: int,
    residual: bool,
    scale: bool,
    factor: torch.dtype,
    block: int,
) -> Launch:
    from . import layers

    first, rest = _pieces(columns_in)
    constants = {
        "K": columns_in, "N": columns_out, "STRIDE_X": stride, "STRIDE_GATE": gate_stride,
        "STRIDE_RESIDUAL": added_stride, "NORM": norm, "GATE": gate_stride > 0, "BIAS": bias,
        "ACTIVATION": activation, "RESIDUAL": residual, "SCALE": scale, "FACTOR": _triton_type(factor),
        "FIRST": first, "REST": rest, "BLOCK_M": block, "BLOCK_N": _columns(columns_out),
    }  # fmt: skip
    return Launch(layers.linear, constants, num_warps=4, num_stages=2)


def projected(x: Tensor, weight: Tensor) -> Tensor:
    """``x.float() @ weight^T`` of every pixel, weight (out, channels) in float32."""
    if weight.shape[1] > MAX_COLUMNS:
        return x.float() @ weight.mT
    return linear(x, None, None, weight, None, None, None, 0, 0.0)


def _factor(x: Tensor, weight: Tensor) -> torch.dtype:
    """Type of a matrix product's factors and result."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return _promoted(x.dtype, weight.dtype)


@cache
def _promoted(*kinds: torch.dtype) -> torch.dtype:
    return reduce(torch.promote_types, kinds)


@cache
def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}[dtype]


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, activation: int) -> Tensor:
    """``activation(conv2d(x))`` with one filter per channel, size kept."""
    batch, height, width, channels = x.shape
    out = x.new_empty(x.shape, dtype=_factor(x, weight))
    x, stride = _even(x)
    run = _depthwise(channels, stride, weight.shape[-1], dilation, bias is not None, activation)
    tensors = x, weight.contiguous(), weight if bias is None else bias, out
    run((-(-width * channels // BLOCK), -(-height // ROWS), batch), tensors, (height, width))
    return out


@cache
def _depthwise(channels: int, stride: int, kernel: int, dilation: int, bias: bool, activation: int) -> Launch:
    from . import layers

    constants = {
        "CHANNELS": channels, "STRIDE": stride, "KERNEL": kernel, "DILATION": dilation, "BIAS": bias,
        "ACTIVATION": activation, "ROWS": ROWS, "BLOCK": BLOCK,
    }  # fmt: skip
    return Launch(layers.depthwise, constants, num_warps=4)


def channel_gate(mean: Tensor, squeeze: Tensor, squeeze_bias: Tensor, excite: Tensor, excite_bias: Tensor) -> Tensor:
    """``sigmoid(linear(relu(linear(mean))))`` of an image per program."""
    hidden, channels = squeeze.shape
    out = mean.new_empty(mean.shape, dtype=_factor(mean, squeeze))
    tensors = mean.contiguous(), squeeze.contiguous(), squeeze_bias, excite.contiguous(), excite_bias, out
    images = mean.numel() // channels
    _channel_gate(channels, hidden)((images, 1, 1), tensors, (images,))
    return out


@cache
def _channel_gate(channels: int, hidden: int) -> Launch:
    from . import layers

    sizes = {"BLOCK": max(16, 1 << (channels - 1).bit_length()), "HIDDEN_BLOCK": max(4, 1 << (hidden - 1).bit_length())}
    return Launch(layers.channel_gate, {"CHANNELS": channels, "HIDDEN": hidden, **sizes}, num_warps=4)


def gated_residual(x: Tensor, scale: Tensor, features: Tensor, gate: Tensor) -> Tensor:
    """``x * scale + features * gate``."""
    out = x.new_empty(x.shape, dtype=_promoted(x.dtype, scale.dtype, features.dtype, gate.dtype))
    size, channels = x.numel(), x.shape[-1]
    tensors = x.contiguous(), scale, features.contiguous(), gate.contiguous(), out
    run = _gated_residual(channels)
    run((-(-size // RESIDUAL_BLOCK), 1, 1), tensors, (size, size // x.shape[0] // channels))
    return out


@cache
def _gated_residual(channels: int) -> Launch:
    from . import layers

    return Launch(layers.gated_residual, {"CHANNELS": channels, "BLOCK": RESIDUAL_BLOCK}, num_warps=4)
