// Replays recorded calls of the native library (benchmarks/replay.py) and compares what they leave in memory.
//
// replay LIBRARY CALLS TOLERANCE: runs every call twice, prints per function how many there were, the largest
// difference relative to the largest value of its result, and how many left other bytes the second time.
// Exit code 1 if a difference is above TOLERANCE or bytes differ.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
static void* function_of(void* library, const char* name) {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
static void* open_library(const char* path) { return LoadLibraryA(path); }
#else
#include <dlfcn.h>
static void* function_of(void* library, const char* name) { return dlsym(library, name); }
static void* open_library(const char* path) { return dlopen(path, RTLD_NOW); }
#endif

using Bytes = std::vector<char>;

// Memory that a pointer leads to: where it lies, in the structure (owner -1) or in earlier memory, and what was there
// before and after the call.
struct Memory {
    int64_t owner, place, changed;
    Bytes before, after;
};

struct Call {
    std::string function;
    Bytes structure;
    std::vector<Memory> memory;
};

static bool read(std::FILE* file, void* to, size_t size) { return std::fread(to, 1, size, file) == size; }

static Bytes read_bytes(std::FILE* file) {
    int64_t size = 0;
    if (!read(file, &size, sizeof size)) std::exit(2);
    Bytes bytes(static_cast<size_t>(size));
    if (size > 0 && !read(file, bytes.data(), bytes.size())) std::exit(2);
    return bytes;
}

static bool read_call(std::FILE* file, Call& call) {
    int64_t memories = 0;
    if (!read(file, &memories, sizeof memories)) return false;
    const Bytes name = read_bytes(file);
    call.function.assign(name.data(), name.size());
    call.structure = read_bytes(file);
    call.memory.clear();
    for (int64_t i = 0; i < memories; i++) {
        Memory memory{};
        for (int64_t* value : {&memory.owner, &memory.place, &memory.changed})
            if (!read(file, value, sizeof *value)) std::exit(2);
        memory.before = read_bytes(file);
        if (memory.changed) memory.after = read_bytes(file);
        call.memory.push_back(std::move(memory));
    }
    return true;
}

// What lies in the memory of a call after running it; exits when the library reports an error.
static std::vector<Bytes> run(void* library, const Call& call) {
    constexpr size_t ALIGNMENT = 64;
    std::vector<Bytes> blocks;
    std::vector<char*> starts;
    Bytes structure = call.structure;
    for (const Memory& memory : call.memory) {
        blocks.emplace_back(memory.before.size() + ALIGNMENT);
        const auto address = reinterpret_cast<uintptr_t>(blocks.back().data());
        char* start = reinterpret_cast<char*>((address + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
        std::memcpy(start, memory.before.data(), memory.before.size());
        starts.push_back(start);
        char* owner = memory.owner < 0 ? structure.data() : starts[static_cast<size_t>(memory.owner)];
        std::memcpy(owner + memory.place, &start, sizeof start);
    }
    using Function = int (*)(const void*);
    const auto function = reinterpret_cast<Function>(function_of(library, call.function.c_str()));
    if (function == nullptr) std::fprintf(stderr, "%s is missing\n", call.function.c_str()), std::exit(2);
    if (function(structure.data()) != 0) std::fprintf(stderr, "%s failed\n", call.function.c_str()), std::exit(2);
    // Addresses differ from run to run and are no result.
    for (const Memory& memory : call.memory)
        if (memory.owner >= 0) std::memset(starts[static_cast<size_t>(memory.owner)] + memory.place, 0, sizeof(char*));
    std::vector<Bytes> left;
    for (size_t i = 0; i < starts.size(); i++) left.emplace_back(starts[i], starts[i] + call.memory[i].before.size());
    return left;
}

// Largest difference of floats, relative to the largest value expected; NaN only where NaN is expected.
static double difference(const Bytes& found, const Bytes& expected) {
    const size_t count = expected.size() / sizeof(float);
    double largest = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        float a, b;
        std::memcpy(&a, found.data() + i * sizeof a, sizeof a);
        std::memcpy(&b, expected.data() + i * sizeof b, sizeof b);
        if (std::isnan(a) && std::isnan(b)) continue;
        if (std::isnan(a) || std::isnan(b)) return INFINITY;
        largest = std::max(largest, std::fabs(static_cast<double>(a) - b));
        scale = std::max(scale, std::fabs(static_cast<double>(b)));
    }
    return scale > 0 ? largest / scale : largest;
}

int main(int count, char** arguments) {
    if (count != 4) return std::fprintf(stderr, "replay LIBRARY CALLS TOLERANCE\n"), 2;
    void* library = open_library(arguments[1]);
    if (library == nullptr) return std::fprintf(stderr, "cannot load %s\n", arguments[1]), 2;
    std::FILE* file = std::fopen(arguments[2], "rb");
    if (file == nullptr) return std::fprintf(stderr, "cannot open %s\n", arguments[2]), 2;
    int64_t lanes = 0;
    const auto lanes_of = reinterpret_cast<int (*)()>(function_of(library, "mambair_lanes"));
    if (!read(file, &lanes, sizeof lanes) || lanes_of == nullptr || lanes_of() != lanes)
        return std::fprintf(stderr, "the calls are of a library with %d lanes\n", static_cast<int>(lanes)), 2;
    struct Row {
        int calls, unlike;
        double worst;
    };
    std::map<std::string, Row> rows;
    Call call;
    while (read_call(file, call)) {
        const auto first = run(library, call), second = run(library, call);
        Row& row = rows[call.function];
        row.calls++;
        row.unlike += first != second;
        for (size_t i = 0; i < first.size(); i++)
            if (call.memory[i].changed) row.worst = std::max(row.worst, difference(first[i], call.memory[i].after));
    }
    const double tolerance = std::atof(arguments[3]);
    bool right = !rows.empty();
    for (const auto& [name, row] : rows) {
        std::printf("%s %d calls, difference %.2g, %d not repeated to the bit\n", name.c_str(), row.calls, row.worst,
                    row.unlike);
        right = right && row.unlike == 0 && row.worst <= tolerance;
    }
    return right ? 0 : 1;
}
