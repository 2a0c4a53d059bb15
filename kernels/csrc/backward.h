// The backward pass of one task: the closed form of Mamba (arXiv 2312.00752, appendix D) with the states recomputed
// chunk by chunk from checkpoints, so that nothing of size length x channels x d_state exists.
#pragma once

#include "forward.h"

namespace mambair {

// Both states and factors of a chunk should stay in the L1 cache with the rest.
constexpr int BACKWARD_BLOCK = 5;

struct BackwardTile : Tile {
    Vec slope[CHUNK];  // derivative of the step size by its argument
    Vec grad_y[CHUNK], grad_dt[CHUNK], grad_input[CHUNK], grad_u[CHUNK];
};

// Gradients of the weights of one vector of channels, laid out as Weights.
struct GradWeights {
    Vec *A, *dt_proj, *dt_bias, *D;

    GradWeights(const Shape& shape, Vec* packed)
        : A(packed), dt_proj(A + shape.d_state), dt_bias(dt_proj + shape.rank), D(dt_bias + 1) {}
};

// One chunk for states n to n + BLOCK. `states` enter the chunk; `carry` is decay times the gradient of the state after
// it, and becomes that of the state before it. grad_rows: (CHUNK, row) vectors of channels, still to be summed.
template <int BLOCK>
void backward_block(int steps, BackwardTile& tile, const Weights& w, const Rows& rows, const Ahead& ahead, int n,
                    const Vec* states, Vec* carry, Vec* grad_A, Vec* grad_rows) {
    const int d_state = rows.d_state, row = rows.rank + 2 * d_state;
    Vec decay[CHUNK][BLOCK], h[CHUNK + 1][BLOCK];
    Vec state[BLOCK];
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK; i++) h[0][i] = state[i] = states[n + i];
    for (int t = 0; t < steps; t++) {
        const float* b = rows.b(t) + n;
        const Vec dt = tile.dt[t], input = tile.input[t];
        if (n == 0) ahead.fetch_backward(t);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
            const Vec factor = exp2(dt * w.A[n + i]);
            state[i] = factor * state[i] + input * b[i];
            decay[t][i] = factor, h[t + 1][i] = state[i];
        }
    }
    Vec grad_h[BLOCK], grad_a[BLOCK];
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK; i++) grad_h[i] = carry[n + i], grad_a[i] = grad_A[n + i];
    for (int t = steps - 1; t >= 0; t--) {
        const float *b = rows.b(t) + n, *c = rows.c(t) + n;
        Vec *grad_b = grad_rows + t * row + rows.rank + n, *grad_c = grad_b + d_state;
        const Vec grad_y = tile.grad_y[t], dt = tile.dt[t], input = tile.input[t];
        Vec grad_dt = tile.grad_dt[t], grad_input = tile.grad_input[t];
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK; i++) {
            const Vec grad = grad_h[i] + grad_y * c[i];
            grad_c[i] += grad_y * h[t + 1][i];
            grad_b[i] += input * grad;
            grad_input += grad * b[i];
            grad_h[i] = grad * decay[t][i];
            const Vec grad_exponent = grad_h[i] * h[t][i];
            grad_dt += grad_exponent * w.A[n + i];
            grad_a[i] += grad_exponent * dt;
        }
        tile.grad_dt[t] = grad_dt, tile.grad_input[t] = grad_input;
    }
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK; i++) carry[n + i] = grad_h[i], grad_A[n + i] = grad_a[i];
}

inline void backward_states(int steps, BackwardTile& tile, const Weights& w, const Rows& rows, const Ahead& ahead,
                            const Vec* states, Vec* carry, Vec* grad_A, Vec* grad_rows) {
    using Function = void (*)(int, BackwardTile&, const Weights&, const Rows&, const Ahead&, int, const Vec*, Vec*,
                              Vec*, Vec*);
    static constexpr Function blocks[BACKWARD_BLOCK] = {backward_block<1>, backward_block<2>, backward_block<3>,
                                                        backward_block<4>, backward_block<5>};
    for (int n = 0, size; n < rows.d_state; n += size) {
        size = block_size(n, rows.d_state, BACKWARD_BLOCK);
        blocks[size - 1](steps, tile, w, rows, ahead, n, states, carry, grad_A, grad_rows);
    }
}

// From the gradients of step size and input to those of u, of the step size's argument (left in grad_dt) and of the
// weights. A was in units of log2, hence the factor.
inline void finish_tile(const Shape& shape, const Weights& w, const Rows& rows, int steps, BackwardTile& tile,
                        const GradWeights& grad, Vec* grad_rows) {
    Vec grad_bias = grad.dt_bias[0], grad_D = grad.D[0];
    for (int t = 0; t < steps; t++) {
        const Vec grad_dt = (tile.grad_dt[t] * LN_2 + tile.grad_input[t] * tile.u[t]) * tile.slope[t];
        tile.grad_u[t] = tile.grad_input[t] * tile.dt[t] + w.D[0] * tile.grad_y[t];
        tile.grad_dt[t] = grad_dt;
        grad_bias += grad_dt;
        grad_D += tile.grad_y[t] * tile.u[t];
    }
    grad.dt_bias[0] = grad_bias, grad.D[0] = grad_D;
    for (int r = 0; r < shape.rank; r++) {
        Vec sum = grad.dt_proj[r];
        for (int t = 0; t < steps; t++) {
            sum += tile.grad_dt[t] * rows.data[t * rows.stride + r];
            grad_rows[t * shape.row() + r] += tile.grad_dt[t] * w.dt_proj[r];
        }
        grad.dt_proj[r] = sum;
    }
}

// Private memory of a task.
struct BackwardScratch {
    Vec *checkpoints, *carry, *grad_rows;  // states before every chunk; one state; one chunk of rows
    float *rows, *summed_rows;
    int64_t bytes;

    BackwardScratch(Carver carver, const Shape& shape) {
        const int64_t states = int64_t{shape.vectors()} * shape.d_state;
        checkpoints = carver.take<Vec>(states * shape.chunks());
        carry = carver.take<Vec>(states);
        grad_rows = carver.take<Vec>(CHUNK * shape.row());
        rows = carver.take<float>(CHUNK * shape.row_stride());
        summed_rows = carver.take<float>(CHUNK * shape.row());
        bytes = carver.used();
    }
};

// Fills the checkpoints of one group.
template <class Source>
void record_states(const Shape& shape, Source& source, const Vec* packed, const Task& task, int64_t group,
                   const BackwardScratch& scratch) {
    alignas(64) Tile tile{};
    const int64_t size = int64_t{task.vector_end - task.vector} * shape.d_state;
    Vec* states = scratch.checkpoints;
    std::fill_n(states, size, Vec{});
    for (int64_t start = 0; start + CHUNK < shape.length; start += CHUNK, states += size) {
        const Rows rows = source.begin(start, CHUNK);
        source.look_ahead(start + CHUNK);
        std::copy_n(states, size, states + size);
        for (int v = task.vector; v < task.vector_end; v++) {
            const Weights w = weights_at(shape, packed, group, v);
            source.load(v, tile);
            prepare_tile<Source::LOW_RANK>(shape, w, rows, CHUNK, tile);
            scan_states<Source::DECAYS>(CHUNK, tile, w.A, rows, source.ahead(v), states + size + (v - task.vector) * shape.d_state);
        }
    }
}

// Gradients of one group for channel vectors [vector, vector_end). grad_weights: of this batch element and group.
template <class Source>
void backward(const Shape& shape, Source& source, const Vec* packed, const Task& task, int64_t group,
              const BackwardScratch& scratch, Vec* grad_weights) {
    alignas(64) BackwardTile tile{};
    const int64_t states = int64_t{task.vector_end - task.vector} * shape.d_state;
    record_states(shape, source, packed, task, group, scratch);
    std::fill_n(scratch.carry, states, Vec{});
    std::fill_n(grad_weights + task.vector * shape.weights(), (task.vector_end - task.vector) * shape.weights(), Vec{});
    for (int64_t chunk = shape.chunks() - 1; chunk >= 0; chunk--) {
        const int64_t start = chunk * CHUNK;
        const int steps = static_cast<int>(std::min<int64_t>(CHUNK, shape.length - start));
        const Rows rows = source.begin(start, steps);
        source.look_ahead(start - CHUNK);
        std::fill_n(scratch.grad_rows, CHUNK * shape.row(), Vec{});
        for (int v = task.vector; v < task.vector_end; v++) {
            const Weights w = weights_at(shape, packed, group, v);
            const GradWeights grad(shape, grad_weights + v * shape.weights());
            const int64_t own = int64_t{v - task.vector} * shape.d_state;
            source.load(v, tile);
            prepare_tile<Source::LOW_RANK>(shape, w, rows, steps, tile, tile.slope);
            source.load_gradient(v, tile.grad_y);
            std::fill_n(tile.grad_dt, CHUNK, Vec{});
            std::fill_n(tile.grad_input, CHUNK, Vec{});
            backward_states(steps, tile, w, rows, source.ahead(v), scratch.checkpoints + chunk * states + own,
                            scratch.carry + own, grad.A, scratch.grad_rows);
            finish_tile(shape, w, rows, steps, tile, grad, scratch.grad_rows);
            source.store_gradients(v, tile.grad_u, tile.grad_dt);
        }
        for (int i = 0; i < steps * shape.row(); i += LANES) sum_lanes(scratch.grad_rows + i, scratch.summed_rows + i);
        source.store_row_gradients(start, scratch.summed_rows);
    }
}

}  // namespace mambair
