// uv::Loop: the descriptor that says when there is something to do, wake-ups from threads, and a
// close that leaves nothing behind.
//
// A wait that should end and does not is a hang, which main.cpp's alarm turns into a failure.
#include "uv/loop.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "descriptors.hpp"
#include "failing_allocations.hpp"

using bucle::test::is_readable;
using bucle::test::open_descriptors;
using bucle::uv::Loop;
using bucle::uv::Status;

TEST_CASE("Loop opens and closes any number of times and leaves no descriptor") {
    {
        Loop warm_up; // libuv keeps a pipe of its own for the process
        REQUIRE(warm_up.open().ok());
    }
    const int before = open_descriptors();
    Loop loop;
    CHECK_FALSE(loop.is_open());
    loop.close();
    for (int round = 0; round != 5; ++round) {
        REQUIRE(loop.open().ok());
        const int fd = loop.fd();
        CHECK(fd >= 0);
        CHECK(loop.open().ok());
        CHECK(loop.fd() == fd);
        CHECK(open_descriptors() > before);
        if (round % 2 == 0) {
            loop.wake();
        }
        loop.close();
        loop.close();
        CHECK_FALSE(loop.is_open());
        CHECK(open_descriptors() == before);
    }
    CHECK(std::string(Loop::version()) == uv_version_string());
}

TEST_CASE("a closed Loop answers everything and does nothing") {
    Loop loop;
    loop.dispatch();
    loop.wake();
    CHECK(loop.fork().ok());
    CHECK(loop.fd() == -1);
    CHECK_FALSE(loop.take_woken());
}

TEST_CASE("Loop::open fails cleanly without memory") {
    const int before = open_descriptors();
    Loop loop;
    {
        const bucle::test::FailingAllocations failing(0);
        CHECK(loop.open().errnum() == ENOMEM);
    }
    CHECK_FALSE(loop.is_open());
    CHECK(open_descriptors() == before);
    REQUIRE(loop.open().ok());
}

TEST_CASE("Loop::open fails cleanly without descriptors") {
    const int code = bucle::test::in_child([] {
        for (rlim_t spare = 0; spare != 8; ++spare) {
            const int before = open_descriptors();
            const int lowest = dup(0);
            ::close(lowest);
            rlimit limit{};
            getrlimit(RLIMIT_NOFILE, &limit);
            const rlim_t normal = limit.rlim_cur;
            limit.rlim_cur = static_cast<rlim_t>(lowest) + spare;
            setrlimit(RLIMIT_NOFILE, &limit);
            Loop loop;
            const Status status = loop.open();
            limit.rlim_cur = normal;
            setrlimit(RLIMIT_NOFILE, &limit);
            if (status.ok()) {
                return spare == 0 ? 1 : 0;
            }
            if (status.errnum() != EMFILE || loop.is_open() || open_descriptors() != before) {
                return 2;
            }
        }
        return 3;
    });
    CHECK(code == 0);
}

TEST_CASE("many wake-ups before a dispatch are one, and the descriptor is readable until then") {
    Loop loop;
    REQUIRE(loop.open().ok());
    CHECK_FALSE(is_readable(loop.fd()));
    loop.dispatch();
    CHECK_FALSE(loop.take_woken());
    for (int round = 0; round != 3; ++round) {
        for (int i = 0; i != 100; ++i) {
            loop.wake();
        }
        CHECK(is_readable(loop.fd()));
        loop.dispatch();
        CHECK_FALSE(is_readable(loop.fd()));
        CHECK(loop.take_woken());
        CHECK_FALSE(loop.take_woken());
    }
}

TEST_CASE("a wake-up from another thread ends a wait, every time") {
    Loop loop;
    REQUIRE(loop.open().ok());
    constexpr int kThreads = 3;
    constexpr int kEach = 2000;
    std::mutex lock; // as the GIL in the interpreter
    std::atomic<int> sent = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != kThreads; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n != kEach; ++n) {
                const std::lock_guard guard(lock);
                sent.fetch_add(1);
                loop.wake();
            }
        });
    }
    // What was counted before a wake() is seen after the wait that it ended: so the last one too.
    int seen = 0;
    while (seen != kThreads * kEach) {
        pollfd entry{loop.fd(), POLLIN, 0};
        REQUIRE(poll(&entry, 1, -1) == 1);
        const std::lock_guard guard(lock);
        loop.dispatch();
        CHECK(loop.take_woken());
        seen = sent.load();
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}
