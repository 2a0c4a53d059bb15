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

// What the next chunk will touch: at step t, `input` and `output` + pixels[t] and `row` + rows[t]; in the backward pass
// also the gradients of output and row. Fetched a line at a
// time between the arithmetic of the current chunk; asked for all at once, the lines would queue up and stall it. The
// offsets are ready to use because integer instructions would compete with the arithmetic for its ports.
struct Ahead {
    const float *input, *output, *row;
    const int64_t *pixels, *rows;
    const float *grad_output = nullptr, *grad_row = nullptr;

    void fetch(int t) const {
        __builtin_prefetch(input + pixels[t]);
        __builtin_prefetch(output + pixels[t]);
        __builtin_prefetch(row + rows[t]);
    }

    void fetch_backward(int t) const {
        fetch(t);
        __builtin_prefetch(grad_output + pixels[t]);
        __builtin_prefetch(grad_row + rows[t]);
    }
};

// Size of the block that starts at state n: d_state split into as few blocks as possible, as even as possible.
inline int block_size(int n, int d_state, int limit) {
    const int left = d_state - n, blocks = (left + limit - 1) / limit;
    return (left + blocks - 1) / blocks;
}

// h = 2^(dt A) h + input B; y += C h, for states n to n + BLOCK. A is in units of log2.
template <int BLOCK>
void scan_block(int steps, Tile& tile, const Vec* A, const Rows& rows, const Ahead& ahead, int n, Vec* states) {
    Vec h[BLOCK];
    for (int i = 0; i < BLOCK; i++) h[i] = states[n + i];
    for (int t = 0; t < steps; t++) {
        const Vec dt = tile.dt[t], input = tile.input[t];
        const float *b = rows.b(t) + n, *c = rows.c(t) + n;
        Vec y = tile.y[t];
        ahead.fetch(t);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
            h[i] = exp2(dt * A[n + i]) * h[i] + input * b[i];
            y += h[i] * c[i];
        }
        tile.y[t] = y;
    }
    for (int i = 0; i < BLOCK; i++) states[n + i] = h[i];
}

inline void scan_states(int steps, Tile& tile, const Vec* A, const Rows& rows, const Ahead& ahead, Vec* states) {
    using Function = void (*)(int, Tile&, const Vec*, const Rows&, const Ahead&, int, Vec*);
    static constexpr Function blocks[MAX_BLOCK] = {scan_block<1>, scan_block<2>, scan_block<3>, scan_block<4>,
                                                   scan_block<5>, scan_block<6>, scan_block<7>, scan_block<8>};
    for (int n = 0, size; n < rows.d_state; n += size) {
        size = block_size(n, rows.d_state, MAX_BLOCK);
        blocks[size - 1](steps, tile, A, rows, ahead, n, states);
    }
}

}  // namespace mambair
