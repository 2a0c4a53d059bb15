// The fused two-dimensional scan: project all pixels, scan every path, add up the outputs.
#pragma once

#include "arena.h"
#include "backward.h"
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
    parallel_shares((pixels + BLOCK - 1) / BLOCK, threads, [&](int64_t i, int) {
        const int64_t start = i * BLOCK, count = std::min(BLOCK, pixels - start);
        project(job.x + start * shape.channels, count, shape.channels, scratch.matrix, scratch.vectors,
                scratch.projected + start * scratch.vectors * LANES);
    });
}

inline void add_partials(const Shape& shape, const Plan& plan, const float* partial, float* out, int threads) {
    constexpr int64_t BLOCK = 4096;
    const int64_t size = ImageScratch::image_size(shape);
    if (plan.slots == 1) return;
    parallel_shares((size + BLOCK - 1) / BLOCK, threads, [&](int64_t block, int) {
        for (int64_t i = block * BLOCK; i < std::min(size, (block + 1) * BLOCK); i++) {
            float sum = out[i];
            for (int slot = 0; slot < plan.slots - 1; slot++) sum += partial[slot * size + i];
            out[i] = sum;
        }
    });
}

inline void prepare_image(const ImageArguments& job, const Shape& shape, const ImageScratch& scratch, int threads) {
    pack_weights(shape, {job.A_log, job.dt_proj, job.dt_bias, job.D, true}, scratch.weights, threads);
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

// Runs a function on every path of a task, with the path as a source that writes to the task's share of `out`.
template <class Function>
void for_each_path(const ImageArguments& job, const Shape& shape, const ImageScratch& shared, const Task& task,
                   float* out, float* rows, Function function) {
    const Projected projected{shared.projected, shared.vectors * LANES};
    out = task_output(shape, task, out, shared.partial);
    if (job.index != nullptr) clear_output(shape, task, out);
    for (int64_t path = task.group; path < task.group_end; path++) {
        const bool first = path == task.group && job.index == nullptr;
        ImageSource source(job, shape, task, path, projected, out, first, rows);
        function(source, path);
    }
}

// Allocates, projects, runs all tasks and adds their outputs up in `out`. False when there is no memory.
template <class TaskScratch, class Function>
bool run_image(const ImageArguments& job, const Shape& shape, Arena& arena, float* out, Function function) {
    const int threads = static_cast<int>(job.threads);
    const Plan plan = make_plan(shape, threads, true);
    const int64_t task_bytes = TaskScratch(Carver(nullptr), shape).bytes;
    char* block = arena.reserve(ImageScratch(Carver(nullptr), shape, plan, threads, task_bytes).bytes);
    if (block == nullptr) return false;
    const ImageScratch scratch(Carver(block), shape, plan, threads, task_bytes);
    prepare_image(job, shape, scratch, threads);
    parallel_for(plan.tasks(shape), threads, [&](int64_t i, int thread) {
        const TaskScratch local(Carver(scratch.local + thread * task_bytes), shape);
        const Task task = plan.task(shape, i);
        for_each_path(job, shape, scratch, task, out, local.rows, [&](ImageSource& source, int64_t path) {
            function(source, scratch.weights, task, path, local);
        });
    });
    add_partials(shape, plan, scratch.partial, out, threads);
    arena.trim();
    return true;
}

inline bool scan_image(const ImageArguments& job, Arena& arena) {
    const Shape shape = image_shape(job);
    const auto task = [&](ImageSource& source, const Vec* weights, const Task& task, int64_t path,
                          const ForwardScratch& local) { forward(shape, source, weights, task, path, local.states); };
    return run_image<ForwardScratch>(job, shape, arena, job.out, task);
}

inline bool scan_image_backward(const ImageArguments& job, Arena& arena) {
    const Shape shape = image_shape(job);
    const auto task = [&](ImageSource& source, const Vec* weights, const Task& task, int64_t path,
                          const BackwardScratch& local) {
        const int64_t first = (task.batch * shape.groups + path) * shape.vectors() * shape.weights();
        Vec* grad_weights = reinterpret_cast<Vec*>(job.grad_weights) + first;
        backward(shape, source, weights, task, path, local, grad_weights);
    };
    return run_image<BackwardScratch>(job, shape, arena, job.grad_x, task);
}

}  // namespace mambair
