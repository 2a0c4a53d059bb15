// Sequences stored channel by channel, as mamba-ssm lays them out: transposed into chunks and back.
#pragma once

#include "arguments.h"
#include "shape.h"

namespace mambair {

// One group of one batch element as a source of chunks.
class SequenceSource {
  public:
    static constexpr bool LOW_RANK = false;
    static constexpr bool DECAYS = false;

    // buffer: CHUNK rows.
    SequenceSource(const SequenceArguments& job, const Shape& shape, const Task& task, float* buffer)
        : job_(job), shape_(shape), task_(task), buffer_(buffer) {}

    // Makes the chunk at `start` current and returns its rows of B and C.
    Rows begin(int64_t start, int steps) {
        start_ = start, steps_ = steps;
        const int64_t first = sequence() * shape_.d_state * shape_.length + start;
        const int stride = shape_.row_stride();
        transpose_in(job_.B + first, shape_.d_state, buffer_, stride);
        transpose_in(job_.C + first, shape_.d_state, buffer_ + shape_.d_state, stride);
        return {buffer_, stride, 0, shape_.d_state};
    }

    // Names the chunk that will be current next: one line of each channel covers half of it.
    void look_ahead(int64_t start) {
        if (start < 0 || start >= shape_.length) return;
        for (int t = 0; t < CHUNK; t++) {
            const int64_t at = int64_t{t % LANES} * shape_.length + start + t / LANES * 16 % CHUNK;
            next_.pixels[t] = reinterpret_cast<const char*>(job_.u + at);
            next_.rows[t] = reinterpret_cast<const char*>(job_.delta + at);
        }
    }

    Ahead ahead(int v) const {
        const int64_t first = channel(v) * static_cast<int64_t>(sizeof(float));
        const int64_t output = first + distance(job_.u, job_.out != nullptr ? job_.out : job_.grad_u);
        if (job_.grad_out == nullptr) return {next_, first, output, first};
        return {next_, first, output, first, first + distance(job_.u, job_.grad_out),
                first + distance(job_.delta, job_.grad_delta)};
    }

    void load(int v, Tile& tile) const {
        load_channels(job_.u, v, tile.u);
        load_channels(job_.delta, v, tile.dt);
    }

    void store(int v, const Vec* from) const { store_channels(from, v, job_.out); }

    void load_gradient(int v, Vec* grad_y) const { load_channels(job_.grad_out, v, grad_y); }

    void store_gradients(int v, const Vec* grad_u, const Vec* grad_delta) const {
        store_channels(grad_u, v, job_.grad_u);
        store_channels(grad_delta, v, job_.grad_delta);
    }

    void store_row_gradients(int64_t start, const float* from) const {
        const int64_t split = task_.split * shape_.batch * shape_.groups;
        const int64_t first = (split + sequence()) * shape_.d_state * shape_.length + start;
        transpose_out(from, shape_.row(), shape_.d_state, job_.grad_B + first);
        transpose_out(from + shape_.d_state, shape_.row(), shape_.d_state, job_.grad_C + first);
    }

  private:
    int64_t sequence() const { return task_.batch * shape_.groups + task_.group; }

    int64_t channel(int v) const { return (sequence() * shape_.channels + int64_t{v} * LANES) * shape_.length; }

    // to[t * stride + i] = from[i * length + t] for `count` rows i of the current chunk, and back.
    void transpose_in(const float* from, int count, float* to, int stride) const {
        for (int i = 0; i < count; i++)
            for (int t = 0; t < steps_; t++) to[t * stride + i] = from[i * shape_.length + t];
    }

    void transpose_out(const float* from, int stride, int count, float* to) const {
        for (int i = 0; i < count; i++)
            for (int t = 0; t < steps_; t++) to[i * shape_.length + t] = from[t * stride + i];
    }

    // Lanes without a channel are zero: the gradients of B and C are sums over all lanes.
    void load_channels(const float* from, int v, Vec* to) const {
        if (shape_.lanes(v) < LANES) std::fill_n(to, steps_, Vec{});
        transpose_in(from + channel(v) + start_, shape_.lanes(v), reinterpret_cast<float*>(to), LANES);
    }

    void store_channels(const Vec* from, int v, float* to) const {
        transpose_out(reinterpret_cast<const float*>(from), LANES, shape_.lanes(v), to + channel(v) + start_);
    }

    const SequenceArguments& job_;
    const Shape& shape_;
    const Task& task_;
    float* buffer_;
    int64_t start_ = 0;
    int steps_ = 0;
    Lines next_{};
};

}  // namespace mambair
