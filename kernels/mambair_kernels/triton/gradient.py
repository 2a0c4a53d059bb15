"""Device code of the Triton backend: the gradients of a chunk. See :mod:`mambair_kernels.triton.kernels`."""

import triton
import triton.language as tl

from .kernels import LN_2, SIZES, TENSORS, column, filled, loaded, places, readouts, rows, step_sizes


@triton.jit
def sum_lanes(values: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """Sums over the lanes of up to BLOCK values, a power of two: lane l holds that of value l * len(values) // BLOCK.

    A lane keeps one half of the values and gives the other to its partner, until one is left: 16 values take 16
    exchanges between lanes, where one sum after another would take 80.
    """
    tl.static_assert(len(values) <= BLOCK)
    lane = tl.arange(0, BLOCK)
    for j in tl.static_range(6):
        if BLOCK >> (j + 1) > 0:
            if len(values) > 1:
                upper, halved = (lane & (BLOCK >> (j + 1))) != 0, ()
                for k in tl.static_range(len(values) // 2):
                    kept = tl.where(upper, values[k + len(values) // 2], values[k])
                    given = tl.where(upper, values[k], values[k + len(values) // 2])
                    halved = halved + (kept + tl.gather(given, lane ^ (BLOCK >> (j + 1)), 0),)  # noqa: RUF005
                values = halved
            else:
                values = (values[0] + tl.gather(values[0], lane ^ (BLOCK >> (j + 1)), 0),)
    return values[0]


@triton.jit(
    do_not_specialize=SIZES,
    do_not_specialize_on_alignment=[
        *TENSORS, "D", "starts", "sent", "tile_states", "before",
        "grad_u", "grad_delta", "grad_B", "grad_C", "grad_weights",
    ],
)  # fmt: skip
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
    adds: tl.tensor,
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
    stride_slot: tl.tensor,
    stride_block: tl.tensor,
    N: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INDEXED: tl.constexpr,
    C_BIAS: tl.constexpr,
    STARTS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Gradients of every chunk, from the state before it and from what the chunk after it sends back.

    The closed form of Mamba (arXiv 2312.00752, appendix D). A first sweep notes the state before every tile in
    ``tile_states`` (programs, tiles + 2, N, BLOCK), a second goes from the last tile to the first. The two rows after
    the last tile hold the gradients of the state and of A between tiles: with them in registers a loop over states
    would have to be unrolled, whose compilation takes minutes, and registers run short. What is summed over
    channels, the gradients of B, C and the low-rank rows, goes to one buffer per block of channels, ``stride_block``
    apart; what is summed over steps goes to ``grad_weights`` (batch, chunks, paths, N + RANK + 2, channels): the
    gradients of A, dt_proj, bias and D. STARTS, ``stride_slot`` and ``adds``: as in ``outputs``, for grad_u.
    """
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    path = tl.program_id(1) + path_offset
    program = (batch * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + chunk
    blocks = tl.cdiv(channels, BLOCK)
    block = (chunk % blocks).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    channel = tl.max_contiguous(chunk % blocks * BLOCK + lane, 1)
    chunk = chunk // blocks
    present = channel < channels
    zero = tl.zeros([BLOCK], tl.float32)
    u += batch * stride_batch + path * stride_path
    delta += (
        (batch * stride_batch_n + path * stride_path_n) if RANK > 0 else (batch * stride_batch + path * stride_path)
    )
    B += batch * stride_batch_n + path * stride_path_n
    C += batch * stride_batch_n + path * stride_path_n
    c_bias += batch * length * N
    grad_y += batch * stride_batch + path * stride_path
    slot = batch * stride_batch + path * stride_path + tl.program_id(1).to(tl.int64) * stride_slot
    before += slot
    grad_u += slot
    grad_B += block * stride_block + batch * stride_batch_n + path * stride_path_n
    grad_C += block * stride_block + batch * stride_batch_n + path * stride_path_n
    if RANK > 0:
        grad_delta += block * stride_block + batch * stride_batch_n + path * stride_path_n
    else:
        grad_delta += batch * stride_batch + path * stride_path
    index += (batch * paths + path) * length
    A_n = loaded(A + path * channels * N + channel, channels, present, N)
    weights = loaded(dt_proj + path * channels * RANK + channel, channels, present, RANK)
    offset = tl.load(bias + path * channels + channel, mask=present, other=0.0)
    skip = tl.load(D + path * channels + channel, mask=present, other=0.0)
    base = ((batch * paths + path) * chunks + chunk) * N * channels + channel
    if STARTS:  # noqa: SIM108
        states = loaded(starts + base, channels, present, N)
    else:
        states = filled(zero, N)
    begin = chunk * span
    tiles = tl.cdiv(min(span, length - begin), TILE)
    room = tl.cdiv(span, TILE)
    tile_states += program * (room + 2) * N * BLOCK + lane
    backs = tile_states + room * N * BLOCK
    totals = backs + N * BLOCK
    for m in range(N):
        back = zero
        if STARTS:
            back = tl.load(sent + base + m * channels, mask=present, other=0.0)
        tl.store(backs + m * BLOCK, back)
        tl.store(totals + m * BLOCK, zero)

    for tile in range(0, tiles - 1):
        for n in tl.static_range(N):
            tl.store(tile_states + (tile * N + n) * BLOCK, states[n])
        t = begin + tile * TILE
        at = places(t, path, orders, index, length, height, width, INDEXED, TILE)
        dt, _ = step_sizes(
            t, length, at, channel, channels, delta, offset, weights,
            stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = rows(t, length, at, channel, channels, u, stride_place, stride_channel)
        next_states = ()
        for n in tl.static_range(N):
            b = column(t, length, at, B + n * stride_n, stride_place_n)
            state = states[n]
            for i in tl.static_range(TILE):
                state = tl.exp2(dt[i] * A_n[n]) * state + dt[i] * x[i] * b[i]
            next_states = next_states + (state,)  # noqa: RUF005
        states = next_states
    for n in tl.static_range(N):
        tl.store(tile_states + ((tiles - 1) * N + n) * BLOCK, states[n])

    each: tl.constexpr = BLOCK // TILE  # lanes that hold the same sum of TILE values
    grad_low, grad_bias, grad_D = filled(zero, RANK), zero, zero
    for step in range(0, tiles):
        tile = tiles - 1 - step
        t = begin + tile * TILE
        at = places(t, path, orders, index, length, height, width, INDEXED, TILE)
        dt, slope = step_sizes(
            t, length, at, channel, channels, delta, offset, weights,
            stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = rows(t, length, at, channel, channels, u, stride_place, stride_channel)
        grad = rows(t, length, at, channel, channels, grad_y, stride_place, stride_channel)
        earlier = rows(t, length, at, channel, channels * adds, before, stride_place, stride_channel)
        grad_dt, grad_input = filled(zero, TILE), filled(zero, TILE)
        # Where the sums over channels go: of 2 TILE values those of B come first, then those of C.
        step_of_one, step_of_two, place_of_one, place_of_two = lane // each, lane * 2 // each % TILE, lane * 0, lane * 0
        for i in tl.static_range(TILE):
            place_of_one = tl.where(step_of_one == i, at[i], place_of_one)
            place_of_two = tl.where(step_of_two == i, at[i], place_of_two)
        holds_one = (lane % each == 0) & (t + step_of_one < length)
        holds_two = (lane * 2 % each == 0) & (t + step_of_two < length)
        for m in range(N):
            a = tl.load(A + (path * N + m) * channels + channel, mask=present, other=0.0)
            back, total = tl.load(backs + m * BLOCK), tl.load(totals + m * BLOCK)
            b = column(t, length, at, B + m * stride_n, stride_place_n)
            c = readouts(t, length, at, C + m * stride_n, c_bias + m, stride_place_n, N, C_BIAS)
            state = tl.load(tile_states + (tile * N + m) * BLOCK)
            decays, decayed, of_c = (), (), ()
            for i in tl.static_range(TILE):
                decay = tl.exp2(dt[i] * a)
                state = decay * state
                decays = decays + (decay,)  # noqa: RUF005
                decayed = decayed + (state,)  # noqa: RUF005
                state += dt[i] * x[i] * b[i]
                of_c = of_c + (grad[i] * state,)  # noqa: RUF005
            of_b, summed_dt, summed_input = (), (), ()
            for i in tl.static_range(TILE - 1, -1, -1):
                back += grad[i] * c[i]
                of_b = (back * dt[i] * x[i],) + of_b  # noqa: RUF005
                summed_input = (grad_input[i] + back * b[i],) + summed_input  # noqa: RUF005
                exponent = back * decayed[i]
                summed_dt = (grad_dt[i] + exponent * a,) + summed_dt  # noqa: RUF005
                total += exponent * dt[i]
                back *= decays[i]
            grad_dt, grad_input = summed_dt, summed_input
            tl.store(backs + m * BLOCK, back)
            tl.store(totals + m * BLOCK, total)
            summed = sum_lanes(of_b + of_c, BLOCK)
            pointer = place_of_two * stride_place_n + m * stride_n
            tl.store(grad_B + pointer, summed, mask=holds_two & (lane * 2 < BLOCK))
            tl.store(grad_C + pointer, summed, mask=holds_two & (lane * 2 >= BLOCK))
        of_dt = ()
        for i in tl.static_range(TILE):
            value = (grad_dt[i] * LN_2 + grad_input[i] * x[i]) * slope[i]
            of_dt = of_dt + (value,)  # noqa: RUF005
            grad_bias += value
            grad_D += grad[i] * x[i]
            mask = channel < tl.where(t + i < length, channels, 0)
            here = at[i] * stride_place + channel * stride_channel
            tl.store(grad_u + here, grad_input[i] * dt[i] + skip * grad[i] + earlier[i], mask=mask)
            if RANK == 0:
                tl.store(grad_delta + here, value, mask=mask)
        next_low = ()
        for r in tl.static_range(RANK):
            total, of_low = grad_low[r], ()
            low = column(t, length, at, delta + r * stride_n, stride_place_n)
            for i in tl.static_range(TILE):
                total += of_dt[i] * low[i]
                of_low = of_low + (of_dt[i] * weights[r],)  # noqa: RUF005
            next_low = next_low + (total,)  # noqa: RUF005
            pointer = grad_delta + place_of_one * stride_place_n + r * stride_n
            tl.store(pointer, sum_lanes(of_low, BLOCK), mask=holds_one)
        grad_low = next_low

    grad_weights += ((batch * chunks + chunk) * paths + path) * (N + RANK + 2) * channels + channel
    for m in range(N):
        tl.store(grad_weights + m * channels, tl.load(totals + m * BLOCK), mask=present)
    for r in tl.static_range(RANK):
        tl.store(grad_weights + (N + r) * channels, grad_low[r], mask=present)
    tl.store(grad_weights + (N + RANK) * channels, grad_bias, mask=present)
    tl.store(grad_weights + (N + RANK + 1) * channels, grad_D, mask=present)
