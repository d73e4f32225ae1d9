// uv::Loop across fork(): the child gets descriptors of its own or closes without touching the
// parent's, and no wake-up is lost on either side.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cerrno>

#include "descriptors.hpp"
#include "uv/loop.hpp"

using bucle::test::in_child;
using bucle::test::is_readable;
using bucle::test::open_descriptors;
using bucle::uv::Loop;

namespace {

bool wakes(Loop& loop) {
    loop.wake();
    const bool ready = is_readable(loop.fd());
    loop.dispatch();
    return ready && loop.take_woken() && !is_readable(loop.fd());
}

} // namespace

TEST_CASE("a child goes on with the loop after fork()") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const int code = in_child([&] {
        const int before = open_descriptors();
        if (!loop.fork().ok() || open_descriptors() != before) {
            return 1;
        }
        if (is_readable(loop.fd()) || !wakes(loop) || !wakes(loop)) {
            return 2;
        }
        loop.close();
        return loop.is_open() ? 3 : 0;
    });
    CHECK(code == 0);
    CHECK_FALSE(is_readable(loop.fd()));
    CHECK(wakes(loop));
}

TEST_CASE("a wake-up that was pending at the fork is the parent's, and swallows no later ones") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.wake();
    // Up to 1.45 libuv goes on thinking that a wake-up is pending.
    const int code =
        in_child([&] { return loop.fork().ok() && !loop.take_woken() && wakes(loop) ? 0 : 1; });
    CHECK(code == 0);
    CHECK(is_readable(loop.fd()));
    loop.dispatch();
    CHECK(loop.take_woken());
    CHECK(wakes(loop));
}

TEST_CASE("a child that only closes the loop does not touch the parent's") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const int code = in_child([&] {
        loop.close();
        return loop.is_open() ? 1 : 0;
    });
    CHECK(code == 0);
    CHECK(wakes(loop));
}

TEST_CASE("a child without descriptors to spare can still close") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const int code = in_child([&] {
        rlimit none{};
        getrlimit(RLIMIT_NOFILE, &none);
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
        if (loop.fork().errnum() != EMFILE) {
            return 1;
        }
        if (loop.fork().errnum() != EMFILE) {
            return 2; // still, though another attempt would fail differently
        }
        loop.dispatch();
        loop.wake();
        loop.close();
        return loop.is_open() || loop.take_woken() ? 3 : 0;
    });
    CHECK(code == 0);
    CHECK(wakes(loop));
}

TEST_CASE("a grandchild may fork a loop that its parent forked") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const int code = in_child([&] {
        if (!loop.fork().ok()) {
            return 1;
        }
        const int inner = in_child([&] {
            if (!loop.fork().ok() || !wakes(loop)) {
                return 2;
            }
            loop.close();
            return 0;
        });
        if (inner != 0) {
            return inner;
        }
        return wakes(loop) ? 0 : 3;
    });
    CHECK(code == 0);
    CHECK(wakes(loop));
}
