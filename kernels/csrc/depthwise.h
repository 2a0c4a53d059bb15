// Depthwise convolution on channels-last images, with bias and activation.
#pragma once

#include <algorithm>

#include "activation.h"
#include "arena.h"
#include "arguments.h"
#include "parallel.h"

namespace mambair {

constexpr int MAX_KERNEL = 7;
constexpr int NEIGHBOURS = 4;  // outputs computed together, to keep the multiply-add units busy

// The taps of one row of outputs for one vector of channels.
struct Taps {
    const float* rows[MAX_KERNEL];  // input rows at column 0; null outside the image
    const Vec* weights;
    Vec bias;
    int64_t stride, width;
    int kernel, dilation, lanes;
};

// Every input pixel is loaded once for all the outputs that it reaches.
template <int KERNEL, int DILATION, bool FULL>
inline void convolve_inside(const Taps& taps, int64_t x, Vec* sum) {
    constexpr int PAD = DILATION * (KERNEL / 2), REACH = NEIGHBOURS + 2 * PAD;
    const int lanes = FULL ? LANES : taps.lanes;
#pragma GCC unroll 4
    for (int i = 0; i < NEIGHBOURS; i++) sum[i] = taps.bias;
    for (int ky = 0; ky < KERNEL; ky++) {
        if (taps.rows[ky] == nullptr) continue;
        const float* from = taps.rows[ky] + (x - PAD) * taps.stride;
        Vec pixels[REACH];
#pragma GCC unroll 16
        for (int i = 0; i < REACH; i++) pixels[i] = load_part(from + i * taps.stride, lanes);
#pragma GCC unroll 8
        for (int kx = 0; kx < KERNEL; kx++) {
            const Vec weight = taps.weights[ky * KERNEL + kx];
#pragma GCC unroll 4
            for (int i = 0; i < NEIGHBOURS; i++) sum[i] += pixels[i + kx * DILATION] * weight;
        }
    }
}

inline Vec convolve_border(const Taps& taps, int64_t x) {
    Vec sum = taps.bias;
    for (int ky = 0; ky < taps.kernel; ky++) {
        if (taps.rows[ky] == nullptr) continue;
        for (int kx = 0; kx < taps.kernel; kx++) {
            const int64_t column = x + (kx - taps.kernel / 2) * taps.dilation;
            if (column < 0 || column >= taps.width) continue;
            sum += load_part(taps.rows[ky] + column * taps.stride, taps.lanes) * taps.weights[ky * taps.kernel + kx];
        }
    }
    return sum;
}

template <int KERNEL, int DILATION>
inline void convolve_inside(const Taps& taps, int64_t x, Vec* sum) {
    if (taps.lanes == LANES) convolve_inside<KERNEL, DILATION, true>(taps, x, sum);
    else convolve_inside<KERNEL, DILATION, false>(taps, x, sum);
}

inline void convolve_inside(const Taps& taps, int64_t x, Vec* sum) {
    if (taps.kernel == 3 && taps.dilation == 1) return convolve_inside<3, 1>(taps, x, sum);
    if (taps.kernel == 3 && taps.dilation == 2) return convolve_inside<3, 2>(taps, x, sum);
    if (taps.kernel == 5 && taps.dilation == 1) return convolve_inside<5, 1>(taps, x, sum);
#pragma GCC unroll 4
    for (int i = 0; i < NEIGHBOURS; i++) sum[i] = convolve_border(taps, x + i);
}

// Outputs from column x to `end`, or a few more: finish(x, sums) takes neighbours from column x on. Returns where it
// stopped.
template <class Finish>
inline int64_t convolve_columns(const Taps& taps, int64_t x, int64_t end, Finish finish) {
    const int64_t pad = taps.dilation * (taps.kernel / 2);
    const int64_t last = taps.width - pad - NEIGHBOURS;  // the last block of neighbours may overlap the one before
    while (x < end) {
        if (x >= pad && x < taps.width - pad && last >= pad) {
            x = std::min(x, last);
            Vec sum[NEIGHBOURS];
            convolve_inside(taps, x, sum);
            finish(x, sum);
            x += NEIGHBOURS;
        } else {
            Vec sum[1] = {convolve_border(taps, x)};
            finish(x, sum);
            x++;
        }
    }
    return x;
}

template <class Finish>
inline void convolve_row(const Taps& taps, Finish finish) {
    convolve_columns(taps, 0, taps.width, finish);
}

// Vectors of packed weights.
inline int64_t taps_vectors(const DepthwiseArguments& job) {
    return (job.channels + LANES - 1) / LANES * job.kernel * job.kernel;
}

// weight (channels, kernel, kernel) to one vector per channel vector and tap.
inline void pack_taps(const DepthwiseArguments& job, Vec* to) {
    const int64_t area = job.kernel * job.kernel;
    for (int64_t c = 0; c < job.channels; c += LANES)
        for (int64_t k = 0; k < area; k++, to++)
            for (int lane = 0; lane < LANES; lane++)
                (*to)[lane] = c + lane < job.channels ? job.weight[(c + lane) * area + k] : 0.0f;
}

// Where the rows of one image of the input begin; null outside.
struct ImageRows {
    const DepthwiseArguments& job;
    int64_t image;

    const float* operator()(int64_t y) const {
        return y < 0 || y >= job.height ? nullptr : job.x + (image * job.height + y) * job.width * job.x_stride;
    }
};

template <class RowAt>
Taps taps_at(const DepthwiseArguments& job, const Vec* weights, const RowAt& row_at, int64_t y, int64_t c) {
    const int kernel = static_cast<int>(job.kernel);
    const int lanes = static_cast<int>(std::min<int64_t>(LANES, job.channels - c));
    Taps taps{{}, weights, job.bias == nullptr ? Vec{} : load_part(job.bias + c, lanes), job.x_stride, job.width,
              kernel, static_cast<int>(job.dilation), lanes};
    for (int ky = 0; ky < kernel; ky++) {
        const float* row = row_at(y + (ky - kernel / 2) * job.dilation);
        taps.rows[ky] = row == nullptr ? nullptr : row + c;
    }
    return taps;
}

// Row y of the results. All channels of some columns, then those of the next: the pixels of three rows stay in the L1
// cache.
template <class RowAt>
void depthwise_row(const DepthwiseArguments& job, const Vec* weights, const RowAt& row_at, int64_t y, float* out) {
    constexpr int64_t COLUMNS_TOGETHER = 32;
    const Activation activation = static_cast<Activation>(job.activation);
    const int64_t area = job.kernel * job.kernel, channels = job.channels, width = job.width;
    for (int64_t first = 0, reached = 0; first < width; first = reached) {
        const int64_t end = std::min(first + COLUMNS_TOGETHER, width);
        for (int64_t c = 0; c < channels; c += LANES) {
            const Taps taps = taps_at(job, weights + c / LANES * area, row_at, y, c);
            // Copies: what is stored might be anything, so that the compiler would read all else anew.
            float* to = out + c;
            const int lanes = taps.lanes;
            reached = convolve_columns(taps, first, end, [=](int64_t x, auto& sum) {
                constexpr int COUNT = sizeof sum / sizeof sum[0];
                activate<COUNT>(activation, sum);
                float* pixel = to + x * channels;
#pragma GCC unroll 4
                for (int i = 0; i < COUNT; i++, pixel += channels) store_part(pixel, sum[i], lanes);
            });
        }
    }
}

// False when there is no memory.
inline bool depthwise(const DepthwiseArguments& job, Arena& arena) {
    Vec* weights = reinterpret_cast<Vec*>(arena.reserve(taps_vectors(job) * static_cast<int64_t>(sizeof(Vec))));
    if (weights == nullptr) return false;
    pack_taps(job, weights);
    parallel_shares(job.batch * job.height, static_cast<int>(job.threads), [&](int64_t i, int) {
        float* out = job.y + i * job.width * job.channels;
        depthwise_row(job, weights, ImageRows{job, i / job.height}, i % job.height, out);
    });
    return true;
}

}  // namespace mambair
