// A skip connection with a scale per channel, joined by features with a gate per image and channel.
#pragma once

#include <algorithm>

#include "arena.h"
#include "arguments.h"
#include "parallel.h"
#include "vec.h"

namespace mambair {

constexpr int64_t RESIDUAL_BLOCK = 256;

inline int64_t residual_blocks(const ResidualArguments& job) {
    return (job.pixels + RESIDUAL_BLOCK - 1) / RESIDUAL_BLOCK;
}

// function(vector of channels, its lanes, image, first pixel, pixels, block) for every block of every image.
template <class Function>
void over_blocks(const ResidualArguments& job, Function function) {
    const int64_t blocks = residual_blocks(job);
    parallel_shares(job.images * blocks, static_cast<int>(job.threads), [&](int64_t i, int) {
        const int64_t image = i / blocks, first = i % blocks * RESIDUAL_BLOCK;
        const int64_t count = std::min(RESIDUAL_BLOCK, job.pixels - first);
        for (int64_t c = 0; c < job.channels; c += LANES)
            function(c, static_cast<int>(std::min<int64_t>(LANES, job.channels - c)), image, image * job.pixels + first,
                     count, i);
    });
}

// Pixel after pixel, as memory lies; the scales and gates of all channels stay in the L1 cache.
inline void gated_residual(const ResidualArguments& job) {
    want_huge_pages(job.y, job.images * job.pixels * job.channels);
    const int64_t blocks = residual_blocks(job);
    parallel_shares(job.images * blocks, static_cast<int>(job.threads), [&](int64_t i, int) {
        const int64_t image = i / blocks, first = i % blocks * RESIDUAL_BLOCK;
        const int64_t last = std::min(first + RESIDUAL_BLOCK, job.pixels);
        // Copies: what is stored might be anything, so that the compiler would read all else anew.
        const int64_t channels = job.channels;
        const float *scale = job.scale, *gates = job.gate + image * channels, *x = job.x, *features = job.features;
        float* y = job.y;
        for (int64_t p = image * job.pixels + first, end = image * job.pixels + last; p < end; p++)
            over_channels(channels, [=](int64_t c, auto lanes) {
                const int64_t at = p * channels + c;
                const Vec kept = load_part(x + at, lanes) * load_part(scale + c, lanes);
                store_part(y + at, kept + load_part(features + at, lanes) * load_part(gates + c, lanes), lanes);
            });
    });
}

inline void gated_residual_backward(const ResidualBackwardArguments& job) {
    const ResidualArguments& forward = job.forward;
    over_blocks(forward, [&](int64_t c, int lanes, int64_t image, int64_t first, int64_t count, int64_t block) {
        const Vec scale = load_part(forward.scale + c, lanes);
        const Vec gate = load_part(forward.gate + image * forward.channels + c, lanes);
        Vec grad_scale{}, grad_gate{};
        for (int64_t p = first; p < first + count; p++) {
            const int64_t at = p * forward.channels + c;
            const Vec grad = load_part(job.grad + at, lanes);
            grad_scale += grad * load_part(forward.x + at, lanes);
            grad_gate += grad * load_part(forward.features + at, lanes);
            store_part(job.grad_x + at, grad * scale, lanes);
            store_part(job.grad_features + at, grad * gate, lanes);
        }
        float* sums = job.grad_sums + block * 2 * forward.channels + c;
        store_part(sums, grad_scale, lanes);
        store_part(sums + forward.channels, grad_gate, lanes);
    });
}

}  // namespace mambair
