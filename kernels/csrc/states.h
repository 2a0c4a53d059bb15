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

// h = 2^(dt A) h + input B; y += C h, for BLOCK states. A is in units of log2; b and c: B and C of these states at the
// first step. DECAYS: no step lets a state grow.
template <int BLOCK, bool FETCH, bool DECAYS>
void scan_block(int steps, Tile& tile, const Vec* A, const float* b, const float* c, int64_t stride, const Ahead& ahead,
                Vec* states) {
    Vec h[BLOCK];
    for (int i = 0; i < BLOCK; i++) h[i] = states[i];
    for (int t = 0; t < steps; t++, b += stride, c += stride) {
        const Vec dt = tile.dt[t], input = tile.input[t];
        Vec y = tile.y[t];
        if constexpr (FETCH) ahead.fetch(t);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
            h[i] = exp2<DECAYS>(dt * A[i]) * h[i] + input * b[i];
            y += h[i] * c[i];
        }
        tile.y[t] = y;
    }
    for (int i = 0; i < BLOCK; i++) states[i] = h[i];
}

using ScanBlock = void (*)(int, Tile&, const Vec*, const float*, const float*, int64_t, const Ahead&, Vec*);

template <bool FETCH, bool DECAYS>
constexpr ScanBlock SCAN_BLOCKS[MAX_BLOCK] = {
    scan_block<1, FETCH, DECAYS>, scan_block<2, FETCH, DECAYS>, scan_block<3, FETCH, DECAYS>,
    scan_block<4, FETCH, DECAYS>, scan_block<5, FETCH, DECAYS>, scan_block<6, FETCH, DECAYS>,
    scan_block<7, FETCH, DECAYS>, scan_block<8, FETCH, DECAYS>};

template <bool DECAYS>
inline void scan_states(int steps, Tile& tile, const Vec* A, const Rows& rows, const Ahead& ahead, Vec* states) {
    for (int n = 0, size; n < rows.d_state; n += size) {
        size = block_size(n, rows.d_state, MAX_BLOCK);
        const ScanBlock block = n == 0 ? SCAN_BLOCKS<true, DECAYS>[size - 1] : SCAN_BLOCKS<false, DECAYS>[size - 1];
        block(steps, tile, A + n, rows.b(0) + n, rows.c(0) + n, rows.stride, ahead, states + n);
    }
}

}  // namespace mambair
