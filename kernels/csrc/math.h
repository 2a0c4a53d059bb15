// Elementary functions on vectors, accurate to about 2e-7 relative. They rely on correctly rounded arithmetic: never
// compile this with -ffast-math.
#pragma once

#include "vec.h"

namespace mambair {

constexpr float LOG2_E = 1.44269504088896341f;
constexpr float LN_2 = 0.69314718055994531f;

// The functions work on K vectors in lockstep: evaluated one after the other, the long dependency chains of the
// polynomials would fill the processor's scheduler with instructions that cannot start yet.
template <int K>
using Vecs = Vec[K];

// p = p * x + coefficient.
template <int K>
inline void horner(Vecs<K>& p, const Vecs<K>& x, float coefficient) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = p[i] * x[i] + coefficient;
}

#if defined(__AVX512DQ__)
constexpr bool NEGATIVE_IS_FASTER = false;  // of exp2

// 2^fraction on [0, 1]: minimax in relative error among the quintics that are exact at both ends, so that factors
// close to one, which a long recurrence multiplies many times, carry no bias.
template <int K>
inline void exp2_fraction(const Vecs<K>& x, Vecs<K>& p) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = x[i] * 1.879318617284298e-3f + 8.990994654595852e-3f;
    horner<K>(p, x, 5.581867694854736e-2f);
    horner<K>(p, x, 2.40159273147583e-1f);
    horner<K>(p, x, 6.931517124176025e-1f);
    horner<K>(p, x, 1.0f);
}

// x = 2^x for finite x, with NEGATIVE for x <= 0; zero below the normal range, infinite above it.
template <int K, bool NEGATIVE = false>
inline void exp2(Vecs<K>& x) {
    Vec fraction[K], p[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) fraction[i] = _mm512_reduce_ps(x[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    exp2_fraction<K>(fraction, p);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = _mm512_scalef_ps(p[i], x[i]);
}
#else
constexpr bool NEGATIVE_IS_FASTER = true;

// 2^fraction on [-1/2, 1/2]: minimax in relative error among the quintics whose value and slope at zero are exact, so
// that factors close to one, which a long recurrence multiplies many times, carry no bias.
template <int K>
inline void exp2_fraction(const Vecs<K>& x, Vecs<K>& p) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = x[i] * 1.33005459792912e-3f + 9.66968946158886e-3f;
    horner<K>(p, x, 5.550558492541313e-2f);
    horner<K>(p, x, 2.4022282660007477e-1f);
    horner<K>(p, x, LN_2);
    horner<K>(p, x, 1.0f);
}

// x = 2^x for finite x, with NEGATIVE for x <= 0; zero below the normal range, infinite above it. Adding 1.5 * 2^23
// rounds to a whole number and leaves it in the low bits, from where it is added to the exponent of the rest.
template <int K, bool NEGATIVE = false>
inline void exp2(Vecs<K>& x) {
    constexpr float ROUND = 12582912.0f;
    Vec whole[K], fraction[K], p[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        const Vec above = maximum(x[i], broadcast(-127.0f));
        const Vec bounded = NEGATIVE ? above : minimum(above, broadcast(128.0f));
        whole[i] = bounded + ROUND;
        fraction[i] = bounded - (whole[i] - ROUND);
    }
    exp2_fraction<K>(fraction, p);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++)
        x[i] = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p[i]) + (reinterpret_cast<IntVec>(whole[i]) << 23));
}
#endif

template <bool NEGATIVE = false>
inline Vec exp2(Vec x) {
    Vec value[1] = {x};
    exp2<1, NEGATIVE>(value);
    return value[0];
}

inline Vec exp(Vec x) { return exp2(x * LOG2_E); }

// x = log(1 + x) on [0, 1]: x times a minimax polynomial, relative error 3e-8 before rounding.
template <int K>
inline void log1p_unit(Vecs<K>& x) {
    Vec p[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = x[i] * 5.364822223782539e-3f - 3.0065786093473434e-2f;
    horner<K>(p, x, 7.920452952384949e-2f);
    horner<K>(p, x, -1.3753801584243774e-1f);
    horner<K>(p, x, 1.91536545753479e-1f);
    horner<K>(p, x, -2.4857163429260254e-1f);
    horner<K>(p, x, 3.332132399082184e-1f);
    horner<K>(p, x, -4.9999648332595825e-1f);
    horner<K>(p, x, 1.0f);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] *= p[i];
}

// x = log(1 + e^x), and the derivative of that unless `slope` is null. Above torch's threshold of 20 the logarithm is
// below half a unit in the last place, which leaves x itself.
template <int K>
inline void softplus(Vecs<K>& x, Vec* slope) {
    Vec small[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) small[i] = negative_magnitude(x[i]) * LOG2_E;
    exp2<K, NEGATIVE_IS_FASTER>(small);
    for (int i = 0; slope != nullptr && i < K; i++)
        slope[i] = select(x[i] >= Vec{}, broadcast(1.0f), small[i]) / (small[i] + 1.0f);
    log1p_unit<K>(small);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = maximum(x[i], Vec{}) + small[i];
}

}  // namespace mambair
