// The C interface: every pointer is to contiguous memory, every float is 32 bits. Mirrored by mambair_kernels/cpu.py.
#pragma once

#include <cstdint>

enum : int32_t { ORDER_COLUMN = 1, ORDER_REVERSE = 2 };

// Shapes as in mambair_kernels.scan_2d. Exactly one of `orders` (one set of ORDER flags per path) and `index` is set.
// The fields from grad_out on are used by the backward pass alone.
struct ImageArguments {
    int64_t batch, height, width, channels, d_state, dt_rank, paths, threads;
    const int32_t* orders;
    const int64_t* index;
    const float *x, *x_proj, *dt_proj, *dt_bias, *A_log, *D, *c_bias;
    float* out;
    const float* grad_out;
    float* grad_x;        // through the scan's input only: the projection's part is left to the caller
    float* grad_rows;     // (splits, batch, length, paths * (dt_rank + 2 * d_state) rounded up to whole vectors): of the
                          // projected pixels; cleared by the caller when there is an index
    float* grad_weights;  // (batch, paths, vectors, d_state + dt_rank + 2, lanes): A, dt_proj, dt_bias, D
};

// Shapes as in mambair_kernels.selective_scan, `channels` per group; D and delta_bias may be null.
struct SequenceArguments {
    int64_t batch, groups, channels, length, d_state, delta_softplus, threads;
    const float *u, *delta, *A, *B, *C, *D, *delta_bias;
    float* out;
    const float* grad_out;
    float *grad_u, *grad_delta;
    float *grad_B, *grad_C;  // (splits, batch, groups, d_state, length)
    float* grad_weights;     // (batch, groups, vectors, d_state + 2, lanes): A, delta_bias, D
};

// y = activation(W (norm(x) * silu(gate)) + bias) + residual * scale, pixel by pixel. x and gate: pixels x_stride and
// gate_stride floats apart; weight: (out, in); residual and y: (pixels, out). Without norm_weight there is no
// normalisation; norm_bias, gate, bias, residual and scale may be null.
struct LinearArguments {
    int64_t pixels, in, out, x_stride, gate_stride, activation, threads;
    float eps;
    const float *x, *norm_weight, *norm_bias, *gate, *weight, *bias, *residual, *scale;
    float* y;
};

// Gradients of a linear layer without its residual. All results are contiguous. grad: (pixels, out); grad_before: that
// before the activation, null where there is none; value: what W was applied to, null where that is x; grad_norm:
// (threads, 2, in) weight and bias, null without a norm; grad_gate: null without a gate.
struct LinearBackwardArguments {
    LinearArguments forward;
    const float* grad;
    float *grad_before, *value, *grad_x, *grad_gate, *grad_norm;
};

// y = activation(conv(x) + bias) + residual with 3x3 taps and a column of zeros beyond both edges. x: where each of the
// (batch, height + 2) rows (width, in) begins, null for zeros; residual: the same of (batch, height) rows (width, out), or
// null; weight: (out, in, 3, 3); bias may be null; y: (batch, height, width, out). With a factor above zero, y is the
// pixel shuffle of that (arXiv 1609.05158), (batch, out / factor^2, height * factor, width * factor) with y_image, y_plane
// and y_row floats in between, and residual has rows (width, added), each channel for out / added neighbouring ones.
struct ConvolutionArguments {
    int64_t batch, height, width, in, out, activation, threads, factor, added, y_image, y_plane, y_row;
    const float *const *x, *const *residual;
    const float *weight, *bias;
    float* y;
};

// y = activation(conv(x) + bias), zero padding that keeps the size. x: (batch, height, width) pixels `x_stride` floats
// apart, `channels` of them used; weight: (channels, kernel, kernel), kernel odd; bias may be null; y: contiguous.
struct DepthwiseArguments {
    int64_t batch, height, width, channels, kernel, dilation, x_stride, activation, threads;
    const float *x, *weight, *bias;
    float* y;
};

// A linear layer, and a depthwise convolution of the first `channels` of its outputs.
struct SeparablePair {
    LinearArguments linear;  // without gate, residual and scale; with more outputs than `channels` also without bias
    DepthwiseArguments depthwise;
};

// One pair, or two of which the second is applied to the first's results. The sizes here are those of the image; of the
// pairs' own sizes only channels, strides and kernels count. rest: the outputs of the first linear layer that its
// convolution does not read; mean: (batch, channels) of the results over the image, or null.
struct SeparableArguments {
    int64_t batch, height, width, pairs, threads;
    SeparablePair first, second;
    float *rest, *mean;
};

// Gradients of such a convolution. grad and grad_x: contiguous; grad_before, that before the activation: null where there
// is none; grad_weight: (threads, vectors, kernel * kernel + 1, lanes), of which the last is the bias.
struct DepthwiseBackwardArguments {
    DepthwiseArguments forward;
    const float* grad;
    float *grad_before, *grad_x, *grad_weight;
};

// y = x * scale + features * gate; x, features, y: (images, pixels, channels), scale: (channels), gate: (images, channels).
struct ResidualArguments {
    int64_t images, pixels, channels, threads;
    const float *x, *scale, *features, *gate;
    float* y;
};

// Its gradients; grad_sums: (blocks of RESIDUAL_BLOCK pixels, 2, channels) of scale and gate, block by block of each image.
struct ResidualBackwardArguments {
    ResidualArguments forward;
    const float* grad;
    float *grad_x, *grad_features, *grad_sums;
};

// y = sigmoid(excite relu(squeeze x + squeeze_bias) + excite_bias). x, y: (images, channels); squeeze: (hidden, channels);
// excite: (channels, hidden).
struct GateArguments {
    int64_t images, channels, hidden;
    const float *x, *squeeze, *squeeze_bias, *excite, *excite_bias;
    float* y;
};

// y = softmax(q k^T / sqrt(head_dim) + bias) v among the tokens of each window. qkv: (batch, rows, columns, tokens, 3,
// heads, head_dim); bias: (variants, heads, tokens, tokens), one variant for all windows or four: 2 * (last row) + (last
// column); y: (batch, rows, columns, tokens, heads, head_dim).
struct AttentionArguments {
    int64_t batch, rows, columns, tokens, heads, head_dim, variants, threads;
    const float *qkv, *bias;
    float* y;
};
