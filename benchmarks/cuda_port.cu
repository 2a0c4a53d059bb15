// The selective scan of Mamba (arXiv 2312.00752, section 3.3.2) in plain CUDA, float32: what benchmarks.gpu compares with
// where mamba-ssm's extension is not installed. One block walks one channel of one sequence in chunks of THREADS * ITEMS
// steps; within a chunk the states of all steps come from a parallel scan over the block, one state after the other.

constexpr int THREADS = 128, ITEMS = 8, WARP = 32, WARPS = THREADS / WARP, MAX_STATES = 256;
constexpr unsigned ALL = 0xffffffffu;

// h -> a h + b.
struct Step {
    float a, b;
};

__device__ inline Step then(Step first, Step second) {
    return {second.a * first.a, second.a * first.b + second.b};
}

__device__ inline float softplus(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

// u, delta, y: (batch, channels, length); A: (channels, states); B, C: (batch, groups, states, length); D, bias:
// (channels). Grid: channels x batch.
extern "C" __global__ void __launch_bounds__(THREADS)
    selective_scan(const float* u, const float* delta, const float* A, const float* B, const float* C, const float* D,
                   const float* bias, float* y, int channels, int groups, int length, int states) {
    __shared__ float running[MAX_STATES];
    __shared__ Step warps[WARPS];
    const int channel = blockIdx.x, batch = blockIdx.y, thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
    const long long sequence = (static_cast<long long>(batch) * channels + channel) * length;
    const long long group = static_cast<long long>(batch) * groups + channel / (channels / groups);
    for (int n = thread; n < states; n += THREADS) running[n] = 0.0f;
    __syncthreads();
    for (int chunk = 0; chunk < length; chunk += THREADS * ITEMS) {
        const int first = chunk + thread * ITEMS;
        float size[ITEMS], input[ITEMS], value[ITEMS];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const bool there = first + i < length;
            const float x = there ? u[sequence + first + i] : 0.0f;
            size[i] = there ? softplus(delta[sequence + first + i] + bias[channel]) : 0.0f;
            input[i] = size[i] * x;
            value[i] = D[channel] * x;
        }
        for (int n = 0; n < states; n++) {
            const float rate = A[channel * states + n] * 1.44269504f;
            const float *b = B + (group * states + n) * length, *c = C + (group * states + n) * length;
            Step steps[ITEMS], all = {1.0f, 0.0f};
#pragma unroll
            for (int i = 0; i < ITEMS; i++) {
                steps[i] = {exp2f(size[i] * rate), first + i < length ? input[i] * b[first + i] : 0.0f};
                all = then(all, steps[i]);
            }
#pragma unroll
            for (int distance = 1; distance < WARP; distance *= 2) {
                const Step before = {__shfl_up_sync(ALL, all.a, distance), __shfl_up_sync(ALL, all.b, distance)};
                if (lane >= distance) all = then(before, all);
            }
            if (lane == WARP - 1) warps[warp] = all;
            Step before = {__shfl_up_sync(ALL, all.a, 1), __shfl_up_sync(ALL, all.b, 1)};
            if (lane == 0) before = {1.0f, 0.0f};
            __syncthreads();
            float state = running[n];
            for (int w = 0; w < warp; w++) state = warps[w].a * state + warps[w].b;
            state = before.a * state + before.b;
#pragma unroll
            for (int i = 0; i < ITEMS; i++) {
                state = steps[i].a * state + steps[i].b;
                if (first + i < length) value[i] += state * c[first + i];
            }
            __syncthreads();  // all have read the running state and the warps' steps
            if (thread == THREADS - 1) running[n] = state;
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++)
            if (first + i < length) y[sequence + first + i] = value[i];
        __syncthreads();
    }
}
