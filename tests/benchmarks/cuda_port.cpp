// Runs benchmarks/cuda_port.cu on a processor: a thread of the program for each of a block's, one block after the other.
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(n)

struct Index {
    int x, y;
};
static thread_local Index threadIdx, blockIdx;
static std::barrier<>* together;
static float exchanged[1024];

static void __syncthreads() { together->arrive_and_wait(); }

static float __shfl_up_sync(unsigned, float value, int distance) {
    exchanged[threadIdx.x] = value;
    __syncthreads();
    const float found = threadIdx.x % 32 >= distance ? exchanged[threadIdx.x - distance] : value;
    __syncthreads();
    return found;
}

#include SOURCE

extern "C" void run(const float* u, const float* delta, const float* A, const float* B, const float* C, const float* D,
                    const float* bias, float* y, int channels, int groups, int length, int states, int batch) {
    std::barrier<> all(THREADS);
    together = &all;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < THREADS; thread++)
        threads.emplace_back([=] {
            threadIdx.x = thread;
            for (int i = 0; i < channels * batch; i++) {
                blockIdx = {i % channels, i / channels};
                selective_scan(u, delta, A, B, C, D, bias, y, channels, groups, length, states);
                __syncthreads();
            }
        });
    for (auto& thread : threads) thread.join();
}
