// Per-channel weights, laid out for vectors of channels: A, then the step-size projection, its bias, and D.
#pragma once

#include "math.h"
#include "parallel.h"
#include "shape.h"

namespace mambair {

struct Weights {
    const Vec *A, *dt_proj, *dt_bias, *D;
};

// Plain arrays; dt_proj, dt_bias and D may be null, meaning zero.
struct WeightArrays {
    const float *A, *dt_proj, *dt_bias, *D;
    bool A_is_log;
};

inline Weights weights_at(const Shape& shape, const Vec* packed, int64_t group, int v) {
    const Vec* A = packed + (group * shape.vectors() + v) * shape.weights();
    const Vec* dt_proj = A + shape.d_state;
    return {A, dt_proj, dt_proj + shape.rank, dt_proj + shape.rank + 1};
}

// A in units of log2, bounded so that its product with a step size stays finite: infinity minus infinity in the
// exponential would be NaN where the true factor is plainly zero.
constexpr float LARGEST = 1e19f;

inline Vec to_log2(Vec A, bool is_log) {
    A = (is_log ? -exp(A) : A) * LOG2_E;
    return minimum(maximum(A, broadcast(-LARGEST)), broadcast(LARGEST));
}

inline Vec gather_channels(const float* from, int64_t stride, int lanes) {
    Vec value{};
    if (from != nullptr)
        for (int lane = 0; lane < lanes; lane++) value[lane] = from[lane * stride];
    return value;
}

inline void pack_weights(const Shape& shape, const WeightArrays& from, int64_t group, int v, Vec* packed) {
    const int64_t first = group * shape.channels + int64_t{v} * LANES;
    const int lanes = shape.lanes(v), n = shape.d_state, rank = shape.rank;
    const auto offset = [&](const float* array, int64_t i) { return array == nullptr ? nullptr : array + i; };
    Vec* to = packed + (group * shape.vectors() + v) * shape.weights();
    for (int i = 0; i < n; i++) *to++ = to_log2(gather_channels(from.A + first * n + i, n, lanes), from.A_is_log);
    for (int r = 0; r < rank; r++) *to++ = gather_channels(from.dt_proj + first * rank + r, rank, lanes);
    *to++ = gather_channels(offset(from.dt_bias, first), 1, lanes);
    *to = gather_channels(offset(from.D, first), 1, lanes);
}

inline void pack_weights(const Shape& shape, const WeightArrays& from, Vec* packed, int threads) {
    parallel_for(shape.groups * shape.vectors(), threads, [&](int64_t i, int) {
        pack_weights(shape, from, i / shape.vectors(), static_cast<int>(i % shape.vectors()), packed);
    });
}

}  // namespace mambair
