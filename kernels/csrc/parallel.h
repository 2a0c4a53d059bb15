// Loops over tasks: on torch's OpenMP threads where there is OpenMP, else on our own.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#else
#include "team.h"
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mambair {

// Treats subnormal numbers as zero while it lives: states that decay pass through them, at a hundred cycles each.
// The caller's mode comes back afterwards, so nothing else in the process notices.
class FlushSubnormals {
  public:
#if defined(__x86_64__)
    FlushSubnormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | FLUSH_TO_ZERO | SUBNORMALS_ARE_ZERO); }
    ~FlushSubnormals() { _mm_setcsr(saved_); }

  private:
    static constexpr unsigned FLUSH_TO_ZERO = 0x8000, SUBNORMALS_ARE_ZERO = 0x40;
    unsigned saved_;
#elif defined(__aarch64__)
    FlushSubnormals() : saved_(control()) { set_control(saved_ | FLUSH_TO_ZERO); }
    ~FlushSubnormals() { set_control(saved_); }

  private:
    static constexpr uint64_t FLUSH_TO_ZERO = 1 << 24;  // FPCR.FZ: of inputs and results

    static uint64_t control() {
        uint64_t value;
        asm volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }

    static void set_control(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value)); }

    uint64_t saved_;
#endif
};

// Calls function(member) once for each member in [0, members), in threads of the team, each with subnormals flushed.
template <class Function>
void together(int members, const Function& function) {
    const auto guarded = [&](int member) {
        const FlushSubnormals mode;
        function(member);
    };
    if (members == 1) return guarded(0);
#if defined(_OPENMP)
#pragma omp parallel num_threads(members)
    for (int member = omp_get_thread_num(); member < members; member += omp_get_num_threads()) guarded(member);
#else
    Team::shared().run(members, guarded);
#endif
}

// As many threads as there is work for, and at least one.
inline int members_for(int64_t count, int threads) {
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(count, threads)));
}

// Calls function(i, thread) for i in [0, count), thread in [0, threads). Which thread takes which i is left open.
template <class Function>
void parallel_for(int64_t count, int threads, Function function) {
    std::atomic<int64_t> next{0};
    together(members_for(count, threads), [&](int thread) {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) function(i, thread);
    });
}

// The same in equal consecutive shares, one per thread and always the same one, so that a thread finds in its own cache
// what it wrote in the layer before. Gradients are summed share by share: the shares do not depend on how many threads
// could be had.
template <class Function>
void parallel_shares(int64_t count, int threads, Function function) {
    const int shares = members_for(count, threads);
    together(shares, [&](int share) {
        for (int64_t i = count * share / shares; i < count * (share + 1) / shares; i++) function(i, share);
    });
}

}  // namespace mambair
