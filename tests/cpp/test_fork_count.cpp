// fork_count() differs in a child and in its children, and stays in the parent.
#include "base/fork_count.hpp"

#include <doctest/doctest.h>

#include "descriptors.hpp"

using bucle::base::fork_count;
using bucle::test::in_child;

TEST_CASE("fork_count counts on the way down and not in the parent") {
    const unsigned here = fork_count();
    const int code = in_child([&] {
        if (fork_count() == here) {
            return 1;
        }
        const unsigned child = fork_count();
        return in_child([&] { return fork_count() == child || fork_count() == here ? 2 : 0; });
    });
    CHECK(code == 0);
    CHECK(fork_count() == here);
}
