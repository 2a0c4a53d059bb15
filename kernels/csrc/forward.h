// The forward pass of one task, whatever the pixels or rows it reads from.
#pragma once

#include <algorithm>

#include "arena.h"
#include "weights.h"

namespace mambair {

// Step sizes, inputs dt u and the skip term D u of one vector of channels. A source without a low-rank projection has
// left its own step sizes in tile.dt. `slope`, unless null, receives the derivative of the step size by its argument.
template <bool LOW_RANK>
void prepare_tile(const Shape& shape, const Weights& w, const Rows& rows, int steps, Tile& tile, Vec* slope = nullptr) {
    constexpr int STEP = 4;  // steps that share one load of a projection weight
    for (int t0 = 0; t0 < steps; t0 += STEP) {
        Vec dt[STEP];
#pragma GCC unroll 4
        for (int t = 0; t < STEP; t++) dt[t] = LOW_RANK ? w.dt_bias[0] : tile.dt[t0 + t] + w.dt_bias[0];
        for (int r = 0; r < shape.rank; r++)
#pragma GCC unroll 4
            for (int t = 0; t < STEP; t++) dt[t] += rows.data[(t0 + t) * rows.stride + r] * w.dt_proj[r];
        if (shape.softplus)
            softplus<STEP>(dt, slope == nullptr ? nullptr : slope + t0);
        else if (slope != nullptr)
            std::fill_n(slope + t0, STEP, broadcast(1.0f));
#pragma GCC unroll 4
        for (int t = 0; t < STEP; t++) {
            const Vec size = minimum(dt[t], broadcast(LARGEST));
            tile.dt[t0 + t] = size;
            tile.input[t0 + t] = size * tile.u[t0 + t];
            tile.y[t0 + t] = w.D[0] * tile.u[t0 + t];
        }
    }
}

// Private memory of a task.
struct ForwardScratch {
    Vec* states;
    float* rows;
    int64_t bytes;

    ForwardScratch(Carver carver, const Shape& shape) {
        states = carver.take<Vec>(shape.vectors() * shape.d_state);
        rows = carver.take<float>(CHUNK * shape.row_stride());
        bytes = carver.used();
    }
};

// Scans one group for channel vectors [vector, vector_end). `states` holds (vector_end - vector) * d_state vectors.
template <class Source>
void forward(const Shape& shape, Source& source, const Vec* packed, const Task& task, int64_t group, Vec* states) {
    alignas(64) Tile tile{};
    std::fill_n(states, (task.vector_end - task.vector) * shape.d_state, Vec{});
    for (int64_t start = 0; start < shape.length; start += CHUNK) {
        const int steps = static_cast<int>(std::min<int64_t>(CHUNK, shape.length - start));
        const Rows rows = source.begin(start, steps);
        source.look_ahead(start + CHUNK);
        for (int v = task.vector; v < task.vector_end; v++) {
            const Weights w = weights_at(shape, packed, group, v);
            source.load(v, tile);
            prepare_tile<Source::LOW_RANK>(shape, w, rows, steps, tile);
            Vec* own = states + (v - task.vector) * shape.d_state;
            if (can_pair_states(shape.lanes(v), shape.d_state))
                scan_paired_states(steps, tile, w.A, rows, source.ahead(v), own);
            else
                scan_states<Source::DECAYS>(steps, tile, w.A, rows, source.ahead(v), own);
            source.store(v, tile.y);
        }
    }
}

}  // namespace mambair
