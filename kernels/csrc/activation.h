// Activations applied to results that are still in registers.
#pragma once

#include "math.h"

namespace mambair {

enum Activation : int64_t { IDENTITY = 0, SILU = 1, GELU = 2 };

// 1 / (1 + e^-x). The bound keeps the exponential finite; where it acts the result is below 1e-37.
template <int K>
inline void logistic(Vecs<K>& x) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = minimum(x[i] * -LOG2_E, broadcast(125.0f));
    exp2<K>(x);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = reciprocal(x[i] + 1.0f);
}

template <int K>
inline void silu(Vecs<K>& x) {
    Vec share[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) share[i] = x[i];
    logistic<K>(share);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] *= share[i];
}

// Phi(x), the cumulative normal distribution, with the complementary error function of Abramowitz and Stegun 7.1.26
// (absolute error 1.5e-7): erfc(z) = (a1 t + ... + a5 t^5) exp(-z^2), t = 1 / (1 + 0.3275911 z), z >= 0.
template <int K>
inline void cumulative(Vecs<K>& x) {
    Vec t[K], p[K], tail[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        const Vec z = minimum(maximum(x[i], -x[i]) * 0.70710678118654752f, broadcast(9.0f));  // where erfc vanishes
        t[i] = reciprocal(1.0f + 0.3275911f * z);
        p[i] = t[i] * 1.061405429f - 1.453152027f;
        tail[i] = -z * z * LOG2_E;
    }
    horner<K>(p, t, 1.421413741f);
    horner<K>(p, t, -0.284496736f);
    horner<K>(p, t, 0.254829592f);
    exp2<K>(tail);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        const Vec half_erfc = 0.5f * p[i] * t[i] * tail[i];
        x[i] = select(x[i] >= Vec{}, 1.0f - half_erfc, half_erfc);
    }
}

template <int K>
inline void gelu(Vecs<K>& x) {
    Vec share[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) share[i] = x[i];
    cumulative<K>(share);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] *= share[i];
}

// x becomes silu(x); `slopes` its derivative s (1 + x (1 - s)) with s = 1 / (1 + e^-x).
template <int K>
inline void silu_with_slope(Vecs<K>& x, Vecs<K>& slopes) {
    Vec share[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) share[i] = x[i];
    logistic<K>(share);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        slopes[i] = share[i] * (1.0f + x[i] * (1.0f - share[i]));
        x[i] *= share[i];
    }
}

// Derivative of gelu: Phi(x) + x phi(x).
template <int K>
inline void gelu_slope(Vecs<K>& x) {
    Vec density[K], phi[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        phi[i] = x[i];
        density[i] = maximum(x[i] * x[i] * (-0.5f * LOG2_E), broadcast(-126.0f));
    }
    cumulative<K>(phi);
    exp2<K>(density);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = phi[i] + x[i] * density[i] * 0.39894228040143268f;
}

// x becomes the derivative of the activation at x.
template <int K>
inline void slope(Activation activation, Vecs<K>& x) {
    if (activation == SILU) {
        Vec value[K];
#pragma GCC unroll 8
        for (int i = 0; i < K; i++) value[i] = x[i];
        return silu_with_slope<K>(value, x);
    }
    if (activation == GELU) return gelu_slope<K>(x);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = broadcast(1.0f);
}

template <int K>
inline void activate(Activation activation, Vecs<K>& x) {
    if (activation == SILU) silu<K>(x);
    if (activation == GELU) gelu<K>(x);
}

}  // namespace mambair
