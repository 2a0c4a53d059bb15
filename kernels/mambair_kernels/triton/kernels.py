"""Device code of the Triton backend. Imported only when that backend runs: it needs the package ``triton``.

One program is one warp: a block of channels, one per lane, walks a span of steps with all its states in registers. B, C
and the low-rank step sizes are the same for the whole warp, so each is one load for all channels, and no lane ever
reads what another one wrote. Steps come in tiles of TILE, unrolled, whose loads do not wait for one another; what
belongs to the steps of a tile, or to the states, is held in tuples, since a loop cannot index registers.

Names: ``place`` is where a step of a path lies in memory (a raster position), ``path`` one of the directions of an
image, or a group of a plain scan. Strides ending in ``_n`` belong to B, C and the low-rank rows, the others to u. A is
in units of log2.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)

TENSORS = ["u", "delta", "dt_proj", "bias", "A", "B", "C", "c_bias", "grad_y", "index"]
"""Arguments whose alignment is not worth a compilation of its own: no load is wider than one number."""

SIZES = [
    "path_offset", "orders", "paths", "channels", "length", "height", "width", "span", "chunks",
    "stride_batch", "stride_path", "stride_place", "stride_channel", "stride_slot",
    "stride_batch_n", "stride_path_n", "stride_place_n", "stride_n", "stride_block", "adds",
]  # fmt: skip
"""Arguments whose values are not, either: images come in many sizes."""


@triton.jit
def _compose(decay_1: tl.tensor, value_1: tl.tensor, decay_2: tl.tensor, value_2: tl.tensor) -> tl.tensor:
    """Two steps of ``h -> decay h + value`` as one."""
    return decay_1 * decay_2, decay_2 * value_1 + value_2


@triton.jit
def _softplus(x: tl.tensor) -> tl.tensor:
    """Softplus and its derivative, accurate for every x: log1p(y) = 2 atanh(y / (2 + y)) for y = exp(-|x|) <= 1."""
    y = tl.exp2(-tl.abs(x) * LOG2_E)
    s = y / (2.0 + y)
    z = s * s
    series = 1.0 / 11 + z * (1.0 / 13 + z * (1.0 / 15))
    series = 1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * series)))
    return tl.maximum(x, 0.0) + 2.0 * (s + s * z * series), tl.where(x >= 0, 1.0, y) / (1.0 + y)


@triton.jit
def filled(value: tl.tensor, COUNT: tl.constexpr) -> tl.tensor:
    """A tuple of COUNT times the same."""
    values = ()
    for _ in tl.static_range(COUNT):
        values = values + (value,)  # noqa: RUF005
    return values


@triton.jit
def loaded(pointer: tl.tensor, stride: tl.tensor, mask: tl.tensor, COUNT: tl.constexpr) -> tl.tensor:
    """A tuple of COUNT numbers per lane, ``stride`` apart, float32; zero where the mask says no."""
    values = ()
    for n in tl.static_range(COUNT):
        values = values + (tl.load(pointer + n * stride, mask=mask, other=0.0).to(tl.float32),)  # noqa: RUF005
    return values


@triton.jit
def places(
    t: tl.tensor,
    path: tl.tensor,
    orders: tl.tensor,
    index: tl.tensor,
    length: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    INDEXED: tl.constexpr,
    TILE: tl.constexpr,
) -> tl.tensor:
    """Raster positions of TILE steps from ``t`` on, a tuple of int64; those from ``length`` on are of no use.

    An order has bit 0 for columns first and bit 1 for the reverse. One division finds the first place, and each
    following one is a stride away, or another one at the end of a row or column.
    """
    found = ()
    if INDEXED:
        for i in tl.static_range(TILE):
            found = found + (tl.load(index + t + i, mask=t + i < length, other=0),)  # noqa: RUF005
    else:
        order = orders >> (2 * path)
        backwards, columns = (order & 2) != 0, (order & 1) != 0
        line, along, across = tl.where(columns, height, width), tl.where(columns, width, 1), tl.where(columns, 1, width)
        step = tl.where(backwards, length - 1 - t, t)
        position = step % line
        place = position * along + step // line * across
        forth = tl.where(backwards, -1, 1)
        for _ in tl.static_range(TILE):
            found = found + (place.to(tl.int64),)  # noqa: RUF005
            position += forth
            turns = (position < 0) | (position >= line)
            place += forth * tl.where(turns, across - (line - 1) * along, along)
            position = tl.where(turns, tl.where(backwards, line - 1, 0), position)
    return found


@triton.jit
def step_sizes(
    t: tl.tensor,
    length: tl.tensor,
    at: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    delta: tl.tensor,
    bias: tl.tensor,
    weights: tl.tensor,
    stride_place: tl.tensor,
    stride_channel: tl.tensor,
    stride_place_n: tl.tensor,
    stride_n: tl.tensor,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
) -> tl.tensor:
    """Step sizes at the places ``at`` and their derivatives by the argument; zero outside, where the state then stays.

    RANK 0: ``delta`` is given per channel. Else it holds low-rank rows beside B and C, and is projected here.
    """
    sizes, slopes = (), ()
    for i in tl.static_range(len(at)):
        inside = t + i < length
        raw = bias
        if RANK > 0:
            low = loaded(delta + at[i] * stride_place_n, stride_n, inside, RANK)
            for r in tl.static_range(RANK):
                raw += low[r] * weights[r]
        else:
            pointer = delta + at[i] * stride_place + channel * stride_channel
            raw += tl.load(pointer, mask=channel < tl.where(inside, channels, 0), other=0.0).to(tl.float32)
        if SOFTPLUS:
            dt, slope = _softplus(raw)
        else:
            dt, slope = raw, tl.full(raw.shape, 1.0, tl.float32)
        sizes = sizes + (tl.where(inside, dt, 0.0),)  # noqa: RUF005
        slopes = slopes + (tl.where(inside, slope, 0.0),)  # noqa: RUF005
    return sizes, slopes


@triton.jit
def rows(
    t: tl.tensor,
    length: tl.tensor,
    at: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    pointer: tl.tensor,
    stride_place: tl.tensor,
    stride_channel: tl.tensor,
) -> tl.tensor:
    """What lies at the places ``at`` per channel: a tuple, float32, zero outside.

    A mask is a comparison with a chosen bound: Triton's interpreter cannot combine those of a step and of a lane.
    """
    values = ()
    for i in tl.static_range(len(at)):
        mask = channel < tl.where(t + i < length, channels, 0)
        value = tl.load(pointer + at[i] * stride_place + channel * stride_channel, mask=mask, other=0.0)
        values = values + (value.to(tl.float32),)  # noqa: RUF005
    return values


@triton.jit
def column(
    t: tl.tensor,
    length: tl.tensor,
    at: tl.tensor,
    pointer: tl.tensor,
    stride_place_n: tl.tensor,
) -> tl.tensor:
    """What lies at the places ``at`` once for all channels: a tuple, float32."""
    values = ()
    for i in tl.static_range(len(at)):
        value = tl.load(pointer + at[i] * stride_place_n, mask=t + i < length, other=0.0)
        values = values + (value.to(tl.float32),)  # noqa: RUF005
    return values


@triton.jit
def readouts(
    t: tl.tensor,
    length: tl.tensor,
    at: tl.tensor,
    C: tl.tensor,
    c_bias: tl.tensor,
    stride_place_n: tl.tensor,
    N: tl.constexpr,
    C_BIAS: tl.constexpr,
) -> tl.tensor:
    """One state's C at the places ``at``, with what is added to it by step: a tuple, float32."""
    values = ()
    for i in tl.static_range(len(at)):
        inside = t + i < length
        value = tl.load(C + at[i] * stride_place_n, mask=inside, other=0.0).to(tl.float32)
        if C_BIAS:
            value += tl.load(c_bias + (t + i) * N, mask=inside, other=0.0)
        values = values + (value,)  # noqa: RUF005
    return values


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=[*TENSORS, "decays", "ends", "grads"])
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
    GRADIENT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Every chunk by itself: product of its decays, state at its end from zero, and with GRADIENT what it sends back.

    What a chunk sends back is decay times the gradient of the state, at its first step, if nothing comes from after.
    decays, ends, grads: (batch, paths, chunks, N, channels).
    """
    chunk, path, batch = tl.program_id(0), tl.program_id(1) + path_offset, tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    channel = tl.max_contiguous(chunk % blocks * BLOCK + tl.arange(0, BLOCK), 1)
    chunk = chunk // blocks
    present = channel < channels
    u += batch * stride_batch + path * stride_path
    delta += (
        (batch * stride_batch_n + path * stride_path_n) if RANK > 0 else (batch * stride_batch + path * stride_path)
    )
    B += batch * stride_batch_n + path * stride_path_n
    C += batch * stride_batch_n + path * stride_path_n
    c_bias += batch * length * N
    grad_y += batch * stride_batch + path * stride_path
    index += (batch * paths + path) * length
    A_n = loaded(A + path * channels * N + channel, channels, present, N)
    weights = loaded(dt_proj + path * channels * RANK + channel, channels, present, RANK)
    offset = tl.load(bias + path * channels + channel, mask=present, other=0.0)
    zero = tl.zeros([BLOCK], tl.float32)
    states, sent, products, total = filled(zero, N), filled(zero, N), filled(zero + 1.0, N), zero
    for t in range(chunk * span, min((chunk + 1) * span, length), TILE):
        at = places(t, path, orders, index, length, height, width, INDEXED, TILE)
        dt, _ = step_sizes(
            t, length, at, channel, channels, delta, offset, weights,
            stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = rows(t, length, at, channel, channels, u, stride_place, stride_channel)
        if GRADIENT:
            grad = rows(t, length, at, channel, channels, grad_y, stride_place, stride_channel)
        next_states, next_sent, next_products = (), (), ()
        for n in tl.static_range(N):
            b = column(t, length, at, B + n * stride_n, stride_place_n)
            state, back, product = states[n], sent[n], products[n]
            if GRADIENT:
                c = readouts(t, length, at, C + n * stride_n, c_bias + n, stride_place_n, N, C_BIAS)
            for i in tl.static_range(TILE):
                decay = tl.exp2(dt[i] * A_n[n])
                state = decay * state + dt[i] * x[i] * b[i]
                if GRADIENT:
                    product *= decay
                    back += product * grad[i] * c[i]
            next_states = next_states + (state,)  # noqa: RUF005
            next_sent = next_sent + (back,)  # noqa: RUF005
            next_products = next_products + (product,)  # noqa: RUF005
        states, sent, products = next_states, next_sent, next_products
        for i in tl.static_range(TILE):
            total += dt[i]
    base = ((batch * paths + path) * chunks + chunk) * N * channels + channel
    for n in tl.static_range(N):
        tl.store(decays + base + n * channels, tl.exp2(A_n[n] * total), mask=present)
        tl.store(ends + base + n * channels, states[n], mask=present)
        if GRADIENT:
            tl.store(grads + base + n * channels, sent[n], mask=present)


@triton.jit(do_not_specialize=["chunks", "size"])
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
    lane = tl.max_contiguous(tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), 1)
    sequence = tl.program_id(1).to(tl.int64) * chunks
    state = tl.zeros([BLOCK], tl.float32)
    for start in range(0, chunks, TILE):
        decay, value, pointers = (), (), ()
        for i in tl.static_range(TILE):
            chunk = chunks - 1 - (start + i) if REVERSE else start + i
            at = (sequence + chunk) * size + lane
            mask = lane < tl.where(start + i < chunks, size, 0)
            decay = decay + (tl.load(decays + at, mask=mask, other=1.0),)  # noqa: RUF005
            value = value + (tl.load(ends + at, mask=mask, other=0.0),)  # noqa: RUF005
            pointers = pointers + (starts + at,)  # noqa: RUF005
        for i in tl.static_range(TILE):
            tl.store(pointers[i], state, mask=lane < tl.where(start + i < chunks, size, 0))
            state = decay[i] * state + value[i]


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=[*TENSORS, "D", "starts", "before", "out"])
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
    starts: tl.tensor,
    before: tl.tensor,
    out: tl.tensor,
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
    N: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INDEXED: tl.constexpr,
    C_BIAS: tl.constexpr,
    STARTS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Outputs of every chunk from the states before it, ``starts`` (batch, paths, chunks, N, channels).

    STARTS: there are any; else all are zero. ``out`` is strided as u, with a slot of ``stride_slot`` per path launched.
    If ``adds`` is 1 and not 0, ``before``, strided likewise, is added: the sum of the paths that came earlier.
    """
    chunk, path, batch = tl.program_id(0), tl.program_id(1) + path_offset, tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    channel = tl.max_contiguous(chunk % blocks * BLOCK + tl.arange(0, BLOCK), 1)
    chunk = chunk // blocks
    present = channel < channels
    u += batch * stride_batch + path * stride_path
    delta += (
        (batch * stride_batch_n + path * stride_path_n) if RANK > 0 else (batch * stride_batch + path * stride_path)
    )
    B += batch * stride_batch_n + path * stride_path_n
    C += batch * stride_batch_n + path * stride_path_n
    c_bias += batch * length * N
    slot = batch * stride_batch + path * stride_path + tl.program_id(1).to(tl.int64) * stride_slot
    before += slot
    out += slot
    index += (batch * paths + path) * length
    A_n = loaded(A + path * channels * N + channel, channels, present, N)
    weights = loaded(dt_proj + path * channels * RANK + channel, channels, present, RANK)
    offset = tl.load(bias + path * channels + channel, mask=present, other=0.0)
    skip = tl.load(D + path * channels + channel, mask=present, other=0.0)
    if STARTS:
        base = ((batch * paths + path) * chunks + chunk) * N * channels + channel
        states = loaded(starts + base, channels, present, N)
    else:
        states = filled(tl.zeros([BLOCK], tl.float32), N)
    for t in range(chunk * span, min((chunk + 1) * span, length), TILE):
        at = places(t, path, orders, index, length, height, width, INDEXED, TILE)
        dt, _ = step_sizes(
            t, length, at, channel, channels, delta, offset, weights,
            stride_place, stride_channel, stride_place_n, stride_n, RANK, SOFTPLUS,
        )  # fmt: skip
        x = rows(t, length, at, channel, channels, u, stride_place, stride_channel)
        earlier = rows(t, length, at, channel, channels * adds, before, stride_place, stride_channel)
        y = ()
        for i in tl.static_range(TILE):
            y = y + (skip * x[i] + earlier[i],)  # noqa: RUF005
        next_states = ()
        for n in tl.static_range(N):
            b = column(t, length, at, B + n * stride_n, stride_place_n)
            c = readouts(t, length, at, C + n * stride_n, c_bias + n, stride_place_n, N, C_BIAS)
            state, summed = states[n], ()
            for i in tl.static_range(TILE):
                state = tl.exp2(dt[i] * A_n[n]) * state + dt[i] * x[i] * b[i]
                summed = summed + (y[i] + state * c[i],)  # noqa: RUF005
            next_states = next_states + (state,)  # noqa: RUF005
            y = summed
        states = next_states
        for i in tl.static_range(TILE):
            pointer = out + at[i] * stride_place + channel * stride_channel
            tl.store(pointer, y[i].to(out.dtype.element_ty), mask=channel < tl.where(t + i < length, channels, 0))


@triton.jit(do_not_specialize=["slots", "size", "stride_slot"])
def merge(
    parts: tl.tensor,
    out: tl.tensor,
    slots: tl.tensor,
    size: tl.tensor,
    stride_slot: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Sum of ``slots`` parts, one after another, rounded once."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < size
    total = tl.zeros([BLOCK], tl.float32)
    for slot in range(slots):
        total += tl.load(parts + slot * stride_slot + lane, mask=inside, other=0.0)
    tl.store(out + lane, total.to(out.dtype.element_ty), mask=inside)
