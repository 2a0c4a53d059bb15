// Checks the loops of csrc/parallel.h on whatever threads this was built with; says what is wrong and returns 1.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../../kernels/csrc/parallel.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::printf("%s\n", what);
    std::exit(1);
}

// Every i once, by a thread that exists, and no thread twice at the same time.
void check_for(int64_t count, int threads) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(count)), busy(static_cast<size_t>(threads));
    mambair::parallel_for(count, threads, [&](int64_t i, int thread) {
        require(0 <= thread && thread < threads, "parallel_for: no such thread");
        require(busy[static_cast<size_t>(thread)].fetch_add(1) == 0, "parallel_for: two at a time in one thread");
        visits[static_cast<size_t>(i)]++;
        busy[static_cast<size_t>(thread)]--;
    });
    for (auto& times : visits) require(times == 1, "parallel_for: not every index once");
}

// Gradients are summed by share: exactly these, or the sums change.
void check_shares(int64_t count, int threads) {
    std::vector<int> owner(static_cast<size_t>(count), -1);
    mambair::parallel_shares(count, threads, [&](int64_t i, int share) { owner[static_cast<size_t>(i)] = share; });
    const int64_t shares = count < threads ? count : threads;
    for (int64_t share = 0; share < shares; share++)
        for (int64_t i = count * share / shares; i < count * (share + 1) / shares; i++)
            require(owner[static_cast<size_t>(i)] == share, "parallel_shares: not in equal consecutive shares");
}

void check_all() {
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000})
        for (int threads : {1, 2, 3, 8, 13}) check_for(count, threads), check_shares(count, threads);
}

// Runs so short that a worker may be about to sleep when the next one begins.
void check_many_short_runs() {
    for (int run = 0; run < 2000; run++) {
        std::atomic<int> sum{0};
        mambair::parallel_for(4, 4, [&](int64_t i, int) { sum += static_cast<int>(i); });
        require(sum == 6, "a run returned before its work was done");
        if (run % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

void check_several_callers() {
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; i++) callers.emplace_back(check_all);
    for (auto& caller : callers) caller.join();
}

// A forked child has no workers; what its parent had must not be waited for. OpenMP promises nothing here.
void check_fork() {
#if !defined(_WIN32) && !defined(_OPENMP)
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        check_all();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    require(status == 0, "the loops fail in a forked child");
#endif
}

}  // namespace

int main() {
    check_all();
    check_many_short_runs();
    check_several_callers();
    check_fork();
    return 0;
}
