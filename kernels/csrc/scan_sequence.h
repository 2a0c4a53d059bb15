// The plain selective scan: every group of every batch element by itself.
#pragma once

#include "backward.h"
#include "parallel.h"
#include "sequence.h"

namespace mambair {

inline Shape sequence_shape(const SequenceArguments& job) {
    return {job.batch,    job.length, job.groups, job.channels, static_cast<int>(job.d_state), 0,
            job.delta_softplus != 0};
}

// Allocates and runs all tasks. False when there is no memory.
template <class TaskScratch, class Function>
bool run_sequence(const SequenceArguments& job, const Shape& shape, Arena& arena, Function function) {
    const int threads = static_cast<int>(job.threads);
    const Plan plan = make_plan(shape, threads, false);
    const int64_t task_bytes = TaskScratch(Carver(nullptr), shape).bytes;
    const int64_t weights_bytes = shape.groups * shape.vectors() * shape.weights() * VEC_BYTES;
    char* block = arena.reserve(weights_bytes + threads * task_bytes);
    if (block == nullptr) return false;
    Vec* weights = reinterpret_cast<Vec*>(block + threads * task_bytes);
    pack_weights(shape, {job.A, nullptr, job.delta_bias, job.D, false}, weights, threads);
    parallel_for(plan.tasks(shape), threads, [&](int64_t i, int thread) {
        const TaskScratch local(Carver(block + thread * task_bytes), shape);
        const Task task = plan.task(shape, i);
        SequenceSource source(job, shape, task, local.rows);
        function(source, weights, task, local);
    });
    arena.trim();
    return true;
}

inline bool scan_sequence(const SequenceArguments& job, Arena& arena) {
    const Shape shape = sequence_shape(job);
    const auto task = [&](SequenceSource& source, const Vec* weights, const Task& task, const ForwardScratch& local) {
        forward(shape, source, weights, task, task.group, local.states);
    };
    return run_sequence<ForwardScratch>(job, shape, arena, task);
}

inline bool scan_sequence_backward(const SequenceArguments& job, Arena& arena) {
    const Shape shape = sequence_shape(job);
    const auto task = [&](SequenceSource& source, const Vec* weights, const Task& task, const BackwardScratch& local) {
        const int64_t first = (task.batch * shape.groups + task.group) * shape.vectors() * shape.weights();
        Vec* grad_weights = reinterpret_cast<Vec*>(job.grad_weights) + first;
        backward(shape, source, weights, task, task.group, local, grad_weights);
    };
    return run_sequence<BackwardScratch>(job, shape, arena, task);
}

}  // namespace mambair
