// Activations applied to results that are still in registers.
#pragma once

#include "math.h"

namespace mambair {

enum Activation : int64_t { IDENTITY = 0, SILU = 1, GELU = 2 };

// x / (1 + e^-x). The bound keeps the exponential finite; where it acts the result is below 1e-36 anyway.
template <int K>
inline void silu(Vecs<K>& x) {
    Vec power[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) power[i] = minimum(x[i] * -LOG2_E, broadcast(125.0f));
    exp2<K>(power);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] *= reciprocal(power[i] + 1.0f);
}

// x Phi(x) with the complementary error function of Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7):
// erfc(z) = (a1 t + ... + a5 t^5) exp(-z^2), t = 1 / (1 + 0.3275911 z), z >= 0.
template <int K>
inline void gelu(Vecs<K>& x) {
    Vec t[K], p[K], tail[K];
    for (int i = 0; i < K; i++) {
        const Vec z = minimum(maximum(x[i], -x[i]) * 0.70710678118654752f, broadcast(16.0f));
        t[i] = reciprocal(1.0f + 0.3275911f * z);
        p[i] = t[i] * 1.061405429f - 1.453152027f;
        tail[i] = -z * z * LOG2_E;
    }
    horner<K>(p, t, 1.421413741f);
    horner<K>(p, t, -0.284496736f);
    horner<K>(p, t, 0.254829592f);
    exp2<K>(tail);
    for (int i = 0; i < K; i++) {
        const Vec half_erfc = 0.5f * p[i] * t[i] * tail[i];
        x[i] *= select(x[i] >= Vec{}, 1.0f - half_erfc, half_erfc);
    }
}

template <int K>
inline void activate(Activation activation, Vecs<K>& x) {
    if (activation == SILU) silu<K>(x);
    if (activation == GELU) gelu<K>(x);
}

}  // namespace mambair
