// Scratch: it grows, and says when it cannot.
#include "base/scratch.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "failing_allocations.hpp"

using bucle::base::Scratch;
using bucle::test::FailingAllocations;

TEST_CASE("scratch: one block, which grows") {
    Scratch scratch;
    char* const first = scratch.reserve(100);
    REQUIRE(first != nullptr);
    std::memset(first, 1, 100);
    CHECK(scratch.reserve(100) == first);
    CHECK(scratch.reserve(1) == first);
    char* const larger = scratch.reserve(1 << 20);
    REQUIRE(larger != nullptr);
    std::memset(larger, 2, 1 << 20);
    CHECK(scratch.reserve(100) == larger);
}

TEST_CASE("scratch: without memory it keeps what it has") {
    Scratch scratch;
    char* const first = scratch.reserve(100);
    {
        const FailingAllocations none;
        CHECK(scratch.reserve(200) == nullptr);
        CHECK(scratch.reserve(100) == first);
    }
    CHECK(scratch.reserve(200) != nullptr);
}
