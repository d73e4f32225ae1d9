// IntrusiveList: order, unlinking from anywhere and while iterating, and no pointer left behind.
#include "base/intrusive_list.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <list>
#include <new>
#include <vector>

#include "model.hpp"

using bucle::base::IntrusiveList;
using bucle::base::ListNode;

namespace {

// Not standard layout, and in two lists at once: the node's offset must be found all the same.
struct Base {
    virtual ~Base() = default;
    int padding = 0;
};
struct Item : Base {
    explicit Item(int number) : value(number) {}
    int value;
    ListNode by_age;
    ListNode by_use;
};
using ByAge = IntrusiveList<Item, &Item::by_age>;
using ByUse = IntrusiveList<Item, &Item::by_use>;

template <class List>
std::vector<int> values(List& list) {
    std::vector<int> result;
    for (const Item& item : list) {
        result.push_back(item.value);
    }
    return result;
}

} // namespace

TEST_CASE("IntrusiveList keeps the order of linking, each list its own") {
    Item a(1);
    Item b(2);
    Item c(3);
    ByAge age;
    ByUse use;
    CHECK(age.empty());
    CHECK(age.front() == nullptr);
    CHECK(age.pop_front() == nullptr);
    age.push_back(&c);
    age.push_back(&a);
    age.push_back(&b);
    use.push_back(&b);
    CHECK(values(age) == std::vector{3, 1, 2});
    CHECK(values(use) == std::vector{2});
    CHECK(ByUse::linked(&b));
    CHECK_FALSE(ByUse::linked(&a));
    ByAge::unlink(&b);
    CHECK(values(age) == std::vector{3, 1});
    CHECK(use.front() == &b);
    CHECK(age.pop_front() == &c);
    CHECK_FALSE(c.by_age.linked());
}

TEST_CASE("unlinking twice, or what was never linked, does nothing") {
    Item a(1);
    ByAge::unlink(&a);
    ByAge list;
    list.push_back(&a);
    ByAge::unlink(&a);
    ByAge::unlink(&a);
    CHECK(list.empty());
    list.push_back(&a);
    CHECK(values(list) == std::vector{1});
}

TEST_CASE("all-zero memory is an unlinked node") {
    alignas(ListNode) unsigned char memory[sizeof(ListNode)];
    std::memset(memory, 0, sizeof memory);
    auto* const node = std::launder(reinterpret_cast<ListNode*>(memory));
    CHECK_FALSE(node->linked());
    node->unlink();
    CHECK_FALSE(node->linked());
}

TEST_CASE("the current item may be unlinked and freed while iterating") {
    ByAge list;
    for (int i = 0; i != 10; ++i) {
        list.push_back(new Item(i));
    }
    for (Item& item : list) {
        if (item.value % 2 == 1) {
            ByAge::unlink(&item);
            delete &item;
        }
    }
    CHECK(values(list) == std::vector{0, 2, 4, 6, 8});
    for (Item& item : list) {
        ByAge::unlink(&item);
        delete &item;
    }
    CHECK(list.empty());
}

TEST_CASE("a list that dies leaves its items unlinked") {
    Item a(1);
    Item b(2);
    {
        ByAge list;
        list.push_back(&a);
        list.push_back(&b);
    }
    CHECK_FALSE(a.by_age.linked());
    CHECK_FALSE(b.by_age.linked());
    ByAge::unlink(&a);
}

TEST_CASE("take_all appends another list's items and empties it") {
    Item a(1);
    Item b(2);
    Item c(3);
    ByAge first;
    ByAge second;
    first.push_back(&a);
    first.take_all(second);
    CHECK(values(first) == std::vector{1});
    second.push_back(&b);
    second.push_back(&c);
    first.take_all(second);
    CHECK(second.empty());
    CHECK(values(first) == std::vector{1, 2, 3});
    second.take_all(first);
    CHECK(first.empty());
    CHECK(values(second) == std::vector{1, 2, 3});
    ByAge::unlink(&b);
    CHECK(values(second) == std::vector{1, 3});
}

TEST_CASE("IntrusiveList behaves as std::list") {
    for (std::uint64_t seed = 1; seed != 30; ++seed) {
        CAPTURE(seed);
        bucle::test::Random random(seed);
        std::vector<std::unique_ptr<Item>> items;
        for (int i = 0; i != 40; ++i) {
            items.push_back(std::make_unique<Item>(i));
        }
        ByAge list;
        std::list<int> model;
        for (int step = 0; step != 1000; ++step) {
            Item* const item = items[random.below(items.size())].get();
            const std::size_t choice = random.below(10);
            if (ByAge::linked(item)) {
                ByAge::unlink(item);
                model.remove(item->value);
            } else if (choice < 9) {
                list.push_back(item);
                model.push_back(item->value);
            } else if (Item* const first = list.pop_front(); first != nullptr) {
                REQUIRE(first->value == model.front());
                model.pop_front();
            }
            REQUIRE(values(list) == std::vector<int>(model.begin(), model.end()));
        }
    }
}
