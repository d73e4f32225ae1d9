// The poll, where a turn gives the GIL up. One hand-over and one system call a poll,
// whatever it brings: what is ready is queued afterwards. A poll that does not block and has no
// descriptor to look at is a hand-over of the GIL and nothing else, so the uv_loop_t (13 to 40 us)
// is made only when somebody has to wait.
#include "loop/loop.hpp"

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
// had the time to wake up. A clock that takes long itself could not tell.
class OfferGil {
  public:
    OfferGil() noexcept = default;
    OfferGil(const OfferGil&) = delete;
    OfferGil& operator=(const OfferGil&) = delete;
    ~OfferGil() {
        constexpr std::int64_t kSomebodyWaits = 400;
        constexpr std::int64_t kWakeUpTime = 30'000;
        if (end_ - begun_ > kSomebodyWaits && !clock_is_slow()) [[unlikely]] {
            while (monotonic_ns() - end_ < kWakeUpTime) {
                sched_yield();
            }
        }
    }

  private:
    std::int64_t begun_ = monotonic_ns();
    py::ReleaseGil released_;
    std::int64_t end_ = monotonic_ns();
};

// How long a poll may block, in milliseconds rounded up, since a timer is never early. Negative:
// without an end.
bool time_to_next_timer(LoopCore& core, int& timeout) noexcept {
    timeout = -1;
    if (core.timers.empty()) {
        return true;
    }
    double now = 0;
    if (!now_seconds(core, now)) {
        return false;
    }
    if (core.timers.empty()) { // an overridden time() cancelled the last ones
        return true;
    }
    // At most a day, as in asyncio; the poll after it looks again.
    constexpr double kLongest = 24 * 3600;
    const double delay = when_of(core.timers.top().when) - now;
    const double bounded = delay > 0 ? std::min(delay, kLongest) : std::isnan(delay) ? kLongest : 0;
    timeout = static_cast<int>(std::ceil(bounded * 1e3));
    return true;
}

bool wait(LoopCore& core, int timeout) noexcept {
    EpollSet::Batch batch;
    int error = 0;
    if (timeout != 0) {
        core.polling = true;
        core.wake_sent = false;
        const py::ReleaseGil released;
        error = core.descriptors.wait(batch, timeout);
    } else {
        const OfferGil offered;
        error = core.descriptors.wait(batch, 0);
    }
    core.polling = false;
    return error == 0 ? queue_ready_descriptors(core, batch) : py::raise_os_error(error);
}

} // namespace

bool poll(LoopCore& core, bool block) noexcept {
    ++core.metrics.polls;
    if (PyErr_CheckSignals() < 0) {
        return false;
    }
    if (core.forked && !renew_after_fork(core)) {
        return false;
    }
    if (!block && core.watched == 0 && !signals_claimed()) {
        const OfferGil offered;
        return true;
    }
    if (core.descriptors.needs_reopen()) {
        if (const int error = core.descriptors.reopen(); error != 0) {
            return py::raise_os_error(error);
        }
    }
    // Last: a new set that could not take libuv's in is told here, not by a wait without wake-ups.
    if (!watch_signals(core) || (block && !open_descriptors(core))) {
        return false;
    }
    int timeout = 0;
    if (block && !time_to_next_timer(core, timeout)) {
        return false;
    }
    // Decided last: what came before can let other threads run, and what they queue must not wait.
    if (!core.ready.empty() || core.stopping) {
        timeout = 0;
    }
    return wait(core, timeout) && PyErr_CheckSignals() == 0;
}

bool open_descriptors(LoopCore& core) noexcept {
    if (core.descriptors.has_nested()) [[likely]] {
        return true;
    }
    int error = core.descriptors.open();
    if (error == 0) {
        const uv::Status status = core.uv.open();
        error = status.ok() ? core.descriptors.nest(core.uv.fd()) : status.errnum();
    }
    return error == 0 || py::raise_os_error(error);
}

void wake_from_thread(LoopCore& core) noexcept {
    if (core.polling && !core.wake_sent) {
        core.wake_sent = true;
        core.uv.wake();
    }
}

void wake_scheduler(core::Scheduler& scheduler) noexcept {
    wake_from_thread(static_cast<LoopCore&>(scheduler));
}

bool renew_after_fork(LoopCore& core) noexcept {
    int error = 0;
    if (core.descriptors.is_open()) {
        error = core.descriptors.reopen();
        if (error == 0 && core.signal_fd >= 0) { // the pair of the parent
            error = core.descriptors.set(core.signal_fd, 0);
        }
    }
    // After it: a descriptor that libuv opens now may have the number of one that is gone.
    if (error == 0 && core.uv.is_open()) {
        const uv::Status status = core.uv.fork();
        error = status.ok() ? core.descriptors.nest(core.uv.fd()) : status.errnum();
    }
    if (error != 0) {
        return py::raise_os_error(error);
    }
    core.signal_fd = -1;
    core.wakeup_fd_set = false;
    core.forked = false;
    return true;
}

void close_descriptors(LoopCore& core) noexcept {
    drop_watches(core);
    core.uv.close();
    core.descriptors.close();
}

} // namespace bucle::loop
