// Linear layers, each followed by a depthwise convolution, row by row: what a layer hands to the next one stays in the
// cache.
#pragma once

#include <array>

#include "depthwise.h"
#include "linear.h"

namespace mambair {

constexpr int MAX_PAIRS = 2;

// Rows of an image that are still needed; later rows take the place of earlier ones.
struct Ring {
    float* rows;
    int64_t size, count;

    float* at(int64_t y) const { return rows + y % count * size; }
};

// What both layers of a pair read, the same for all threads.
struct PairWeights {
    Vec *matrix, *taps;

    PairWeights(Carver& carver, const SeparablePair& pair)
        : matrix(carver.take<Vec>(pair.linear.in * linear_vectors(pair.linear))),
          taps(carver.take<Vec>(taps_vectors(pair.depthwise))) {}
};

// A band of rows on its way through one pair.
struct PairBand {
    const SeparablePair& pair;
    const PairWeights& weights;
    int64_t reach, next = 0;  // rows that the convolution sees above and below; the next one for the linear layer
    Ring ring;
    float *given, *local;  // a row of input, where it is not the image; memory of the linear layer

    PairBand(Carver& carver, const SeparableArguments& job, const SeparablePair& pair, const PairWeights& weights)
        : pair(pair), weights(weights), reach(pair.depthwise.dilation * (pair.depthwise.kernel / 2)) {
        ring.size = job.width * pair.depthwise.channels;
        ring.count = 2 * reach + 1;
        ring.rows = carver.take<float>(ring.size * ring.count);
        given = carver.take<float>(job.width * pair.linear.in);
        local = carver.take<float>(linear_floats(pair.linear));
    }
};

inline void copy(const float* from, int64_t count, float* to) {
    over_channels(count, [=](int64_t c, auto lanes) { store_part(to + c, load_part(from + c, lanes), lanes); });
}

// One row through a linear layer; `rest`, unless null, receives what the convolution does not read.
inline void linear_row(const SeparablePair& pair, const PairWeights& weights, int64_t width, const float* x,
                       int64_t x_stride, float* local, float* to, float* rest) {
    LinearArguments job = pair.linear;
    job.pixels = width, job.x = x, job.x_stride = x_stride, job.y = to;
    if (job.out == pair.depthwise.channels) {
        for (int64_t start = 0; start < width; start += PIXEL_BLOCK) linear_block(job, weights.matrix, local, start);
        return;
    }
    const int64_t stride = linear_vectors(job) * LANES, kept = pair.depthwise.channels, left = job.out - kept;
    for (int64_t start = 0; start < width; start += PIXEL_BLOCK) {
        const int64_t count = std::min(PIXEL_BLOCK, width - start);
        const float* products = linear_products(job, weights.matrix, local, start, count);
        for (int64_t p = 0; p < count; p++) {
            copy(products + p * stride, kept, to + (start + p) * kept);
            if (rest != nullptr) copy(products + p * stride + kept, left, rest + (start + p) * left);
        }
    }
}

// The sum of (count, channels) over the first, times a factor.
inline void sum_pixels(const float* from, int64_t count, int64_t channels, float factor, float* to) {
    over_channels(channels, [=](int64_t c, auto lanes) {
        Vec sum[4] = {};
        for (int64_t i = 0; i < count; i++) sum[i % 4] += load_part(from + i * channels + c, lanes);
        store_part(to + c, ((sum[0] + sum[1]) + (sum[2] + sum[3])) * factor, lanes);
    });
}

// One band of one image.
class SeparableBand {
  public:
    // row_sums: (batch, height, channels) of the results, or null.
    SeparableBand(const SeparableArguments& job, PairBand* bands, float* row_sums, int64_t image, int64_t top,
                  int64_t bottom)
        : job_(job), bands_(bands), row_sums_(row_sums), image_(image), top_(top), bottom_(bottom) {}

    void run() {
        int64_t first = top_;
        for (int64_t pair = job_.pairs - 1; pair >= 0; pair--)
            bands_[pair].next = first = std::max<int64_t>(0, first - bands_[pair].reach);
        const DepthwiseArguments& last = bands_[job_.pairs - 1].pair.depthwise;
        for (int64_t y = top_; y < bottom_; y++) {
            const int64_t row = image_ * job_.height + y;
            float* to = last.y + row * job_.width * last.channels;
            convolve(job_.pairs - 1, y, to);
            if (row_sums_ != nullptr) sum_pixels(to, job_.width, last.channels, 1.0f, row_sums_ + row * last.channels);
        }
    }

  private:
    // Row y of a pair's results.
    void convolve(int64_t number, int64_t y, float* to) {
        PairBand& band = bands_[number];
        for (; band.next <= std::min(y + band.reach, job_.height - 1); band.next++) make(number, band);
        const auto row = [&](int64_t at) -> const float* {
            return at < 0 || at >= job_.height ? nullptr : band.ring.at(at);
        };
        depthwise_row(band.pair.depthwise, band.weights.taps, row, y, to);
    }

    // The next row that a convolution reads.
    void make(int64_t number, PairBand& band) {
        const LinearArguments& linear = band.pair.linear;
        const int64_t y = band.next, row = image_ * job_.height + y, left = linear.out - band.pair.depthwise.channels;
        const float* x = band.given;
        int64_t stride = linear.in;
        if (number == 0)
            x = linear.x + row * job_.width * linear.x_stride, stride = linear.x_stride;
        else
            convolve(number - 1, y, band.given);
        float* rest = number == 0 && y >= top_ && y < bottom_ ? job_.rest + row * job_.width * left : nullptr;
        linear_row(band.pair, band.weights, job_.width, x, stride, band.local, band.ring.at(y), rest);
    }

    const SeparableArguments& job_;
    PairBand* bands_;
    float* row_sums_;
    int64_t image_, top_, bottom_;
};

inline const SeparablePair& last_pair(const SeparableArguments& job) { return job.pairs > 1 ? job.second : job.first; }

struct SeparableScratch {
    PairWeights weights[MAX_PAIRS];
    float* row_sums = nullptr;
    char* local;
    int64_t local_bytes, bytes;

    SeparableScratch(Carver carver, const SeparableArguments& job)
        : weights{{carver, job.first}, {carver, last_pair(job)}} {
        if (job.mean != nullptr) row_sums = carver.take<float>(job.batch * job.height * last_pair(job).depthwise.channels);
        Carver one(nullptr);
        take_bands(one, job);
        local_bytes = one.used();
        local = carver.take<char>(job.threads * local_bytes);
        bytes = carver.used();
    }

    std::array<PairBand, MAX_PAIRS> take_bands(Carver& carver, const SeparableArguments& job) const {
        return {PairBand(carver, job, job.first, weights[0]), PairBand(carver, job, last_pair(job), weights[1])};
    }
};

// False when there is no memory.
inline bool separable(const SeparableArguments& job, Arena& arena) {
    const int threads = static_cast<int>(job.threads);
    char* block = arena.reserve(SeparableScratch(Carver(nullptr), job).bytes);
    if (block == nullptr) return false;
    const SeparableScratch scratch(Carver(block), job);
    const SeparablePair* pairs[MAX_PAIRS] = {&job.first, &job.second};
    const int64_t pixels = job.batch * job.height * job.width, channels = last_pair(job).depthwise.channels;
    want_huge_pages(last_pair(job).depthwise.y, pixels * channels);
    want_huge_pages(job.rest, pixels * (job.first.linear.out - job.first.depthwise.channels));
    for (int64_t i = 0; i < job.pairs; i++) {
        pack_linear(pairs[i]->linear, scratch.weights[i].matrix, linear_vectors(pairs[i]->linear));
        pack_taps(pairs[i]->depthwise, scratch.weights[i].taps);
    }
    const int64_t parts = std::min<int64_t>(job.height, (threads + job.batch - 1) / job.batch);
    parallel_shares(job.batch * parts, threads, [&](int64_t i, int thread) {
        Carver carver(scratch.local + thread * scratch.local_bytes);
        std::array<PairBand, MAX_PAIRS> bands = scratch.take_bands(carver, job);
        const int64_t part = i % parts, top = job.height * part / parts, bottom = job.height * (part + 1) / parts;
        SeparableBand(job, bands.data(), scratch.row_sums, i / parts, top, bottom).run();
    });
    const float share = 1.0f / static_cast<float>(job.height * job.width);
    for (int64_t image = 0; job.mean != nullptr && image < job.batch; image++)
        sum_pixels(scratch.row_sums + image * job.height * channels, job.height, channels, share,
                   job.mean + image * channels);
    arena.trim();
    return true;
}

}  // namespace mambair
