// Measures the rate of fused multiply-adds on registers alone.
#pragma once

#include <chrono>

#include "parallel.h"
#include "vec.h"

namespace mambair {

// Keeps the compiler from seeing through a register.
inline void opaque(Vec& value) {
#if defined(__x86_64__)
    asm volatile("" : "+v"(value));
#else
    asm volatile("" : "+m"(value));
#endif
}

constexpr int64_t PEAK_ROUNDS = 2'000'000;
constexpr int PEAK_CHAINS = 12;

inline void multiply_add_chains(Vec& sink) {
    Vec c0 = sink, c1 = sink, c2 = sink, c3 = sink, c4 = sink, c5 = sink;
    Vec c6 = sink, c7 = sink, c8 = sink, c9 = sink, c10 = sink, c11 = sink;
    Vec factor = broadcast(0.999f), term = broadcast(1e-3f);
    opaque(factor), opaque(term);
    for (int64_t i = 0; i < PEAK_ROUNDS; i++) {
        c0 = c0 * factor + term, c1 = c1 * factor + term, c2 = c2 * factor + term, c3 = c3 * factor + term;
        c4 = c4 * factor + term, c5 = c5 * factor + term, c6 = c6 * factor + term, c7 = c7 * factor + term;
        c8 = c8 * factor + term, c9 = c9 * factor + term, c10 = c10 * factor + term, c11 = c11 * factor + term;
        opaque(c0), opaque(c1), opaque(c2), opaque(c3), opaque(c4), opaque(c5);
        opaque(c6), opaque(c7), opaque(c8), opaque(c9), opaque(c10), opaque(c11);
    }
    sink = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11;
}

inline double peak_flops(int threads) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads, threads, [](int64_t, int) {
        Vec sink = broadcast(0.5f);
        multiply_add_chains(sink);
        opaque(sink);
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return 2.0 * LANES * PEAK_CHAINS * static_cast<double>(PEAK_ROUNDS) * threads / elapsed.count();
}

}  // namespace mambair
