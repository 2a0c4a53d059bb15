// Threads of our own, for builds without OpenMP.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mambair {

// A hint to the processor that this thread waits for another one.
inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // about as long as x86's pause; `yield` does nothing on most cores
#endif
}

// One call of `function` on behalf of a member.
struct Errand {
    void (*call)(const void* function, int member);
    const void* function;
    int member;
};

// A thread that runs one errand at a time. It never ends: joining threads when a Windows process ends, or a thread of
// it, is a deadlock, because the loader's lock is held there.
class Worker {
  public:
    Worker() { std::thread([this] { work(); }).detach(); }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Only while it is idle.
    void start(const Errand& errand) {
        errand_ = errand;
        turn(true, wake_);
    }

    void wait() { await(false, done_); }

  private:
    // Between the layers of a network there is too little time to sleep: waking up costs tens of microseconds.
    static constexpr int SPINS = 2000;

    void turn(bool busy, std::condition_variable& changed) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            busy_.store(busy, std::memory_order_release);
        }
        changed.notify_one();
    }

    void await(bool busy, std::condition_variable& changed) {
        for (int i = 0; i < SPINS; i++, relax())
            if (busy_.load(std::memory_order_acquire) == busy) return;
        std::unique_lock<std::mutex> lock(mutex_);
        changed.wait(lock, [&] { return busy_.load(std::memory_order_relaxed) == busy; });
    }

    void work() {
        for (;;) {
            await(true, wake_);
            errand_.call(errand_.function, errand_.member);
            turn(false, done_);
        }
    }

    Errand errand_{};
    std::atomic<bool> busy_{false};
    std::mutex mutex_;
    std::condition_variable wake_, done_;
};

// All workers of the process. Callers on several threads get different ones.
class Team {
  public:
    // The team of this process: a child that was forked has none of its parent's threads and starts anew. Never
    // destroyed, like its workers.
    static Team& shared() {
        static const bool watched = watch_forks();
        (void)watched;
        return *current();
    }

    // Calls function(member) once for each member in [0, members), at the same time as far as threads can be had; the
    // caller is the first of them, and stands in for those that have none.
    template <class Function>
    void run(int members, const Function& function) {
        const auto call = [](const void* target, int member) { (*static_cast<const Function*>(target))(member); };
        const std::vector<Worker*> workers = take(members - 1);
        const int helped = static_cast<int>(workers.size());
        for (int i = 0; i < helped; i++) workers[static_cast<size_t>(i)]->start({call, &function, i + 1});
        function(0);
        for (int member = helped + 1; member < members; member++) function(member);
        for (Worker* worker : workers) worker->wait();
        give_back(workers);
    }

  private:
    static Team*& current() {
        static Team* team = new Team;
        return team;
    }

    static bool watch_forks() {
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { current() = new Team; });
#endif
        return true;
    }

    // The workers used last, in the same order: each finds in its cache what it wrote before.
    std::vector<Worker*> take(int count) {
        const std::lock_guard<std::mutex> lock(mutex_);
        try {
            while (static_cast<int>(idle_.size()) < count) idle_.insert(idle_.begin(), new Worker);
        } catch (const std::system_error&) {
            // The system gives no more threads.
        }
        const auto first = idle_.end() - std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(idle_.size()));
        std::vector<Worker*> workers(first, idle_.end());
        idle_.erase(first, idle_.end());
        return workers;
    }

    void give_back(const std::vector<Worker*>& workers) {
        const std::lock_guard<std::mutex> lock(mutex_);
        idle_.insert(idle_.end(), workers.begin(), workers.end());
    }

    std::mutex mutex_;
    std::vector<Worker*> idle_;
};

}  // namespace mambair
