// Loop: owns a uv_loop_t with one handle, the wake-up by which other threads end a wait.
//
// libuv does not wait: its own epoll set stands in that of the event loop (loop/epoll_set.hpp),
// and dispatch() is called when that says so. Not thread-safe: wake() comes from any thread, but
// whoever calls it holds the lock (the GIL) under which the loop is opened, forked and closed.
// A forked child calls fork() before it goes on; until then descriptors are shared with the parent,
// which no function here changes.
#pragma once

#include "uv/error.hpp"

namespace bucle::uv {

class Loop {
  public:
    Loop() noexcept = default;
    ~Loop() { close(); }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // Does nothing when open; leaves nothing behind when it fails.
    Status open() noexcept;
    // Cannot fail; does nothing when closed.
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return loop_ != nullptr; }

    // In the child: new descriptors in place of the shared ones, fd() included; a wake-up that was
    // under way is forgotten. After a failure only close(). Does nothing in the process that opened
    // the loop.
    Status fork() noexcept;

    // The epoll descriptor that is readable while dispatch() has something to do; -1 when closed.
    [[nodiscard]] int fd() const noexcept;
    // Does not block.
    void dispatch() noexcept;

    // Makes fd() readable. Many calls before a dispatch() are one wake-up.
    void wake() noexcept;
    // Whether a dispatch() saw a wake-up; answers once.
    [[nodiscard]] bool take_woken() noexcept;

    [[nodiscard]] static const char* version() noexcept;

  private:
    [[nodiscard]] bool in_child() const noexcept;
    Status open_wakeup() noexcept;
    void close_wakeup() noexcept;

    uv_loop_t* loop_ = nullptr;
    uv_async_t wakeup_{}; // `data` says where `woken_` is
    unsigned forks_ = 0;  // base::fork_count() of the process whose descriptors these are
    Status usable_;       // else what uv_loop_fork failed with: the loop must not be run any more
    bool woken_ = false;
};

} // namespace bucle::uv
