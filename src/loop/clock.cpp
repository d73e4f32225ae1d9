// The clock of the loop: nanoseconds of CLOCK_MONOTONIC, the same clock and the same conversion as
// time.monotonic(), so that loop.time() and it agree to the last bit.
#include "loop/loop.hpp"
#include "py/call.hpp"

#include <cmath>
#include <ctime>
#include <limits>

namespace bucle::loop {

std::int64_t monotonic_ns() noexcept {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

double seconds_of(std::int64_t ns) noexcept {
    return static_cast<double>(ns) / 1e9;
}

std::int64_t deadline_of(double when) noexcept {
    constexpr double kFarthest = 9.2e9; // seconds; beyond it, and for NaN: never
    if (!(when < kFarthest)) {
        return std::numeric_limits<std::int64_t>::max();
    }
    if (when < -kFarthest) {
        return std::numeric_limits<std::int64_t>::min();
    }
    auto ns = static_cast<std::int64_t>(std::ceil(when * 1e9));
    while (seconds_of(ns) < when) { // the product was rounded down
        ++ns;
    }
    return ns;
}

bool now_ns(LoopCore& core, std::int64_t& out) noexcept {
    if (!core.time_overridden) [[likely]] {
        out = monotonic_ns();
        return true;
    }
    double seconds = 0;
    if (!now_seconds(core, seconds)) {
        return false;
    }
    out = deadline_of(seconds);
    return true;
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

} // namespace bucle::loop
