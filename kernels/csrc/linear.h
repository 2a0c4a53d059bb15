// A linear layer with what usually surrounds it in a network, over pixels that stay in the cache in between.
#pragma once

#include <algorithm>

#include "activation.h"
#include "arena.h"
#include "arguments.h"
#include "norm.h"
#include "parallel.h"
#include "project.h"

namespace mambair {

constexpr int64_t PIXEL_BLOCK = 32;

// Of a row of products.
inline int64_t linear_vectors(const LinearArguments& job) { return (job.out + LANES - 1) / LANES; }

// Private memory of a thread: a block of pixels as the matrix product wants them.
inline int64_t linear_rows(const LinearArguments& job) { return (PIXEL_BLOCK * job.in + LANES - 1) / LANES * LANES; }

// The same and the products.
inline int64_t linear_floats(const LinearArguments& job) {
    return linear_rows(job) + PIXEL_BLOCK * linear_vectors(job) * LANES;
}

struct LinearScratch {
    Vec* matrix;
    float* local;
    int64_t bytes;

    LinearScratch(Carver carver, const LinearArguments& job)
        : matrix(carver.take<Vec>(job.in * linear_vectors(job))),
          local(carver.take<float>(job.threads * linear_floats(job))),
          bytes(carver.used()) {}
};

// Contiguous rows times silu(gate). A gate is often every second half of a wider row, which the processor's own
// prefetchers do not follow: the next block of pixels is asked for here.
inline void apply_gate(const LinearArguments& job, int64_t start, int64_t count, float* to) {
    const int64_t in = job.in, stride = job.gate_stride;
    const float* gates = job.gate + start * stride;
    over_channels(in, [&](int64_t c, auto lanes) {
        for (int64_t p = 0; p < count; p += 4) {
            const int pixels = static_cast<int>(std::min<int64_t>(4, count - p));
            Vec gate[4] = {};
            for (int i = 0; i < pixels; i++) {
                const float* from = gates + (p + i) * stride + c;
                __builtin_prefetch(from + PIXEL_BLOCK * stride);
                gate[i] = load_part(from, lanes);
            }
            silu<4>(gate);
            for (int i = 0; i < pixels; i++) {
                float* value = to + (p + i) * in + c;
                store_part(value, load_part(value, lanes) * gate[i], lanes);
            }
        }
    });
}

// Rows as the matrix product wants them: normalised, gated, contiguous.
inline void prepare_rows(const LinearArguments& job, int64_t start, int64_t count, float* to) {
    const Norm norm{job.norm_weight, job.norm_bias, job.eps};
    for (int64_t p = 0; p < count; p += LANES) {
        const int pixels = static_cast<int>(std::min<int64_t>(LANES, count - p));
        const float* x = job.x + (start + p) * job.x_stride;
        if (job.norm_weight != nullptr) normalise(norm, x, job.x_stride, pixels, job.in, to + p * job.in);
        else for (int i = 0; i < pixels; i++) std::copy_n(x + i * job.x_stride, job.in, to + (p + i) * job.in);
    }
    if (job.gate != nullptr) apply_gate(job, start, count, to);
}

// Copies of what is pointed to, here and below: what is stored might be anything, so that the compiler would read all
// else anew.
inline void finish_row(const LinearArguments& job, int64_t pixel, const float* from) {
    const float* residual = job.residual == nullptr ? nullptr : job.residual + pixel * job.out;
    const float *bias = job.bias, *scales = job.scale;
    const int64_t out = job.out;
    const Activation activation = static_cast<Activation>(job.activation);
    float* to = job.y + pixel * out;
    over_channels(out, [=](int64_t c, auto lanes) {
        Vec value[1] = {load(from + c)};
        if (bias != nullptr) value[0] += load_part(bias + c, lanes);
        activate<1>(activation, value);
        if (residual != nullptr) {
            const Vec scale = scales == nullptr ? broadcast(1.0f) : load_part(scales + c, lanes);
            value[0] += load_part(residual + c, lanes) * scale;
        }
        store_part(to + c, value[0], lanes);
    });
}

// weight (out, in) transposed to (in, vectors).
inline void pack_linear(const LinearArguments& job, Vec* matrix, int64_t vectors) {
    float* to = reinterpret_cast<float*>(matrix);
    const int64_t stride = vectors * LANES;
    parallel_for((job.in + 15) / 16, static_cast<int>(job.threads), [&](int64_t block, int) {
        for (int64_t c = block * 16; c < std::min(job.in, block * 16 + 16); c++) {
            for (int64_t o = 0; o < job.out; o++) to[c * stride + o] = job.weight[o * job.in + c];
            std::fill(to + c * stride + job.out, to + (c + 1) * stride, 0.0f);
        }
    });
}

// The products of pixels [start, start + count), rows of whole vectors; in `to` unless that is null.
inline const float* linear_products(const LinearArguments& job, const Vec* matrix, float* local, int64_t start,
                                    int64_t count, float* to = nullptr) {
    const int64_t vectors = linear_vectors(job);
    float* products = to == nullptr ? local + linear_rows(job) : to;
    const bool ready = job.norm_weight == nullptr && job.gate == nullptr && job.x_stride == job.in;
    if (!ready) prepare_rows(job, start, count, local);
    const float* rows = ready ? job.x + start * job.in : local;
    project(rows, count, job.in, matrix, vectors, products, vectors * LANES);
    return products;
}

// A block of pixels from `start` on.
inline void linear_block(const LinearArguments& job, const Vec* matrix, float* local, int64_t start) {
    const int64_t count = std::min(PIXEL_BLOCK, job.pixels - start), stride = linear_vectors(job) * LANES;
    // Products that nothing is added to, and that fill whole vectors, are written where they belong at once.
    const bool plain =
        job.bias == nullptr && job.residual == nullptr && job.activation == IDENTITY && job.out == stride;
    const float* products =
        linear_products(job, matrix, local, start, count, plain ? job.y + start * job.out : nullptr);
    for (int64_t p = 0; p < count && !plain; p++) finish_row(job, start + p, products + p * stride);
}

// False when there is no memory.
inline bool linear(const LinearArguments& job, Arena& arena) {
    char* block = arena.reserve(LinearScratch(Carver(nullptr), job).bytes);
    if (block == nullptr) return false;
    const LinearScratch scratch(Carver(block), job);
    want_huge_pages(job.y, job.pixels * job.out);
    pack_linear(job, scratch.matrix, linear_vectors(job));
    const int64_t blocks = (job.pixels + PIXEL_BLOCK - 1) / PIXEL_BLOCK;
    parallel_shares(blocks, static_cast<int>(job.threads), [&](int64_t i, int thread) {
        linear_block(job, scratch.matrix, scratch.local + thread * linear_floats(job), i * PIXEL_BLOCK);
    });
    return true;
}

}  // namespace mambair
