// The two ways in which an image lies in memory while its paths are scanned: upright, as the caller has it, and turned,
// so that paths along columns, too, walk memory as it lies. A column of a large image touches a page for every pixel,
// and where its pixels are a power of two apart they drive each other out of the caches.
#pragma once

#include "arena.h"
#include "image.h"
#include "parallel.h"
#include "project.h"

namespace mambair {

// Which paths of an image use which plane. Groups are paths in this order: those of the turned plane come first.
struct Sides {
    const ImageArguments& job;
    int64_t turned = 0;  // paths of the turned plane

    Sides(const ImageArguments& arguments, bool turn) : job(arguments) {
        for (int64_t path = 0; turn && job.index == nullptr && path < job.paths; path++) turned += is_column(path);
    }

    bool is_turned(int64_t group) const { return group < turned; }

    // Of a group among those of its plane.
    int64_t number(int64_t group) const { return is_turned(group) ? group : group - turned; }

    int64_t path(int64_t group) const {
        if (turned == 0) return group;
        int64_t path = 0;
        for (int64_t left = number(group); is_column(path) != is_turned(group) || left-- > 0;) path++;
        return path;
    }

    // Of the paths of the turned or of the upright plane.
    int64_t count(bool of_turned) const { return of_turned ? turned : job.paths - turned; }

  private:
    bool is_column(int64_t path) const { return job.orders[path] & ORDER_COLUMN; }
};

// Memory of one plane and the matrix that projects its pixels.
struct PlaneScratch {
    Plane plane{};
    Vec* matrix = nullptr;
    float* image = nullptr;  // of a turned plane: its copy of the images
    int64_t vectors = 0;     // of a projected pixel

    // An odd number of cache lines between columns: any power of two would crowd them into few sets of the cache.
    static int64_t column_size(const ImageArguments& job) { return ((job.height * job.channels + 15) / 16 | 1) * 16; }

    PlaneScratch(Carver& carver, const ImageArguments& job, const Shape& shape, int64_t paths, bool turned) {
        if (paths == 0) return;
        vectors = (paths * shape.row() + LANES - 1) / LANES;
        const int64_t stride = vectors * LANES;
        plane.row_stride = stride;
        plane.projected = carver.take<float>(shape.batch * shape.length * stride + LANES);
        matrix = carver.take<Vec>(shape.channels * vectors);
        if (turned) {
            plane.image = job.width * column_size(job);
            plane.x = image = carver.take<float>(shape.batch * plane.image);
            plane.pixels = {column_size(job), shape.channels};
            plane.rows = {job.height * stride, stride};
        } else {
            plane.image = shape.length * shape.channels;
            plane.x = job.x;
            plane.pixels = {shape.channels, job.width * shape.channels};
            plane.rows = {stride, job.width * stride};
        }
    }
};

// x_proj (paths, row, channels) of the plane's paths transposed to (channels, vectors).
inline void pack_matrix(const ImageArguments& job, const Shape& shape, const Sides& sides, bool turned,
                        const PlaneScratch& scratch) {
    const int64_t row = shape.row(), stride = scratch.vectors * LANES, first = turned ? 0 : sides.turned;
    std::fill_n(scratch.matrix, shape.channels * scratch.vectors, Vec{});
    float* matrix = reinterpret_cast<float*>(scratch.matrix);
    for (int64_t number = 0; number < sides.count(turned); number++) {
        const float* from = job.x_proj + sides.path(first + number) * row * shape.channels;
        for (int64_t i = 0; i < row; i++)
            for (int64_t c = 0; c < shape.channels; c++)
                matrix[c * stride + number * row + i] = from[i * shape.channels + c];
    }
}

// Asks for memory that will be written.
inline void fetch_to_write(const float* from, int64_t count) {
    constexpr int64_t LINE = 16;
    for (int64_t i = 0; i < count; i += LINE) __builtin_prefetch(from + i, 1);
}

// Projects pixels of a row, for both planes, and copies them to the turned one. Where they go, the rows of the image are
// far apart: that memory is asked for before the arithmetic.
inline void project_piece(const Shape& shape, const PlaneScratch& upright, const PlaneScratch& turned, const float* x,
                          int64_t pixels, float* to_upright, float* to_turned, float* copy) {
    const int64_t channels = shape.channels;
    for (int64_t first = 0; first < pixels; first += PIXELS) {
        const int64_t count = std::min<int64_t>(PIXELS, pixels - first);
        const auto project_to = [&](const PlaneScratch& side, float* to) {
            if (side.vectors > 0)
                project(x, count, channels, side.matrix, side.vectors, to, side.plane.rows.x);
        };
        const Pitch& pitch = turned.plane.pixels;
        for (int64_t p = 0; p < count; p++) {
            fetch_to_write(to_turned + p * turned.plane.rows.x, turned.plane.row_stride);
            if (turned.vectors > 0) fetch_to_write(copy + p * pitch.x, channels);
        }
        project_to(upright, to_upright);
        project_to(turned, to_turned);
        for (int64_t p = 0; turned.vectors > 0 && p < count; p++)
            over_channels(channels, [&](int64_t c, auto lanes) {
                store_part(copy + p * pitch.x + c, load_part(x + p * channels + c, lanes), lanes);
            });
        x += count * channels;
        to_upright += count * upright.plane.rows.x;
        to_turned += count * turned.plane.rows.x;
        copy += count * pitch.x;
    }
}

inline void project_planes(const ImageArguments& job, const Shape& shape, const PlaneScratch& upright,
                           const PlaneScratch& turned, int threads) {
    constexpr int64_t PIECE = 64;
    // Without a turned plane an image is one long row.
    const bool whole = turned.vectors == 0;
    const int64_t rows = whole ? 1 : job.height, width = whole ? shape.length : job.width;
    const int64_t pieces = (width + PIECE - 1) / PIECE;
    parallel_shares(shape.batch * rows * pieces, threads, [&](int64_t i, int) {
        const int64_t image = i / pieces / rows, y = i / pieces % rows, start = i % pieces * PIECE;
        const auto at = [&](const Plane& plane, const Pitch& pitch) {
            return image * shape.length * plane.row_stride + y * pitch.y + start * pitch.x;
        };
        const float* x = job.x + ((image * rows + y) * width + start) * shape.channels;
        const Plane &one = upright.plane, &other = turned.plane;
        project_piece(shape, upright, turned, x, std::min(PIECE, width - start), one.projected + at(one, one.rows),
                      other.projected + at(other, other.rows),
                      turned.image + image * other.image + y * other.pixels.y + start * other.pixels.x);
    });
}

}  // namespace mambair
