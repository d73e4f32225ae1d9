// TimerHeap: order by deadline and then by arrival, lazy cancelling, sinks that change the heap.
#include "base/timer_heap.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "failing_allocations.hpp"
#include "model.hpp"

using bucle::base::TimerHeap;
using bucle::test::FailingAllocations;
using bucle::test::Timer;
using bucle::test::TimerModel;

namespace {

bool is_cancelled(const Timer* timer) {
    return timer->cancelled;
}
void ignore(Timer*) {}

} // namespace

TEST_CASE("TimerHeap orders by deadline, equal ones by arrival") {
    std::vector<Timer> timers(6);
    const std::int64_t deadlines[] = {5, 3,
                                      5, std::numeric_limits<std::int64_t>::min(),
                                      3, std::numeric_limits<std::int64_t>::max()};
    TimerHeap<Timer> heap;
    for (std::size_t i = 0; i != 6; ++i) {
        REQUIRE(heap.push(deadlines[i], &timers[i]));
    }
    CHECK(heap.size() == 6);
    for (const std::size_t expected : {3U, 1U, 4U, 0U, 2U, 5U}) {
        CHECK(heap.top().when == deadlines[expected]);
        CHECK(heap.pop().item == &timers[expected]);
    }
    CHECK(heap.empty());
}

TEST_CASE("a TimerHeap that cannot grow keeps what it has") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(heap.kFirstCapacity + 1);
    {
        const FailingAllocations none;
        CHECK_FALSE(heap.push(0, &timers[0]));
    }
    for (std::size_t i = 0; i != heap.kFirstCapacity; ++i) {
        REQUIRE(heap.push(-static_cast<std::int64_t>(i), &timers[i]));
    }
    {
        const FailingAllocations none;
        CHECK_FALSE(heap.push(0, &timers.back()));
    }
    CHECK(heap.size() == heap.kFirstCapacity);
    CHECK(heap.pop().item == &timers[heap.kFirstCapacity - 1]);
}

TEST_CASE("TimerHeap asks for compaction beyond 64 cancelled and more than half") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(200);
    for (Timer& timer : timers) {
        REQUIRE(heap.push(timer.when, &timer));
    }
    for (std::size_t i = 0; i != 100; ++i) {
        timers[i * 2].cancelled = true;
        heap.note_cancelled();
    }
    CHECK_FALSE(heap.wants_compaction());
    timers[1].cancelled = true;
    heap.note_cancelled();
    CHECK(heap.wants_compaction());

    std::size_t sunk = 0;
    const std::size_t removed = heap.compact(is_cancelled, [&](Timer* timer) {
        CHECK(heap.size() == 99);
        CHECK(timer->cancelled);
        ++sunk;
    });
    CHECK(removed == 101);
    CHECK(sunk == 101);
    CHECK(heap.cancelled() == 0);
    CHECK_FALSE(heap.wants_compaction());
    for (std::size_t i = 3; i < 200; i += 2) {
        CHECK(heap.pop().item == &timers[i]);
    }

    for (std::size_t i = 0; i != 64; ++i) {
        heap.note_cancelled();
    }
    CHECK_FALSE(heap.wants_compaction());
    heap.note_cancelled();
    CHECK(heap.wants_compaction());
}

TEST_CASE("note_cancelled_popped takes back one note, and not below none") {
    TimerHeap<Timer> heap;
    heap.note_cancelled();
    heap.note_cancelled();
    heap.note_cancelled_popped();
    CHECK(heap.cancelled() == 1);
    heap.note_cancelled_popped();
    heap.note_cancelled_popped();
    CHECK(heap.cancelled() == 0);
}

TEST_CASE("compact removes what is cancelled though nobody noted it, or nothing") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(3);
    CHECK(heap.compact(is_cancelled, ignore) == 0);
    for (Timer& timer : timers) {
        REQUIRE(heap.push(1, &timer));
    }
    heap.note_cancelled();
    CHECK(heap.compact(is_cancelled, ignore) == 0);
    CHECK(heap.cancelled() == 0);
    timers[0].cancelled = true;
    CHECK(heap.compact(is_cancelled, ignore) == 1);
    CHECK(heap.pop().item == &timers[1]);
    timers[2].cancelled = true;
    CHECK(heap.compact(is_cancelled, ignore) == 1);
    CHECK(heap.empty());
    CHECK(heap.push(1, timers.data()));
}

TEST_CASE("compact without memory changes nothing") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(300);
    for (std::size_t i = 0; i != timers.size(); ++i) {
        REQUIRE(heap.push(static_cast<std::int64_t>(i), &timers[i]));
        if (i < 200) {
            timers[i].cancelled = true;
            heap.note_cancelled();
        }
    }
    {
        const FailingAllocations none;
        CHECK(heap.compact(is_cancelled, [](Timer*) { FAIL("nothing was removed"); }) == 0);
    }
    CHECK(heap.size() == 300);
    CHECK(heap.cancelled() == 200);
    CHECK(heap.compact(is_cancelled, ignore) == 200);
    CHECK(heap.pop().item == &timers[200]);
}

TEST_CASE("compact gives the memory of a burst back") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(100'000);
    for (Timer& timer : timers) {
        REQUIRE(heap.push(timer.when, &timer));
        timer.cancelled = true;
    }
    timers[77].cancelled = false;
    const std::size_t large = heap.capacity();
    CHECK(heap.compact(is_cancelled, ignore) == timers.size() - 1);
    CHECK(heap.capacity() == heap.kFirstCapacity);
    CHECK(large >= timers.size());
    CHECK(heap.pop().item == &timers[77]);
}

TEST_CASE("clear hands out everything once, when the heap is empty, and it may be filled again") {
    TimerHeap<Timer> heap;
    std::vector<Timer> timers(10);
    for (Timer& timer : timers) {
        REQUIRE(heap.push(1, &timer));
    }
    heap.note_cancelled();
    int cleared = 0;
    heap.clear([&](Timer* timer) {
        CHECK_FALSE(timer->gone);
        timer->gone = true;
        if (++cleared == 1) {
            CHECK(heap.empty());
            CHECK(heap.cancelled() == 0);
            CHECK(heap.push(5, timer));
        }
    });
    CHECK(cleared == 10);
    CHECK(heap.size() == 1);
    heap.clear();
    CHECK(heap.empty());
    CHECK(heap.capacity() == 0);
}

TEST_CASE("TimerHeap moves and swaps with its sequence") {
    std::vector<Timer> timers(2);
    TimerHeap<Timer> heap;
    REQUIRE(heap.push(1, &timers[0]));
    TimerHeap<Timer> moved(std::move(heap));
    REQUIRE(moved.push(1, &timers[1]));
    TimerHeap<Timer> assigned;
    assigned = std::move(moved);
    CHECK(assigned.pop().item == &timers[0]);
    CHECK(assigned.pop().item == &timers[1]);
}

TEST_CASE("TimerHeap behaves as std::multimap") {
    for (std::uint64_t seed = 1; seed != 80; ++seed) {
        CAPTURE(seed);
        const std::size_t deadlines = seed % 4 == 0 ? 1 : seed % 4 == 1 ? 5 : 100'000;
        TimerModel model(seed, deadlines);
        REQUIRE(model.run(600, seed % 2 == 0 ? 4 : 60) == "");
    }
}
