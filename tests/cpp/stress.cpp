// cpp_stress [ROUNDS [SEED]]: the model checks of the ring and the heap at scale, and a heap of a
// million timers.
//
// Every round draws a new seed from the first one and prints it when something differs, so that a
// finding is repeated by giving it back. Without arguments it runs until it is interrupted.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/timer_heap.hpp"
#include "model.hpp"

namespace {

using bucle::base::TimerHeap;
using bucle::test::Random;
using bucle::test::Timer;

// Pushes a million, cancels most of them in random order with compaction as it becomes due, and
// expects the rest in the order of a stable sort.
std::string million_timers(std::uint64_t seed) {
    constexpr std::size_t kTimers = 1'000'000;
    Random random(seed);
    std::vector<Timer> timers(kTimers);
    TimerHeap<Timer> heap;
    for (Timer& timer : timers) {
        timer.when = static_cast<std::int64_t>(random.below(kTimers / 4));
        if (!heap.push(timer.when, &timer)) {
            return "push failed";
        }
    }
    std::size_t removed = 0;
    for (std::size_t n = 0; n != kTimers; ++n) {
        Timer& timer = timers[random.below(kTimers)];
        if (timer.cancelled) {
            continue;
        }
        timer.cancelled = true;
        heap.note_cancelled();
        if (heap.wants_compaction()) {
            removed += heap.compact([](const Timer* each) { return each->cancelled; },
                                    [](Timer* each) { each->gone = true; });
        }
    }
    std::vector<Timer*> expected;
    for (Timer& timer : timers) {
        if (!timer.gone) {
            expected.push_back(&timer);
        }
    }
    if (removed + expected.size() != kTimers || heap.size() != expected.size()) {
        return "compaction lost or kept some";
    }
    std::stable_sort(expected.begin(), expected.end(),
                     [](const Timer* a, const Timer* b) { return a->when < b->when; });
    for (Timer* const timer : expected) {
        if (heap.pop().item != timer) {
            return "order differs";
        }
    }
    return {};
}

bool report(const char* what, std::uint64_t seed, const std::string& problem) {
    if (!problem.empty()) {
        std::printf("%s, seed %llu: %s\n", what, static_cast<unsigned long long>(seed),
                    problem.c_str());
    }
    return problem.empty();
}

std::uint64_t number(const char* text) {
    std::uint64_t value = 0;
    std::from_chars(text, text + std::strlen(text), value);
    return value;
}

} // namespace

int main(int argc, char** argv) {
    const std::uint64_t rounds = argc > 1 ? number(argv[1]) : UINT64_MAX;
    std::mt19937_64 seeds(argc > 2 ? number(argv[2]) : 1);
    for (std::uint64_t round = 0; round != rounds; ++round) {
        const std::uint64_t seed = seeds();
        const std::size_t burst = std::size_t{1} << (seed % 14);
        bool fine = report("ring", seed,
                           bucle::test::ring_against_deque(seed, 4'000'000 / (burst + 40), burst));
        bucle::test::TimerModel timers(seed, std::size_t{1} << (seed % 20));
        fine = report("heap", seed, timers.run(400'000 / (burst + 40), burst)) && fine;
        fine = report("million timers", seed, million_timers(seed)) && fine;
        if (!fine) {
            return 1;
        }
    }
    std::printf("%llu rounds, nothing differs\n", static_cast<unsigned long long>(rounds));
    return 0;
}
