// RingQueue: order at both ends, growth across the wrap, memory given back, failure reported.
#include "base/ring_queue.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>

#include "failing_allocations.hpp"
#include "model.hpp"

using bucle::base::RingQueue;
using bucle::test::FailingAllocations;

namespace {

using Queue = RingQueue<std::uint64_t>;

void fill(Queue& queue, std::uint64_t from, std::uint64_t to) {
    for (; from != to; ++from) {
        REQUIRE(queue.push_back(from));
    }
}

} // namespace

TEST_CASE("RingQueue allocates nothing until the first push") {
    const FailingAllocations none;
    Queue queue;
    CHECK(queue.empty());
    CHECK(queue.size() == 0);
    CHECK(queue.capacity() == 0);
    queue.clear();
    queue.shrink();
    CHECK(queue.reserve(0));
    CHECK_FALSE(queue.push_back(1));
    CHECK_FALSE(queue.push_front(1));
    CHECK(queue.empty());
}

TEST_CASE("RingQueue uses every slot and grows across the wrap") {
    for (std::uint64_t turned = 0; turned != Queue::kFirstCapacity; ++turned) {
        Queue queue;
        for (std::uint64_t i = 0; i != turned; ++i) {
            REQUIRE(queue.push_back(i));
            REQUIRE(queue.pop_front() == i);
        }
        fill(queue, 0, Queue::kFirstCapacity);
        CHECK(queue.capacity() == Queue::kFirstCapacity);
        fill(queue, Queue::kFirstCapacity, Queue::kFirstCapacity + 1);
        CHECK(queue.capacity() == 2 * Queue::kFirstCapacity);
        for (std::uint64_t i = 0; i != Queue::kFirstCapacity + 1; ++i) {
            REQUIRE(queue.pop_front() == i);
        }
        CHECK(queue.empty());
    }
}

TEST_CASE("RingQueue::push_front goes before everything, also as the first push") {
    Queue queue;
    REQUIRE(queue.push_front(3));
    REQUIRE(queue.push_back(4));
    REQUIRE(queue.push_front(2));
    CHECK(queue.size() == 3);
    CHECK(queue[0] == 2);
    CHECK(queue[1] == 3);
    CHECK(queue[2] == 4);
    CHECK(queue.pop_front() == 2);
}

TEST_CASE("a RingQueue that cannot grow keeps what it has") {
    Queue queue;
    fill(queue, 0, Queue::kFirstCapacity);
    {
        const FailingAllocations none;
        CHECK_FALSE(queue.push_back(99));
        CHECK_FALSE(queue.push_front(99));
        CHECK_FALSE(queue.reserve(Queue::kFirstCapacity + 1));
    }
    CHECK(queue.size() == Queue::kFirstCapacity);
    for (std::uint64_t i = 0; i != Queue::kFirstCapacity; ++i) {
        REQUIRE(queue.pop_front() == i);
    }
    CHECK(queue.push_back(1));
}

TEST_CASE("RingQueue::reserve makes that many pushes safe and refuses the impossible") {
    Queue queue;
    fill(queue, 0, 10);
    REQUIRE(queue.reserve(1000));
    {
        const FailingAllocations none;
        fill(queue, 10, 1000);
    }
    CHECK_FALSE(queue.reserve(SIZE_MAX));
    CHECK_FALSE(queue.reserve(SIZE_MAX / 2 + 2));
    CHECK_FALSE(queue.reserve(SIZE_MAX / 8));
    CHECK(queue.size() == 1000);
    CHECK(queue[999] == 999);
}

TEST_CASE("RingQueue gives the memory of a burst back only when it is empty") {
    Queue queue;
    fill(queue, 0, Queue::kKeptCapacity + 1);
    const std::size_t large = queue.capacity();
    CHECK(large > Queue::kKeptCapacity);
    queue.shrink();
    CHECK(queue.capacity() == large);
    while (!queue.empty()) {
        queue.pop_front();
    }
    queue.shrink();
    CHECK(queue.capacity() == Queue::kKeptCapacity);
    fill(queue, 0, Queue::kKeptCapacity + 1);
    queue.clear();
    CHECK(queue.empty());
    CHECK(queue.capacity() == Queue::kKeptCapacity);
    fill(queue, 0, Queue::kKeptCapacity);
    CHECK(queue.capacity() == Queue::kKeptCapacity);
    CHECK(queue[17] == 17);
}

TEST_CASE("RingQueue shrinks to nothing where even the smaller array is refused") {
    Queue queue;
    fill(queue, 0, Queue::kKeptCapacity + 1);
    {
        const FailingAllocations none;
        queue.clear();
    }
    CHECK(queue.capacity() == 0);
    fill(queue, 0, 3);
    CHECK(queue.pop_front() == 0);
}

TEST_CASE("RingQueue moves and swaps in constant time, leaving an empty one behind") {
    Queue queue;
    fill(queue, 0, 5);
    const FailingAllocations none;
    Queue batch;
    batch.swap(queue);
    CHECK(queue.empty());
    CHECK(batch.size() == 5);
    Queue moved(std::move(batch));
    CHECK(moved.size() == 5);
    queue = std::move(moved);
    CHECK(queue.pop_front() == 0);
    CHECK(queue.size() == 4);
}

TEST_CASE("RingQueue behaves as std::deque") {
    for (std::uint64_t seed = 1; seed != 60; ++seed) {
        CAPTURE(seed);
        const std::size_t burst = seed % 3 == 0 ? 3000 : seed % 3 == 1 ? 3 : 70;
        REQUIRE(bucle::test::ring_against_deque(seed, seed % 3 == 0 ? 200 : 2000, burst) == "");
    }
}
