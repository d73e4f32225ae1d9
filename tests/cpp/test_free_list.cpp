// FreeList keeps at most Max blocks, gives back the last one first, and never touches a block.
#include "base/free_list.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

using bucle::base::FreeList;

TEST_CASE("FreeList is empty, fills up, and says so") {
    FreeList<3> list;
    std::array<char, 4> blocks{'a', 'b', 'c', 'd'};
    CHECK(list.empty());
    CHECK(list.pop() == nullptr);
    for (std::size_t i = 0; i != 3; ++i) {
        CHECK(list.push(&blocks[i]));
    }
    CHECK_FALSE(list.push(&blocks[3]));
    CHECK(list.size() == 3);
    CHECK(list.pop() == &blocks[2]);
    CHECK(list.push(&blocks[3]));
    CHECK(list.pop() == &blocks[3]);
    CHECK(list.pop() == &blocks[1]);
    CHECK(list.pop() == &blocks[0]);
    CHECK(list.pop() == nullptr);
    CHECK(blocks == std::array<char, 4>{'a', 'b', 'c', 'd'});
}

TEST_CASE("FreeList::drain hands out every block once") {
    FreeList<8> list;
    std::array<int, 5> blocks{};
    for (int& block : blocks) {
        REQUIRE(list.push(&block));
    }
    std::vector<void*> drained;
    list.drain([&](void* block) { drained.push_back(block); });
    CHECK(drained.size() == 5);
    CHECK(list.empty());
    for (int& block : blocks) {
        CHECK(std::count(drained.begin(), drained.end(), &block) == 1);
    }
    list.drain([&](void*) { FAIL("nothing is left"); });
}
