// Entry points of the native CPU backend. Compiled once per instruction set; loaded with ctypes.
#include "attention.h"
#include "convolution.h"
#include "depthwise_backward.h"
#include "gate.h"
#include "linear_backward.h"
#include "peak.h"
#include "residual.h"
#include "scan_image.h"
#include "scan_sequence.h"
#include "separable.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {
thread_local mambair::Arena arena;
}

// Channels that one vector holds: the last dimension of grad_weights.
EXPORT int mambair_lanes() { return mambair::LANES; }

// Fused multiply-adds per second of all threads together, in FLOP/s: what a benchmark may call this machine's peak.
EXPORT double mambair_peak_flops(int threads) { return mambair::peak_flops(threads); }

// Into how many parts the gradients of the projected pixels (or of B and C) are split for that many threads.
EXPORT int64_t mambair_image_splits(const ImageArguments* job) {
    return mambair::make_plan(mambair::image_shape(*job), static_cast<int>(job->threads), true).splits;
}

EXPORT int64_t mambair_sequence_splits(const SequenceArguments* job) {
    return mambair::make_plan(mambair::sequence_shape(*job), static_cast<int>(job->threads), false).splits;
}

// The scans return 0, or 1 when there is no memory.
EXPORT int mambair_scan_image(const ImageArguments* job) { return !mambair::scan_image(*job, arena); }

EXPORT int mambair_scan_image_backward(const ImageArguments* job) { return !mambair::scan_image_backward(*job, arena); }

EXPORT int mambair_scan_sequence(const SequenceArguments* job) { return !mambair::scan_sequence(*job, arena); }

EXPORT int mambair_scan_sequence_backward(const SequenceArguments* job) {
    return !mambair::scan_sequence_backward(*job, arena);
}

// 0, or 1 when there is no memory.
EXPORT int mambair_linear(const LinearArguments* job) { return !mambair::linear(*job, arena); }

EXPORT int mambair_convolution(const ConvolutionArguments* job) { return !mambair::convolution(*job, arena); }

EXPORT int mambair_depthwise(const DepthwiseArguments* job) { return !mambair::depthwise(*job, arena); }

EXPORT int mambair_separable(const SeparableArguments* job) { return !mambair::separable(*job, arena); }

EXPORT int mambair_linear_backward(const LinearBackwardArguments* job) { return !mambair::linear_backward(*job, arena); }

EXPORT int mambair_depthwise_backward(const DepthwiseBackwardArguments* job) {
    return !mambair::depthwise_backward(*job, arena);
}

EXPORT int mambair_attention(const AttentionArguments* job) { return !mambair::attention(*job, arena); }

EXPORT int mambair_channel_gate(const GateArguments* job) { return !mambair::channel_gate(*job, arena); }

EXPORT int64_t mambair_residual_blocks(const ResidualArguments* job) { return mambair::residual_blocks(*job); }

EXPORT int mambair_gated_residual(const ResidualArguments* job) {
    mambair::gated_residual(*job);
    return 0;
}

EXPORT int mambair_gated_residual_backward(const ResidualBackwardArguments* job) {
    mambair::gated_residual_backward(*job);
    return 0;
}
