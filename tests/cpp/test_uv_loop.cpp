// uv::Loop: what ends a blocking run, wake-ups from threads and signals, and a close that leaves
// nothing behind.
//
// A run that should end and does not is a hang, which main.cpp's alarm turns into a failure; time
// is compared only from below ("not earlier than"), which no slow machine can break.
#include "uv/loop.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "descriptors.hpp"
#include "failing_allocations.hpp"

using bucle::test::open_descriptors;
using bucle::test::Pair;
using bucle::uv::Loop;
using bucle::uv::Status;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMs = 1'000'000;

Loop* signalled_loop = nullptr;

} // namespace

TEST_CASE("Loop opens and closes any number of times and leaves no descriptor") {
    {
        Loop warm_up; // libuv keeps a pipe of its own for the process
        REQUIRE(warm_up.open().ok());
    }
    const int before = open_descriptors();
    Loop loop;
    CHECK_FALSE(loop.is_open());
    CHECK(loop.raw() == nullptr);
    loop.close();
    for (int round = 0; round != 5; ++round) {
        REQUIRE(loop.open().ok());
        uv_loop_t* const raw = loop.raw();
        CHECK(loop.open().ok());
        CHECK(loop.raw() == raw);
        CHECK(open_descriptors() > before);
        CHECK(loop.handles() == 0);
        loop.close();
        loop.close();
        CHECK_FALSE(loop.is_open());
        CHECK(open_descriptors() == before);
    }
    CHECK(std::string(Loop::version()) == uv_version_string());
}

TEST_CASE("a closed Loop answers everything and does nothing") {
    Loop loop;
    CHECK(loop.run_nowait() == 0);
    CHECK(loop.run_once() == 0);
    loop.wake();
    loop.arm(0);
    loop.disarm();
    loop.stop();
    loop.unwatch_backend();
    CHECK(loop.watch_backend(0).errnum() == EBADF);
    CHECK(loop.fork().ok());
    CHECK(loop.idle_ns() == 0);
    CHECK(loop.handles() == 0);
    CHECK_FALSE(loop.metrics().known);
    CHECK_FALSE(loop.take_woken());
}

TEST_CASE("Loop::open fails cleanly without memory") {
    // calloc for the loop, the wake-up and the timer, in this order.
    for (int allowed = 0; allowed != 3; ++allowed) {
        CAPTURE(allowed);
        const int before = open_descriptors();
        Loop loop;
        {
            const bucle::test::FailingAllocations failing(allowed);
            CHECK(loop.open().errnum() == ENOMEM);
        }
        CHECK_FALSE(loop.is_open());
        CHECK(open_descriptors() == before);
        REQUIRE(loop.open().ok());
    }
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

TEST_CASE("run_nowait does not block and sees a wake-up once") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.run_nowait();
    CHECK_FALSE(loop.take_woken());
    for (int i = 0; i != 100; ++i) {
        loop.wake();
    }
    loop.run_nowait();
    CHECK(loop.take_woken());
    CHECK_FALSE(loop.take_woken());
    loop.run_nowait();
    CHECK_FALSE(loop.take_woken());
}

TEST_CASE("run_once blocks until the timer, and not less than its delay") {
    Loop loop;
    REQUIRE(loop.open(true).ok());
    const auto start = Clock::now();
    loop.arm(19 * kMs + 1);
    while (!loop.take_timer_fired()) {
        loop.run_once();
    }
    // libuv's clock cuts milliseconds off: up to one early is allowed by the header.
    CHECK(Clock::now() - start >= std::chrono::milliseconds(19));
    CHECK_FALSE(loop.take_woken());
    CHECK(loop.idle_ns() > 0);
    CHECK(loop.handles() == 0);
}

TEST_CASE("arm rounds up to milliseconds") {
    Loop loop;
    REQUIRE(loop.open().ok());
    struct Row {
        std::int64_t delay_ns;
        std::uint64_t due_ms;
    };
    for (const Row row : {Row{0, 0}, Row{1, 1}, Row{kMs, 1}, Row{kMs + 1, 2}, Row{90 * kMs, 90}}) {
        CAPTURE(row.delay_ns);
        loop.arm(row.delay_ns);
        std::uint64_t due = UINT64_MAX;
        uv_walk(
            loop.raw(),
            [](uv_handle_t* handle, void* argument) {
                if (handle->type == UV_TIMER) {
                    *static_cast<std::uint64_t*>(argument) =
                        uv_timer_get_due_in(reinterpret_cast<uv_timer_t*>(handle));
                }
            },
            &due);
        CHECK(due == row.due_ms);
    }
}

TEST_CASE("arm counts from now, not from the last poll") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.run_nowait();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    const auto start = Clock::now();
    loop.arm(20 * kMs);
    while (!loop.take_timer_fired()) {
        loop.run_once();
    }
    CHECK(Clock::now() - start >= std::chrono::milliseconds(19));
}

TEST_CASE("run_once does not block when the timer is due before it begins") {
    Loop loop;
    REQUIRE(loop.open().ok());
    for (int round = 0; round != 3; ++round) {
        loop.arm(kMs);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        loop.run_once();
        CHECK(loop.take_timer_fired());
        loop.arm(0);
        loop.run_once();
        CHECK(loop.take_timer_fired());
    }
}

TEST_CASE("arm without a delay makes the next run fire") {
    Loop loop;
    REQUIRE(loop.open().ok());
    for (const std::int64_t delay : {std::int64_t{0}, std::int64_t{-5}, INT64_MIN}) {
        loop.arm(delay);
        loop.run_nowait();
        CHECK(loop.take_timer_fired());
        CHECK_FALSE(loop.take_timer_fired());
        loop.run_nowait();
        CHECK_FALSE(loop.take_timer_fired());
    }
}

TEST_CASE("arm replaces, disarm takes back, the longest delay does not overflow") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.arm(0);
    loop.arm(INT64_MAX);
    loop.run_nowait();
    CHECK_FALSE(loop.take_timer_fired());
    loop.arm(0);
    loop.disarm();
    loop.run_nowait();
    CHECK_FALSE(loop.take_timer_fired());
    loop.arm(0);
    loop.run_nowait();
    loop.disarm();
    CHECK_FALSE(loop.take_timer_fired());
    loop.wake();
    loop.run_once(); // blocks for ever if the wake-up were lost
    CHECK(loop.take_woken());
}

TEST_CASE("wake from other threads ends run_once, every time") {
    Loop loop;
    REQUIRE(loop.open().ok());
    constexpr int kThreads = 3;
    constexpr int kEach = 2000;
    std::atomic<int> sent = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i != kThreads; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n != kEach; ++n) {
                sent.fetch_add(1);
                loop.wake();
            }
        });
    }
    // What was counted before a wake() is seen after the run that it ended: so the last one too.
    int seen = 0;
    int runs = 0;
    while (seen != kThreads * kEach) {
        loop.run_once();
        CHECK(loop.take_woken());
        seen = sent.load();
        ++runs;
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(runs <= kThreads * kEach);
}

TEST_CASE("wake may race with closing and opening") {
    Loop loop;
    std::atomic<bool> done = false;
    std::thread waker([&] {
        while (!done.load()) {
            loop.wake();
        }
    });
    for (int round = 0; round != 300; ++round) {
        REQUIRE(loop.open().ok());
        if (round % 2 == 0) {
            loop.run_once();
        }
        loop.close();
    }
    done.store(true);
    waker.join();
}

TEST_CASE("wake from a signal handler ends run_once and keeps errno") {
    Loop loop;
    REQUIRE(loop.open().ok());
    signalled_loop = &loop;
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) { signalled_loop->wake(); };
    REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);

    const pthread_t self = pthread_self();
    std::thread sender([self] { pthread_kill(self, SIGUSR1); });
    loop.run_once();
    sender.join();
    CHECK(loop.take_woken());

    // A wake-up that fails to write (a full or closed descriptor) would set errno.
    errno = ENOTTY;
    raise(SIGUSR1);
    CHECK(errno == ENOTTY);
    sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("the backend's readiness ends run_once, as long as it lasts") {
    Loop loop;
    REQUIRE(loop.open().ok());
    Pair pipe = Pair::pipe();
    REQUIRE(loop.watch_backend(pipe[0]).ok());
    CHECK(loop.watches_backend());
    CHECK(loop.handles() == 0);
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    REQUIRE(pipe.write());
    for (int i = 0; i != 3; ++i) {
        loop.run_once();
        CHECK(loop.take_backend_ready());
        CHECK_FALSE(loop.take_backend_ready());
    }
    REQUIRE(pipe.read());
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    pipe.close(1);
    loop.run_once();
    CHECK(loop.take_backend_ready());
    loop.unwatch_backend();
    CHECK_FALSE(loop.watches_backend());
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
}

TEST_CASE("watch_backend replaces, and refuses what cannot be watched") {
    Loop loop;
    REQUIRE(loop.open().ok());
    const Pair first = Pair::pipe();
    const Pair second = Pair::pipe();
    REQUIRE(loop.watch_backend(first[0]).ok());
    REQUIRE(loop.watch_backend(first[0]).ok());
    REQUIRE(loop.watch_backend(second[0]).ok());
    REQUIRE(first.write());
    loop.run_nowait();
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    REQUIRE(second.write());
    loop.run_once(); // may return for the closing of the first watch
    loop.run_once();
    CHECK(loop.take_backend_ready());

    const int regular = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(regular >= 0);
    CHECK(loop.watch_backend(regular).errnum() == EPERM);
    CHECK_FALSE(loop.watches_backend());
    ::close(regular);
    CHECK(loop.watch_backend(1 << 20).errnum() == EBADF);
    {
        const bucle::test::FailingAllocations none;
        CHECK(loop.watch_backend(second[0]).errnum() == ENOMEM);
    }
    CHECK(loop.watch_backend(second[0]).ok());
}

TEST_CASE("stop from a callback ends the run") {
    Loop loop;
    REQUIRE(loop.open().ok());
    struct Stopper {
        Loop* loop;
        int calls;
    } stopper{&loop, 0};
    bucle::uv::Handle<uv_idle_t> idle;
    REQUIRE(idle.init(&stopper, [&](uv_idle_t* h) { return uv_idle_init(loop.raw(), h); }).ok());
    REQUIRE(uv_idle_start(idle.get(), [](uv_idle_t* handle) {
                auto* const self = static_cast<Stopper*>(handle->data);
                ++self->calls;
                self->loop->stop();
            }) == 0);
    CHECK(loop.handles() == 1);
    loop.run_once();
    loop.run_once();
    CHECK(stopper.calls == 2);
}

TEST_CASE("close waits for what is in the thread pool") {
    Loop loop;
    REQUIRE(loop.open().ok());
    struct Work {
        uv_work_t request{};
        std::atomic<bool> worked = false;
        bool finished = false;
    } work;
    work.request.data = &work;
    REQUIRE(uv_queue_work(
                loop.raw(), &work.request,
                [](uv_work_t* request) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                    static_cast<Work*>(request->data)->worked.store(true);
                },
                [](uv_work_t* request, int) {
                    static_cast<Work*>(request->data)->finished = true;
                }) == 0);
    loop.close();
    CHECK(work.worked.load());
    CHECK(work.finished);
}

TEST_CASE("close ends handles of every kind that others left") {
    const int before = open_descriptors();
    Pair pipe = Pair::pipe();
    uv_timer_t timer{};
    uv_async_t async{};
    uv_poll_t poll{};
    uv_idle_t idle{};
    {
        Loop loop;
        REQUIRE(loop.open().ok());
        REQUIRE(uv_timer_init(loop.raw(), &timer) == 0);
        REQUIRE(uv_timer_start(&timer, [](uv_timer_t*) {}, 0, 1) == 0);
        REQUIRE(uv_async_init(loop.raw(), &async, [](uv_async_t*) {}) == 0);
        REQUIRE(uv_async_send(&async) == 0);
        REQUIRE(uv_poll_init(loop.raw(), &poll, pipe[1]) == 0);
        REQUIRE(uv_poll_start(&poll, UV_WRITABLE, [](uv_poll_t*, int, int) {}) == 0);
        REQUIRE(uv_idle_init(loop.raw(), &idle) == 0);
        REQUIRE(uv_idle_start(&idle, [](uv_idle_t*) {}) == 0);
        REQUIRE(loop.watch_backend(pipe[0]).ok());
        loop.arm(0);
        CHECK(loop.handles() == 4);
        loop.wake();
    }
    pipe.close(0);
    pipe.close(1);
    CHECK(open_descriptors() == before);
}

TEST_CASE("metrics are known from libuv 1.45 on") {
    Loop loop;
    REQUIRE(loop.open().ok());
    loop.run_nowait();
    const bucle::uv::Metrics metrics = loop.metrics();
    CHECK(metrics.known == (UV_VERSION_HEX >= BUCLE_UV_VERSION(1, 45, 0)));
    CHECK((metrics.iterations > 0) == metrics.known);
}
