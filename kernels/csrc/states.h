// The recurrence over one chunk of steps for one vector of channels, the states of a block held in registers.
#pragma once

#include "math.h"

namespace mambair {

// Long enough to amortise the traffic of the states, short enough for everything of a chunk to stay in the L1 cache.
constexpr int CHUNK = 16;
constexpr int MAX_BLOCK = 8;

// Values of one vector of channels at every step of a chunk.
struct Tile {
    Vec u[CHUNK], dt[CHUNK], input[CHUNK], y[CHUNK];
};

// B and C at every step of a chunk: row t holds [low-rank dt | B | C] of step t.
struct Rows {
    const float* data;
    int stride, rank, d_state;

    const float* b(int t) const { return data + t * stride + rank; }
    const float* c(int t) const { return b(t) + d_state; }
};

// The lines that the next chunk will touch in the input and in its rows.
struct Lines {
    const char *pixels[CHUNK], *rows[CHUNK];
};

// Asks for those of one vector of channels: `channel` and, for the outputs, `output` bytes after the pixels, `row` bytes
// after the rows; in the backward pass `grad_output` and `grad_row` bytes after them, too. A line at a time between the
// arithmetic of the current chunk: asked for all at once, the lines would queue up and stall it. Whole addresses, and as
// few as possible: more instructions here are felt.
struct Ahead {
    const Lines& lines;
    int64_t channel, output, row, grad_output = 0, grad_row = 0;

    void fetch(int t) const {
        __builtin_prefetch(lines.pixels[t] + channel);
        __builtin_prefetch(lines.pixels[t] + output);
        __builtin_prefetch(lines.rows[t] + row);
    }

    void fetch_backward(int t) const {
        fetch(t);
        __builtin_prefetch(lines.pixels[t] + grad_output);
        __builtin_prefetch(lines.rows[t] + grad_row);
    }
};

// From one array to another, in bytes.
inline int64_t distance(const float* from, const float* to) {
    return static_cast<int64_t>(reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from));
}

// Size of the block that starts at state n: d_state split into as few blocks as possible, as even as possible.
inline int block_size(int n, int d_state, int limit) {
    const int left = d_state - n, blocks = (left + limit - 1) / limit;
    return (left + blocks - 1) / blocks;
}

// h = 2^(dt A) h + input B; y += C h, for BLOCK vectors of states. A is in units of log2; b and c: B and C of these states
// at the first step. RANGE: of dt A. PAIRED: the channels fill half of a vector, and every state of one, like A, is followed
// by the next state of the same channel.
template <int BLOCK, bool FETCH, Range RANGE, bool PAIRED>
void scan_block(int steps, Tile& tile, const Vec* A, const float* b, const float* c, int64_t stride, const Ahead& ahead,
                Vec* states) {
    const auto value = [](const float* from, int i) { return PAIRED ? broadcast_pair(from + 2 * i) : broadcast(from[i]); };
    Vec h[BLOCK];
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK; i++) h[i] = states[i];
    for (int t = 0; t < steps; t++, b += stride, c += stride) {
        const Vec dt = PAIRED ? interleave(tile.dt[t], tile.dt[t]) : tile.dt[t];
        const Vec input = PAIRED ? interleave(tile.input[t], tile.input[t]) : tile.input[t];
        Vec y = PAIRED ? Vec{} : tile.y[t];
        if constexpr (FETCH) ahead.fetch(t);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
            h[i] = exp2_product<RANGE>(dt, A[i]) * h[i] + input * value(b, i);
            y += h[i] * value(c, i);
        }
        tile.y[t] = PAIRED ? tile.y[t] + sum_pairs(y) : y;
    }
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK; i++) states[i] = h[i];
}

using ScanBlock = void (*)(int, Tile&, const Vec*, const float*, const float*, int64_t, const Ahead&, Vec*);

template <bool FETCH, Range RANGE, bool PAIRED>
constexpr ScanBlock SCAN_BLOCKS[MAX_BLOCK] = {
    scan_block<1, FETCH, RANGE, PAIRED>, scan_block<2, FETCH, RANGE, PAIRED>, scan_block<3, FETCH, RANGE, PAIRED>,
    scan_block<4, FETCH, RANGE, PAIRED>, scan_block<5, FETCH, RANGE, PAIRED>, scan_block<6, FETCH, RANGE, PAIRED>,
    scan_block<7, FETCH, RANGE, PAIRED>, scan_block<8, FETCH, RANGE, PAIRED>};

// All states, `count` vectors of them.
template <Range RANGE, bool PAIRED>
inline void scan_blocks(int steps, Tile& tile, const Vec* A, int count, const Rows& rows, const Ahead& ahead, Vec* states) {
    constexpr int IN_ONE = PAIRED ? 2 : 1;
    for (int n = 0, size; n < count; n += size) {
        size = block_size(n, count, MAX_BLOCK);
        const ScanBlock block =
            n == 0 ? SCAN_BLOCKS<true, RANGE, PAIRED>[size - 1] : SCAN_BLOCKS<false, RANGE, PAIRED>[size - 1];
        block(steps, tile, A + n, rows.b(0) + IN_ONE * n, rows.c(0) + IN_ONE * n, rows.stride, ahead, states + n);
    }
}

// Whether no factor of a chunk is as small as the least normal number; no step size is negative, and no A is positive.
inline bool all_normal(int steps, const Tile& tile, const Vec* A, int d_state) {
    Vec longest = tile.dt[0], lowest = A[0];
    for (int t = 1; t < steps; t++) longest = maximum(longest, tile.dt[t]);
    for (int n = 1; n < d_state; n++) lowest = minimum(lowest, A[n]);
    return all(longest * lowest > broadcast(-126.0f));
}

// DECAYS: no step size is negative, and no A is positive.
template <bool DECAYS>
inline void scan_states(int steps, Tile& tile, const Vec* A, const Rows& rows, const Ahead& ahead, Vec* states) {
    if constexpr (!DECAYS || !RANGE_MATTERS)
        scan_blocks<Range::ANY, false>(steps, tile, A, rows.d_state, rows, ahead, states);
    else if (all_normal(steps, tile, A, rows.d_state))
        scan_blocks<Range::NORMAL, false>(steps, tile, A, rows.d_state, rows, ahead, states);
    else
        scan_blocks<Range::NEGATIVE, false>(steps, tile, A, rows.d_state, rows, ahead, states);
}

constexpr int MAX_STATE_PAIRS = 32;

// Whether pairs of states fit side by side, so that half as many vectors have to be computed.
inline bool can_pair_states(int lanes, int d_state) {
    return lanes <= LANES / 2 && d_state % 2 == 0 && d_state <= 2 * MAX_STATE_PAIRS;
}

// The same for channels of which two states fit into a vector, where they stay: see can_pair_states.
inline void scan_paired_states(int steps, Tile& tile, const Vec* A, const Rows& rows, const Ahead& ahead, Vec* states) {
    Vec pairs[MAX_STATE_PAIRS];
    const int count = rows.d_state / 2;
    for (int i = 0; i < count; i++) pairs[i] = interleave(A[2 * i], A[2 * i + 1]);
    scan_blocks<Range::ANY, true>(steps, tile, pairs, count, rows, ahead, states);
}

}  // namespace mambair
