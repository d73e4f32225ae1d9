// Inbox: every item once and in its producer's order, one wake-up a batch, alive after a fork.
#include "base/inbox.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <semaphore>
#include <thread>
#include <vector>

#include "descriptors.hpp"
#include "failing_allocations.hpp"

using bucle::base::Inbox;
using bucle::base::Pushed;
using bucle::test::FailingAllocations;

namespace {

using Box = Inbox<std::uint64_t>;

std::vector<std::uint64_t> drained(Box& inbox) {
    std::vector<std::uint64_t> items;
    const std::size_t count = inbox.drain([&](std::uint64_t item) { items.push_back(item); });
    CHECK(count == items.size());
    return items;
}

} // namespace

TEST_CASE("only the first push into an empty Inbox asks for a wake-up") {
    Box inbox;
    CHECK(inbox.empty());
    CHECK(drained(inbox).empty());
    CHECK(inbox.push(1) == Pushed::first);
    CHECK(inbox.push(2) == Pushed::queued);
    CHECK(inbox.size() == 2);
    CHECK(drained(inbox) == std::vector<std::uint64_t>{1, 2});
    CHECK(inbox.empty());
    CHECK(inbox.push(3) == Pushed::first);
    CHECK(drained(inbox) == std::vector<std::uint64_t>{3});
}

TEST_CASE("what is pushed while draining waits for the next drain, and asks for a wake-up") {
    Box inbox;
    REQUIRE(inbox.push(1) == Pushed::first);
    REQUIRE(inbox.push(2) == Pushed::queued);
    std::vector<Pushed> answers;
    inbox.drain([&](std::uint64_t item) { answers.push_back(inbox.push(item + 10)); });
    CHECK(answers == std::vector{Pushed::first, Pushed::queued});
    CHECK(drained(inbox) == std::vector<std::uint64_t>{11, 12});
}

TEST_CASE("a drain inside a drain takes only what is new") {
    Box inbox;
    REQUIRE(inbox.push(1) == Pushed::first);
    REQUIRE(inbox.push(2) == Pushed::queued);
    std::vector<std::uint64_t> inner;
    std::vector<std::uint64_t> outer;
    inbox.drain([&](std::uint64_t item) {
        outer.push_back(item);
        CHECK(inbox.push(item + 10) == Pushed::first);
        inbox.drain([&](std::uint64_t nested) { inner.push_back(nested); });
    });
    CHECK(outer == std::vector<std::uint64_t>{1, 2});
    CHECK(inner == std::vector<std::uint64_t>{11, 12});
    CHECK(inbox.empty());
}

TEST_CASE("an Inbox without memory refuses and keeps what it has") {
    Box inbox;
    {
        const FailingAllocations none;
        CHECK(inbox.push(1) == Pushed::no_memory);
    }
    CHECK(inbox.empty());
    for (std::uint64_t i = 0; i != Box::kFirstCapacity; ++i) {
        REQUIRE(inbox.push(i) != Pushed::no_memory);
    }
    const FailingAllocations none;
    CHECK(inbox.push(99) == Pushed::no_memory);
    std::uint64_t expected = 0;
    inbox.drain([&](std::uint64_t item) { CHECK(item == expected++); });
    CHECK(expected == Box::kFirstCapacity);
    // The drained buffer is there again.
    CHECK(inbox.push(1) == Pushed::first);
}

TEST_CASE("an Inbox does not keep the buffer of a burst") {
    Box inbox;
    for (std::uint64_t i = 0; i != Box::kKeptCapacity + 1; ++i) {
        REQUIRE(inbox.push(i) != Pushed::no_memory);
    }
    CHECK(drained(inbox).size() == Box::kKeptCapacity + 1);
    const FailingAllocations none;
    CHECK(inbox.push(1) == Pushed::no_memory);
}

TEST_CASE("for_each shows what waits and takes nothing") {
    Box inbox;
    std::uint64_t sum = 0;
    inbox.for_each([&](std::uint64_t item) { sum += item; });
    CHECK(sum == 0);
    REQUIRE(inbox.push(3) == Pushed::first);
    REQUIRE(inbox.push(4) == Pushed::queued);
    inbox.for_each([&](std::uint64_t item) { sum += item; });
    CHECK(sum == 7);
    CHECK(inbox.size() == 2);
}

TEST_CASE("many producers: each item once, in its producer's order, no wake-up lost") {
    constexpr std::uint64_t kProducers = 4;
    constexpr std::uint64_t kEach = 20'000;
    Box inbox;
    std::counting_semaphore<> wakeups(0);
    std::uint64_t asked = 0;
    std::vector<std::thread> producers;
    for (std::uint64_t id = 0; id != kProducers; ++id) {
        producers.emplace_back([&inbox, &wakeups, id] {
            for (std::uint64_t n = 0; n != kEach; ++n) {
                const Pushed pushed = inbox.push(id * kEach + n);
                if (pushed == Pushed::first) {
                    wakeups.release();
                } else if (pushed == Pushed::no_memory) {
                    std::abort();
                }
            }
        });
    }
    std::vector<std::uint64_t> next(kProducers, 0);
    std::uint64_t total = 0;
    std::uint64_t misordered = 0;
    while (total != kProducers * kEach) {
        wakeups.acquire();
        ++asked;
        total += inbox.drain([&](std::uint64_t item) {
            const std::uint64_t id = item / kEach;
            misordered += next[id] == item % kEach ? 0 : 1;
            ++next[id];
        });
    }
    for (std::thread& producer : producers) {
        producer.join();
    }
    CHECK(misordered == 0);
    CHECK(inbox.empty());
    // A wake-up belongs to a batch that a drain has taken: none is left over.
    CHECK(asked >= 1);
    CHECK_FALSE(wakeups.try_acquire());
}

TEST_CASE("a child forked while another thread holds the lock goes on with what waited") {
    Box inbox;
    REQUIRE(inbox.push(7) == Pushed::first);
    std::binary_semaphore held(0);
    std::binary_semaphore finish(0);
    std::thread holder([&] {
        inbox.for_each([&](std::uint64_t) {
            held.release();
            finish.acquire();
        });
    });
    held.acquire();
    const int code = bucle::test::in_child([&] {
        inbox.reset_after_fork();
        if (inbox.push(8) != Pushed::queued) {
            return 1;
        }
        std::uint64_t sum = 0;
        if (inbox.drain([&](std::uint64_t item) { sum = sum * 10 + item; }) != 2 || sum != 78) {
            return 2;
        }
        return inbox.push(9) == Pushed::first ? 0 : 3;
    });
    finish.release();
    holder.join();
    CHECK(code == 0);
    CHECK(inbox.push(8) == Pushed::queued);
}
