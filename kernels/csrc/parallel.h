// Loops over tasks on torch's OpenMP threads.
#pragma once

#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
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
#endif
};

// Calls function(i, thread) for i in [0, count), thread in [0, threads). Which thread takes which i is left open.
template <class Function>
void parallel_for(int64_t count, int threads, Function function) {
#if defined(_OPENMP)
#pragma omp parallel num_threads(count < threads ? static_cast<int>(count) : threads)
    {
        const FlushSubnormals mode;
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < count; i++) function(i, omp_get_thread_num());
    }
#else
    const FlushSubnormals mode;
    for (int64_t i = 0; i < count; i++) function(i, 0);
#endif
}

// The same in equal consecutive shares, one per thread and always the same one, so that a thread finds in its own cache
// what it wrote in the layer before.
template <class Function>
void parallel_shares(int64_t count, int threads, Function function) {
#if defined(_OPENMP)
#pragma omp parallel num_threads(count < threads ? static_cast<int>(count) : threads)
    {
        const FlushSubnormals mode;
        const int64_t share = omp_get_thread_num(), shares = omp_get_num_threads();
        for (int64_t i = count * share / shares; i < count * (share + 1) / shares; i++)
            function(i, static_cast<int>(share));
    }
#else
    parallel_for(count, threads, function);
#endif
}

}  // namespace mambair
