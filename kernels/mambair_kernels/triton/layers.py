"""Device code of the fused layers on cards. Imported only when they run: it needs the package ``triton``.

Sizes and strides that a network has once are constants, so that loads are as wide as they allow; those of an image are
not.
"""

import triton
import triton.language as tl

from .kernels import LOG2_E

SQRT_HALF = tl.constexpr(0.7071067811865476)
PRECISION = tl.constexpr("tf32x3")  # about as exact as float32, on tensor cores


@triton.jit
def _sigmoid(x: tl.tensor) -> tl.tensor:
    y = tl.exp2(-tl.abs(x) * LOG2_E)  # at most 1
    return tl.where(x >= 0, 1.0, y) / (1.0 + y)


@triton.jit
def _activated(x: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """ACTIVATION: a code of :mod:`mambair_kernels.fused`."""
    if ACTIVATION == 1:
        return x * _sigmoid(x)
    if ACTIVATION == 2:
        return 0.5 * x * (1.0 + tl.erf(x * SQRT_HALF))
    return x


@triton.jit
def _piece(
    pointer: tl.tensor, start: tl.constexpr, row: tl.tensor, inside: tl.tensor, STRIDE: tl.constexpr,
    K: tl.constexpr, SIZE: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Columns from ``start`` on of rows, float32; zero beyond K."""
    k = start + tl.arange(0, SIZE)
    mask = inside[:, None] & (k < K)[None, :]
    return tl.load(pointer + row[:, None] * STRIDE + k[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _normed(
    x: tl.tensor, mean: tl.tensor, scale: tl.tensor, weight: tl.tensor, bias: tl.tensor, start: tl.constexpr,
    K: tl.constexpr, SIZE: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    k = start + tl.arange(0, SIZE)
    w = tl.load(weight + k, mask=k < K, other=0.0).to(tl.float32)
    b = tl.load(bias + k, mask=k < K, other=0.0).to(tl.float32)
    return (x - mean[:, None]) * scale[:, None] * w[None, :] + b[None, :]


@triton.jit
def _squares(x: tl.tensor, mean: tl.tensor, start: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr) -> tl.tensor:
    k = start + tl.arange(0, SIZE)
    away = tl.where((k < K)[None, :], x - mean[:, None], 0.0)
    return tl.sum(away * away, 1)


@triton.jit(do_not_specialize=["pixels", "eps"])
def linear(
    x: tl.tensor,
    gate: tl.tensor,
    norm_weight: tl.tensor,
    norm_bias: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    scale: tl.tensor,
    out: tl.tensor,
    pixels: tl.tensor,
    eps: tl.tensor,
    K: tl.constexpr,
    N: tl.constexpr,
    STRIDE_X: tl.constexpr,
    STRIDE_GATE: tl.constexpr,
    STRIDE_RESIDUAL: tl.constexpr,
    NORM: tl.constexpr,
    GATE: tl.constexpr,
    BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SCALE: tl.constexpr,
    FACTOR: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """``activation(norm(x) * silu(gate) @ weight^T + bias) + residual * scale`` of BLOCK_M pixels.

    The K columns of x are taken as FIRST and REST, powers of two, of which the last may reach beyond K. FACTOR is the
    type of the factors of the matrix product, whose sums are float32.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = row < pixels
    first = _piece(x, 0, row, inside, STRIDE_X, K, FIRST)
    if REST > 0:
        rest = _piece(x, FIRST, row, inside, STRIDE_X, K, REST)
    if NORM:
        total = tl.sum(first, 1)
        if REST > 0:
            total += tl.sum(rest, 1)
        mean = total / K
        total = _squares(first, mean, 0, K, FIRST)
        if REST > 0:
            total += _squares(rest, mean, FIRST, K, REST)
        spread = 1.0 / tl.sqrt(total / K + eps)
        first = _normed(first, mean, spread, norm_weight, norm_bias, 0, K, FIRST)
        if REST > 0:
            rest = _normed(rest, mean, spread, norm_weight, norm_bias, FIRST, K, REST)
    if GATE:
        opened = _piece(gate, 0, row, inside, STRIDE_GATE, K, FIRST)
        first *= opened * _sigmoid(opened)
        if REST > 0:
            opened_rest = _piece(gate, FIRST, row, inside, STRIDE_GATE, K, REST)
            rest *= opened_rest * _sigmoid(opened_rest)
    a = first.to(FACTOR)
    if REST > 0:
        a_rest = rest.to(FACTOR)
    for start in range(0, N, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        k = tl.arange(0, FIRST)
        b = tl.load(weight + n[None, :] * K + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0.0)
        y = tl.dot(a, b.to(FACTOR), input_precision=PRECISION)
        if REST > 0:
            k = FIRST + tl.arange(0, REST)
            b = tl.load(weight + n[None, :] * K + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0.0)
            y = tl.dot(a_rest, b.to(FACTOR), y, input_precision=PRECISION)
        if BIAS:
            y += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
        y = _activated(y, ACTIVATION)
        mask = inside[:, None] & (n < N)[None, :]
        if RESIDUAL:
            added = tl.load(residual + row[:, None] * STRIDE_RESIDUAL + n[None, :], mask=mask, other=0.0)
            if SCALE:
                y += added.to(tl.float32) * tl.load(scale + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
            else:
                y += added.to(tl.float32)
        tl.store(out + row[:, None] * N + n[None, :], y.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["height", "width"])
def depthwise(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    KERNEL: tl.constexpr,
    DILATION: tl.constexpr,
    BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """``activation(conv2d(x) + bias)`` of ROWS rows: BLOCK numbers of each, channels of neighbouring pixels.

    A row of x is loaded once for all the rows that it takes part in.
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column, channel = lane // CHANNELS, lane % CHANNELS
    top, image = tl.program_id(1) * ROWS, tl.program_id(2).to(tl.int64) * height
    sums = ()
    for _ in tl.static_range(ROWS):
        start = tl.zeros([BLOCK], tl.float32)
        if BIAS:
            start += tl.load(bias + channel).to(tl.float32)
        sums = sums + (start,)  # noqa: RUF005
    taps = ()
    for j in tl.static_range(KERNEL * KERNEL):
        taps = taps + (tl.load(weight + channel * (KERNEL * KERNEL) + j).to(tl.float32),)  # noqa: RUF005
    for j in tl.static_range(ROWS + (KERNEL - 1) * DILATION):
        row = top + j - KERNEL // 2 * DILATION
        begin = (image + row) * width
        for i in tl.static_range(KERNEL):
            at = column + (i - KERNEL // 2) * DILATION
            limit = tl.where((row >= 0) & (row < height), width, 0)
            value = tl.load(x + (begin + at) * STRIDE + channel, mask=(at >= 0) & (at < limit), other=0.0)
            value = value.to(tl.float32)
            added = ()
            for r in tl.static_range(ROWS):
                if (j - r) % DILATION == 0 and (j - r) // DILATION >= 0 and (j - r) // DILATION < KERNEL:
                    added = added + (sums[r] + value * taps[(j - r) // DILATION * KERNEL + i],)  # noqa: RUF005
                else:
                    added = added + (sums[r],)  # noqa: RUF005
            sums = added
    for r in tl.static_range(ROWS):
        limit = tl.where(top + r < height, width, 0)
        at = ((image + top + r) * width + column) * CHANNELS + channel
        tl.store(out + at, _activated(sums[r], ACTIVATION).to(out.dtype.element_ty), mask=column < limit)


@triton.jit(do_not_specialize=["size", "pixels"])
def gated_residual(
    x: tl.tensor,
    scale: tl.tensor,
    features: tl.tensor,
    gate: tl.tensor,
    out: tl.tensor,
    size: tl.tensor,
    pixels: tl.tensor,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """``x * scale + features * gate``: a scale per channel, a gate per image and channel."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside, channel = at < size, at % CHANNELS
    image = at // CHANNELS // pixels
    kept = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * tl.load(scale + channel).to(tl.float32)
    opened = tl.load(gate + image * CHANNELS + channel, mask=inside, other=0.0).to(tl.float32)
    y = kept + tl.load(features + at, mask=inside, other=0.0).to(tl.float32) * opened
    tl.store(out + at, y.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["images"])
def channel_gate(
    mean: tl.tensor,
    squeeze: tl.tensor,
    squeeze_bias: tl.tensor,
    excite: tl.tensor,
    excite_bias: tl.tensor,
    out: tl.tensor,
    images: tl.tensor,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
    BLOCK: tl.constexpr,
    HIDDEN_BLOCK: tl.constexpr,
) -> None:
    """``sigmoid(excite @ relu(squeeze @ mean + squeeze_bias) + excite_bias)`` of one image."""
    channel, hidden = tl.arange(0, BLOCK), tl.arange(0, HIDDEN_BLOCK)
    at = tl.program_id(0) * CHANNELS + channel
    x = tl.load(mean + at, mask=channel < CHANNELS, other=0.0).to(tl.float32)
    inside = (hidden < HIDDEN)[:, None] & (channel < CHANNELS)[None, :]
    first = tl.load(squeeze + hidden[:, None] * CHANNELS + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    second = tl.load(excite + channel[None, :] * HIDDEN + hidden[:, None], mask=inside, other=0.0).to(tl.float32)
    squeezed = tl.load(squeeze_bias + hidden, mask=hidden < HIDDEN, other=0.0).to(tl.float32)
    squeezed = tl.maximum(squeezed + tl.sum(first * x[None, :], 1), 0.0)
    y = tl.load(excite_bias + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)
    y += tl.sum(second * squeezed[:, None], 0)
    tl.store(out + at, _sigmoid(y).to(out.dtype.element_ty), mask=channel < CHANNELS)
