// Depthwise convolution on channels-last images, with bias and activation.
#pragma once

#include <algorithm>

#include "activation.h"
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

template <int KERNEL>
inline void convolve_inside(const Taps& taps, int64_t x, Vec* sum) {
    const int pad = taps.dilation * (KERNEL / 2);
    for (int i = 0; i < NEIGHBOURS; i++) sum[i] = taps.bias;
    for (int ky = 0; ky < KERNEL; ky++) {
        if (taps.rows[ky] == nullptr) continue;
        const float* from = taps.rows[ky] + (x - pad) * taps.stride;
#pragma GCC unroll 8
        for (int kx = 0; kx < KERNEL; kx++) {
            const Vec weight = taps.weights[ky * KERNEL + kx];
            const float* tap = from + kx * taps.dilation * taps.stride;
#pragma GCC unroll 4
            for (int i = 0; i < NEIGHBOURS; i++) sum[i] += load_part(tap + i * taps.stride, taps.lanes) * weight;
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

inline void convolve_inside(const Taps& taps, int64_t x, Vec* sum) {
    if (taps.kernel == 3) return convolve_inside<3>(taps, x, sum);
    if (taps.kernel == 5) return convolve_inside<5>(taps, x, sum);
    for (int i = 0; i < NEIGHBOURS; i++) sum[i] = convolve_border(taps, x + i);
}

inline void convolve_row(const Taps& taps, Activation activation, int64_t out_stride, float* out) {
    const int64_t pad = taps.dilation * (taps.kernel / 2);
    for (int64_t x = 0; x < taps.width;) {
        if (x >= pad && x + NEIGHBOURS + pad <= taps.width) {
            Vec sum[NEIGHBOURS];
            convolve_inside(taps, x, sum);
            activate<NEIGHBOURS>(activation, sum);
            for (int i = 0; i < NEIGHBOURS; i++) store_part(out + (x + i) * out_stride, sum[i], taps.lanes);
            x += NEIGHBOURS;
        } else {
            Vec sum[1] = {convolve_border(taps, x)};
            activate<1>(activation, sum);
            store_part(out + x * out_stride, sum[0], taps.lanes);
            x++;
        }
    }
}

inline void depthwise_row(const DepthwiseArguments& job, int64_t image, int64_t y) {
    const int kernel = static_cast<int>(job.kernel), area = kernel * kernel;
    const float* x = job.x + image * job.height * job.width * job.x_stride;
    float* out = job.y + (image * job.height + y) * job.width * job.channels;
    for (int64_t c = 0; c < job.channels; c += LANES) {
        const int lanes = static_cast<int>(std::min<int64_t>(LANES, job.channels - c));
        Vec weights[MAX_KERNEL * MAX_KERNEL];
        for (int k = 0; k < area; k++)
            for (int lane = 0; lane < LANES; lane++)
                weights[k][lane] = lane < lanes ? job.weight[(c + lane) * area + k] : 0.0f;
        Taps taps{{}, weights, job.bias == nullptr ? Vec{} : load_part(job.bias + c, lanes), job.x_stride, job.width,
                  kernel, static_cast<int>(job.dilation), lanes};
        for (int ky = 0; ky < kernel; ky++) {
            const int64_t row = y + (ky - kernel / 2) * job.dilation;
            if (row >= 0 && row < job.height) taps.rows[ky] = x + row * job.width * job.x_stride + c;
        }
        convolve_row(taps, static_cast<Activation>(job.activation), job.channels, out + c);
    }
}

inline void depthwise(const DepthwiseArguments& job) {
    parallel_for(job.batch * job.height, static_cast<int>(job.threads),
                 [&](int64_t i, int) { depthwise_row(job, i / job.height, i % job.height); });
}

}  // namespace mambair
