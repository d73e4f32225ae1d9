// uv::Loop across fork(): the child gets descriptors of its own or closes without touching the
// parent's, and no wake-up is lost on either side.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cerrno>

#include "descriptors.hpp"
#include "uv/loop.hpp"

using bucle::test::in_child;
using bucle::test::open_descriptors;
using bucle::test::Pair;
using bucle::uv::Loop;

namespace {

// The parent's half: its wake-up and its backend watch still work.
void check_untouched(Loop& loop, const Pair& pipe) {
    loop.run_nowait();
    static_cast<void>(loop.take_backend_ready());
    static_cast<void>(loop.take_woken());
    REQUIRE(pipe.write());
    loop.run_once();
    CHECK(loop.take_backend_ready());
    REQUIRE(pipe.read());
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    loop.wake();
    loop.run_once();
    CHECK(loop.take_woken());
}

} // namespace

TEST_CASE("a child goes on with the loop after fork()") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pipe = Pair::pipe();
    const Pair childs_pipe = Pair::pipe();
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    loop.run_nowait();
    const int code = in_child([&] {
        const int before = open_descriptors();
        if (!loop.fork().ok() || open_descriptors() != before) {
            return 1;
        }
        loop.run_once(); // returns at once: a wake-up may have been under way
        if (!loop.take_woken()) {
            return 2;
        }
        loop.run_nowait();
        if (loop.take_backend_ready() || !loop.watches_backend()) {
            return 3;
        }
        if (!pipe.write()) {
            return 4;
        }
        loop.run_once();
        if (!loop.take_backend_ready() || !pipe.read()) {
            return 5;
        }
        if (!loop.watch_backend(childs_pipe[0]).ok() || !childs_pipe.write()) {
            return 6;
        }
        for (int i = 0; i != 2; ++i) {
            loop.run_once(); // the first may return for the closing of the old watch
        }
        if (!loop.take_backend_ready()) {
            return 7;
        }
        loop.arm(0);
        loop.run_nowait();
        if (!loop.take_timer_fired()) {
            return 8;
        }
        loop.close();
        return loop.is_open() ? 9 : 0;
    });
    CHECK(code == 0);
    check_untouched(loop, pipe);
}

TEST_CASE("a wake-up that was pending at the fork does not swallow later ones") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.wake();
    const int code = in_child([&] {
        if (!loop.fork().ok()) {
            return 1;
        }
        loop.run_once();
        static_cast<void>(loop.take_woken());
        loop.wake();
        loop.run_once(); // hangs if libuv still thinks that a wake-up is pending
        return loop.take_woken() ? 0 : 2;
    });
    CHECK(code == 0);
    loop.run_once();
    CHECK(loop.take_woken());
}

TEST_CASE("a child that only closes the loop does not touch the parent's") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pipe = Pair::pipe();
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    loop.run_nowait();
    const int code = in_child([&] {
        loop.close();
        return loop.is_open() ? 1 : 0;
    });
    CHECK(code == 0);
    check_untouched(loop, pipe);
}

TEST_CASE("a child that stops watching, or watches something else, does not touch the parent's") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pipe = Pair::pipe();
    const Pair other = Pair::pipe();
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    loop.run_nowait();
    const int unwatched = in_child([&] {
        loop.unwatch_backend();
        return loop.fork().ok() && !loop.watches_backend() ? 0 : 1;
    });
    CHECK(unwatched == 0);
    check_untouched(loop, pipe);
    const int watched = in_child([&] {
        if (!loop.watch_backend(other[0]).ok() || !other.write()) {
            return 1;
        }
        for (int i = 0; i != 3; ++i) {
            loop.run_once();
        }
        return loop.take_backend_ready() ? 0 : 2;
    });
    CHECK(watched == 0);
    check_untouched(loop, pipe);
    loop.unwatch_backend();
    const int first_watch = in_child([&] { return loop.watch_backend(pipe[0]).ok() ? 0 : 1; });
    CHECK(first_watch == 0);
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    check_untouched(loop, pipe);
}

TEST_CASE("a child without descriptors to spare can still close") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pipe = Pair::pipe();
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    loop.run_nowait();
    const int code = in_child([&] {
        rlimit none{};
        getrlimit(RLIMIT_NOFILE, &none);
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
        if (loop.fork().errnum() != EMFILE) {
            return 1;
        }
        if (loop.fork().errnum() != EMFILE) {
            return 5; // still, though another attempt would fail differently
        }
        if (loop.run_nowait() != 0 || loop.run_once() != 0) {
            return 2;
        }
        loop.wake();
        loop.unwatch_backend();
        if (loop.watch_backend(pipe[0]).ok()) {
            return 4;
        }
        loop.close();
        return loop.is_open() ? 3 : 0;
    });
    CHECK(code == 0);
    check_untouched(loop, pipe);
}

TEST_CASE("a grandchild may fork a loop that its parent forked") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const int code = in_child([&] {
        if (!loop.fork().ok()) {
            return 1;
        }
        loop.run_once();
        const int inner = in_child([&] {
            if (!loop.fork().ok()) {
                return 2;
            }
            loop.run_once();
            loop.close();
            return 0;
        });
        if (inner != 0) {
            return inner;
        }
        static_cast<void>(loop.take_woken());
        loop.wake();
        loop.run_once();
        return loop.take_woken() ? 0 : 3;
    });
    CHECK(code == 0);
}
