// The fused two-dimensional scan: project all pixels, scan every path, add up the outputs.
#pragma once

#include "arena.h"
#include "forward.h"
#include "image.h"
#include "parallel.h"
#include "project.h"

namespace mambair {

inline Shape image_shape(const ImageArguments& job) {
    return {job.batch,
            job.height * job.width,
            job.paths,
            job.channels,
            static_cast<int>(job.d_state),
            static_cast<int>(job.dt_rank),
            true};
}

// Memory of one call: what its tasks share, then one private piece per thread.
struct ImageScratch {
    Vec *weights, *matrix;
    float *projected, *partial;
    char* local;
    int64_t vectors, local_bytes;  // of a projected pixel; of a private piece

    ImageScratch(Carver carver, const Shape& shape, const Plan& plan, int threads, int64_t task_bytes)
        : vectors((shape.groups * shape.row() + LANES - 1) / LANES), local_bytes(task_bytes) {
        weights = carver.take<Vec>(shape.groups * shape.vectors() * shape.weights());
        matrix = carver.take<Vec>(shape.channels * vectors);
        projected = carver.take<float>(shape.batch * shape.length * vectors * LANES + LANES);
        partial = carver.take<float>((plan.slots - 1) * image_size(shape));
        local = carver.take<char>(threads * local_bytes);
        bytes = carver.used();
    }

    static int64_t image_size(const Shape& shape) { return shape.batch * shape.length * shape.channels; }

    int64_t bytes;
};

// x_proj (paths * row, channels) transposed to (channels, vectors).
inline void pack_matrix(const ImageArguments& job, const Shape& shape, int64_t vectors, Vec* to) {
    const int64_t columns = shape.groups * shape.row();
    std::fill_n(to, shape.channels * vectors, Vec{});
    float* matrix = reinterpret_cast<float*>(to);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t c = 0; c < shape.channels; c++)
            matrix[c * vectors * LANES + j] = job.x_proj[j * shape.channels + c];
}

inline void project_image(const ImageArguments& job, const Shape& shape, const ImageScratch& scratch, int threads) {
    constexpr int64_t BLOCK = 64;
    const int64_t pixels = shape.batch * shape.length;
    parallel_for((pixels + BLOCK - 1) / BLOCK, threads, [&](int64_t i, int) {
        const int64_t start = i * BLOCK, count = std::min(BLOCK, pixels - start);
        project(job.x + start * shape.channels, count, shape.channels, scratch.matrix, scratch.vectors,
                scratch.projected + start * scratch.vectors * LANES);
    });
}

inline void add_partials(const Shape& shape, const Plan& plan, const float* partial, float* out, int threads) {
    constexpr int64_t BLOCK = 4096;
    const int64_t size = ImageScratch::image_size(shape);
    if (plan.slots == 1) return;
    parallel_for((size + BLOCK - 1) / BLOCK, threads, [&](int64_t block, int) {
        for (int64_t i = block * BLOCK; i < std::min(size, (block + 1) * BLOCK); i++) {
            float sum = out[i];
            for (int slot = 0; slot < plan.slots - 1; slot++) sum += partial[slot * size + i];
            out[i] = sum;
        }
    });
}

inline void prepare_image(const ImageArguments& job, const Shape& shape, const ImageScratch& scratch, int threads) {
    pack_weights(shape, {job.A_log, job.dt_proj, job.dt_bias, job.D, true}, scratch.weights);
    pack_matrix(job, shape, scratch.vectors, scratch.matrix);
    project_image(job, shape, scratch, threads);
}

// The output of a task: the caller's for slot 0, a partial one for the others. An index may leave pixels out or
// visit them twice, so its output starts from zero.
inline float* task_output(const Shape& shape, const Task& task, float* out, float* partial) {
    const int64_t size = ImageScratch::image_size(shape);
    float* base = task.slot == 0 ? out : partial + (task.slot - 1) * size;
    return base + task.batch * shape.length * shape.channels;
}

inline void clear_output(const Shape& shape, const Task& task, float* out) {
    for (int64_t p = 0; p < shape.length; p++)
        for (int v = task.vector; v < task.vector_end; v++)
            store_part(out + p * shape.channels + int64_t{v} * LANES, Vec{}, shape.lanes(v));
}

// Private memory of a task.
struct ImageTaskScratch {
    Vec* states;
    float* rows;
    int64_t bytes;

    ImageTaskScratch(Carver carver, const Shape& shape) {
        states = carver.take<Vec>(shape.vectors() * shape.d_state);
        rows = carver.take<float>(CHUNK * shape.row_stride());
        bytes = carver.used();
    }
};

inline void image_task(const ImageArguments& job, const Shape& shape, const ImageScratch& shared, const Task& task,
                       const ImageTaskScratch& local) {
    float* out = task_output(shape, task, job.out, shared.partial);
    const Projected projected{shared.projected, shared.vectors * LANES};
    if (job.index != nullptr) clear_output(shape, task, out);
    for (int64_t path = task.group; path < task.group_end; path++) {
        const bool first = path == task.group && job.index == nullptr;
        ImageSource source(job, shape, task, path, projected, out, first, local.rows);
        forward(shape, source, shared.weights, task, path, local.states);
    }
}

// False when there is no memory.
inline bool scan_image(const ImageArguments& job, Arena& arena) {
    const Shape shape = image_shape(job);
    const int threads = static_cast<int>(job.threads);
    const Plan plan = make_plan(shape, threads, true);
    const int64_t task_bytes = ImageTaskScratch(Carver(nullptr), shape).bytes;
    char* block = arena.reserve(ImageScratch(Carver(nullptr), shape, plan, threads, task_bytes).bytes);
    if (block == nullptr) return false;
    const ImageScratch scratch(Carver(block), shape, plan, threads, task_bytes);
    prepare_image(job, shape, scratch, threads);
    parallel_for(plan.tasks(shape), threads, [&](int64_t i, int thread) {
        const ImageTaskScratch local(Carver(scratch.local + thread * task_bytes), shape);
        image_task(job, shape, scratch, plan.task(shape, i), local);
    });
    add_partials(shape, plan, scratch.partial, job.out, threads);
    arena.trim();
    return true;
}

}  // namespace mambair
