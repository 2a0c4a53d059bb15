// Scratch memory that outlives a call: the first touch of fresh pages costs more than the scan of a small image.
#pragma once

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

namespace mambair {

constexpr int64_t HUGE_PAGE = 1 << 21;

// Results from which on huge pages pay: the features of a light network in a tile of 256 x 256.
constexpr int64_t LARGE_RESULT = 3 << 20;  // floats

// Asks for huge pages where a large image will be written that scans will read: they look up a page every few pixels,
// which a virtual machine does in two tables at once. Memory that is in use keeps its pages.
inline void want_huge_pages([[maybe_unused]] float* from, [[maybe_unused]] int64_t count) {
#if defined(__linux__)
    if (from == nullptr || count < LARGE_RESULT) return;
    const auto page = static_cast<uintptr_t>(HUGE_PAGE), address = reinterpret_cast<uintptr_t>(from);
    const uintptr_t first = (address + page - 1) / page * page;
    const uintptr_t end = (address + static_cast<uintptr_t>(count) * sizeof(float)) / page * page;
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

// C11's aligned_alloc is missing in Windows' C library, which frees such memory with a function of its own.
inline char* allocate_aligned(int64_t alignment, int64_t bytes) {
    const auto unit = static_cast<size_t>(alignment), size = static_cast<size_t>(bytes);
#if defined(_WIN32)
    return static_cast<char*>(_aligned_malloc(size, unit));
#else
    void* block = nullptr;
    return posix_memalign(&block, unit, size) == 0 ? static_cast<char*>(block) : nullptr;
#endif
}

inline void free_aligned(char* block) {
#if defined(_WIN32)
    _aligned_free(block);
#else
    std::free(block);
#endif
}

// One growing block. What a very large image needed is given back at the end of its call.
class Arena {
  public:
    Arena() = default;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() { free_aligned(block_); }

    // Room for `bytes`, or null when there is no memory; its former content is lost.
    char* reserve(int64_t bytes) {
        if (bytes <= size_) return block_;
        free_aligned(block_);
        size_ = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        block_ = allocate_aligned(ALIGNMENT, size_);
        if (block_ == nullptr) size_ = 0;
#if defined(__linux__)
        if (block_ != nullptr) madvise(block_, static_cast<size_t>(size_), MADV_HUGEPAGE);
#endif
        return block_;
    }

    void trim() {
        if (size_ <= KEEP) return;
        free_aligned(block_);
        block_ = nullptr;
        size_ = 0;
    }

  private:
    static constexpr int64_t ALIGNMENT = HUGE_PAGE;
    static constexpr int64_t KEEP = int64_t{256} << 20;
    char* block_ = nullptr;
    int64_t size_ = 0;
};

// Hands out consecutive aligned pieces of a block; with a null block it only adds up their sizes.
class Carver {
  public:
    explicit Carver(char* block) : base_(block) {}

    template <class T>
    T* take(int64_t count) {
        char* piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
        return reinterpret_cast<T*>(piece);
    }

    int64_t used() const { return used_; }

  private:
    char* base_;
    int64_t used_ = 0;
};

}  // namespace mambair
