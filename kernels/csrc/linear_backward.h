// Gradients of the fused linear layer by everything but W and the bias, which are plain products over all pixels.
#pragma once

#include "linear.h"

namespace mambair {

struct LinearBackwardScratch {
    Vec *matrix, *transposed;
    float* local;
    int64_t in_vectors, out_vectors, rows_size, products_size, back_size, local_size, bytes;

    LinearBackwardScratch(Carver carver, const LinearArguments& job)
        : in_vectors((job.in + LANES - 1) / LANES), out_vectors((job.out + LANES - 1) / LANES) {
        rows_size = (PIXEL_BLOCK * job.in + LANES - 1) / LANES * LANES;
        products_size = PIXEL_BLOCK * out_vectors * LANES, back_size = PIXEL_BLOCK * in_vectors * LANES;
        local_size = 2 * rows_size + products_size + back_size;
        matrix = carver.take<Vec>(job.in * out_vectors);
        transposed = carver.take<Vec>(job.out * in_vectors);
        local = carver.take<float>(job.threads * local_size);
        bytes = carver.used();
    }
};

// One block of pixels on its way back.
struct LinearBlock {
    int64_t start, count;
    const float* grad;  // before the activation
    float *normalised, *value, *products, *back;  // back: gradient of value, rows of in_vectors vectors
    float means[PIXEL_BLOCK], rstds[PIXEL_BLOCK];
};

// normalised = norm(x) or x; value = normalised * silu(gate).
inline void prepare_block(const LinearArguments& job, LinearBlock& block) {
    const Norm norm{job.norm_weight, job.norm_bias, job.eps};
    const float* x = job.x + block.start * job.x_stride;
    for (int64_t p = 0; p < block.count; p += LANES) {
        const int pixels = static_cast<int>(std::min<int64_t>(LANES, block.count - p));
        float* to = block.normalised + p * job.in;
        if (job.norm_weight != nullptr)
            normalise(norm, x + p * job.x_stride, job.x_stride, pixels, job.in, to, block.means + p, block.rstds + p);
        else
            for (int i = 0; i < pixels; i++) std::copy_n(x + (p + i) * job.x_stride, job.in, to + i * job.in);
    }
    if (job.gate == nullptr) {
        block.value = block.normalised;
        return;
    }
    std::copy_n(block.normalised, block.count * job.in, block.value);
    apply_gate(job, block.start, block.count, block.value);
}

// grad * slope(W value + bias), or the gradient itself.
inline void before_activation(const LinearBackwardArguments& job, const LinearBackwardScratch& scratch,
                              LinearBlock& block) {
    const LinearArguments& forward = job.forward;
    const float* grad = job.grad + block.start * forward.out;
    block.grad = grad;
    if (job.grad_before == nullptr) return;
    float* before = job.grad_before + block.start * forward.out;
    block.grad = before;
    project(block.value, block.count, forward.in, scratch.matrix, scratch.out_vectors, block.products,
            scratch.out_vectors * LANES);
    for (int64_t p = 0; p < block.count; p++)
        for (int64_t c = 0; c < forward.out; c += LANES) {
            const int lanes = static_cast<int>(std::min<int64_t>(LANES, forward.out - c));
            Vec factor[1] = {load(block.products + p * scratch.out_vectors * LANES + c)};
            if (forward.bias != nullptr) factor[0] += load_part(forward.bias + c, lanes);
            slope<1>(static_cast<Activation>(forward.activation), factor);
            store_part(before + p * forward.out + c, load_part(grad + p * forward.out + c, lanes) * factor[0], lanes);
        }
}

// The gradient of value becomes that of normalised; that of the gate is written.
template <int COUNT>
void gate_backward(const LinearBackwardArguments& job, const LinearBackwardScratch& scratch, LinearBlock& block,
                   int64_t pixel) {
    const LinearArguments& forward = job.forward;
    for (int64_t c = 0; c < forward.in; c += LANES) {
        const int lanes = static_cast<int>(std::min<int64_t>(LANES, forward.in - c));
        Vec gate[COUNT], slopes[COUNT];
#pragma GCC unroll 8
        for (int i = 0; i < COUNT; i++)
            gate[i] = load_part(forward.gate + (block.start + pixel + i) * forward.gate_stride + c, lanes);
        silu_with_slope<COUNT>(gate, slopes);
#pragma GCC unroll 8
        for (int i = 0; i < COUNT; i++) {
            const int64_t p = pixel + i;
            float* back = block.back + p * scratch.in_vectors * LANES + c;
            const Vec grad = load(back), normalised = load_part(block.normalised + p * forward.in + c, lanes);
            store_part(job.grad_gate + (block.start + p) * forward.in + c, grad * normalised * slopes[i], lanes);
            store(back, grad * gate[i]);
        }
    }
}

inline void gate_backward(const LinearBackwardArguments& job, const LinearBackwardScratch& scratch, LinearBlock& block) {
    int64_t p = 0;
    for (; p + 4 <= block.count; p += 4) gate_backward<4>(job, scratch, block, p);
    for (; p < block.count; p++) gate_backward<1>(job, scratch, block, p);
}

// Layer normalisation backwards (arXiv 1607.06450): with z = (x - mean) rstd and t = grad * weight,
// grad_x = rstd (t - mean(t) - z mean(t z)).
inline void norm_backward(const LinearBackwardArguments& job, const LinearBackwardScratch& scratch, LinearBlock& block,
                          float* grad_norm) {
    const LinearArguments& forward = job.forward;
    const float inverse = 1.0f / static_cast<float>(forward.in);
    const int64_t stride = scratch.in_vectors * LANES;
    for (int64_t first = 0; first < block.count; first += LANES) {
        const int pixels = static_cast<int>(std::min<int64_t>(LANES, block.count - first));
        const auto z_at = [&](int64_t p, int64_t c, int lanes) {
            const Vec x = load_part(forward.x + (block.start + p) * forward.x_stride + c, lanes);
            return (x - block.means[p]) * block.rstds[p];
        };
        const auto t_at = [&](int64_t p, int64_t c, int lanes) {
            return load(block.back + p * stride + c) * load_part(forward.norm_weight + c, lanes);
        };
        float mean[LANES], mean_z[LANES];
        store(mean, sum_channels(pixels, forward.in, [&](int p, int64_t c, int lanes) {
            return t_at(first + p, c, lanes);
        }) * inverse);
        store(mean_z, sum_channels(pixels, forward.in, [&](int p, int64_t c, int lanes) {
            return t_at(first + p, c, lanes) * z_at(first + p, c, lanes);
        }) * inverse);
        for (int64_t c = 0; c < forward.in; c += LANES) {
            const int lanes = static_cast<int>(std::min<int64_t>(LANES, forward.in - c));
            Vec sum_weight = load_part(grad_norm + c, lanes), sum_bias = load_part(grad_norm + forward.in + c, lanes);
            for (int i = 0; i < pixels; i++) {
                const int64_t p = first + i;
                const Vec z = z_at(p, c, lanes), grad = load(block.back + p * stride + c);
                const Vec t = grad * load_part(forward.norm_weight + c, lanes);
                sum_weight += grad * z, sum_bias += grad;
                store_part(job.grad_x + (block.start + p) * forward.in + c, (t - mean[i] - z * mean_z[i]) * block.rstds[p],
                           lanes);
            }
            store_part(grad_norm + c, sum_weight, lanes);
            store_part(grad_norm + forward.in + c, sum_bias, lanes);
        }
    }
}

inline void store_input_gradient(const LinearBackwardArguments& job, const LinearBackwardScratch& scratch,
                                 const LinearBlock& block) {
    const int64_t in = job.forward.in;
    for (int64_t p = 0; p < block.count; p++)
        std::copy_n(block.back + p * scratch.in_vectors * LANES, in, job.grad_x + (block.start + p) * in);
}

// weight (out, in) with rows padded to whole vectors.
inline void pack_rows(const LinearArguments& job, const LinearBackwardScratch& scratch) {
    float* to = reinterpret_cast<float*>(scratch.transposed);
    const int64_t stride = scratch.in_vectors * LANES;
    for (int64_t o = 0; o < job.out; o++) {
        std::copy_n(job.weight + o * job.in, job.in, to + o * stride);
        std::fill(to + o * stride + job.in, to + (o + 1) * stride, 0.0f);
    }
}

// False when there is no memory.
inline bool linear_backward(const LinearBackwardArguments& job, Arena& arena) {
    const LinearArguments& forward = job.forward;
    char* memory = arena.reserve(LinearBackwardScratch(Carver(nullptr), forward).bytes);
    if (memory == nullptr) return false;
    const LinearBackwardScratch scratch(Carver(memory), forward);
    if (job.grad_before != nullptr) pack_linear(forward, scratch.matrix, scratch.out_vectors);
    pack_rows(forward, scratch);
    const int threads = static_cast<int>(forward.threads);
    if (job.grad_norm != nullptr) std::fill_n(job.grad_norm, threads * 2 * forward.in, 0.0f);
    parallel_shares((forward.pixels + PIXEL_BLOCK - 1) / PIXEL_BLOCK, threads, [&](int64_t i, int share) {
        LinearBlock block;
        block.start = i * PIXEL_BLOCK, block.count = std::min(PIXEL_BLOCK, forward.pixels - block.start);
        block.normalised = scratch.local + share * scratch.local_size;
        block.value = block.normalised + scratch.rows_size;
        block.products = block.value + scratch.rows_size;
        block.back = block.products + scratch.products_size;
        prepare_block(forward, block);
        before_activation(job, scratch, block);
        project(block.grad, block.count, forward.out, scratch.transposed, scratch.in_vectors, block.back,
                scratch.in_vectors * LANES);
        if (job.value != nullptr)
            std::copy_n(block.value, block.count * forward.in, job.value + block.start * forward.in);
        if (job.grad_gate != nullptr) gate_backward(job, scratch, block);
        if (job.grad_norm != nullptr)
            norm_backward(job, scratch, block, job.grad_norm + share * 2 * forward.in);
        else
            store_input_gradient(job, scratch, block);
    });
    return true;
}

}  // namespace mambair
