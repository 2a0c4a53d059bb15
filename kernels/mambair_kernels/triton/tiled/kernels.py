"""Device code of the backend ``triton_tiled``. Imported only when it runs: it needs the package ``triton``.

One program is one warp. It owns a block of channels, all states of them and a span of steps, and works through the
span in tiles of (steps, channels), one state after the other. Channels lie along the lanes, so B and C are read once
for the whole block, and the steps of a tile lie inside a thread: the associative scans below compile to plain sequences
of multiply-adds. What is carried from tile to tile, in float32, is kept in rows of memory that only this program
touches, because a loop cannot index registers.

Names: ``place`` is where a step of a path lies in memory (a raster position), ``path`` one of the directions of an
image, or a group of a plain scan. Strides ending in ``_n`` belong to B and C, the others to u. A is in units of log2.
"""

import triton
import triton.language as tl

from ..kernels import _compose, _softplus

SIZES = ["orders", "paths", "length", "height", "width", "span", "chunks"]
"""Arguments whose values are not worth a compilation of their own: images come in many sizes."""


@triton.jit
def _pick(tile: tl.tensor, chosen: tl.tensor) -> tl.tensor:
    """The one row of a tile that is chosen."""
    return tl.sum(tl.where(chosen[:, None], tile, 0.0), 0)


@triton.jit
def _places(
    t: tl.tensor,
    inside: tl.tensor,
    path: tl.tensor,
    orders: tl.tensor,
    index: tl.tensor,
    length: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    INDEXED: tl.constexpr,
) -> tl.tensor:
    """Raster positions of steps ``t``, int64; an order has bit 0 for columns first and bit 1 for the reverse."""
    if INDEXED:
        place = tl.load(index + t, mask=inside, other=0)
    else:
        order = orders >> (2 * path)
        step = tl.where((order & 2) != 0, length - 1 - t, t)
        place = tl.where((order & 1) != 0, step % height * width + step // height, step).to(tl.int64)
    return place


@triton.jit
def _step_sizes(
    place: tl.tensor,
    inside: tl.tensor,
    channel: tl.tensor,
    present: tl.tensor,
    delta: tl.tensor,
    dt_proj: tl.tensor,
    bias: tl.tensor,
    channels: tl.tensor,
    stride_place: tl.tensor,
    stride_channel: tl.tensor,
    stride_place_n: tl.tensor,
    stride_n: tl.tensor,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> tl.tensor:
    """Step sizes of a tile and their derivative by the argument; zero outside, where the state then stays.

    RANK 0: ``delta`` is given per channel. Else it holds low-rank rows beside B and C, and is projected here.
    """
    if RANK > 0:
        raw = tl.zeros([place.shape[0], channel.shape[0]], tl.float32)
        for r in range(RANK):
            low = tl.load(delta + place * stride_place_n + r * stride_n, mask=inside, other=0.0)
            weight = tl.load(dt_proj + r * channels + channel, mask=present, other=0.0)
            raw += low[:, None] * weight[None, :]
    else:
        at = place[:, None] * stride_place + channel[None, :] * stride_channel
        raw = tl.load(delta + at, mask=inside[:, None] & present[None, :], other=0.0).to(tl.float32)
    raw += tl.load(bias + channel, mask=present, other=0.0)[None, :]
    if SOFTPLUS:
        dt, slope = _softplus(raw)
    else:
        dt, slope = raw, tl.full(raw.shape, 1.0, tl.float32)
    return tl.where(inside[:, None], dt, 0.0), slope


@triton.jit
def _states(
    dt: tl.tensor, step_input: tl.tensor, A: tl.tensor, b: tl.tensor, before: tl.tensor, first: tl.tensor
) -> tl.tensor:
    """Products of the decays from the first step on, states and increments of a tile, for one of the states."""
    decay = tl.exp2(dt * A[None, :])
    increment = step_input * b[:, None]
    value = increment + tl.where(first[:, None], decay * before[None, :], 0.0)
    products, states = tl.associative_scan((decay, value), 0, _compose)
    return products, states, increment


@triton.jit(do_not_specialize=SIZES)
def summarise(
    u: tl.tensor,
    delta: tl.tensor,
    dt_proj: tl.tensor,
    bias: tl.tensor,
    A: tl.tensor,
    B: tl.tensor,
    C: tl.tensor,
    c_bias: tl.tensor,
    grad_y: tl.tensor,
    index: tl.tensor,
    decays: tl.tensor,
    ends: tl.tensor,
    grads: tl.tensor,
    orders: tl.tensor,
    paths: tl.tensor,
    channels: tl.tensor,
    length: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    span: tl.tensor,
    chunks: tl.tensor,
    stride_batch: tl.tensor,
    stride_path: tl.tensor,
    stride_place: tl.tensor,
    stride_channel: tl.tensor,
    stride_batch_n: tl.tensor,
    stride_path_n: tl.tensor,
    stride_place_n: tl.tensor,
    stride_n: tl.tensor,
    N: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INDEXED: tl.constexpr,
    C_BIAS: tl.constexpr,
    GRADIENT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Every chunk by itself: product of its decays, state at its end from zero, and with GRADIENT what it sends back.

    What a chunk sends back is decay times the gradient of the state, at its first step, if nothing comes from after.
    decays, ends, grads: (batch, paths, chunks, N, channels).
    """
    chunk, path, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    channel = tl.max_contiguous(chunk % blocks * BLOCK + tl.arange(0, BLOCK), 1)
    chunk = chunk // blocks
    present = channel < channels
    row = tl.arange(0, TILE)
    u += batch * stride_batch + path * stride_path
    delta += (
        (batch * stride_batch_n + path * stride_path_n) if RANK > 0 else (batch * stride_batch + path * stride_path)
    )
    B += batch * stride_batch_n + path * stride_path_n
    C += batch * stride_batch_n + path * stride_path_n
    grad_y += batch * stride_batch + path * stride_path
    A += path * channels * N
    bias += path * channels
    dt_proj += path * channels * RANK
    index += (batch * paths + path) * length
    base = ((batch * paths + path) * chunks + chunk) * N * channels + channel
    ends += base
    grads += base
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(chunk * span, min((chunk + 1) * span, length), TILE):
        known = channel < tl.where(start > chunk * span, channels, 0)
        t = start + row
        inside = t < length
        place = _places(t, inside, path, orders, index, length, height, width, INDEXED)
        at = place[:, None] * stride_place + channel[None, :] * stride_channel
        both = inside[:, None] & present[None, :]
        dt, _ = _step_sizes(
            place, inside, channel, present, delta, dt_proj, bias,
            channels, stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        step_input = dt * tl.load(u + at, mask=both, other=0.0).to(tl.float32)
        if GRADIENT:
            grad = tl.load(grad_y + at, mask=both, other=0.0).to(tl.float32)
        for n in range(N):
            a = tl.load(A + n * channels + channel, mask=present, other=0.0)
            b = tl.load(B + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            before = tl.load(ends + n * channels, mask=known, other=0.0)
            products, states, _ = _states(dt, step_input, a, b, before, row == 0)
            tl.store(ends + n * channels, _pick(states, row == TILE - 1), mask=present)
            if GRADIENT:
                c = tl.load(C + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
                if C_BIAS:
                    c += tl.load(c_bias + (batch * length + t) * N + n, mask=inside, other=0.0)
                sent = tl.sum(products * grad * c[:, None], 0) * tl.exp2(a * total)
                sent += tl.load(grads + n * channels, mask=known, other=0.0)
                tl.store(grads + n * channels, sent, mask=present)
        total += tl.sum(dt, 0)
        tl.debug_barrier()  # the rows may be read by other threads than those that wrote them
    for n in range(N):
        a = tl.load(A + n * channels + channel, mask=present, other=0.0)
        tl.store(decays + base + n * channels, tl.exp2(a * total), mask=present)


@triton.jit(do_not_specialize=["chunks"])
def carry(
    decays: tl.tensor,
    ends: tl.tensor,
    starts: tl.tensor,
    chunks: tl.tensor,
    size: tl.tensor,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """State before every chunk from the summaries, all (sequences, chunks, size); REVERSE: from the last chunk on."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    sequence = tl.program_id(1).to(tl.int64) * chunks
    present, row = lane < size, tl.arange(0, TILE)
    state = tl.zeros([BLOCK], tl.float32)
    first = (chunks - 1) * REVERSE
    tl.store(starts + (sequence + first) * size + lane, state, mask=present)
    for start in range(0, chunks - 1, TILE):
        j = start + row
        chunk = chunks - 1 - j if REVERSE else j
        after = chunk - 1 if REVERSE else chunk + 1
        inside = (j < chunks - 1)[:, None] & present[None, :]
        at = (sequence + chunk)[:, None] * size + lane[None, :]
        decay = tl.load(decays + at, mask=inside, other=1.0)
        value = tl.load(ends + at, mask=inside, other=0.0)
        value += tl.where((row == 0)[:, None], decay * state[None, :], 0.0)
        _, states = tl.associative_scan((decay, value), 0, _compose)
        tl.store(starts + (sequence + after)[:, None] * size + lane[None, :], states, mask=inside)
        state = _pick(states, row == TILE - 1)


@triton.jit(do_not_specialize=[*SIZES, "path_offset"])
def outputs(
    u: tl.tensor,
    delta: tl.tensor,
    dt_proj: tl.tensor,
    bias: tl.tensor,
    A: tl.tensor,
    B: tl.tensor,
    C: tl.tensor,
    c_bias: tl.tensor,
    D: tl.tensor,
    index: tl.tensor,
    carried: tl.tensor,
    before: tl.tensor,
    out: tl.tensor,
    path_offset: tl.tensor,
    orders: tl.tensor,
    paths: tl.tensor,
    channels: tl.tensor,
    length: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    span: tl.tensor,
    chunks: tl.tensor,
    stride_batch: tl.tensor,
    stride_path: tl.tensor,
    stride_place: tl.tensor,
    stride_channel: tl.tensor,
    stride_batch_n: tl.tensor,
    stride_path_n: tl.tensor,
    stride_place_n: tl.tensor,
    stride_n: tl.tensor,
    N: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INDEXED: tl.constexpr,
    C_BIAS: tl.constexpr,
    ADD: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Outputs of every chunk from the states before, ``carried`` (batch, paths, chunks, N, channels), which it uses up.

    ADD: ``before``, strided as u, is added: the sum of the paths that came earlier.
    """
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    path = tl.program_id(1) + path_offset
    blocks = tl.cdiv(channels, BLOCK)
    channel = tl.max_contiguous(chunk % blocks * BLOCK + tl.arange(0, BLOCK), 1)
    chunk = chunk // blocks
    present = channel < channels
    row = tl.arange(0, TILE)
    u += batch * stride_batch + path * stride_path
    delta += (
        (batch * stride_batch_n + path * stride_path_n) if RANK > 0 else (batch * stride_batch + path * stride_path)
    )
    B += batch * stride_batch_n + path * stride_path_n
    C += batch * stride_batch_n + path * stride_path_n
    before += batch * stride_batch + path * stride_path
    out += batch * stride_batch + path * stride_path
    A += path * channels * N
    bias += path * channels
    dt_proj += path * channels * RANK
    index += (batch * paths + path) * length
    skip = tl.load(D + path * channels + channel, mask=present, other=0.0)
    carried += ((batch * paths + path) * chunks + chunk) * N * channels + channel
    for start in range(chunk * span, min((chunk + 1) * span, length), TILE):
        t = start + row
        inside = t < length
        place = _places(t, inside, path, orders, index, length, height, width, INDEXED)
        at = place[:, None] * stride_place + channel[None, :] * stride_channel
        both = inside[:, None] & present[None, :]
        dt, _ = _step_sizes(
            place, inside, channel, present, delta, dt_proj, bias,
            channels, stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = tl.load(u + at, mask=both, other=0.0).to(tl.float32)
        step_input = dt * x
        y = skip[None, :] * x
        if ADD:
            y += tl.load(before + at, mask=both, other=0.0)
        for n in range(N):
            a = tl.load(A + n * channels + channel, mask=present, other=0.0)
            b = tl.load(B + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            c = tl.load(C + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            if C_BIAS:
                c += tl.load(c_bias + (batch * length + t) * N + n, mask=inside, other=0.0)
            state = tl.load(carried + n * channels, mask=present, other=0.0)
            _, states, _ = _states(dt, step_input, a, b, state, row == 0)
            tl.store(carried + n * channels, _pick(states, row == TILE - 1), mask=present)
            y += states * c[:, None]
        tl.debug_barrier()  # the rows may be read by other threads than those that wrote them
        tl.store(out + at, y.to(out.dtype.element_ty), mask=both)
