// The model checks that the unit tests and the stress program share: a random run of operations on
// a container of src/base beside one of the standard library's that cannot be wrong.
//
// Each returns an empty string, or what differed; the caller knows the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/ring_queue.hpp"
#include "base/timer_heap.hpp"

namespace bucle::test {

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    // In [0, bound).
    std::size_t below(std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(engine_);
    }
    bool chance(std::size_t in_hundred) { return below(100) < in_hundred; }

  private:
    std::mt19937_64 engine_;
};

// A RingQueue beside a std::deque. `burst` is how many pushes or pops come in a row at most.
inline std::string ring_against_deque(std::uint64_t seed, std::size_t operations,
                                      std::size_t burst) {
    Random random(seed);
    base::RingQueue<std::uint64_t> ring;
    std::deque<std::uint64_t> model;
    base::RingQueue<std::uint64_t> other_ring;
    std::deque<std::uint64_t> other_model;
    std::uint64_t next = 0;

    for (std::size_t step = 0; step != operations; ++step) {
        const std::size_t choice = random.below(100);
        if (choice < 35) {
            for (std::size_t n = random.below(burst) + 1; n != 0; --n) {
                if (!ring.push_back(++next)) {
                    return "push_back failed";
                }
                model.push_back(next);
            }
        } else if (choice < 50) {
            for (std::size_t n = random.below(burst) + 1; n != 0; --n) {
                if (!ring.push_front(++next)) {
                    return "push_front failed";
                }
                model.push_front(next);
            }
        } else if (choice < 85) {
            for (std::size_t n = random.below(burst) + 1; n != 0 && !model.empty(); --n) {
                if (ring.pop_front() != model.front()) {
                    return "pop_front differs";
                }
                model.pop_front();
            }
        } else if (choice < 90) {
            ring.swap(other_ring);
            model.swap(other_model);
        } else if (choice < 93) {
            if (!ring.reserve(model.size() + random.below(burst))) {
                return "reserve failed";
            }
        } else if (choice < 96) {
            ring.shrink();
        } else if (choice < 97) {
            ring.clear();
            model.clear();
        } else if (choice < 98) {
            other_ring = std::move(ring);
            other_model = std::move(model);
            model.clear();
        } else {
            for (std::size_t i = 0; i != model.size(); ++i) {
                if (ring[i] != model[i]) {
                    return "item " + std::to_string(i) + " differs";
                }
            }
        }
        if (ring.size() != model.size() || ring.empty() != model.empty()) {
            return "size differs at step " + std::to_string(step);
        }
    }
    return {};
}

struct Timer {
    std::int64_t when = 0;
    bool cancelled = false;
    bool gone = false; // popped, or handed to a sink
};

// A TimerHeap beside a std::multimap, with cancelling, compaction, and sinks that push again.
// Deadlines are drawn from few values, so that the order of equal ones is tested too.
class TimerModel {
  public:
    TimerModel(std::uint64_t seed, std::size_t deadlines) : random_(seed), deadlines_(deadlines) {}

    std::string run(std::size_t operations, std::size_t burst) {
        for (std::size_t step = 0; step != operations && problem_.empty(); ++step) {
            const std::size_t choice = random_.below(100);
            const std::size_t times = random_.below(burst) + 1;
            for (std::size_t n = 0; n != times && problem_.empty(); ++n) {
                if (choice < 45) {
                    push();
                } else if (choice < 70) {
                    pop();
                } else {
                    cancel_any();
                }
            }
            if (choice >= 95 || heap_.wants_compaction()) {
                compact();
            }
            if (choice == 94 || (choice == 93 && burst < 10)) {
                check_whole();
            }
            if (problem_.empty() && heap_.size() != model_.size()) {
                problem_ = "size differs at step " + std::to_string(step);
            }
        }
        check_whole();
        while (!model_.empty() && problem_.empty()) {
            pop();
        }
        if (problem_.empty() && (!heap_.empty() || heap_.cancelled() != 0)) {
            problem_ = "something is left in the heap";
        }
        return problem_;
    }

  private:
    void push() {
        timers_.push_back(std::make_unique<Timer>());
        Timer* const timer = timers_.back().get();
        timer->when = static_cast<std::int64_t>(random_.below(deadlines_)) - 10;
        if (!heap_.push(timer->when, timer)) {
            problem_ = "push failed";
            return;
        }
        // A multimap keeps equal keys in the order of their insertion.
        model_.emplace(timer->when, timer);
    }

    void pop() {
        if (model_.empty()) {
            return;
        }
        const auto first = model_.begin();
        if (heap_.top().item != first->second || heap_.top().when != first->first) {
            problem_ = "top differs";
            return;
        }
        Timer* const timer = heap_.pop().item;
        if (timer != first->second) {
            problem_ = "pop differs from top";
            return;
        }
        timer->gone = true;
        if (timer->cancelled) {
            heap_.note_cancelled_popped();
        }
        model_.erase(first);
    }

    void cancel_any() {
        if (timers_.empty()) {
            return;
        }
        Timer* const timer = timers_[random_.below(timers_.size())].get();
        if (!timer->cancelled && !timer->gone) {
            timer->cancelled = true;
            heap_.note_cancelled();
        }
    }

    void compact() {
        std::size_t expected = 0;
        for (auto entry = model_.begin(); entry != model_.end();) {
            if (entry->second->cancelled) {
                entry = model_.erase(entry);
                ++expected;
            } else {
                ++entry;
            }
        }
        if (heap_.cancelled() != expected) {
            problem_ = "cancelled() counts wrongly";
        }
        std::size_t handed = 0;
        const std::size_t removed =
            heap_.compact([](const Timer* timer) { return timer->cancelled; },
                          [this, &handed](Timer* timer) {
                              ++handed;
                              if (!timer->cancelled || timer->gone) {
                                  problem_ = "a sink got what was not to be removed";
                              }
                              timer->gone = true;
                              // As a dying callback may: schedule, run and even compact again.
                              if (handed % 7 == 1) {
                                  push();
                              }
                              if (handed % 31 == 1) {
                                  pop();
                              }
                              if (handed % 101 == 50) {
                                  cancel_any();
                                  compact();
                              }
                          });
        if (problem_.empty() && (removed != expected || handed != expected)) {
            problem_ =
                "compact removed " + std::to_string(removed) + " of " + std::to_string(expected);
        }
    }

    void check_whole() {
        for (std::size_t i = 1; i < heap_.size(); ++i) {
            if (heap_[i].before(heap_[(i - 1) / 4])) {
                problem_ = "entry " + std::to_string(i) + " sorts before its parent";
            }
        }
    }

    Random random_;
    std::size_t deadlines_;
    base::TimerHeap<Timer> heap_;
    std::multimap<std::int64_t, Timer*> model_;
    std::vector<std::unique_ptr<Timer>> timers_;
    std::string problem_;
};

} // namespace bucle::test
