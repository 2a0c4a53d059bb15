// An image read along a path: where each step lies, and the traffic between pixels and chunks.
#pragma once

#include "arguments.h"
#include "shape.h"

namespace mambair {

// Floats from a pixel to the next one of its row, and of its column.
struct Pitch {
    int64_t x, y;
};

// The images of a batch and what they were projected to, either as the caller has them or turned: columns lie in memory
// as rows do.
struct Plane {
    const float* x;
    int64_t image;       // floats of one image
    Pitch pixels, rows;  // of the images, and of the projected pixels
    float* projected;    // (batch * length, row_stride), readable LANES floats past the end
    int64_t row_stride;
};

// An image to which outputs are added, wherever its pixels lie; null where they overwrite.
struct Base {
    const float* image;
    Pitch pixels;
};

// Where the steps of a chunk lie in an image, in its base and in its projected rows.
struct Offsets {
    int64_t pixels[CHUNK], base[CHUNK], rows[CHUNK];
};

// Steps [start, start + steps) of a path.
inline void visit(const ImageArguments& job, const Plane& plane, const Pitch& base, int64_t batch, int64_t path,
                  int64_t start, int steps, Offsets& to) {
    const int64_t length = job.height * job.width;
    if (job.index != nullptr) {
        const int64_t* index = job.index + (batch * job.paths + path) * length + start;
        for (int t = 0; t < steps; t++) {
            to.pixels[t] = to.base[t] = index[t] * plane.pixels.x;
            to.rows[t] = index[t] * plane.rows.x;
        }
        return;
    }
    const bool column = job.orders[path] & ORDER_COLUMN, reverse = job.orders[path] & ORDER_REVERSE;
    const auto along = [&](const Pitch& pitch) { return column ? pitch.y : pitch.x; };
    const auto across = [&](const Pitch& pitch) { return column ? pitch.x : pitch.y; };
    const int64_t size = column ? job.height : job.width, sign = reverse ? -1 : 1;
    const int64_t first = reverse ? length - 1 - start : start;
    int64_t line = first / size, at = first % size;
    for (int t = 0, count; t < steps; t += count) {
        count = static_cast<int>(std::min<int64_t>(steps - t, reverse ? at + 1 : size - at));
        const auto place = [&](const Pitch& pitch, int64_t* offsets) {
            const int64_t origin = line * across(pitch) + at * along(pitch), step = sign * along(pitch);
            for (int i = 0; i < count; i++) offsets[t + i] = origin + i * step;
        };
        place(plane.pixels, to.pixels), place(base, to.base), place(plane.rows, to.rows);
        line += sign, at = reverse ? size - 1 : 0;
    }
}

// One path of one image as a source of chunks.
class ImageSource {
  public:
    static constexpr bool LOW_RANK = true;
    static constexpr bool DECAYS = true;  // A is -exp(A_log)

    // number: of the path among those of its plane. out: one image; base: what belongs to it. buffer: CHUNK rows.
    ImageSource(const ImageArguments& job, const Shape& shape, const Task& task, const Plane& plane, int64_t path,
                int64_t number, float* out, const Base& base, float* buffer)
        : job_(job),
          shape_(shape),
          task_(task),
          plane_(plane),
          path_(path),
          first_row_(task.batch * shape.length * plane.row_stride + number * shape.row()),
          x_(plane.x + task.batch * plane.image),
          rows_(plane.projected + first_row_),
          out_(out),
          base_(base),
          buffer_(buffer) {}

    // Makes the chunk at `start` current and returns its projected rows: where they are if they lie side by side.
    Rows begin(int64_t start, int steps) {
        steps_ = steps;
        if (start == next_start_)
            current_ = next_;
        else
            locate(start, steps, current_);
        const int64_t between = current_.rows[1] - current_.rows[0];
        if (steps == CHUNK && job_.c_bias == nullptr && side_by_side(between))
            return {rows_ + current_.rows[0], static_cast<int>(between), shape_.rank, shape_.d_state};
        const int stride = shape_.row_stride();
        for (int t = 0; t < steps; t++) copy_row(start + t, rows_ + current_.rows[t], buffer_ + t * stride);
        return {buffer_, stride, shape_.rank, shape_.d_state};
    }

    // Names the chunk that will be current next. Column and index paths jump in memory, where the processor's own
    // prefetchers do not follow.
    void look_ahead(int64_t start) {
        if (start < 0 || start >= shape_.length) return;
        next_start_ = start;
        const int steps = static_cast<int>(std::min<int64_t>(CHUNK, shape_.length - start));
        locate(start, steps, next_);
        for (int t = 0; t < steps; t++) {
            lines_.pixels[t] = reinterpret_cast<const char*>(x_ + next_.pixels[t]);
            lines_.rows[t] = reinterpret_cast<const char*>(rows_ + next_.rows[t]);
        }
    }

    Ahead ahead(int v) const {
        const int64_t channel = int64_t{v} * VEC_BYTES, row = (v - task_.vector) * LINE % shape_.row() * FLOAT;
        const int64_t output = channel + distance(x_, out_);
        if (job_.grad_out == nullptr) return {lines_, channel, output, row};
        return {lines_, channel, output, row, channel + distance(x_, grad_output()), row + distance(rows_, grad_rows())};
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
        const float* base = base_.image == nullptr ? nullptr : base_.image + v * LANES;
        if (base != nullptr && base_.image != out_)
            for (int t = 0; t < steps_; t++) __builtin_prefetch(base + next_.base[t]);
        for (int t = 0; t < steps_; t++) {
            const Vec sum = base == nullptr ? from[t] : from[t] + load_part(base + current_.base[t], lanes);
            store_part(to + current_.pixels[t], sum, lanes);
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
    static constexpr int64_t FLOAT = sizeof(float), LINE = 16;  // floats in a cache line

    const float* grad_output() const { return job_.grad_out + task_.batch * plane_.image; }

    float* grad_rows() const {
        return job_.grad_rows + task_.split * shape_.batch * shape_.length * plane_.row_stride + first_row_;
    }

    void locate(int64_t start, int steps, Offsets& to) const {
        visit(job_, plane_, base_.pixels, task_.batch, path_, start, steps, to);
    }

    bool side_by_side(int64_t between) const {
        bool even = between == plane_.row_stride || between == -plane_.row_stride;
        for (int t = 1; t < CHUNK; t++) even &= current_.rows[t] - current_.rows[t - 1] == between;
        return even;
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
    const Plane& plane_;
    int64_t path_, first_row_;
    const float *x_, *rows_;
    float* out_;
    Base base_;
    float* buffer_;
    int steps_ = 0;
    int64_t next_start_ = -1;
    Offsets current_{}, next_{};
    Lines lines_{};
};

}  // namespace mambair
