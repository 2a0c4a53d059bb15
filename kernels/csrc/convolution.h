// 3x3 convolutions by minimal filtering (Winograd; Lavin and Gray, arXiv 1509.09308): 4 x 4 results from 6 x 6 inputs
// take 36 products of a channel where the definition takes 144.
#pragma once

#include <algorithm>

#include "activation.h"
#include "arena.h"
#include "arguments.h"
#include "parallel.h"
#include "project.h"

namespace mambair {

constexpr int RESULTS = 4, SPAN = 6, POINTS = SPAN * SPAN;  // edges of a tile and of what it reads; products per channel

// Polynomials are interpolated at 0, +-P, +-Q and infinity. Rounding errors grow least when P Q = 1; that P and Q are
// roots costs nothing.
constexpr float P = 0.70710678118654752f, Q = 1.41421356237309505f;

// Six inputs at the points.
inline void to_points(const Vec* d, Vec* v, int64_t stride) {
    const Vec even_p = d[4] - 2.0f * d[2], odd_p = d[3] - 2.0f * d[1];
    const Vec even_q = d[4] - 0.5f * d[2], odd_q = d[3] - 0.5f * d[1];
    v[0] = d[0] + d[4] - 2.5f * d[2];
    v[stride] = even_p + P * odd_p;
    v[2 * stride] = even_p - P * odd_p;
    v[3 * stride] = even_q + Q * odd_q;
    v[4 * stride] = even_q - Q * odd_q;
    v[5 * stride] = d[1] + d[5] - 2.5f * d[3];
}

// Four results from the products at the points.
inline void from_points(const Vec* m, int64_t stride, Vec* y, int64_t y_stride) {
    const Vec sum_p = m[stride] + m[2 * stride], odd_p = m[stride] - m[2 * stride];
    const Vec sum_q = m[3 * stride] + m[4 * stride], odd_q = m[3 * stride] - m[4 * stride];
    y[0] = m[0] + sum_p + sum_q;
    y[y_stride] = P * odd_p + Q * odd_q;
    y[2 * y_stride] = 0.5f * sum_p + 2.0f * sum_q;
    y[3 * y_stride] = P / 2 * odd_p + 2 * Q * odd_q + m[5 * stride];
}

// Three weights at the points.
inline void weights_to_points(const Vec* g, int64_t stride, Vec* u, int64_t u_stride) {
    const Vec even_p = (g[0] + 0.5f * g[2 * stride]) * (-2.0f / 3), odd_p = g[stride] * (-2.0f / 3 * P);
    const Vec even_q = (g[0] + 2.0f * g[2 * stride]) * (1.0f / 6), odd_q = g[stride] * (Q / 6);
    u[0] = g[0];
    u[u_stride] = even_p + odd_p;
    u[2 * u_stride] = even_p - odd_p;
    u[3 * u_stride] = even_q + odd_q;
    u[4 * u_stride] = even_q - odd_q;
    u[5 * u_stride] = g[2 * stride];
}

inline int64_t out_vectors(const ConvolutionArguments& job) { return (job.out + LANES - 1) / LANES; }

// Tiles that go through the products together: more where the weights come from beyond the second-level cache.
inline int64_t tile_block(const ConvolutionArguments& job) {
    return POINTS * job.in * out_vectors(job) * VEC_BYTES > int64_t{1} << 20 ? 48 : 16;
}

inline int64_t in_vectors(const ConvolutionArguments& job) { return (job.in + LANES - 1) / LANES; }

// Floats between the inputs, or products, of one point and of the next. One line more, or they would all fall into the
// same few sets of the cache.
inline int64_t point_stride(const ConvolutionArguments& job, int64_t vectors) {
    return (tile_block(job) * vectors + 1) * LANES;
}

inline int64_t columns_in_block(const ConvolutionArguments& job) { return tile_block(job) * RESULTS + 2; }

// Where an output channel goes in a pixel shuffle, and which channel of the residual is added to it.
struct Spread {
    int64_t place, channel;
};

struct ConvolutionScratch {
    Vec* weights;    // (POINTS, in, vectors)
    Spread* spread;  // (out)
    char* local;
    int64_t local_bytes, bytes;

    ConvolutionScratch(Carver carver, const ConvolutionArguments& job)
        : weights(carver.take<Vec>(POINTS * job.in * out_vectors(job))),
          spread(carver.take<Spread>(job.factor > 0 ? job.out : 0)) {
        local_bytes = Local(Carver(nullptr), job).bytes;
        local = carver.take<char>(job.threads * local_bytes);
        bytes = carver.used();
    }

    // Of a thread.
    struct Local {
        Vec* columns;              // (SPAN, columns of a block): inputs of a vector of channels, vertically at the points
        float *inputs, *products;  // (POINTS, tiles, channels in whole vectors)
        int64_t bytes;

        Local(Carver carver, const ConvolutionArguments& job)
            : columns(carver.take<Vec>(SPAN * columns_in_block(job))),
              inputs(carver.take<float>(POINTS * point_stride(job, in_vectors(job)))),
              products(carver.take<float>(POINTS * point_stride(job, out_vectors(job)))),
              bytes(carver.used()) {}
    };
};

// weight (out, in, 3, 3) at the points.
inline void pack_convolution(const ConvolutionArguments& job, Vec* weights) {
    const int64_t vectors = out_vectors(job), step = job.in * vectors;
    parallel_for(job.in, static_cast<int>(job.threads), [&](int64_t c, int) {
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t lanes = std::min<int64_t>(LANES, job.out - v * LANES);
            Vec g[9] = {}, half[3 * SPAN];
            for (int64_t lane = 0; lane < lanes; lane++)
                for (int tap = 0; tap < 9; tap++)
                    reinterpret_cast<float*>(g + tap)[lane] = job.weight[((v * LANES + lane) * job.in + c) * 9 + tap];
            for (int x = 0; x < 3; x++) weights_to_points(g + x, 3, half + x, 3);
            Vec* to = weights + c * vectors + v;
            for (int y = 0; y < SPAN; y++) weights_to_points(half + 3 * y, 1, to + y * SPAN * step, step);
        }
    });
}

// Tiles side by side.
struct Run {
    int64_t image, row, column, count;  // of tiles
    int64_t first;                      // number of the first one in its block
};

class ConvolutionBlock {
  public:
    ConvolutionBlock(const ConvolutionArguments& job, const ConvolutionScratch& scratch,
                     const ConvolutionScratch::Local& local)
        : job_(job), weights_(scratch.weights), spread_(scratch.spread), local_(local) {}

    // Tiles [first, last) of all, row after row.
    void compute(int64_t first, int64_t last) {
        const int64_t across = (job_.width + RESULTS - 1) / RESULTS, down = (job_.height + RESULTS - 1) / RESULTS;
        const auto over_runs = [&](auto function) {
            for (int64_t tile = first, count; tile < last; tile += count) {
                const int64_t column = tile % across, row = tile / across;
                count = std::min(last - tile, across - column);
                function(Run{row / down, row % down, column, count, tile - first});
            }
        };
        over_runs([&](const Run& run) { read(run); });
        const int64_t vectors = out_vectors(job_);
        for (int64_t point = 0; point < POINTS; point++)
            project(local_.inputs + point * point_stride(job_, in_vectors(job_)), last - first, job_.in,
                    weights_ + point * job_.in * vectors, vectors, local_.products + point * point_stride(job_, vectors),
                    vectors * LANES);
        over_runs([&](const Run& run) { write(run); });
    }

  private:
    // Copies of what is pointed to, here and below: what is stored might be anything, so that the compiler would read all
    // else anew.
    void read(const Run& run) const {
        // What the tiles read begins one column to the left of them.
        const int64_t left = run.column * RESULTS - 1, columns = run.count * RESULTS + 2, in = job_.in;
        const int64_t begin = std::max<int64_t>(0, -left), end = std::min(columns, job_.width - left);
        const int64_t stride = point_stride(job_, in_vectors(job_)), across = columns_in_block(job_);
        Vec* const vertically = local_.columns;
        const float* const* rows = job_.x + run.image * (job_.height + 2) + run.row * RESULTS;
        for (int64_t c = 0; c < in; c += LANES) {
            const int lanes = static_cast<int>(std::min<int64_t>(LANES, in - c));
            const float* row[SPAN];
            int64_t step[SPAN];
            for (int y = 0; y < SPAN; y++) {
                const bool there = run.row * RESULTS + y < job_.height + 2 && rows[y] != nullptr;
                row[y] = there ? rows[y] + left * in + c : ZEROS;
                step[y] = there ? in : 0;
            }
            const auto outside = [&](int64_t x) {
                for (int y = 0; y < SPAN; y++) vertically[y * across + x] = Vec{};
            };
            for (int64_t x = 0; x < begin; x++) outside(x);
            for (int64_t x = end; x < columns; x++) outside(x);
            const auto vertical = [&](auto fetch) {
                for (int64_t x = begin; x < end; x++) {
                    Vec d[SPAN];
#pragma GCC unroll 6
                    for (int y = 0; y < SPAN; y++) d[y] = fetch(row[y] + x * step[y]);
                    to_points(d, vertically + x, across);
                }
            };
            const auto horizontal = [&](auto keep) {
                for (int y = 0; y < SPAN; y++) {
                    float* to = local_.inputs + y * SPAN * stride + run.first * in + c;
                    const Vec* from = vertically + y * across;
                    for (int64_t tile = 0; tile < run.count; tile++, to += in, from += RESULTS) {
                        Vec v[SPAN];
                        to_points(from, v, 1);
#pragma GCC unroll 6
                        for (int x = 0; x < SPAN; x++) keep(to + x * stride, v[x]);
                    }
                }
            };
            if (lanes == LANES) {
                vertical([](const float* from) { return load(from); });
                horizontal([](float* to, Vec value) { store(to, value); });
            } else {
                vertical([=](const float* from) { return load_part(from, lanes); });
                horizontal([=](float* to, Vec value) { store_part(to, value, lanes); });
            }
        }
    }

    void write(const Run& run) const {
        const int64_t vectors = out_vectors(job_), stride = point_stride(job_, vectors), out = job_.out;
        const int64_t rows = std::min<int64_t>(RESULTS, job_.height - run.row * RESULTS);
        const int64_t top = run.image * job_.height + run.row * RESULTS;
        const Activation activation = static_cast<Activation>(job_.activation);
        for (int64_t tile = 0; tile < run.count; tile++) {
            const int64_t left = (run.column + tile) * RESULTS;
            const int columns = static_cast<int>(std::min<int64_t>(RESULTS, job_.width - left));
            for (int64_t v = 0; v < vectors; v++) {
                const int lanes = static_cast<int>(std::min<int64_t>(LANES, out - v * LANES));
                const float* products = local_.products + ((run.first + tile) * vectors + v) * LANES;
                Vec half[RESULTS * SPAN];
#pragma GCC unroll 6
                for (int x = 0; x < SPAN; x++) {
                    Vec m[SPAN];
#pragma GCC unroll 6
                    for (int p = 0; p < SPAN; p++) m[p] = load(products + (p * SPAN + x) * stride);
                    from_points(m, 1, half + x, SPAN);
                }
                const Vec bias = job_.bias == nullptr ? Vec{} : load_part(job_.bias + v * LANES, lanes);
                const int64_t at = left * out + v * LANES;
                for (int64_t r = 0; r < rows; r++) {
                    Vec y[RESULTS];
                    from_points(half + r * SPAN, 1, y, 1);
#pragma GCC unroll 4
                    for (int x = 0; x < RESULTS; x++) y[x] += bias;
                    activate<RESULTS>(activation, y);
                    if (job_.factor > 0) {
                        shuffle(top + r, left, columns, v, lanes, y);
                        continue;
                    }
                    const float* residual = job_.residual == nullptr ? nullptr : job_.residual[top + r] + at;
                    float* to = job_.y + (top + r) * job_.width * out + at;
                    for (int x = 0; x < columns; x++) {
                        if (residual != nullptr) y[x] += load_part(residual + x * out, lanes);
                        store_part(to + x * out, y[x], lanes);
                    }
                }
            }
        }
    }

    // One vector of output channels of up to RESULTS pixels of a row; rows are counted over all images.
    void shuffle(int64_t row, int64_t left, int columns, int64_t vector, int lanes, const Vec* y) const {
        const int64_t factor = job_.factor, step = job_.residual == nullptr ? 0 : job_.added;
        const Spread* spread = spread_ + vector * LANES;
        const float* residual = job_.residual == nullptr ? ZEROS : job_.residual[row] + left * step;
        float* to = job_.y + row / job_.height * job_.y_image + row % job_.height * factor * job_.y_row + left * factor;
        for (int x = 0; x < columns; x++) {
            float values[LANES];
            store(values, y[x]);
            for (int lane = 0; lane < lanes; lane++)
                to[spread[lane].place + x * factor] = values[lane] + residual[x * step + spread[lane].channel];
        }
    }

    static constexpr float ZEROS[LANES] = {};

    const ConvolutionArguments& job_;
    const Vec* weights_;
    const Spread* spread_;
    const ConvolutionScratch::Local local_;
};

// False when there is no memory.
inline bool convolution(const ConvolutionArguments& job, Arena& arena) {
    char* block = arena.reserve(ConvolutionScratch(Carver(nullptr), job).bytes);
    if (block == nullptr) return false;
    const ConvolutionScratch scratch(Carver(block), job);
    pack_convolution(job, scratch.weights);
    for (int64_t o = 0, factor = job.factor; factor > 0 && o < job.out; o++)
        scratch.spread[o] = {
            o / (factor * factor) * job.y_plane + o / factor % factor * job.y_row + o % factor,
            job.residual == nullptr ? 0 : o / (job.out / job.added),
        };
    const int64_t across = (job.width + RESULTS - 1) / RESULTS, down = (job.height + RESULTS - 1) / RESULTS;
    const int64_t tiles = job.batch * across * down;
    const int64_t count = tile_block(job);
    parallel_shares((tiles + count - 1) / count, static_cast<int>(job.threads), [&](int64_t i, int thread) {
        const ConvolutionScratch::Local local(Carver(scratch.local + thread * scratch.local_bytes), job);
        ConvolutionBlock(job, scratch, local).compute(i * count, std::min(tiles, (i + 1) * count));
    });
    arena.trim();
    return true;
}

}  // namespace mambair
