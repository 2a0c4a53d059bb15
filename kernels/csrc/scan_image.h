// The fused two-dimensional scan: project all pixels, scan every path, add up the outputs.
#pragma once

#include "backward.h"
#include "planes.h"

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

// The images that slots write: one for each plane that their paths use, the turned one first. A slot with both adds its
// upright paths to its turned ones. The first upright image is the caller's.
struct Outputs {
    int64_t turned, first_upright, upright;  // slots with a turned image; the first with an upright one; how many of these

    Outputs(const Sides& sides, const Shape& shape, const Plan& plan) : turned(0), first_upright(0) {
        while (turned < plan.slots && plan.first_group(shape, turned) < sides.turned) turned++;
        while (plan.first_group(shape, first_upright + 1) <= sides.turned) first_upright++;
        upright = plan.slots - first_upright;
    }

    // Turned images that still have to be added.
    int64_t left_turned() const { return std::min(turned, first_upright); }
};

// Memory of one call: what its tasks share, then one private piece per thread.
struct ImageScratch {
    Vec* weights;
    PlaneScratch upright, turned;
    float *partial, *turned_partial;
    char* local;

    ImageScratch(Carver carver, const ImageArguments& job, const Shape& shape, const Sides& sides,
                 const Outputs& outputs, int64_t task_bytes)
        : weights(carver.take<Vec>(shape.groups * shape.vectors() * shape.weights())),
          upright(carver, job, shape, sides.count(false), false),
          turned(carver, job, shape, sides.count(true), true),
          partial(carver.take<float>(std::max<int64_t>(0, outputs.upright - 1) * shape.batch * upright.plane.image)),
          turned_partial(carver.take<float>(outputs.turned * shape.batch * turned.plane.image)),
          local(carver.take<char>(job.threads * task_bytes)),
          bytes(carver.used()) {}

    int64_t bytes;
};

// Adds up in `out` what the slots have left on both planes, a square of pixels at a time.
inline void add_outputs(const ImageArguments& job, const Shape& shape, const Outputs& outputs,
                        const ImageScratch& scratch, float* out) {
    constexpr int64_t SQUARE = 8;
    if (outputs.upright == 1 && outputs.left_turned() == 0) return;
    const int64_t image = shape.length * shape.channels, bands = (job.height + SQUARE - 1) / SQUARE;
    const Plane& turned = scratch.turned.plane;
    const auto add_pixel = [&](int64_t batch, int64_t y, int64_t x) {
        const int64_t pixel = batch * image + (y * job.width + x) * shape.channels;
        const int64_t turned_pixel = batch * turned.image + x * turned.pixels.x + y * turned.pixels.y;
        for (int v = 0; v < shape.vectors(); v++) {
            const int lanes = shape.lanes(v);
            const int64_t at = pixel + v * LANES, turned_at = turned_pixel + v * LANES;
            Vec sum = outputs.upright == 0 ? Vec{} : load_part(out + at, lanes);
            for (int64_t i = 0; i + 1 < outputs.upright; i++)
                sum += load_part(scratch.partial + i * shape.batch * image + at, lanes);
            for (int64_t i = 0; i < outputs.left_turned(); i++)
                sum += load_part(scratch.turned_partial + i * shape.batch * turned.image + turned_at, lanes);
            store_part(out + at, sum, lanes);
        }
    };
    parallel_shares(shape.batch * bands, static_cast<int>(job.threads), [&](int64_t i, int) {
        const int64_t top = i % bands * SQUARE, bottom = std::min(job.height, top + SQUARE);
        for (int64_t left = 0; left < job.width; left += SQUARE)
            for (int64_t y = top; y < bottom; y++)
                for (int64_t x = left; x < std::min(job.width, left + SQUARE); x++) add_pixel(i / bands, y, x);
    });
}

inline void prepare_image(const ImageArguments& job, const Shape& shape, const Sides& sides,
                          const ImageScratch& scratch) {
    const int threads = static_cast<int>(job.threads);
    pack_weights(shape, {job.A_log, job.dt_proj, job.dt_bias, job.D, true}, scratch.weights, threads);
    pack_matrix(job, shape, sides, false, scratch.upright);
    if (sides.turned > 0) pack_matrix(job, shape, sides, true, scratch.turned);
    project_planes(job, shape, scratch.upright, scratch.turned, threads);
}

inline float* task_output(const Shape& shape, const Task& task, const Outputs& outputs, const ImageScratch& scratch,
                          bool turned, float* out) {
    if (turned) return scratch.turned_partial + (task.slot * shape.batch + task.batch) * scratch.turned.plane.image;
    const int64_t slot = task.slot - outputs.first_upright, image = scratch.upright.plane.image;
    return (slot == 0 ? out : scratch.partial + (slot - 1) * shape.batch * image) + task.batch * image;
}

// An index may leave pixels out or visit them twice, so its output starts from zero.
inline void clear_output(const Shape& shape, const Task& task, float* out) {
    for (int64_t p = 0; p < shape.length; p++)
        for (int v = task.vector; v < task.vector_end; v++)
            store_part(out + p * shape.channels + int64_t{v} * LANES, Vec{}, shape.lanes(v));
}

// Runs function(source, path) on every path of a task, the source writing to the task's share of `out`.
template <class Function>
void for_each_path(const ImageArguments& job, const Shape& shape, const Sides& sides, const Outputs& outputs,
                   const ImageScratch& shared, const Task& task, float* out, float* rows, Function function) {
    Base base{};
    if (job.index != nullptr) {
        float* cleared = task_output(shape, task, outputs, shared, false, out);
        clear_output(shape, task, cleared);
        base = {cleared, shared.upright.plane.pixels};
    }
    for (int64_t group = task.group; group < task.group_end; group++) {
        const bool turned = sides.is_turned(group);
        const Plane& plane = (turned ? shared.turned : shared.upright).plane;
        float* to = task_output(shape, task, outputs, shared, turned, out);
        ImageSource source(job, shape, task, plane, sides.path(group), sides.number(group), to, base, rows);
        function(source, sides.path(group));
        base = {to, plane.pixels};
    }
}

// Allocates, projects, runs all tasks and adds their outputs up in `out`. `turn`: scan columns on a turned copy. False
// when there is no memory.
template <class TaskScratch, class Function>
bool run_image(const ImageArguments& job, const Shape& shape, Arena& arena, float* out, bool turn, Function function) {
    const int threads = static_cast<int>(job.threads);
    const Plan plan = make_plan(shape, threads, true);
    const Sides sides(job, turn);
    const Outputs outputs(sides, shape, plan);
    const int64_t task_bytes = TaskScratch(Carver(nullptr), shape).bytes;
    char* block = arena.reserve(ImageScratch(Carver(nullptr), job, shape, sides, outputs, task_bytes).bytes);
    if (block == nullptr) return false;
    want_huge_pages(out, shape.batch * shape.length * shape.channels);
    const ImageScratch scratch(Carver(block), job, shape, sides, outputs, task_bytes);
    prepare_image(job, shape, sides, scratch);
    parallel_for(plan.tasks(shape), threads, [&](int64_t i, int thread) {
        const TaskScratch local(Carver(scratch.local + thread * task_bytes), shape);
        const Task task = plan.task(shape, i);
        for_each_path(job, shape, sides, outputs, scratch, task, out, local.rows, [&](ImageSource& source, int64_t path) {
            function(source, scratch.weights, task, path, local);
        });
    });
    add_outputs(job, shape, outputs, scratch, out);
    arena.trim();
    return true;
}

inline bool scan_image(const ImageArguments& job, Arena& arena) {
    const Shape shape = image_shape(job);
    const auto task = [&](ImageSource& source, const Vec* weights, const Task& task, int64_t path,
                          const ForwardScratch& local) { forward(shape, source, weights, task, path, local.states); };
    return run_image<ForwardScratch>(job, shape, arena, job.out, true, task);
}

inline bool scan_image_backward(const ImageArguments& job, Arena& arena) {
    const Shape shape = image_shape(job);
    const auto task = [&](ImageSource& source, const Vec* weights, const Task& task, int64_t path,
                          const BackwardScratch& local) {
        const int64_t first = (task.batch * shape.groups + path) * shape.vectors() * shape.weights();
        Vec* grad_weights = reinterpret_cast<Vec*>(job.grad_weights) + first;
        backward(shape, source, weights, task, path, local, grad_weights);
    };
    return run_image<BackwardScratch>(job, shape, arena, job.grad_x, false, task);
}

}  // namespace mambair
