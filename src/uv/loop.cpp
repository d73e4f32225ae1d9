// The libuv loop's life: open, run, wake, fork, close. See loop.hpp for the rules.
//
// Closing is written so that it cannot fail: uv_loop_close() refuses only while handles or
// requests are left, so all handles are closed and the loop is run until it accepts. The one
// exception is a forked child that got no new epoll descriptor: running that loop would abort the
// process (libuv), so its memory is left behind instead.
#include "uv/loop.hpp"

#include <cerrno>
#include <cstdlib>
#include <thread>

#include "base/fork_count.hpp"

namespace bucle::uv {

namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::uint64_t ms_rounded_up(std::int64_t delay_ns) noexcept {
    if (delay_ns <= 0) {
        return 0;
    }
    return static_cast<std::uint64_t>((delay_ns - 1) / kNsPerMs + 1);
}

// A flag of the Loop that owns a handle, through the handle's data.
template <class T>
Loop* owner_of(T* handle) noexcept {
    return static_cast<Loop*>(handle->data);
}

} // namespace

Status Loop::open(bool measure_idle) noexcept {
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
    if (measure_idle) {
        // Refused only by a libuv that cannot measure; then idle_ns() stays 0.
        static_cast<void>(uv_loop_configure(loop, UV_METRICS_IDLE_TIME));
    }
    loop_ = loop;
    forks_ = base::fork_count();
    usable_ = Status();
    woken_ = timer_fired_ = backend_ready_ = false;
    Status status = open_wakeup();
    if (status) {
        status =
            timer_.init(this, [loop](uv_timer_t* timer) { return uv_timer_init(loop, timer); });
    }
    if (!status) {
        close();
        return status;
    }
    timer_.unref();
    return status;
}

Status Loop::open_wakeup() noexcept {
    const Status status = wakeup_.init(this, [this](uv_async_t* async) {
        return uv_async_init(loop_, async, [](uv_async_t* handle) {
            // Null from uv_close() on, which may come between a wake-up and its callback.
            if (Loop* const self = owner_of(handle); self != nullptr) {
                self->woken_ = true;
            }
        });
    });
    if (status) {
        wakeable_.store(true);
    }
    return status;
}

// Afterwards no thread is inside wake() with the handle, nor will one be.
void Loop::shut_wakeup() noexcept {
    wakeable_.store(false);
    if (in_child()) {
        wakers_.store(0); // threads of the parent, which never return here
    }
    while (wakers_.load() != 0) {
        std::this_thread::yield();
    }
    wakeup_.close();
}

void Loop::close() noexcept {
    if (loop_ == nullptr) {
        return;
    }
    if (in_child() && usable_) {
        // Closing handles would take descriptors out of the parent's epoll set.
        static_cast<void>(fork());
    }
    if (!usable_) {
        drop_loop();
        return;
    }
    shut_wakeup();
    timer_.close();
    backend_.close();
    for (;;) {
        uv_walk(
            loop_, [](uv_handle_t* handle, void*) { detail::close_left_behind(handle); }, nullptr);
        if (uv_loop_close(loop_) == 0) {
            break;
        }
        // Blocks only for requests in the thread pool, which cannot be recalled.
        static_cast<void>(uv_run(loop_, UV_RUN_ONCE));
    }
    std::free(loop_);
    loop_ = nullptr;
    woken_ = timer_fired_ = backend_ready_ = false;
}

// Forgets a loop that may be neither run nor closed, with our handles on it.
void Loop::drop_loop() noexcept {
    wakeable_.store(false);
    wakeup_.abandon();
    timer_.abandon();
    backend_.abandon();
    loop_ = nullptr;
    woken_ = timer_fired_ = backend_ready_ = false;
}

Status Loop::fork() noexcept {
    if (loop_ == nullptr || !in_child()) {
        return Status();
    }
    if (!usable_) {
        return usable_;
    }
    const Status status(uv_loop_fork(loop_));
    if (!status) {
        usable_ = status;
        return status;
    }
    // A new wake-up handle: before 1.46 the old one, if it was pending, stays so for ever.
    shut_wakeup();
    forks_ = base::fork_count();
    if (const Status opened = open_wakeup(); !opened) {
        return opened;
    }
    wake();
    return status;
}

int Loop::run_nowait() noexcept {
    return loop_ == nullptr || !usable_ ? 0 : uv_run(loop_, UV_RUN_NOWAIT);
}

int Loop::run_once() noexcept {
    return loop_ == nullptr || !usable_ ? 0 : uv_run(loop_, UV_RUN_ONCE);
}

void Loop::stop() noexcept {
    if (loop_ != nullptr) {
        uv_stop(loop_);
    }
}

void Loop::wake() noexcept {
    const int saved = errno; // a signal handler must not change it
    wakers_.fetch_add(1);
    if (wakeable_.load()) {
        // Fails only for what is no uv_async_t.
        static_cast<void>(uv_async_send(wakeup_.get()));
    }
    wakers_.fetch_sub(1);
    errno = saved;
}

void Loop::arm(std::int64_t delay_ns) noexcept {
    if (loop_ == nullptr) {
        return;
    }
    // libuv counts from its own clock, which stands still between polls.
    uv_update_time(loop_);
    static_cast<void>(uv_timer_start(
        timer_.get(),
        [](uv_timer_t* handle) {
            if (Loop* const self = owner_of(handle); self != nullptr) {
                self->timer_fired_ = true;
                // Up to 1.44 a run looks at its timers before the poll too, and would then block
                // without one. A stopped run does not, and the stop ends with the run.
                uv_stop(handle->loop);
            }
        },
        ms_rounded_up(delay_ns), 0));
}

void Loop::disarm() noexcept {
    if (loop_ != nullptr) {
        static_cast<void>(uv_timer_stop(timer_.get()));
    }
    timer_fired_ = false;
}

Status Loop::watch_backend(int fd) noexcept {
    if (loop_ == nullptr) {
        return Status(UV_EBADF);
    }
    unwatch_backend();
    if (in_child()) {
        if (const Status forked = fork(); !forked.ok()) {
            return forked;
        }
    }
    Status status =
        backend_.init(this, [this, fd](uv_poll_t* poll) { return uv_poll_init(loop_, poll, fd); });
    if (!status) {
        return status;
    }
    backend_.unref();
    status = Status(uv_poll_start(backend_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
        // An error counts as ready: looking at the descriptor is how one learns of it.
        if (Loop* const self = owner_of(handle); self != nullptr) {
            self->backend_ready_ = true;
        }
    }));
    if (!status) {
        backend_.close();
    }
    return status;
}

void Loop::unwatch_backend() noexcept {
    if (backend_ && in_child() && !fork().ok()) {
        backend_.abandon(); // closing it would take the descriptor out of the parent's epoll set
    }
    backend_.close();
    backend_ready_ = false;
}

std::uint64_t Loop::idle_ns() const noexcept {
    return loop_ == nullptr ? 0 : uv_metrics_idle_time(loop_);
}

Metrics Loop::metrics() const noexcept {
    return loop_ == nullptr ? Metrics{} : uv::metrics(loop_);
}

bool Loop::in_child() const noexcept {
    return forks_ != base::fork_count();
}

bool Loop::owns(const uv_handle_t* handle) const noexcept {
    return handle == reinterpret_cast<const uv_handle_t*>(wakeup_.get()) ||
           handle == reinterpret_cast<const uv_handle_t*>(timer_.get()) ||
           handle == reinterpret_cast<const uv_handle_t*>(backend_.get());
}

unsigned Loop::handles() const noexcept {
    struct Count {
        const Loop* loop;
        unsigned others;
    } count{this, 0};
    if (loop_ != nullptr) {
        uv_walk(
            loop_,
            [](uv_handle_t* handle, void* argument) {
                auto* const sum = static_cast<Count*>(argument);
                if (uv_is_closing(handle) == 0 && !sum->loop->owns(handle)) {
                    ++sum->others;
                }
            },
            &count);
    }
    return count.others;
}

const char* Loop::version() noexcept {
    return uv_version_string();
}

} // namespace bucle::uv
