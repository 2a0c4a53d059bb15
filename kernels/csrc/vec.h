// Vectors of LANES floats in GCC/Clang vector types. Intrinsics appear only where the language has no operator for
// what the processor can do in one instruction; every use has a plain form beside it.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mambair {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

constexpr int VEC_BYTES = LANES * 4;

typedef float Vec __attribute__((vector_size(VEC_BYTES)));
typedef int32_t IntVec __attribute__((vector_size(VEC_BYTES)));
typedef float LooseVec __attribute__((vector_size(VEC_BYTES), aligned(4), may_alias));

// Less zero, which compilers leave out; adding zero would turn -0 into 0, so that they have to do it.
inline Vec broadcast(float value) { return value - Vec{}; }

inline Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }

inline void store(float* to, Vec value) { *reinterpret_cast<LooseVec*>(to) = value; }

// The first `count` floats; the remaining lanes are zero and their memory is not read.
inline Vec load_part(const float* from, int count) {
    if (count >= LANES) return load(from);
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#elif defined(__AVX2__)
    static constexpr int32_t lanes[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_maskload_ps(from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + LANES - count)));
#else
    Vec value{};
#pragma GCC unroll 3
    for (int at = 0, size = LANES / 2; size > 0; size /= 2)
        if (count & size)
            std::memcpy(reinterpret_cast<float*>(&value) + at, from + at, sizeof(float) * size), at += size;
    return value;
#endif
}

// Writes the first `count` lanes and nothing beyond: halves, quarters and so on, as few processors write under a mask
// fast, and copying a varying number of bytes is a call.
inline void store_part(float* to, Vec value, int count) {
    if (count >= LANES) return store(to, value);
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), value);
#else
#pragma GCC unroll 3
    for (int at = 0, size = LANES / 2; size > 0; size /= 2)
        if (count & size)
            std::memcpy(to + at, reinterpret_cast<const float*>(&value) + at, sizeof(float) * size), at += size;
#endif
}

// function(first channel, lanes) for every vector of channels: a whole one's lanes are a constant, so that nothing asks
// for them in between.
template <class Function>
inline void over_channels(int64_t channels, Function function) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES) function(c, std::integral_constant<int, LANES>());
    if (c < channels) function(c, static_cast<int>(channels - c));
}

inline Vec select(IntVec condition, Vec yes, Vec no) {
    return reinterpret_cast<Vec>((condition & reinterpret_cast<IntVec>(yes)) |
                                 (~condition & reinterpret_cast<IntVec>(no)));
}

inline Vec maximum(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return vmaxq_f32(a, b);
#else
    return select(a > b, a, b);
#endif
}

inline Vec minimum(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
    return _mm_min_ps(a, b);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return vminq_f32(a, b);
#else
    return select(a < b, a, b);
#endif
}

// Whether a condition holds in every lane.
inline bool all(IntVec condition) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask(reinterpret_cast<__m512i>(condition)) == 0xffff;
#elif defined(__AVX2__)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(condition)) == 0xff;
#elif defined(__SSE2__)
    return _mm_movemask_ps(reinterpret_cast<__m128>(condition)) == 0xf;
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return vmaxvq_s32(condition) < 0;
#else
    for (int i = 0; i < LANES; i++)
        if (!condition[i]) return false;
    return true;
#endif
}

inline Vec negative_magnitude(Vec x) {
    return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x) | (IntVec{} + INT32_MIN));
}

// 1 / x for finite normal x, within one unit in the last place: a division would occupy its unit for sixteen cycles.
inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec y = _mm512_rcp14_ps(x);
    return y + y * (1.0f - x * y);
#else
    return 1.0f / x;
#endif
}

// Which lanes of two vectors side by side meet when every 2 * HALF lanes are folded onto HALF.
template <int HALF>
struct FoldLanes {
    int32_t low[LANES], high[LANES];

    constexpr FoldLanes() : low{}, high{} {
        for (int lane = 0; lane < LANES; lane++) {
            const int from_second = lane % (2 * HALF) < HALF ? 0 : LANES;
            low[lane] = lane / (2 * HALF) * (2 * HALF) + lane % HALF + from_second;
            high[lane] = low[lane] + HALF;
        }
    }
};

inline Vec pick(Vec a, Vec b, const int32_t* lanes) {
#if defined(__clang__)
    Vec value;
    for (int i = 0; i < LANES; i++) value[i] = lanes[i] < LANES ? a[lanes[i]] : b[lanes[i] - LANES];
    return value;
#else
    IntVec indices;
    std::memcpy(&indices, lanes, sizeof indices);
    return __builtin_shuffle(a, b, indices);
#endif
}

// Which lanes of two vectors side by side make pairs of their first halves, and which are the first or second of a pair.
struct PairLanes {
    int32_t both[LANES], first[LANES], second[LANES];

    constexpr PairLanes() : both{}, first{}, second{} {
        for (int lane = 0; lane < LANES; lane++) {
            both[lane] = lane / 2 + lane % 2 * LANES;
            first[lane] = 2 * lane;
            second[lane] = 2 * lane + 1;
        }
    }
};

inline constexpr PairLanes PAIR_LANES;

// The lanes of the first halves, in turn.
inline Vec interleave(Vec a, Vec b) { return pick(a, b, PAIR_LANES.both); }

// The sums of neighbouring lanes, in the first half.
inline Vec sum_pairs(Vec a) { return pick(a, a, PAIR_LANES.first) + pick(a, a, PAIR_LANES.second); }

// Two neighbouring floats, over and over.
inline Vec broadcast_pair(const float* from) {
    typedef int64_t Pairs __attribute__((vector_size(VEC_BYTES)));
    int64_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return reinterpret_cast<Vec>(pair + Pairs{});
}

// Folds 2 * HALF vectors into HALF, and so on down to one.
template <int HALF>
inline void fold(Vec* level) {
    static constexpr FoldLanes<HALF> lanes;
#pragma GCC unroll 8
    for (int i = 0; i < HALF; i++)
        level[i] = pick(level[i], level[i + HALF], lanes.low) + pick(level[i], level[i + HALF], lanes.high);
    if constexpr (HALF > 1) fold<HALF / 2>(level);
}

// Sum over the lanes of each of LANES consecutive vectors: out[i] = sum(in[i]).
inline void sum_lanes(const Vec* in, float* out) {
    Vec level[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) level[i] = in[i];
    fold<LANES / 2>(level);
    store(out, level[0]);
}

}  // namespace mambair
