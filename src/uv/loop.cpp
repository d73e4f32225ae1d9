// The libuv loop's life: open, wake, dispatch, fork, close. See loop.hpp for the rules.
//
// Closing is written so that it cannot fail: uv_loop_close() refuses only while handles are left,
// and there is one, which is closed first. The exception is a forked child that got no new epoll
// descriptor: running that loop would abort the process (libuv), so its memory is left behind.
#include "uv/loop.hpp"

#include <cerrno>
#include <cstdlib>

#include "base/fork_count.hpp"

namespace bucle::uv {

Status Loop::open() noexcept {
    if (loop_ != nullptr) {
        return Status();
    }
    // The library may be newer than the headers, and its struct larger.
    const std::size_t size = uv_loop_size();
    auto* const loop = static_cast<uv_loop_t*>(
        std::calloc(1, size > sizeof(uv_loop_t) ? size : sizeof(uv_loop_t)));
    if (loop == nullptr) {
        return Status(UV_ENOMEM);
    }
    if (const Status status(uv_loop_init(loop)); !status) {
        clean_up_failed_init(loop, status.code());
        std::free(loop);
        return status;
    }
    loop_ = loop;
    forks_ = base::fork_count();
    usable_ = Status();
    const Status status = open_wakeup();
    if (!status) {
        static_cast<void>(uv_loop_close(loop_));
        std::free(loop_);
        loop_ = nullptr;
    }
    return status;
}

Status Loop::open_wakeup() noexcept {
    woken_ = false;
    const Status status(uv_async_init(
        loop_, &wakeup_, [](uv_async_t* handle) { *static_cast<bool*>(handle->data) = true; }));
    if (status) {
        wakeup_.data = &woken_;
        dispatch(); // libuv watches what is new only from the next run on
    }
    return status;
}

// The handle's memory is free for another one afterwards: nothing else runs on this loop.
void Loop::close_wakeup() noexcept {
    uv_close(reinterpret_cast<uv_handle_t*>(&wakeup_), nullptr);
    dispatch();
}

void Loop::close() noexcept {
    if (loop_ == nullptr) {
        return;
    }
    if (in_child() && usable_) {
        // Closing would change the parent's epoll set.
        static_cast<void>(fork());
    }
    if (usable_) {
        close_wakeup();
        static_cast<void>(uv_loop_close(loop_));
        std::free(loop_);
    }
    loop_ = nullptr;
    woken_ = false;
}

Status Loop::fork() noexcept {
    if (loop_ == nullptr || !in_child() || !usable_) {
        return usable_;
    }
    usable_ = Status(uv_loop_fork(loop_));
    if (usable_) {
        forks_ = base::fork_count();
        // A new handle: before 1.46 the old one, if it was pending, stays so for ever.
        close_wakeup();
        usable_ = open_wakeup();
    }
    return usable_;
}

int Loop::fd() const noexcept {
    return loop_ == nullptr ? -1 : uv_backend_fd(loop_);
}

void Loop::dispatch() noexcept {
    if (loop_ != nullptr && usable_) {
        static_cast<void>(uv_run(loop_, UV_RUN_NOWAIT));
    }
}

void Loop::wake() noexcept {
    if (loop_ != nullptr && usable_) {
        // Fails only for what is no uv_async_t.
        static_cast<void>(uv_async_send(&wakeup_));
    }
}

bool Loop::take_woken() noexcept {
    const bool was = woken_;
    woken_ = false;
    return was;
}

bool Loop::in_child() const noexcept {
    return forks_ != base::fork_count();
}

const char* Loop::version() noexcept {
    return uv_version_string();
}

} // namespace bucle::uv
