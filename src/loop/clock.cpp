// The clock of the loop: nanoseconds of CLOCK_MONOTONIC, the same clock and the same conversion as
// time.monotonic(), so that loop.time() and it agree to the last bit.
#include "loop/loop.hpp"
#include "py/call.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <ctime>
#include <limits>

namespace bucle::loop {

namespace {

std::int64_t read_clock(clockid_t clock) noexcept {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

} // namespace

std::int64_t monotonic_ns() noexcept {
    return read_clock(CLOCK_MONOTONIC);
}

bool clock_is_slow() noexcept {
    static const bool slow = [] {
        constexpr std::int64_t kSlow = 250;
        std::int64_t least = std::numeric_limits<std::int64_t>::max();
        for (int i = 0; i != 8; ++i) {
            const std::int64_t begun = monotonic_ns();
            least = std::min(least, monotonic_ns() - begun);
        }
        return least > kSlow;
    }();
    return slow;
}

// The clock of the last tick, some milliseconds behind, takes 5 ns instead of 25.
bool takes_long(const LoopCore& core) noexcept {
    constexpr std::int64_t kLong = 2'000'000;
    return read_clock(CLOCK_MONOTONIC_COARSE) - core.last_poll_ns > kLong;
}

double seconds_of(std::int64_t ns) noexcept {
    return static_cast<double>(ns) / 1e9;
}

std::int64_t timer_key(double when) noexcept {
    if (std::isnan(when)) {
        return std::numeric_limits<std::int64_t>::max(); // never
    }
    const auto bits = std::bit_cast<std::int64_t>(when + 0.0);
    return bits >= 0 ? bits : std::numeric_limits<std::int64_t>::min() - bits;
}

double when_of(std::int64_t key) noexcept {
    return std::bit_cast<double>(key >= 0 ? key : std::numeric_limits<std::int64_t>::min() - key);
}

bool now_seconds(LoopCore& core, double& out) noexcept {
    if (!core.time_overridden) [[likely]] {
        out = seconds_of(monotonic_ns());
        return true;
    }
    py::Ref answer = py::call_method(core.loop, py::names().time);
    out = answer ? PyFloat_AsDouble(answer.get()) : -1;
    return out != -1 || PyErr_Occurred() == nullptr;
}

bool scheduler_now(core::Scheduler& scheduler, double& out) noexcept {
    return now_seconds(static_cast<LoopCore&>(scheduler), out);
}

} // namespace bucle::loop
