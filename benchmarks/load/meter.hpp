// What the load generator reads off: operations in windows of equal length, by the wall clock and
// by the CPU clock of the server's process.
//
// The windows follow one another while the load goes on; the first is the warm-up and is dropped.
// The median window is the answer, so that one in which somebody else had the processor does not
// spoil it. The server's clock is the kernel's, of all its threads, and costs the server nothing.
// Idle is the time in which nothing had arrived: where it is gone, the load was the limit.
#pragma once

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "options.hpp"

namespace load {

inline double seconds_of(clockid_t clock) {
    timespec now{};
    if (clock_gettime(clock, &now) != 0) {
        die("the server's process is gone");
    }
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class Meter {
  public:
    explicit Meter(const Options& options) : left_(options.windows), window_(options.window) {
        if (clock_getcpuclockid(options.pid, &server_) != 0) {
            die("no such server process");
        }
        last_ = began_ = seconds_of(CLOCK_MONOTONIC);
        end_ = began_ + options.warm;
    }

    void count(double operations) { operations_ += operations; }

    // To be called after each look for arrivals; false when all windows are full.
    bool goes_on(bool arrived) {
        const double now = seconds_of(CLOCK_MONOTONIC);
        if (!arrived) {
            idle_ += now - last_;
        }
        last_ = now;
        return now < end_ || next_window(now);
    }

    [[nodiscard]] double now() const { return last_; }

    void report() {
        if (walls_.empty()) {
            die("the server answered nothing");
        }
        std::printf("{\"wall\": %.6g, \"cpu\": %.6g, \"idle\": %.4f, \"windows\": %zu}\n",
                    median(walls_), median(cpus_), idle_ / measured_, walls_.size());
    }

  private:
    bool next_window(double now) {
        const double cpu = seconds_of(server_);
        if (warm_) {
            if (operations_ > 0) {
                walls_.push_back((now - began_) / operations_);
                cpus_.push_back((cpu - cpu_began_) / operations_);
            }
            measured_ += now - began_;
            --left_;
        } else {
            idle_ = 0;
        }
        warm_ = true;
        operations_ = 0;
        began_ = now;
        cpu_began_ = cpu;
        end_ = now + window_;
        return left_ > 0;
    }

    static double median(std::vector<double>& values) {
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        std::nth_element(values.begin(), middle, values.end());
        return *middle;
    }

    clockid_t server_{};
    int left_;
    bool warm_ = false;
    double window_;
    double began_ = 0;
    double cpu_began_ = 0;
    double end_ = 0;
    double last_ = 0;
    double idle_ = 0;
    double measured_ = 0;
    double operations_ = 0;
    std::vector<double> walls_;
    std::vector<double> cpus_;
};

} // namespace load
