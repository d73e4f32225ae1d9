// ScopeExit runs its action once, on any way out, unless dismissed.
#include "base/scope_exit.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using bucle::base::ScopeExit;

TEST_CASE("ScopeExit runs at the end of the scope, in reverse order of making") {
    int order = 0;
    int first = 0;
    int second = 0;
    {
        const ScopeExit outer([&] { first = ++order; });
        const ScopeExit inner([&] { second = ++order; });
        CHECK(order == 0);
    }
    CHECK(second == 1);
    CHECK(first == 2);
}

TEST_CASE("ScopeExit runs when an exception passes") {
    bool ran = false;
    CHECK_THROWS_AS(
        [&] {
            const ScopeExit guard([&] { ran = true; });
            throw std::runtime_error("passes");
        }(),
        std::runtime_error);
    CHECK(ran);
}

TEST_CASE("a dismissed ScopeExit does nothing") {
    bool ran = false;
    {
        ScopeExit guard([&] { ran = true; });
        guard.dismiss();
    }
    CHECK_FALSE(ran);
}
