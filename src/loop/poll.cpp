// The poll: the only place where the GIL is given up. One hand-over a poll, whatever it brings:
// libuv's callbacks only set flags, descriptors are collected and queued afterwards. A poll that
// does not block and has no descriptor to look at is a hand-over of the GIL and nothing else, so
// the uv_loop_t (13 to 40 us) is made only when somebody has to wait.
#include "loop/loop.hpp"

#include "py/asyncio_abi.hpp"
#include "py/error.hpp"
#include "py/gil.hpp"

#include <algorithm>
#include <cmath>

#include <sched.h>

namespace bucle::loop {
namespace {

// The GIL, given up for a poll that does not block. Such a release is so short that a thread which
// waits for the GIL, and is woken by it, would nearly always come too late. Releasing takes some 30
// ns, but more than 300 when it wakes somebody: then the GIL is left alone until that thread has
// had the time to wake up.
class OfferGil {
  public:
    OfferGil() noexcept
        : begun_(monotonic_ns()), saved_(PyEval_SaveThread()), end_(monotonic_ns()) {}
    OfferGil(const OfferGil&) = delete;
    OfferGil& operator=(const OfferGil&) = delete;
    ~OfferGil() {
        constexpr std::int64_t kSomebodyWaits = 400;
        constexpr std::int64_t kWakeUpTime = 30'000;
        if (end_ - begun_ > kSomebodyWaits) {
            while (monotonic_ns() - end_ < kWakeUpTime) {
                sched_yield();
            }
        }
        PyEval_RestoreThread(saved_);
    }

  private:
    std::int64_t begun_;
    PyThreadState* saved_;
    std::int64_t end_;
};

bool open_uv(LoopCore& core) noexcept {
    if (core.uv.is_open()) [[likely]] {
        return true;
    }
    const uv::Status status = core.uv.open();
    if (!status.ok()) {
        return py::raise_os_error(status.errnum());
    }
    if (core.descriptors.is_open()) {
        const uv::Status watched = core.uv.watch_backend(core.descriptors.fd());
        return watched.ok() || py::raise_os_error(watched.errnum());
    }
    return true;
}

// The backend was opened, or opened anew, since libuv began to watch it.
bool watch_backend(LoopCore& core) noexcept {
    if (!core.descriptors.is_open() ||
        (core.uv.watches_backend() && !core.descriptors.needs_reopen())) {
        return true;
    }
    core.uv.unwatch_backend();
    if (core.descriptors.needs_reopen()) {
        if (const int error = core.descriptors.reopen(); error != 0) {
            return py::raise_os_error(error);
        }
    }
    const uv::Status status = core.uv.watch_backend(core.descriptors.fd());
    return status.ok() || py::raise_os_error(status.errnum());
}

bool arm_timer(LoopCore& core) noexcept {
    if (core.timers.empty()) {
        core.uv.disarm();
        return true;
    }
    double now = 0;
    if (!now_seconds(core, now)) {
        return false;
    }
    if (core.timers.empty()) { // an overridden time() cancelled the last ones
        core.uv.disarm();
        return true;
    }
    // At most a day, as in asyncio; the poll after it looks again.
    constexpr double kLongest = 24 * 3600;
    const double delay = when_of(core.timers.top().when) - now;
    const double bounded = delay > 0 ? std::min(delay, kLongest) : std::isnan(delay) ? kLongest : 0;
    core.uv.arm(static_cast<std::int64_t>(std::ceil(bounded * 1e9)));
    return true;
}

bool run_uv(LoopCore& core, bool block) noexcept {
    core.polling = true;
    core.wake_sent = false;
    {
        if (block) {
            const py::ReleaseGil released;
            (void)core.uv.run_once();
        } else {
            const OfferGil offered;
            (void)core.uv.run_nowait();
        }
    }
    core.polling = false;
    if (core.uv.take_woken()) {
        ++core.metrics.wakeups;
    }
    (void)core.uv.take_timer_fired();
    return !core.uv.take_backend_ready() || queue_ready_descriptors(core);
}

} // namespace

bool poll(LoopCore& core, bool block) noexcept {
    ++core.metrics.polls;
    py::abi::clear_lingering(core.loop, core.lingering_task);
    if (PyErr_CheckSignals() < 0) {
        return false;
    }
    if (core.forked && !renew_after_fork(core)) {
        return false;
    }
    if (!block && core.watched == 0 && !core.uv.is_open() && !signals_claimed()) {
        const OfferGil offered;
        return true;
    }
    if (!watch_signals(core) || !open_uv(core) || !watch_backend(core)) {
        return false;
    }
    if (block && !arm_timer(core)) {
        return false;
    }
    // Decided last: what came before can let other threads run, and what they queue must not wait.
    return run_uv(core, block && core.ready.empty() && !core.stopping) && PyErr_CheckSignals() == 0;
}

void wake_from_thread(LoopCore& core) noexcept {
    if (core.polling && !core.wake_sent) {
        core.wake_sent = true;
        core.uv.wake();
    }
}

bool renew_after_fork(LoopCore& core) noexcept {
    // libuv first: until then a change of what it watches would reach the parent's descriptors.
    core.forked = false;
    if (core.uv.is_open()) {
        const uv::Status status = core.uv.fork();
        if (!status.ok()) {
            return py::raise_os_error(status.errnum());
        }
        core.uv.unwatch_backend();
    }
    if (core.descriptors.is_open()) {
        if (const int error = core.descriptors.reopen(); error != 0) {
            return py::raise_os_error(error);
        }
        if (core.signal_fd >= 0) { // the pair of the parent
            (void)core.descriptors.set(core.signal_fd, 0);
        }
    }
    core.signal_fd = -1;
    core.wakeup_fd_set = false;
    return true;
}

void close_descriptors(LoopCore& core) noexcept {
    drop_watches(core);
    if (!core.forked) {
        core.uv.unwatch_backend();
    }
    core.uv.close();
    core.descriptors.close();
}

} // namespace bucle::loop
