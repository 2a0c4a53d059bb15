// Layer normalisation over the channels of pixels (arXiv 1607.06450).
#pragma once

#include <algorithm>
#include <cmath>

#include "vec.h"

namespace mambair {

struct Norm {
    const float *weight, *bias;  // bias may be null
    float eps;
};

// All bits set in the first `count` lanes.
inline IntVec first_lanes(int count) {
    IntVec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < count;
}

// Sum over the channels of each of LANES pixels, reduced together: a few shuffles per pixel instead of a chain for each.
// term(p, c, lanes) gives one vector of channels; pixels from `pixels` on count as zero.
template <class Term>
inline Vec sum_channels(int pixels, int64_t channels, Term term) {
    Vec total[LANES] = {}, result;
    for (int p = 0; p < pixels; p++) {
        Vec sum{};
        over_channels(channels, [&](int64_t c, auto lanes) { sum += term(p, c, lanes); });
        total[p] = sum;
    }
    float sums[LANES];
    sum_lanes(total, sums);
    std::memcpy(&result, sums, sizeof result);
    return result;
}

inline Vec inverse_sqrt(Vec x) {
#if defined(__AVX512F__)
    return 1.0f / _mm512_sqrt_ps(x);
#else
    for (int lane = 0; lane < LANES; lane++) x[lane] = 1.0f / std::sqrt(x[lane]);
    return x;
#endif
}

// Up to LANES pixels, `stride` floats apart, to contiguous rows; means and reciprocal deviations (LANES each) on request.
inline void normalise(const Norm& norm, const float* x, int64_t stride, int pixels, int64_t channels, float* to,
                      float* all_means = nullptr, float* all_rstds = nullptr) {
    const float count = static_cast<float>(channels);
    const Vec mean = sum_channels(pixels, channels, [&](int p, int64_t c, auto lanes) {
        return load_part(x + p * stride + c, lanes);
    }) / count;
    float means[LANES], rstds[LANES];
    store(means, mean);
    const IntVec tail = first_lanes(static_cast<int>(channels % LANES));
    const Vec variance = sum_channels(pixels, channels, [&](int p, int64_t c, auto lanes) {
        const Vec all = broadcast(means[p]);
        const Vec kept = lanes == LANES ? all : reinterpret_cast<Vec>(reinterpret_cast<IntVec>(all) & tail);
        const Vec centred = load_part(x + p * stride + c, lanes) - kept;
        return centred * centred;
    }) / count;
    store(rstds, inverse_sqrt(variance + norm.eps));
    if (all_means != nullptr) std::copy_n(means, LANES, all_means), std::copy_n(rstds, LANES, all_rstds);
    over_channels(channels, [&](int64_t c, auto lanes) {
        const Vec weight = load_part(norm.weight + c, lanes);
        const Vec bias = norm.bias == nullptr ? Vec{} : load_part(norm.bias + c, lanes);
        for (int p = 0; p < pixels; p++)
            store_part(to + p * channels + c, (load_part(x + p * stride + c, lanes) - means[p]) * (rstds[p] * weight) + bias,
                       lanes);
    });
}

}  // namespace mambair
