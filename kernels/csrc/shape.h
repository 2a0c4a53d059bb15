// Sizes of a scan and how its work is cut into tasks.
#pragma once

#include "states.h"

namespace mambair {

// `groups` sequences share one batch element: the paths of an image, or the groups of a plain scan. Each has its own
// B and C, and `channels` channels.
struct Shape {
    int64_t batch, length, groups, channels;
    int d_state, rank;
    bool softplus;

    int vectors() const { return static_cast<int>((channels + LANES - 1) / LANES); }
    int lanes(int v) const { return static_cast<int>(std::min<int64_t>(LANES, channels - int64_t{v} * LANES)); }
    int row() const { return rank + 2 * d_state; }
    int row_stride() const { return (row() + LANES - 1) / LANES * LANES; }
    int weights() const { return d_state + rank + 2; }
    int64_t chunks() const { return (length + CHUNK - 1) / CHUNK; }
};

// One task: groups [group, group_end) of one batch element, one after another into the same output `slot`, for a range
// of channel vectors. Tasks write disjoint memory, so their order does not change the result.
struct Task {
    int64_t batch, group, group_end;
    int slot, split, vector, vector_end;
};

struct Plan {
    int slots, splits;

    int64_t tasks(const Shape& shape) const { return shape.batch * slots * splits; }

    // Of a slot, which ends where the next one begins.
    int64_t first_group(const Shape& shape, int64_t slot) const { return shape.groups * slot / slots; }

    Task task(const Shape& shape, int64_t i) const {
        const int split = static_cast<int>(i % splits), slot = static_cast<int>(i / splits % slots);
        const auto share = [](int64_t total, int parts, int part) { return total * part / parts; };
        return {i / splits / slots,
                first_group(shape, slot),
                first_group(shape, slot + 1),
                slot,
                split,
                static_cast<int>(share(shape.vectors(), splits, split)),
                static_cast<int>(share(shape.vectors(), splits, split + 1))};
    }
};

// The cheapest plan for that many threads. Reading and projecting a step costs about half a vector of channels, which
// every split pays again; a slot costs one more output to add up. Without `merge` each group keeps its own output.
inline Plan make_plan(const Shape& shape, int threads, bool merge) {
    Plan best{};
    double lowest = 0;
    for (int slots = merge ? 1 : static_cast<int>(shape.groups); slots <= shape.groups; slots++)
        for (int splits = 1; splits <= shape.vectors(); splits++) {
            const Plan plan{slots, splits};
            const int64_t rounds = (plan.tasks(shape) + threads - 1) / threads;
            const int64_t groups = (shape.groups + slots - 1) / slots;
            const int vectors = (shape.vectors() + splits - 1) / splits;
            const double cost = static_cast<double>(rounds * groups) * (vectors + 0.5) + 0.1 * slots;
            if (best.slots == 0 || cost < lowest) best = plan, lowest = cost;
            if (plan.tasks(shape) >= int64_t{8} * threads) break;
        }
    return best;
}

}  // namespace mambair
