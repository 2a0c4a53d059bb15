// Activations applied to results that are still in registers.
#pragma once

#include "math.h"

namespace mambair {

enum Activation : int64_t { IDENTITY = 0, SILU = 1, GELU = 2 };

// Logistic function of K vectors; exp of a negative magnitude cannot overflow.
template <int K>
inline void logistic(Vecs<K>& x) {
    Vec small[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) small[i] = negative_magnitude(x[i]) * LOG2_E;
    exp2<K>(small);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = select(x[i] >= Vec{}, broadcast(1.0f), small[i]) / (small[i] + 1.0f);
}

template <int K>
inline void silu(Vecs<K>& x) {
    Vec gate[K];
    for (int i = 0; i < K; i++) gate[i] = x[i];
    logistic<K>(gate);
    for (int i = 0; i < K; i++) x[i] *= gate[i];
}

// x Phi(x) with the complementary error function of Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7):
// erfc(z) = (a1 t + ... + a5 t^5) exp(-z^2), t = 1 / (1 + 0.3275911 z), z >= 0.
template <int K>
inline void gelu(Vecs<K>& x) {
    Vec t[K], p[K], tail[K];
    for (int i = 0; i < K; i++) {
        const Vec z = maximum(x[i], -x[i]) * 0.70710678118654752f;
        t[i] = 1.0f / (1.0f + 0.3275911f * z);
        p[i] = t[i] * 1.061405429f - 1.453152027f;
        tail[i] = maximum(-z * z * LOG2_E, broadcast(-127.0f));
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
