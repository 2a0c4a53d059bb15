// Attention among the tokens of each window with an additive bias: the keys of a vector side by side, because heads are
// too narrow to fill one.
#pragma once

#include <algorithm>

#include "arena.h"
#include "arguments.h"
#include "math.h"
#include "norm.h"
#include "parallel.h"

namespace mambair {

// Queries, vectors of keys and components that are handled together, to keep the multiply-add units busy.
constexpr int QUERIES = 4, KEYS = LANES == 16 ? 4 : 1, COMPONENTS = KEYS;

struct AttentionScratch {
    float* local;
    int64_t vectors, local_size, bytes;  // of a row of keys; of a thread's piece

    // Keys, values, and the logits of some queries.
    AttentionScratch(Carver carver, const AttentionArguments& job)
        : vectors((job.tokens + KEYS * LANES - 1) / (KEYS * LANES) * KEYS) {
        local_size = (2 * job.head_dim + QUERIES) * vectors * LANES;
        local = carver.take<float>(job.threads * local_size);
        bytes = carver.used();
    }
};

// One head of one window. Rows of keys and values hold one component for all tokens; what is beyond the tokens is zero.
struct Head {
    int64_t tokens, head_dim, stride, vectors;
    const float *query, *bias;  // of token 0
    Vec *keys, *values, *rows;
    float* out;
    int64_t out_stride;
};

inline void transpose_tokens(const Head& head, const float* from, float factor, Vec* to) {
    const int64_t row = head.vectors * LANES;
    float* floats = reinterpret_cast<float*>(to);
    for (int64_t d = 0; d < head.head_dim; d++) {
        for (int64_t t = 0; t < head.tokens; t++) floats[d * row + t] = from[t * head.stride + d] * factor;
        std::fill(floats + d * row + head.tokens, floats + (d + 1) * row, 0.0f);
    }
}

constexpr float NEVER = -1e30f;  // logit of what is no token

inline Vec bias_part(const Head& head, const float* bias, int64_t token) {
    const int64_t left = head.tokens - token;
    if (left >= LANES) return load(bias + token);
    if (left <= 0) return broadcast(NEVER);
    const int count = static_cast<int>(left);
    return select(first_lanes(count), load_part(bias + token, count), broadcast(NEVER));
}

// Largest lane, in every lane.
template <int HALF = LANES / 2>
inline Vec max_lanes(Vec x) {
    static constexpr FoldLanes<HALF> lanes;
    x = maximum(pick(x, x, lanes.low), pick(x, x, lanes.high));
    if constexpr (HALF > 1) return max_lanes<HALF / 2>(x);
    return x;
}

// Fills the rows of Q queries with their logits in units of log2, and `largest` with the largest of each.
template <int Q>
void logits(const Head& head, int64_t token, Vec* largest) {
    Vec most[Q];
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) most[q] = broadcast(NEVER);
    for (int64_t v = 0; v < head.vectors; v += KEYS) {
        Vec sum[Q][KEYS];
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
            for (int i = 0; i < KEYS; i++)
                sum[q][i] = bias_part(head, head.bias + (token + q) * head.tokens, (v + i) * LANES) * LOG2_E;
        for (int64_t d = 0; d < head.head_dim; d++)
#pragma GCC unroll 4
            for (int i = 0; i < KEYS; i++)
#pragma GCC unroll 4
                for (int q = 0; q < Q; q++)
                    sum[q][i] += head.query[(token + q) * head.stride + d] * head.keys[d * head.vectors + v + i];
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
            for (int i = 0; i < KEYS; i++) {
                head.rows[q * head.vectors + v + i] = sum[q][i];
                most[q] = maximum(most[q], sum[q][i]);
            }
    }
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) largest[q] = max_lanes(most[q]);
}

// The logits of Q queries become weights; their sums, lanes still apart.
template <int Q>
void weigh(const Head& head, const Vec* largest, Vec* sums) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++) sums[q] = Vec{};
    for (int64_t v = 0; v < head.vectors; v++) {
        Vec weight[Q];
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) weight[q] = head.rows[q * head.vectors + v] - largest[q];
        exp2<Q, Range::NEGATIVE>(weight);
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) head.rows[q * head.vectors + v] = weight[q], sums[q] += weight[q];
    }
}

// Weighted sums of COUNT components of the values for Q queries, lanes still apart: to[q * LANES + component].
template <int Q, int COUNT>
void mix(const Head& head, int64_t first, Vec* to) {
    Vec sum[Q][COUNT];
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
        for (int d = 0; d < COUNT; d++) sum[q][d] = Vec{};
    for (int64_t v = 0; v < head.vectors; v++)
#pragma GCC unroll 4
        for (int d = 0; d < COUNT; d++)
#pragma GCC unroll 4
            for (int q = 0; q < Q; q++)
                sum[q][d] += head.rows[q * head.vectors + v] * head.values[(first + d) * head.vectors + v];
#pragma GCC unroll 4
    for (int q = 0; q < Q; q++)
#pragma GCC unroll 4
        for (int d = 0; d < COUNT; d++) to[q * LANES + d] = sum[q][d];
}

template <int Q>
void attend(const Head& head, int64_t token) {
    float total[LANES], mixed[LANES];
    Vec largest[Q], sums[LANES] = {}, parts[Q * LANES] = {};
    logits<Q>(head, token, largest);
    weigh<Q>(head, largest, sums);
    sum_lanes(sums, total);
    for (int64_t first = 0; first < head.head_dim; first += LANES) {
        const int count = static_cast<int>(std::min<int64_t>(LANES, head.head_dim - first));
        int d = 0;
        for (; d + COMPONENTS <= count; d += COMPONENTS) mix<Q, COMPONENTS>(head, first + d, parts + d);
        for (; d < count; d++) mix<Q, 1>(head, first + d, parts + d);
#pragma GCC unroll 4
        for (int q = 0; q < Q; q++) {
            sum_lanes(parts + q * LANES, mixed);
            store_part(head.out + (token + q) * head.out_stride + first, load(mixed) / total[q], count);
        }
    }
}

// False when there is no memory.
inline bool attention(const AttentionArguments& job, Arena& arena) {
    char* block = arena.reserve(AttentionScratch(Carver(nullptr), job).bytes);
    if (block == nullptr) return false;
    const AttentionScratch scratch(Carver(block), job);
    const int64_t dim = job.heads * job.head_dim;
    parallel_shares(job.batch * job.rows * job.columns * job.heads, static_cast<int>(job.threads), [&](int64_t i, int thread) {
        const int64_t window = i / job.heads, h = i % job.heads;
        const bool last_row = window / job.columns % job.rows == job.rows - 1;
        const bool last_column = window % job.columns == job.columns - 1;
        const int64_t variant = job.variants == 1 ? 0 : 2 * last_row + last_column;
        const float* tokens = job.qkv + window * job.tokens * 3 * dim + h * job.head_dim;
        Vec* local = reinterpret_cast<Vec*>(scratch.local + thread * scratch.local_size);
        Head head{job.tokens, job.head_dim, 3 * dim, scratch.vectors, tokens,
                  job.bias + (variant * job.heads + h) * job.tokens * job.tokens,
                  local, local + job.head_dim * scratch.vectors, local + 2 * job.head_dim * scratch.vectors,
                  job.y + window * job.tokens * dim + h * job.head_dim, dim};
        transpose_tokens(head, tokens + dim, LOG2_E / std::sqrt(static_cast<float>(job.head_dim)), head.keys);
        transpose_tokens(head, tokens + 2 * dim, 1.0f, head.values);
        int64_t t = 0;
        for (; t + QUERIES <= job.tokens; t += QUERIES) attend<QUERIES>(head, t);
        for (; t < job.tokens; t++) attend<1>(head, t);
    });
    return true;
}

}  // namespace mambair
