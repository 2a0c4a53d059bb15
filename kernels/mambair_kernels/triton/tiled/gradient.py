"""Device code of the backend ``triton_tiled``: the gradients of a chunk. See :mod:`.kernels`."""

import triton
import triton.language as tl

from ..kernels import LN_2, _compose
from .kernels import SIZES, _pick, _places, _states, _step_sizes


@triton.jit(do_not_specialize=[*SIZES, "path_offset"])
def gradients(
    u: tl.tensor,
    delta: tl.tensor,
    dt_proj: tl.tensor,
    bias: tl.tensor,
    A: tl.tensor,
    B: tl.tensor,
    C: tl.tensor,
    c_bias: tl.tensor,
    D: tl.tensor,
    grad_y: tl.tensor,
    index: tl.tensor,
    starts: tl.tensor,
    sent: tl.tensor,
    tile_states: tl.tensor,
    before: tl.tensor,
    grad_u: tl.tensor,
    grad_delta: tl.tensor,
    grad_B: tl.tensor,
    grad_C: tl.tensor,
    grad_weights: tl.tensor,
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
    stride_block: tl.tensor,
    N: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INDEXED: tl.constexpr,
    C_BIAS: tl.constexpr,
    ADD: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Gradients of every chunk, from the state before it and from what the chunk after it sends back.

    The closed form of Mamba (arXiv 2312.00752, appendix D). A first sweep notes the state before every tile in
    ``tile_states`` (programs, tiles, N, BLOCK), a second goes from the last tile to the first and uses up ``sent``
    (batch, paths, chunks, N, channels). What is summed over channels, the gradients of B, C and the low-rank rows, goes
    to one buffer per block of channels, ``stride_block`` apart; what is summed over steps goes to ``grad_weights``
    (batch, chunks, paths, N + RANK + 2, channels): the gradients of A, dt_proj, bias and D. ADD: ``before`` is added to
    grad_u, as in ``outputs``.
    """
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    path = tl.program_id(1) + path_offset
    program = (batch * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + chunk
    blocks = tl.cdiv(channels, BLOCK)
    block = (chunk % blocks).to(tl.int64)
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
    before += batch * stride_batch + path * stride_path
    grad_u += batch * stride_batch + path * stride_path
    grad_B += block * stride_block + batch * stride_batch_n + path * stride_path_n
    grad_C += block * stride_block + batch * stride_batch_n + path * stride_path_n
    if RANK > 0:
        grad_delta += block * stride_block + batch * stride_batch_n + path * stride_path_n
    else:
        grad_delta += batch * stride_batch + path * stride_path
    A += path * channels * N
    bias += path * channels
    dt_proj += path * channels * RANK
    index += (batch * paths + path) * length
    skip = tl.load(D + path * channels + channel, mask=present, other=0.0)
    base = ((batch * paths + path) * chunks + chunk) * N * channels
    starts += base + channel
    sent += base + channel
    begin = chunk * span
    tiles = tl.cdiv(min(span, length - begin), TILE)
    tile_states += program * tl.cdiv(span, TILE) * N * BLOCK + tl.arange(0, BLOCK)
    grad_weights += ((batch * chunks + chunk) * paths + path) * (N + RANK + 2) * channels + channel

    for n in range(N):
        tl.store(tile_states + n * BLOCK, tl.load(starts + n * channels, mask=present, other=0.0))
    tl.debug_barrier()  # here and below: rows may be read by other threads than those that wrote them
    for tile in range(0, tiles - 1):
        t = begin + tile * TILE + row
        inside = t < length
        place = _places(t, inside, path, orders, index, length, height, width, INDEXED)
        at = place[:, None] * stride_place + channel[None, :] * stride_channel
        dt, _ = _step_sizes(
            place, inside, channel, present, delta, dt_proj, bias,
            channels, stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = tl.load(u + at, mask=inside[:, None] & present[None, :], other=0.0).to(tl.float32)
        step_input = dt * x
        for n in range(N):
            a = tl.load(A + n * channels + channel, mask=present, other=0.0)
            b = tl.load(B + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            state = tl.load(tile_states + (tile * N + n) * BLOCK)
            _, states, _ = _states(dt, step_input, a, b, state, row == 0)
            tl.store(tile_states + ((tile + 1) * N + n) * BLOCK, _pick(states, row == TILE - 1))
        tl.debug_barrier()

    grad_bias = tl.zeros([BLOCK], tl.float32)
    grad_D = tl.zeros([BLOCK], tl.float32)
    for step in range(0, tiles):
        tile = tiles - 1 - step
        known = channel < tl.where(step > 0, channels, 0)
        t = begin + tile * TILE + row
        inside = t < length
        place = _places(t, inside, path, orders, index, length, height, width, INDEXED)
        at = place[:, None] * stride_place + channel[None, :] * stride_channel
        both = inside[:, None] & present[None, :]
        dt, slope = _step_sizes(
            place, inside, channel, present, delta, dt_proj, bias,
            channels, stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        # What comes back into the last step of a tile has been multiplied by the next decay already.
        follows = (t + 1 < length) & (row < TILE - 1)
        next_place = _places(t + 1, follows, path, orders, index, length, height, width, INDEXED)
        dt_next, _ = _step_sizes(
            next_place, follows, channel, present, delta, dt_proj, bias,
            channels, stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = tl.load(u + at, mask=both, other=0.0).to(tl.float32)
        grad = tl.load(grad_y + at, mask=both, other=0.0).to(tl.float32)
        step_input = dt * x
        grad_dt = tl.zeros([TILE, BLOCK], tl.float32)
        grad_input = tl.zeros([TILE, BLOCK], tl.float32)
        for n in range(N):
            a = tl.load(A + n * channels + channel, mask=present, other=0.0)
            b = tl.load(B + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            c = tl.load(C + place * stride_place_n + n * stride_n, mask=inside, other=0.0).to(tl.float32)
            if C_BIAS:
                c += tl.load(c_bias + (batch * length + t) * N + n, mask=inside, other=0.0)
            state = tl.load(tile_states + (tile * N + n) * BLOCK)
            _, states, increment = _states(dt, step_input, a, b, state, row == 0)
            back = tl.load(sent + n * channels, mask=present, other=0.0)
            value = grad * c[:, None]
            value += tl.where((row == TILE - 1)[:, None], back[None, :], 0.0)
            decay_next = tl.exp2(dt_next * a[None, :])
            _, grad_state = tl.associative_scan((decay_next, value), 0, _compose, reverse=True)
            tl.store(grad_B + place * stride_place_n + n * stride_n, tl.sum(grad_state * step_input, 1), mask=inside)
            tl.store(grad_C + place * stride_place_n + n * stride_n, tl.sum(grad * states, 1), mask=inside)
            grad_input += grad_state * b[:, None]
            exponent = grad_state * (states - increment)  # the state before, decayed
            grad_dt += exponent * a[None, :]
            grad_A = tl.load(grad_weights + n * channels, mask=known, other=0.0) + tl.sum(exponent * dt, 0)
            tl.store(grad_weights + n * channels, grad_A, mask=present)
            first = row == 0
            tl.store(sent + n * channels, tl.exp2(_pick(dt, first) * a) * _pick(grad_state, first), mask=present)
        grad_dt = (grad_dt * LN_2 + grad_input * x) * slope
        grad_dt = tl.where(inside[:, None], grad_dt, 0.0)
        grad_x = grad_input * dt + skip[None, :] * grad
        if ADD:
            grad_x += tl.load(before + at, mask=both, other=0.0)
        tl.store(grad_u + at, grad_x, mask=both)
        grad_bias += tl.sum(grad_dt, 0)
        grad_D += tl.sum(grad * x, 0)
        if RANK == 0:
            tl.store(grad_delta + at, grad_dt, mask=both)
        for r in range(RANK):
            low = tl.load(delta + place * stride_place_n + r * stride_n, mask=inside, other=0.0)
            weight = tl.load(dt_proj + r * channels + channel, mask=present, other=0.0)
            summed = tl.sum(grad_dt * weight[None, :], 1)
            tl.store(grad_delta + place * stride_place_n + r * stride_n, summed, mask=inside)
            row_of_low = grad_weights + (N + r) * channels
            grad_low = tl.load(row_of_low, mask=known, other=0.0) + tl.sum(grad_dt * low[:, None], 0)
            tl.store(row_of_low, grad_low, mask=present)
        tl.debug_barrier()

    tl.store(grad_weights + (N + RANK) * channels, grad_bias, mask=present)
    tl.store(grad_weights + (N + RANK + 1) * channels, grad_D, mask=present)
