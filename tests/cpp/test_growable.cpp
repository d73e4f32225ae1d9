// Growable: items live exactly as long as they are in it, whatever their destructors do to it.
#include "base/growable.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <utility>
#include <vector>

#include "failing_allocations.hpp"
#include "model.hpp"

using bucle::base::Growable;
using bucle::test::FailingAllocations;

namespace {

// Owns a share of a counter of living values, as a reference owns one of an object.
class Counted {
  public:
    Counted() noexcept = default;
    Counted(int value, int& alive, std::function<void()>* at_end = nullptr) noexcept
        : value_(value), alive_(&alive), at_end_(at_end) {
        ++alive;
    }
    Counted(Counted&& other) noexcept
        : value_(std::exchange(other.value_, 0)), alive_(std::exchange(other.alive_, nullptr)),
          at_end_(std::exchange(other.at_end_, nullptr)) {}
    Counted& operator=(Counted&& other) noexcept {
        Counted taken(std::move(other));
        std::swap(value_, taken.value_);
        std::swap(alive_, taken.alive_);
        std::swap(at_end_, taken.at_end_);
        return *this;
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() {
        if (alive_ != nullptr) {
            --*alive_;
        }
        if (at_end_ != nullptr) {
            (*at_end_)();
        }
    }
    [[nodiscard]] int value() const { return value_; }

  private:
    int value_ = 0;
    int* alive_ = nullptr;
    std::function<void()>* at_end_ = nullptr;
};

std::vector<int> values(const Growable<Counted>& items) {
    std::vector<int> result;
    for (const Counted& item : items) {
        result.push_back(item.value());
    }
    return result;
}

} // namespace

TEST_CASE("Growable grows, erases in order and destroys every item once") {
    int alive = 0;
    {
        Growable<Counted> items;
        CHECK(items.empty());
        for (int i = 0; i != 10; ++i) {
            REQUIRE(items.push_back(Counted(i, alive)));
        }
        CHECK(alive == 10);
        items.erase(0);
        items.erase(8);
        items.erase(3);
        CHECK(values(items) == std::vector{1, 2, 3, 5, 6, 7, 8});
        CHECK(items[2].value() == 3);
        CHECK(alive == 7);
        Growable<Counted> other;
        other.swap(items);
        CHECK(items.empty());
        CHECK(other.size() == 7);
    }
    CHECK(alive == 0);
}

TEST_CASE("Growable::extend_to adds empty items and never takes any away") {
    int alive = 0;
    Growable<Counted> items;
    REQUIRE(items.push_back(Counted(7, alive)));
    REQUIRE(items.extend_to(100));
    CHECK(items.size() == 100);
    CHECK(items[0].value() == 7);
    CHECK(items[99].value() == 0);
    REQUIRE(items.extend_to(3));
    CHECK(items.size() == 100);
}

TEST_CASE("Growable::extend_to moves the items seldom when it is called for one more each time") {
    Growable<int> items;
    int moves = 0;
    for (std::size_t size = 1; size <= 4096; ++size) {
        const int* const before = items.begin();
        REQUIRE(items.extend_to(size));
        moves += items.begin() != before ? 1 : 0;
    }
    CHECK(items.size() == 4096);
    CHECK(moves <= 13);
}

TEST_CASE(
    "a Growable without memory refuses, keeps what it has and destroys what it did not take") {
    int alive = 0;
    Growable<Counted> items;
    for (int i = 0; i != 4; ++i) {
        REQUIRE(items.push_back(Counted(i, alive)));
    }
    {
        const FailingAllocations none;
        CHECK_FALSE(items.push_back(Counted(9, alive)));
        CHECK_FALSE(items.extend_to(5));
    }
    CHECK(alive == 4);
    CHECK(values(items) == std::vector{0, 1, 2, 3});
}

TEST_CASE("a destructor may change the Growable that its item is leaving") {
    int alive = 0;
    Growable<Counted> items;
    std::function<void()> append = [&] {
        // As a callback of a dying object may; far enough to make the array move.
        for (int i = 0; i != 50; ++i) {
            CHECK(items.push_back(Counted(100, alive)));
        }
    };
    REQUIRE(items.push_back(Counted(1, alive, &append)));
    REQUIRE(items.push_back(Counted(2, alive)));
    items.erase(0);
    CHECK(items.size() == 51);
    CHECK(items[0].value() == 2);
    CHECK(alive == 51);
    items.clear();
    REQUIRE(items.push_back(Counted(1, alive, &append)));
    items.clear();
    CHECK(items.size() == 50);
    items.clear();
    CHECK(items.empty());
    CHECK(alive == 0);
}

TEST_CASE("Growable behaves as std::vector") {
    for (std::uint64_t seed = 1; seed != 20; ++seed) {
        CAPTURE(seed);
        bucle::test::Random random(seed);
        int alive = 0;
        Growable<Counted> items;
        std::vector<int> model;
        for (int step = 0; step != 500; ++step) {
            const std::size_t choice = random.below(100);
            if (choice < 55) {
                REQUIRE(items.push_back(Counted(step, alive)));
                model.push_back(step);
            } else if (choice < 95 && !model.empty()) {
                const std::size_t at = random.below(model.size());
                items.erase(at);
                model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
            } else if (choice == 99) {
                items.clear();
                model.clear();
            }
            REQUIRE(values(items) == model);
            REQUIRE(alive == static_cast<int>(model.size()));
        }
    }
}
