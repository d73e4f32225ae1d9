// Loop: owns a uv_loop_t with the three handles that an event loop's turn needs: a wake-up, a
// timer, and a watch on one descriptor (the epoll set of the descriptors that libuv must not see).
//
// Invariant: while open, the wake-up is active and referenced, so run_once() always blocks until
// something happens; the other two are unreferenced and never decide whether it blocks.
// run_*() may be called without the GIL: our callbacks only set plain flags, read after the run.
// All but wake() belong to the thread that runs the loop. A forked child calls fork() before it
// runs the loop; until then descriptors are shared with the parent, which no function here changes.
#pragma once

#include <atomic>
#include <cstdint>

#include "uv/handle.hpp"

namespace bucle::uv {

class Loop {
  public:
    Loop() noexcept = default;
    ~Loop() { close(); }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // Does nothing when open; leaves nothing behind when it fails. Measuring the idle time costs
    // two readings of the clock a poll.
    Status open(bool measure_idle = false) noexcept;
    // Closes our handles and those that others left, waits for requests that are in the thread
    // pool, frees the loop. Cannot fail; does nothing when closed.
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return loop_ != nullptr; }

    // In the child: new descriptors in place of the shared ones. The first run returns at once,
    // since a wake-up of the parent's may have been under way. After a failure only close().
    // What was watched still is, by number. Does nothing in the process that opened the loop.
    Status fork() noexcept;

    // One uv_run each, the result is uv_run's. run_once blocks until wake(), the timer, the
    // backend or another handle; a handle that is closing makes it return at once.
    int run_nowait() noexcept;
    int run_once() noexcept;
    // From a callback: ends the run that is under way, which does not begin another poll.
    void stop() noexcept;

    // Ends a run_once, now or the next. From any thread and from a signal handler, also while the
    // loop is being closed or is closed; many calls before a poll are one wake-up.
    void wake() noexcept;

    // The timer fires once, after the delay rounded up to milliseconds. libuv's clock counts whole
    // ones, so a run that other events cut short can make it fire up to one early: who must not be
    // early looks at a better clock and arms again. Without a delay the next run does not block.
    void arm(std::int64_t delay_ns) noexcept;
    void disarm() noexcept;

    // Watches `fd` for being readable, in place of the one watched before. It must stay open
    // until unwatch_backend(): libuv aborts the process over a watched descriptor gone bad.
    Status watch_backend(int fd) noexcept;
    void unwatch_backend() noexcept;
    [[nodiscard]] bool watches_backend() const noexcept { return static_cast<bool>(backend_); }

    // What the last runs saw; each answers once.
    [[nodiscard]] bool take_woken() noexcept { return take(woken_); }
    [[nodiscard]] bool take_timer_fired() noexcept { return take(timer_fired_); }
    [[nodiscard]] bool take_backend_ready() noexcept { return take(backend_ready_); }

    // Time spent blocked in polls; 0 unless measured.
    [[nodiscard]] std::uint64_t idle_ns() const noexcept;
    // Handles on the loop beside our own, closing ones left out; walks them.
    [[nodiscard]] unsigned handles() const noexcept;
    [[nodiscard]] Metrics metrics() const noexcept;
    // For the rooms that put handles of their own on the loop; null when closed.
    [[nodiscard]] uv_loop_t* raw() const noexcept { return loop_; }

    [[nodiscard]] static const char* version() noexcept;

  private:
    static bool take(bool& flag) noexcept {
        const bool was = flag;
        flag = false;
        return was;
    }
    [[nodiscard]] bool in_child() const noexcept;
    [[nodiscard]] bool owns(const uv_handle_t* handle) const noexcept;
    Status open_wakeup() noexcept;
    void shut_wakeup() noexcept;
    void drop_loop() noexcept;

    uv_loop_t* loop_ = nullptr;
    Handle<uv_async_t> wakeup_;
    Handle<uv_timer_t> timer_;
    Handle<uv_poll_t> backend_;
    unsigned forks_ = 0; // base::fork_count() of the process whose descriptors these are
    Status usable_;      // else what uv_loop_fork failed with: the loop must not be run any more
    bool woken_ = false;
    bool timer_fired_ = false;
    bool backend_ready_ = false;
    // wake() holds off close(): it counts itself in, then looks whether the door is open.
    std::atomic<bool> wakeable_ = false;
    std::atomic<unsigned> wakers_ = 0;
};

} // namespace bucle::uv
