// Dense product of many pixels with one small matrix that stays in the cache.
#pragma once

#include <algorithm>

#include "vec.h"

namespace mambair {

// As many accumulators as the registers hold: PIXELS x COLUMNS, plus one row of the matrix and one value.
constexpr int COLUMNS = 3;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int PIXELS = 8;
#else
constexpr int PIXELS = 4;
#endif

template <int ROWS, int WIDTH>
void project_tile(const float* x, int64_t channels, const Vec* matrix, int64_t vectors, float* out, int64_t stride) {
    Vec sum[ROWS][WIDTH];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
        for (int j = 0; j < WIDTH; j++) sum[i][j] = Vec{};
#pragma GCC unroll 2
    for (int64_t c = 0; c < channels; c++) {
        Vec weights[WIDTH];
#pragma GCC unroll 8
        for (int j = 0; j < WIDTH; j++) weights[j] = matrix[c * vectors + j];
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            const Vec value = broadcast(x[i * channels + c]);
#pragma GCC unroll 8
            for (int j = 0; j < WIDTH; j++) sum[i][j] += value * weights[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
        for (int j = 0; j < WIDTH; j++) store(out + i * stride + j * LANES, sum[i][j]);
}

template <int ROWS>
void project_rows(const float* x, int64_t channels, const Vec* matrix, int64_t vectors, float* out, int64_t stride) {
    using Function = void (*)(const float*, int64_t, const Vec*, int64_t, float*, int64_t);
    static constexpr Function widths[3] = {project_tile<ROWS, 1>, project_tile<ROWS, 2>, project_tile<ROWS, 3>};
    for (int64_t j = 0, width; j < vectors; j += width) {
        const int64_t left = vectors - j, blocks = (left + COLUMNS - 1) / COLUMNS;
        width = (left + blocks - 1) / blocks;
        widths[width - 1](x, channels, matrix + j, vectors, out + j * LANES, stride);
    }
}

// out (pixels, vectors * LANES), pixels `stride` floats apart, = x (pixels, channels) @ matrix (channels, vectors * LANES).
inline void project(const float* x, int64_t pixels, int64_t channels, const Vec* matrix, int64_t vectors, float* out,
                    int64_t stride) {
    int64_t p = 0;
    for (; p + PIXELS <= pixels; p += PIXELS)
        project_rows<PIXELS>(x + p * channels, channels, matrix, vectors, out + p * stride, stride);
    for (; p < pixels; p++) project_rows<1>(x + p * channels, channels, matrix, vectors, out + p * stride, stride);
}

}  // namespace mambair
