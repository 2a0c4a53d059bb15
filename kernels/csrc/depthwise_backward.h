// Gradients of the depthwise convolution: that of the input is again such a convolution, with the filters turned round.
#pragma once

#include "depthwise.h"

namespace mambair {

// grad_before = grad * slope(conv(x) + bias).
inline void before_activation(const DepthwiseBackwardArguments& job, const Vec* weights, int64_t image, int64_t y) {
    const DepthwiseArguments& forward = job.forward;
    const Activation activation = static_cast<Activation>(forward.activation);
    const int64_t row = (image * forward.height + y) * forward.width * forward.channels;
    for (int64_t c = 0; c < forward.channels; c += LANES, weights += forward.kernel * forward.kernel) {
        const Taps taps = taps_at(forward, weights, ImageRows{forward, image}, y, c);
        convolve_row(taps, [&](int64_t x, auto& sum) {
            constexpr int COUNT = sizeof sum / sizeof sum[0];
            slope<COUNT>(activation, sum);
            for (int i = 0; i < COUNT; i++) {
                const int64_t at = row + (x + i) * forward.channels + c;
                store_part(job.grad_before + at, sum[i] * load_part(job.grad + at, taps.lanes), taps.lanes);
            }
        });
    }
}

// Adds what outputs [begin, end) of one row contribute to the gradients of the taps and of the bias; `grad` points to the
// row. INSIDE: every tap of them lies in the image.
template <int KERNEL, bool INSIDE>
void gather_taps(const Taps& taps, const float* grad, int64_t grad_stride, int64_t begin, int64_t end, Vec* sums) {
    Vec sum[KERNEL * KERNEL];
    for (int i = 0; i < KERNEL * KERNEL; i++) sum[i] = sums[i];
    Vec bias = sums[KERNEL * KERNEL];
    for (int64_t x = begin; x < end; x++) {
        const Vec g = load_part(grad + x * grad_stride, taps.lanes);
        bias += g;
#pragma GCC unroll 8
        for (int ky = 0; ky < KERNEL; ky++) {
            if (!INSIDE && taps.rows[ky] == nullptr) continue;
#pragma GCC unroll 8
            for (int kx = 0; kx < KERNEL; kx++) {
                const int64_t column = x + (kx - KERNEL / 2) * taps.dilation;
                if (!INSIDE && (column < 0 || column >= taps.width)) continue;
                sum[ky * KERNEL + kx] += g * load_part(taps.rows[ky] + column * taps.stride, taps.lanes);
            }
        }
    }
    for (int i = 0; i < KERNEL * KERNEL; i++) sums[i] = sum[i];
    sums[KERNEL * KERNEL] = bias;
}

template <int KERNEL>
void gather_taps(const Taps& taps, const float* grad, int64_t grad_stride, Vec* sums) {
    const int64_t pad = taps.dilation * (KERNEL / 2);
    const bool inside = std::find(taps.rows, taps.rows + KERNEL, nullptr) == taps.rows + KERNEL && taps.width > 2 * pad;
    const int64_t begin = inside ? pad : taps.width, end = inside ? taps.width - pad : taps.width;
    gather_taps<KERNEL, false>(taps, grad, grad_stride, 0, begin, sums);
    gather_taps<KERNEL, true>(taps, grad, grad_stride, begin, end, sums);
    gather_taps<KERNEL, false>(taps, grad, grad_stride, end, taps.width, sums);
}

inline void gather_taps(const Taps& taps, const float* grad, int64_t grad_stride, Vec* sums) {
    if (taps.kernel == 1) gather_taps<1>(taps, grad, grad_stride, sums);
    if (taps.kernel == 3) gather_taps<3>(taps, grad, grad_stride, sums);
    if (taps.kernel == 5) gather_taps<5>(taps, grad, grad_stride, sums);
    if (taps.kernel == 7) gather_taps<7>(taps, grad, grad_stride, sums);
}

// False when there is no memory.
inline bool depthwise_backward(const DepthwiseBackwardArguments& job, Arena& arena) {
    const DepthwiseArguments& forward = job.forward;
    const int64_t area = forward.kernel * forward.kernel, vectors = (forward.channels + LANES - 1) / LANES;
    Vec* weights = reinterpret_cast<Vec*>(arena.reserve(2 * vectors * area * static_cast<int64_t>(sizeof(Vec))));
    if (weights == nullptr) return false;
    Vec* turned = weights + vectors * area;
    pack_taps(forward, weights);
    for (int64_t i = 0; i < vectors * area; i++) turned[i] = weights[i / area * area + area - 1 - i % area];
    const int threads = static_cast<int>(forward.threads);
    const int64_t rows = forward.batch * forward.height;
    const auto over_rows = [&](auto function) {
        parallel_shares(rows, threads, [&](int64_t i, int share) { function(i / forward.height, i % forward.height, share); });
    };
    const float* grad = job.grad_before == nullptr ? job.grad : job.grad_before;
    Vec* sums = reinterpret_cast<Vec*>(job.grad_weight);
    std::fill_n(sums, threads * vectors * (area + 1), Vec{});
    if (job.grad_before != nullptr)
        over_rows([&](int64_t image, int64_t y, int) { before_activation(job, weights, image, y); });
    DepthwiseArguments reverse = forward;
    reverse.x = grad, reverse.x_stride = forward.channels, reverse.bias = nullptr, reverse.activation = IDENTITY;
    reverse.y = job.grad_x;
    over_rows([&](int64_t image, int64_t y, int share) {
        float* out = reverse.y + (image * forward.height + y) * forward.width * forward.channels;
        depthwise_row(reverse, turned, ImageRows{reverse, image}, y, out);
        for (int64_t v = 0; v < vectors; v++) {
            const Taps taps = taps_at(forward, weights, ImageRows{forward, image}, y, v * LANES);
            gather_taps(taps, grad + (image * forward.height + y) * forward.width * forward.channels + v * LANES,
                        forward.channels, sums + (share * vectors + v) * (area + 1));
        }
    });
    return true;
}

}  // namespace mambair
