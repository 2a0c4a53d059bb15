// The two passes of a chunked scan over an image, compiled at run time for one network's sizes, which precede this text:
//   STATES, RANK    of the recurrence and of the step sizes
//   LANES           channels that a warp holds of one chunk; its 32 / LANES groups of lanes walk as many chunks
//   WARPS, RESIDENT warps of a block, blocks that shall fit on a multiprocessor together
//   TILE            steps between two barriers
//   ADDS            whether `out` already holds the sum of the paths that came before
//   INDEXED         whether paths are given by `index` (batch, paths, length), else by `orders`, two bits each
//   C_BIAS          whether `c_bias` (batch, length, STATES) is added to C by step
//   TYPE            of x: 0 float, 1 bfloat16, 2 half
//
// A lane is a channel and keeps its states, rates and weights in registers. What all channels share, a row of low-rank
// step sizes, B and C per step, is copied to shared memory one tile ahead of its use, four numbers at a time, as is x
// to registers. So no step waits for memory, and what limits it is the exponential of every state: its unit takes 8
// cycles for a warp, a tenth of which goes into anything else. docs/gpu.md counts.

#ifdef __CUDACC__
__device__ inline float exponential(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template <int BYTES>
__device__ inline void copy_ahead(float* to, const float* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
                 "l"(from), "n"(BYTES)
                 : "memory");
}

__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

__device__ inline float from_half(unsigned short bits) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
    return y;
}
#endif

template <int TYPE>
struct Number {
    using Type = unsigned short;
    static __device__ inline float value(Type bits) {
        return TYPE == 1 ? __uint_as_float(static_cast<unsigned>(bits) << 16) : from_half(bits);
    }
};
template <>
struct Number<0> {
    using Type = float;
    static __device__ inline float value(Type number) { return number; }
};
using Element = Number<TYPE>::Type;

constexpr int WARP = 32, GROUPS = WARP / LANES, ROW = RANK + 2 * STATES, QUADS = (ROW + 3) / 4;
constexpr int SHARED = (RANK + STATES + 3) / 4;  // quads of a row that hold no C
constexpr int BANKS = 32, GAP = (BANKS + 4 - TILE * 4 * QUADS % BANKS) % BANKS;
constexpr int STRIDE = TILE * 4 * QUADS + GAP;  // the groups' rows begin in banks of their own
constexpr float LOG2_E = 1.4426950408889634f, LOWEST_RATE = -1e38f;  // finite, so that a step of size zero keeps the state

// Softplus with full relative accuracy: log1p of y <= 1 is y times a polynomial, fitted to 3e-8.
__device__ inline float softplus(float x) {
    const float y = exponential(-fabsf(x) * LOG2_E);
    float series = 0.005232693627476692f;
    series = fmaf(series, y, -0.029505236074328423f);
    series = fmaf(series, y, 0.07822594791650772f);
    series = fmaf(series, y, -0.13663245737552643f);
    series = fmaf(series, y, 0.19106006622314453f);
    series = fmaf(series, y, -0.2484298199415207f);
    series = fmaf(series, y, 0.3331909775733948f);
    series = fmaf(series, y, -0.4999949336051941f);
    series = fmaf(series, y, 0.9999999403953552f);
    return fmaf(y, series, fmaxf(x, 0.0f));
}

// Raster position of a step; steps from `length` on have that of the last. An order has bit 0 for columns first and bit 1
// for the reverse.
__device__ inline int place(int step, int order, const long long* index, int length, int height, int width) {
    step = min(step, length - 1);
    if (INDEXED) return static_cast<int>(index[step]);
    if (order & 2) step = length - 1 - step;
    return order & 1 ? step % height * width + step / height : step;
}

// What a block keeps in shared memory.
struct Staged {
    float4 rows[2][GROUPS * STRIDE / 4];
    int places[3][GROUPS * TILE];
    int offsets[3][GROUPS * TILE];  // of the places' first channels
};

// One block: up to 32 / LANES chunks of a path, WARPS * LANES channels. With OUTPUT it starts from `starts` and writes
// `out` (slots, batch, length, channels); without, from zero, and it writes `decays` and `ends`. Those three are (batch,
// paths, chunks, STATES, channels). Grid: sets of channels within groups of chunks, paths, batch.
template <bool OUTPUT>
__device__ inline void walk(const Element* x, const float* rows, const float* dt_proj, const float* bias,
                            const float* A_log, const float* D, const float* c_bias, const long long* index,
                            const float* starts, float* decays, float* ends, float* out, int path_offset, int orders,
                            int paths, int channels, int length, int height, int width, int span, int chunks,
                            int sets) {
    __shared__ Staged staged;
    constexpr int COPIED = OUTPUT ? QUADS : SHARED;
    const int thread = threadIdx.x, lane = thread % WARP, group = lane / LANES;
    const int path = blockIdx.y + path_offset, batch = blockIdx.z, order = orders >> 2 * path & 3;
    const int first_chunk = blockIdx.x / sets * GROUPS, chunk = first_chunk + group;
    const int channel = blockIdx.x % sets * WARPS * LANES + thread / WARP * LANES + lane % LANES;
    const bool present = channel < channels, writes = present && chunk < chunks;
    const int own = present ? channel : 0, tiles = (min(span, length - first_chunk * span) + TILE - 1) / TILE;
    const long long image = static_cast<long long>(batch) * length;
    if (INDEXED) index += (static_cast<long long>(batch) * paths + path) * length;
    if (C_BIAS) c_bias += image * STATES;
    x += image * channels + own;
    rows += image * paths * ROW + path * ROW;
    if (OUTPUT) out += (static_cast<long long>(blockIdx.y) * gridDim.z + batch) * length * channels + own;

    float rates[STATES], weights[RANK], states[STATES], total = 0.0f;
    const long long base = ((static_cast<long long>(batch) * paths + path) * chunks + (writes ? chunk : 0)) * STATES;
#pragma unroll
    for (int n = 0; n < STATES; n++) 
        rates[n] = fmaxf(-expf(A_log[(path * channels + own) * STATES + n]) * LOG2_E, LOWEST_RATE);
#pragma unroll
    for (int r = 0; r < RANK; r++) weights[r] = dt_proj[(path * channels + own) * RANK + r];
#pragma unroll
    for (int n = 0; n < STATES; n++) states[n] = OUTPUT && chunks > 1 ? starts[(base + n) * channels + own] : 0.0f;
    const float offset = bias[path * channels + own], skip = OUTPUT ? D[path * channels + own] : 0.0f;

    const auto note = [&](int tile) {
#pragma unroll 1
        for (int item = thread; item < GROUPS * TILE; item += WARPS * WARP) {
            const int step = (first_chunk + item / TILE) * span + tile * TILE + item % TILE;
            const int at = place(step, order, index, length, height, width);
            staged.places[tile % 3][item] = at;
            staged.offsets[tile % 3][item] = at * channels;
        }
    };
    const auto copy = [&](int tile) {
        constexpr int WIDE = ROW % 4 ? 1 : 4, PIECES = COPIED * 4 / WIDE;  // 16 bytes at a time where rows are aligned
#pragma unroll 1
        for (int item = thread; item < GROUPS * TILE * PIECES; item += WARPS * WARP) {
            const int at = item / PIECES, piece = item % PIECES * WIDE;
            if (piece >= ROW) continue;
            float* to = reinterpret_cast<float*>(staged.rows[tile % 2]) + at / TILE * STRIDE + at % TILE * 4 * QUADS;
            const unsigned from = staged.places[tile % 3][at] * (paths * ROW) + piece;
            copy_ahead<4 * WIDE>(to + piece, rows + from);
        }
    };
    const auto fetch = [&](int tile, Element* values) {
        const int* offsets = staged.offsets[tile % 3] + group * TILE;
#pragma unroll
        for (int i = 0; i < TILE; i++) values[i] = x[static_cast<unsigned>(offsets[i])];
    };

    Element current[TILE], next[TILE];
    note(0);
    note(1);
    __syncthreads();
    copy(0);
    fetch(0, current);
    for (int tile = 0; tile < tiles; tile++) {
        wait_for_copies();
        __syncthreads();
        copy(tile + 1);  // beyond the last tile too: a read that nobody uses
        fetch(tile + 1, next);
        note(tile + 2);
        const float4* shared = staged.rows[tile % 2] + group * (STRIDE / 4);
        const int* offsets = staged.offsets[tile % 3] + group * TILE;
        const int inside = writes ? length - chunk * span - tile * TILE : 0;
        float earlier[TILE];
        if (OUTPUT && ADDS) {
#pragma unroll
            for (int i = 0; i < TILE; i++) earlier[i] = out[static_cast<unsigned>(offsets[i])];
        }
#pragma unroll
        for (int i = 0; i < TILE; i++) {
            float row[4 * QUADS];
#pragma unroll
            for (int q = 0; q < COPIED; q++) {
                const float4 quad = shared[i * QUADS + q];
                row[4 * q] = quad.x, row[4 * q + 1] = quad.y, row[4 * q + 2] = quad.z, row[4 * q + 3] = quad.w;
            }
            const float value = Number<TYPE>::value(current[i]);
            float raw = offset;
#pragma unroll
            for (int r = 0; r < RANK; r++) raw = fmaf(row[r], weights[r], raw);
            const float dt = softplus(raw), input = dt * value;
            float y = skip * value;
#pragma unroll
            for (int n = 0; n < STATES; n++) {
                states[n] = fmaf(exponential(dt * rates[n]), states[n], input * row[RANK + n]);
                if (OUTPUT) {
                    float c = row[RANK + STATES + n];
                    if (C_BIAS) {
                        const int step = chunk * span + tile * TILE + i;
                        if (step < length) c += c_bias[static_cast<long long>(step) * STATES + n];
                    }
                    y = fmaf(states[n], c, y);
                }
            }
            total += dt;
            if (OUTPUT && i < inside) out[static_cast<unsigned>(offsets[i])] = ADDS ? y + earlier[i] : y;
        }
#pragma unroll
        for (int i = 0; i < TILE; i++) current[i] = next[i];
    }
    wait_for_copies();
    if (OUTPUT || !writes) return;
#pragma unroll
    for (int n = 0; n < STATES; n++) {
        // Of the last chunk, whose tail may lie outside, nothing is asked.
        decays[(base + n) * channels + own] = exponential(rates[n] * total);
        ends[(base + n) * channels + own] = states[n];
    }
}

extern "C" __global__ void __launch_bounds__(WARP* WARPS, RESIDENT)
    summarise(const Element* x, const float* rows, const float* dt_proj, const float* bias, const float* A_log,
              const long long* index, float* decays, float* ends, int orders, int paths, int channels, int length,
              int height, int width, int span, int chunks, int sets) {
    walk<false>(x, rows, dt_proj, bias, A_log, nullptr, nullptr, index, nullptr, decays, ends, nullptr, 0, orders, paths,
                channels, length, height, width, span, chunks, sets);
}

extern "C" __global__ void __launch_bounds__(WARP* WARPS, RESIDENT)
    outputs(const Element* x, const float* rows, const float* dt_proj, const float* bias, const float* A_log, const float* D,
            const float* c_bias, const long long* index, const float* starts, float* out, int path_offset, int orders,
            int paths, int channels, int length, int height, int width, int span, int chunks, int sets) {
    walk<true>(x, rows, dt_proj, bias, A_log, D, c_bias, index, starts, nullptr, nullptr, out, path_offset, orders, paths,
               channels, length, height, width, span, chunks, sets);
}
