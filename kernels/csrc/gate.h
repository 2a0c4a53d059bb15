// The gate of channel attention (squeeze-and-excitation, arXiv 1709.01507), from the mean of an image.
#pragma once

#include <cmath>

#include "arena.h"
#include "arguments.h"

namespace mambair {

// bias + the product of a row with a vector.
inline float affine(const float* row, const float* x, int64_t count, float bias) {
    for (int64_t i = 0; i < count; i++) bias += row[i] * x[i];
    return bias;
}

// False when there is no memory.
inline bool channel_gate(const GateArguments& job, Arena& arena) {
    float* hidden = reinterpret_cast<float*>(arena.reserve((job.hidden + 1) * static_cast<int64_t>(sizeof(float))));
    if (hidden == nullptr) return false;
    for (int64_t image = 0; image < job.images; image++) {
        const float* x = job.x + image * job.channels;
        float* y = job.y + image * job.channels;
        for (int64_t h = 0; h < job.hidden; h++) {
            const float value = affine(job.squeeze + h * job.channels, x, job.channels, job.squeeze_bias[h]);
            hidden[h] = value < 0 ? 0 : value;
        }
        for (int64_t c = 0; c < job.channels; c++)
            y[c] = 1 / (1 + std::exp(-affine(job.excite + c * job.hidden, hidden, job.hidden, job.excite_bias[c])));
    }
    return true;
}

}  // namespace mambair
