// Entry points of the native CPU backend. Compiled once per instruction set; loaded with ctypes.
#include "peak.h"
#include "scan_image.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
thread_local mambair::Arena arena;
}

// Channels that one vector holds: the last dimension of grad_weights.
EXPORT int mambair_lanes() { return mambair::LANES; }

// Fused multiply-adds per second of all threads together, in FLOP/s: what a benchmark may call this machine's peak.
EXPORT double mambair_peak_flops(int threads) { return mambair::peak_flops(threads); }

// All others return 0, or 1 when there is no memory.
EXPORT int mambair_scan_image(const ImageArguments* job) { return mambair::scan_image(*job, arena) ? 0 : 1; }
