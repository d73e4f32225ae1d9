// EpollSet on descriptors that behave: masks, limits, failures, and a comparison with poll(2).
#include "loop/epoll_set.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "collected.hpp"
#include "descriptors.hpp"
#include "failing_allocations.hpp"
#include "model.hpp"
#include "uv/loop.hpp"

using bucle::loop::EpollSet;
using bucle::test::collected;
using bucle::test::open_descriptors;
using bucle::test::Pair;
using bucle::test::Ready;

namespace {

constexpr unsigned kR = EpollSet::kReadable;
constexpr unsigned kW = EpollSet::kWritable;

std::string text(const Ready& ready) {
    std::string result;
    for (const auto& [fd, mask] : ready) {
        result += std::to_string(fd) + ":" + std::to_string(mask) + " ";
    }
    return result;
}

} // namespace

TEST_CASE("EpollSet opens, closes and leaves no descriptor") {
    const int before = open_descriptors();
    EpollSet set;
    CHECK_FALSE(set.is_open());
    CHECK(set.fd() == -1);
    EpollSet::Batch batch;
    CHECK(set.wait(batch, -1) == EBADF);
    CHECK(batch.count == 0);
    CHECK(set.nest(0) == EBADF);
    CHECK(set.set(0, kR) == EBADF);
    REQUIRE(set.open() == 0);
    const int fd = set.fd();
    CHECK(set.open() == 0);
    CHECK(set.fd() == fd);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    set.close();
    set.close();
    CHECK(set.fd() == -1);
    CHECK(open_descriptors() == before);
}

TEST_CASE("EpollSet reports what was asked for, again and again") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::sockets();
    CHECK(set.mask(pair[0]) == 0);
    REQUIRE(set.set(pair[0], kR) == 0);
    CHECK(set.mask(pair[0]) == kR);
    CHECK(set.size() == 1);
    CHECK(collected(set).empty());
    REQUIRE(pair.write());
    CHECK(collected(set) == Ready{{pair[0], kR}});
    CHECK(collected(set) == Ready{{pair[0], kR}});
    REQUIRE(set.set(pair[0], kR | kW) == 0);
    CHECK(collected(set) == Ready{{pair[0], kR | kW}});
    REQUIRE(set.set(pair[0], kW) == 0);
    CHECK(collected(set) == Ready{{pair[0], kW}});
    CHECK(set.size() == 1);
    REQUIRE(set.set(pair[0], 0) == 0);
    CHECK(collected(set).empty());
    CHECK(set.size() == 0);
    CHECK(set.mask(pair[0]) == 0);
    REQUIRE(set.set(pair[0], 0) == 0);
    CHECK_FALSE(set.needs_reopen());
}

TEST_CASE("a hang-up is whatever was asked for") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair in = Pair::pipe();
    Pair out = Pair::pipe();
    REQUIRE(set.set(in[0], kR) == 0);
    REQUIRE(set.set(out[1], kW) == 0);
    while (out.write()) { // until it is full
    }
    CHECK(collected(set).empty());
    in.close(1);
    out.close(0);
    CHECK(collected(set) == Ready{{in[0], kR}, {out[1], kW}});
}

TEST_CASE("EpollSet gives at most a batch, and in the end everything") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    std::vector<Pair> pairs;
    constexpr int kExtra = 10;
    for (int i = 0; i != EpollSet::Batch::kMost + kExtra; ++i) {
        pairs.push_back(Pair::pipe());
        pairs.back().close(1);
        REQUIRE(set.set(pairs.back()[0], kR) == 0);
    }
    std::set<int> seen;
    for (const int expected : {EpollSet::Batch::kMost, kExtra, 0}) {
        const Ready ready = collected(set);
        CHECK(ready.size() == static_cast<std::size_t>(expected));
        for (const auto& [fd, mask] : ready) {
            CHECK(seen.insert(fd).second);
            REQUIRE(set.set(fd, 0) == 0);
        }
    }
}

TEST_CASE("wait blocks as long as it was told, and until something is ready") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::pipe();
    REQUIRE(set.set(pair[0], kR) == 0);
    EpollSet::Batch batch;
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(set.wait(batch, 20) == 0);
    CHECK(batch.count == 0);
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20));
    std::thread writer([&] { static_cast<void>(pair.write()); });
    REQUIRE(set.wait(batch, -1) == 0);
    writer.join();
    CHECK(batch.count == 1);
}

TEST_CASE("a signal ends a wait without an error") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) {};
    REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);
    // Again and again: the first may come before the wait begins.
    std::atomic<bool> done = false;
    std::thread sender([&done, self = pthread_self()] {
        while (!done.load()) {
            pthread_kill(self, SIGUSR1);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    EpollSet::Batch batch;
    CHECK(set.wait(batch, -1) == 0);
    CHECK(batch.count == 0);
    done.store(true);
    sender.join();
    sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("what a batch tells is looked at when its turn comes") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair kept = Pair::sockets();
    const Pair ended = Pair::sockets();
    REQUIRE(set.set(kept[0], kR | kW) == 0);
    REQUIRE(set.set(ended[0], kW) == 0);
    EpollSet::Batch batch;
    REQUIRE(set.wait(batch, 0) == 0);
    REQUIRE(batch.count == 2);
    REQUIRE(set.set(kept[0], kR) == 0);
    REQUIRE(set.set(ended[0], 0) == 0);
    for (int i = 0; i != 2; ++i) {
        CHECK(set.resolve(batch.events[i]).mask == 0);
    }
}

TEST_CASE("what cannot be watched is an errno and is not watched") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const int regular = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(regular >= 0);
    CHECK(set.set(regular, kR) == EPERM);
    CHECK(set.mask(regular) == 0);
    ::close(regular);
    CHECK(set.set(regular, kR) == EBADF);
    CHECK(set.set(-1, kR) == EBADF);
    CHECK(set.set(-1, 0) == EBADF);
    CHECK(set.set(1'000'000'000, kR) == EBADF);
    CHECK(set.set(1'000'000'000, 0) == 0);
    CHECK(set.set(set.fd(), kR) == EINVAL);
    CHECK(set.size() == 0);
    CHECK(set.mask(-1) == 0);
    CHECK(set.mask(1'000'000'000) == 0);
}

TEST_CASE("a descriptor that memory is missing for is not watched") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::pipe();
    REQUIRE(pair.write());
    {
        const bucle::test::FailingAllocations none;
        CHECK(set.set(pair[0], kR) == ENOMEM);
    }
    CHECK(set.size() == 0);
    CHECK(collected(set).empty());
    CHECK_FALSE(set.needs_reopen());
    REQUIRE(set.set(pair[0], kR) == 0);
    CHECK(collected(set) == Ready{{pair[0], kR}});
}

TEST_CASE("reopen keeps the registrations; without a descriptor it keeps the old set") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::sockets();
    Pair gone = Pair::pipe();
    REQUIRE(pair.write());
    REQUIRE(set.set(pair[0], kR | kW) == 0);
    REQUIRE(set.set(gone[0], kR) == 0);
    gone.close(0);
    const int before = open_descriptors();
    const int fd = set.fd();
    REQUIRE(set.reopen() == 0);
    CHECK(set.fd() == fd);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(open_descriptors() == before);
    CHECK(set.size() == 1);
    CHECK(collected(set) == Ready{{pair[0], kR | kW}});
    const int code = bucle::test::in_child([&] {
        rlimit none{};
        getrlimit(RLIMIT_NOFILE, &none);
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
        const int old = set.fd();
        if (set.reopen() != EMFILE || set.fd() != old) {
            return 1;
        }
        return collected(set) == Ready{{pair[0], kR | kW}} ? 0 : 2;
    });
    CHECK(code == 0);
}

TEST_CASE("a child that reopens does not touch the parent's registrations") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::pipe();
    REQUIRE(pair.write());
    REQUIRE(set.set(pair[0], kR) == 0);
    const int code = bucle::test::in_child([&] {
        if (set.reopen() != 0 || collected(set) != Ready{{pair[0], kR}}) {
            return 1;
        }
        return set.set(pair[0], 0) == 0 && collected(set).empty() ? 0 : 2;
    });
    CHECK(code == 0);
    CHECK(collected(set) == Ready{{pair[0], kR}});
}

TEST_CASE("a child that only changes its registrations does not touch the parent's") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::sockets();
    const Pair other = Pair::pipe();
    REQUIRE(pair.write());
    REQUIRE(other.write());
    REQUIRE(set.set(pair[0], kR) == 0);
    const int changed = bucle::test::in_child([&] {
        if (set.set(pair[0], kW) != 0 || set.set(other[0], kR) != 0) {
            return 1;
        }
        return collected(set) == Ready{{pair[0], kW}, {other[0], kR}} ? 0 : 2;
    });
    CHECK(changed == 0);
    CHECK(collected(set) == Ready{{pair[0], kR}});
    CHECK_FALSE(set.needs_reopen());
    const int ended = bucle::test::in_child([&] { return set.set(pair[0], 0); });
    CHECK(ended == 0);
    CHECK(collected(set) == Ready{{pair[0], kR}});
    const int closed = bucle::test::in_child([&] {
        set.close();
        return 0;
    });
    CHECK(closed == 0);
    CHECK(collected(set) == Ready{{pair[0], kR}});
}

TEST_CASE("a nested set is told of, also after a reopen") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    bucle::uv::Loop loop;
    REQUIRE(loop.open().ok());
    REQUIRE(set.nest(loop.fd()) == 0);
    CHECK(set.has_nested());
    CHECK(collected(set).empty());
    const Ready woken{{EpollSet::kNested, kR}};
    for (int round = 0; round != 2; ++round) {
        loop.wake();
        CHECK(collected(set) == woken);
        loop.dispatch();
        CHECK(collected(set).empty());
        REQUIRE(set.reopen() == 0);
    }
    bucle::uv::Loop other;
    REQUIRE(other.open().ok());
    REQUIRE(set.nest(other.fd()) == 0); // in place of the first
    loop.wake();
    CHECK(collected(set).empty());
    other.wake();
    CHECK(collected(set) == woken);
    CHECK(set.nest(-1) == EBADF);
    CHECK_FALSE(set.has_nested());
    CHECK(collected(set).empty());
}

TEST_CASE("a child nests its own set, whatever it does first") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    bucle::uv::Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pair = Pair::pipe();
    REQUIRE(set.set(pair[0], kR) == 0);
    REQUIRE(set.nest(loop.fd()) == 0);
    const Ready woken{{EpollSet::kNested, kR}};
    for (const bool changes_first : {false, true}) {
        CAPTURE(changes_first);
        const int code = bucle::test::in_child([&] {
            if ((changes_first ? set.set(pair[0], kR) : set.reopen()) != 0 || set.has_nested()) {
                return 1;
            }
            if (!loop.fork().ok() || set.nest(loop.fd()) != 0) {
                return 2;
            }
            loop.wake();
            return collected(set) == woken ? 0 : 3;
        });
        CHECK(code == 0);
        CHECK(collected(set).empty());
        loop.wake();
        CHECK(collected(set) == woken);
        loop.dispatch();
    }
}

TEST_CASE("a child that reopens keeps what the other process has ended since the fork") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    const Pair pair = Pair::pipe();
    REQUIRE(pair.write());
    REQUIRE(set.set(pair[0], kR) == 0);
    const int code = bucle::test::in_child([&] {
        // As the parent would: the shared set is one, whichever process changes it.
        if (epoll_ctl(set.fd(), EPOLL_CTL_DEL, pair[0], nullptr) != 0) {
            return 1;
        }
        if (!collected(set).empty()) {
            return 2;
        }
        return set.reopen() == 0 && collected(set) == Ready{{pair[0], kR}} ? 0 : 3;
    });
    CHECK(code == 0);
}

TEST_CASE("EpollSet agrees with poll(2)") {
    for (std::uint64_t seed = 1; seed != 40; ++seed) {
        CAPTURE(seed);
        bucle::test::Random random(seed);
        EpollSet set;
        REQUIRE(set.open() == 0);
        std::vector<Pair> pairs;
        std::map<int, unsigned> wanted;
        const auto replace = [&](std::size_t i) {
            wanted.erase(pairs[i][0]);
            wanted.erase(pairs[i][1]);
            pairs[i] = random.chance(50) ? Pair::pipe() : Pair::sockets();
        };
        for (std::size_t i = 0; i != 12; ++i) {
            pairs.push_back(Pair::sockets());
        }
        for (int step = 0; step != 300; ++step) {
            const std::size_t i = random.below(pairs.size());
            const int end = static_cast<int>(random.below(2));
            const int fd = pairs[i][end];
            const std::size_t choice = random.below(100);
            if (choice < 40 && fd >= 0) {
                const auto mask = static_cast<unsigned>(random.below(4));
                REQUIRE(set.set(fd, mask) == 0);
                if (mask != 0) {
                    wanted[fd] = mask;
                } else {
                    wanted.erase(fd);
                }
            } else if (choice < 65) {
                static_cast<void>(pairs[i].write());
            } else if (choice < 85) {
                static_cast<void>(pairs[i].read());
            } else if (choice < 92) {
                wanted.erase(fd); // closed without a word to the set
                pairs[i].close(end);
            } else if (choice < 99) {
                replace(i); // closed, and the numbers most likely reused
            } else {
                REQUIRE(set.reopen() == 0);
            }
            std::vector<pollfd> oracle;
            for (const auto& [watched, mask] : wanted) {
                const int events =
                    ((mask & kR) != 0 ? POLLIN : 0) | ((mask & kW) != 0 ? POLLOUT : 0);
                oracle.push_back({watched, static_cast<short>(events), 0});
            }
            REQUIRE(poll(oracle.data(), oracle.size(), 0) >= 0);
            Ready expected;
            for (const pollfd& entry : oracle) {
                const unsigned both = (entry.revents & (POLLHUP | POLLERR)) != 0 ? kR | kW : 0;
                const unsigned mask = (((entry.revents & POLLIN) != 0 ? kR : 0) |
                                       ((entry.revents & POLLOUT) != 0 ? kW : 0) | both) &
                                      wanted[entry.fd];
                if (mask != 0) {
                    expected[entry.fd] = mask;
                }
            }
            REQUIRE(text(collected(set)) == text(expected));
        }
    }
}
