// Runs a CUDA program on a processor: a thread of the program for each of a block's, one block after the other.
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)

using std::max, std::min;

struct Index {
    int x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static thread_local Index threadIdx, blockIdx;
static Index gridDim;
static std::barrier<>* together;

static void __syncthreads() { together->arrive_and_wait(); }

static float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static float exponential(float x) { return exp2f(x); }
static float from_half(unsigned short) { std::abort(); }
static void wait_for_copies() {}

template <int BYTES>
static void copy_ahead(float* to, const float* from) {
    if (reinterpret_cast<std::size_t>(to) % BYTES || reinterpret_cast<std::size_t>(from) % BYTES) std::abort();
    std::memcpy(to, from, BYTES);
}

#include SOURCE

template <typename... Arguments, std::size_t... numbers>
static void run(void (*kernel)(Arguments...), void** arguments, Index grid, int threads, std::index_sequence<numbers...>) {
    std::barrier<> all(threads);
    together = &all;
    gridDim = grid;
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; thread++)
        running.emplace_back([=] {
            threadIdx = {thread, 0, 0};
            for (int i = 0; i < grid.x * grid.y * grid.z; i++) {
                blockIdx = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
                kernel(*static_cast<Arguments*>(arguments[numbers])...);
                __syncthreads();
            }
        });
    for (auto& thread : running) thread.join();
}

template <typename... Arguments>
static int launch(void (*kernel)(Arguments...), int count, void** arguments, Index grid, int threads) {
    if (count != sizeof...(Arguments)) return 1;
    run(kernel, arguments, grid, threads, std::index_sequence_for<Arguments...>{});
    return 0;
}

#define OFFERED(kernel)                                                                                      \
    extern "C" int launch_##kernel(int count, void** arguments, int x, int y, int z, int threads) { \
        return launch(kernel, count, arguments, {x, y, z}, threads);                                         \
    }
OFFERED(summarise)
OFFERED(outputs)
