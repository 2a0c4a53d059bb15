// Elementary functions on vectors, accurate to about 2e-7 relative. They rely on correctly rounded arithmetic: never
// compile this with -ffast-math.
#pragma once

#include "vec.h"

namespace mambair {

constexpr float LOG2_E = 1.44269504088896341f;
constexpr float LN_2 = 0.69314718055994531f;

// The functions work on K vectors in lockstep: evaluated one after the other, the long dependency chains of the
// polynomials would fill the processor's scheduler with instructions that cannot start yet. Every loop over such an array
// has to be unrolled by a pragma, or GCC sends the array through memory.
template <int K>
using Vecs = Vec[K];

// p = p * x + coefficient.
template <int K>
[[gnu::always_inline]] inline void horner(Vecs<K>& p, const Vecs<K>& x, float coefficient) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = p[i] * x[i] + coefficient;
}

// What is known of the arguments of exp2 beside that they are finite: nothing, that none is positive, that none's power
// leaves the normal numbers.
enum class Range { ANY, NEGATIVE, NORMAL };

#if defined(__AVX512DQ__)
constexpr bool RANGE_MATTERS = false;  // to the speed of exp2

// 2^fraction on [0, 1]: minimax in relative error among the quintics that are exact at both ends, so that factors
// close to one, which a long recurrence multiplies many times, carry no bias.
template <int K>
[[gnu::always_inline]] inline void exp2_fraction(const Vecs<K>& x, Vecs<K>& p) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = x[i] * 1.879318617284298e-3f + 8.990994654595852e-3f;
    horner<K>(p, x, 5.581867694854736e-2f);
    horner<K>(p, x, 2.40159273147583e-1f);
    horner<K>(p, x, 6.931517124176025e-1f);
    horner<K>(p, x, 1.0f);
}

// x = 2^x; zero below the normal range, infinite above it.
template <int K, Range = Range::ANY>
[[gnu::always_inline]] inline void exp2(Vecs<K>& x) {
    Vec fraction[K], p[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) fraction[i] = _mm512_reduce_ps(x[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    exp2_fraction<K>(fraction, p);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = _mm512_scalef_ps(p[i], x[i]);
}
#else
constexpr bool RANGE_MATTERS = true;

// 2^fraction on [-1/2, 1/2]: minimax in relative error among the quintics whose value and slope at zero are exact, so
// that factors close to one, which a long recurrence multiplies many times, carry no bias.
template <int K>
[[gnu::always_inline]] inline void exp2_fraction(const Vecs<K>& x, Vecs<K>& p) {
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) p[i] = x[i] * 1.33005459792912e-3f + 9.66968946158886e-3f;
    horner<K>(p, x, 5.550558492541313e-2f);
    horner<K>(p, x, 2.4022282660007477e-1f);
    horner<K>(p, x, LN_2);
    horner<K>(p, x, 1.0f);
}

// Adding it rounds to a whole number and leaves that in the low bits, from where it goes to the exponent of a power.
constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23

// 2^(whole - ROUND + fraction).
template <int K>
[[gnu::always_inline]] inline void exp2_parts(const Vecs<K>& whole, const Vecs<K>& fraction, Vecs<K>& power) {
    Vec p[K];
    exp2_fraction<K>(fraction, p);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++)
        power[i] = reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p[i]) + (reinterpret_cast<IntVec>(whole[i]) << 23));
}

// x = 2^x; zero below the normal range, infinite above it.
template <int K, Range RANGE = Range::ANY>
[[gnu::always_inline]] inline void exp2(Vecs<K>& x) {
    Vec whole[K], fraction[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) {
        const Vec above = RANGE == Range::NORMAL ? x[i] : maximum(x[i], broadcast(-127.0f));
        const Vec bounded = RANGE == Range::ANY ? minimum(above, broadcast(128.0f)) : above;
        whole[i] = bounded + ROUND;
        fraction[i] = bounded - (whole[i] - ROUND);
    }
    exp2_parts<K>(whole, fraction, x);
}
#endif

template <Range RANGE = Range::ANY>
[[gnu::always_inline]] inline Vec exp2(Vec x) {
    Vec value[1] = {x};
    exp2<1, RANGE>(value);
    return value[0];
}

// 2^(a b), whose product is not computed by itself where the range is known to be normal.
template <Range RANGE>
[[gnu::always_inline]] inline Vec exp2_product(Vec a, Vec b) {
#if !defined(__AVX512DQ__)
    if constexpr (RANGE == Range::NORMAL) {
        Vec whole[1] = {a * b + ROUND}, fraction[1] = {a * b - (whole[0] - ROUND)}, power[1];
        exp2_parts<1>(whole, fraction, power);
        return power[0];
    }
#endif
    return exp2<RANGE>(a * b);
}

inline Vec exp(Vec x) { return exp2(x * LOG2_E); }

// x = log(1 + x) on [0, 1]: x times a minimax polynomial, relative error 3e-8 before rounding.
template <int K>
[[gnu::always_inline]] inline void log1p_unit(Vecs<K>& x) {
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
[[gnu::always_inline]] inline void softplus(Vecs<K>& x, Vec* slope) {
    Vec small[K];
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) small[i] = negative_magnitude(x[i]) * LOG2_E;
    exp2<K, Range::NEGATIVE>(small);
    if (slope != nullptr)
#pragma GCC unroll 8
        for (int i = 0; i < K; i++) slope[i] = select(x[i] >= Vec{}, broadcast(1.0f), small[i]) / (small[i] + 1.0f);
    log1p_unit<K>(small);
#pragma GCC unroll 8
    for (int i = 0; i < K; i++) x[i] = maximum(x[i], Vec{}) + small[i];
}

}  // namespace mambair
