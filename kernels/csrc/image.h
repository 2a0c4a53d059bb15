// An image read along a path: which pixel each step visits, and the traffic between pixels and chunks.
#pragma once

#include "arguments.h"
#include "shape.h"

namespace mambair {

// Raster indices of steps [start, start + steps) of a path.
inline void visit(const ImageArguments& job, int64_t batch, int64_t path, int64_t start, int steps, int64_t* pixels) {
    const int64_t length = job.height * job.width;
    if (job.index != nullptr) {
        const int64_t* index = job.index + (batch * job.paths + path) * length + start;
        for (int t = 0; t < steps; t++) pixels[t] = index[t];
        return;
    }
    const bool column = job.orders[path] & ORDER_COLUMN, reverse = job.orders[path] & ORDER_REVERSE;
    const int64_t first = reverse ? length - 1 - start : start, sign = reverse ? -1 : 1;
    if (!column) {
        for (int t = 0; t < steps; t++) pixels[t] = first + sign * t;
        return;
    }
    int64_t x = first / job.height, y = first % job.height;
    for (int t = 0; t < steps; t++, y += sign) {
        if (y == job.height) y = 0, x++;
        if (y < 0) y = job.height - 1, x--;
        pixels[t] = y * job.width + x;
    }
}

// x_proj applied to every pixel for all paths at once: (batch * length, stride), readable LANES floats past the end.
struct Projected {
    const float* data;
    int64_t stride;
};

// One path of one image as a source of chunks.
class ImageSource {
  public:
    static constexpr bool LOW_RANK = true;

    // projected: (batch * length, projected_stride), of which this path owns shape.row() columns.
    // out: one image; a path that is `first` in it overwrites, the others add. buffer: CHUNK rows.
    ImageSource(const ImageArguments& job, const Shape& shape, const Task& task, int64_t path, const Projected& projected,
                float* out, bool first, float* buffer)
        : job_(job),
          shape_(shape),
          task_(task),
          path_(path),
          x_(job.x + task.batch * shape.length * shape.channels),
          rows_(projected.data + task.batch * shape.length * projected.stride + path * shape.row()),
          rows_stride_(projected.stride),
          out_(out),
          first_(first),
          buffer_(buffer) {}

    // Makes the chunk at `start` current and returns its projected rows.
    Rows begin(int64_t start, int steps) {
        steps_ = steps;
        if (start == next_start_)
            current_ = next_;
        else
            locate(start, steps, current_);
        const int stride = shape_.row_stride();
        for (int t = 0; t < steps; t++) copy_row(start + t, rows_ + current_.rows[t], buffer_ + t * stride);
        return {buffer_, stride, shape_.rank, shape_.d_state};
    }

    // Names the chunk that will be current next. Column and index paths jump in memory, where the processor's own
    // prefetchers do not follow.
    void look_ahead(int64_t start) {
        if (start < 0 || start >= shape_.length) return;
        next_start_ = start;
        locate(start, static_cast<int>(std::min<int64_t>(CHUNK, shape_.length - start)), next_);
    }

    Ahead ahead(int v) const {
        const int64_t channel = int64_t{v} * LANES, row = (v - task_.vector) * LINE % shape_.row();
        Ahead next;
        for (int t = 0; t < CHUNK; t++) {
            next.pixels[t] = reinterpret_cast<const char*>(x_ + next_.pixels[t] + channel);
            next.rows[t] = reinterpret_cast<const char*>(rows_ + next_.rows[t] + row);
        }
        next.output = distance(x_, out_);
        if (job_.grad_out != nullptr) {
            next.grad_output = distance(x_, grad_output());
            next.grad_row = distance(rows_, grad_rows());
        }
        return next;
    }

    void load(int v, Tile& tile) const { load_pixels(x_, v, tile.u); }

    void load_pixels(const float* image, int v, Vec* to) const {
        const int lanes = shape_.lanes(v);
        const float* from = image + v * LANES;
        if (lanes == LANES)
            for (int t = 0; t < steps_; t++) to[t] = mambair::load(from + current_.pixels[t]);
        else
            for (int t = 0; t < steps_; t++) to[t] = load_part(from + current_.pixels[t], lanes);
    }

    void store(int v, const Vec* from) const {
        const int lanes = shape_.lanes(v);
        float* to = out_ + v * LANES;
        for (int t = 0; t < steps_; t++) {
            float* pixel = to + current_.pixels[t];
            store_part(pixel, first_ ? from[t] : from[t] + load_part(pixel, lanes), lanes);
        }
    }

    void load_gradient(int v, Vec* grad_y) const {
        load_pixels(grad_output(), v, grad_y);
    }

    // `out` is then the gradient of the image. That of the step size is already in the rows.
    void store_gradients(int v, const Vec* grad_u, const Vec*) const { store(v, grad_u); }

    // An index may visit a pixel twice: its gradients add up in memory that the caller has cleared.
    void store_row_gradients(int64_t, const float* from) const {
        for (int t = 0; t < steps_; t++) {
            const float* row = from + t * shape_.row();
            float* sum = grad_rows() + current_.rows[t];
            if (job_.index == nullptr)
                std::copy_n(row, shape_.row(), sum);
            else
                for (int i = 0; i < shape_.row(); i++) sum[i] += row[i];
        }
    }

  private:
    static constexpr int LINE = 16;  // floats in a cache line

    // Where the steps of a chunk lie in an image and in the projected rows of this path.
    struct Offsets {
        int64_t pixels[CHUNK], rows[CHUNK];
    };

    const float* grad_output() const { return job_.grad_out + task_.batch * shape_.length * shape_.channels; }

    float* grad_rows() const {
        const int64_t first = (task_.split * shape_.batch + task_.batch) * shape_.length;
        return job_.grad_rows + first * rows_stride_ + path_ * shape_.row();
    }

    void locate(int64_t start, int steps, Offsets& to) const {
        visit(job_, task_.batch, path_, start, steps, to.pixels);
        for (int t = 0; t < steps; t++) {
            to.rows[t] = to.pixels[t] * rows_stride_;
            to.pixels[t] *= shape_.channels;
        }
    }

    void copy_row(int64_t step, const float* from, float* to) const {
        for (int i = 0; i < shape_.row(); i += LANES) mambair::store(to + i, mambair::load(from + i));
        if (job_.c_bias == nullptr) return;
        const float* bias = job_.c_bias + (task_.batch * shape_.length + step) * shape_.d_state;
        for (int n = 0; n < shape_.d_state; n++) to[shape_.rank + shape_.d_state + n] += bias[n];
    }

    const ImageArguments& job_;
    const Shape& shape_;
    const Task& task_;
    int64_t path_;
    const float *x_, *rows_;
    int64_t rows_stride_;
    float* out_;
    bool first_;
    float* buffer_;
    int steps_ = 0;
    int64_t next_start_ = -1;
    Offsets current_{}, next_{};
};

}  // namespace mambair
