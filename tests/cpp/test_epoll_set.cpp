// EpollSet on descriptors that behave: masks, limits, failures, and a comparison with poll(2).
#include "loop/epoll_set.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "descriptors.hpp"
#include "failing_allocations.hpp"
#include "model.hpp"
#include "uv/loop.hpp"

using bucle::loop::EpollSet;
using bucle::test::open_descriptors;
using bucle::test::Pair;

namespace {

constexpr unsigned kR = EpollSet::kReadable;
constexpr unsigned kW = EpollSet::kWritable;

std::map<int, unsigned> collected(EpollSet& set) {
    std::vector<EpollSet::Event> events(200);
    const int count = set.collect(events.data(), static_cast<int>(events.size()));
    std::map<int, unsigned> result;
    for (int i = 0; i != count; ++i) {
        result[events[static_cast<std::size_t>(i)].fd] |= events[static_cast<std::size_t>(i)].mask;
    }
    return result;
}

using Ready = std::map<int, unsigned>;

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
    EpollSet::Event event{};
    CHECK(set.collect(&event, 1) == 0);
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

TEST_CASE("EpollSet gives at most what fits, and in the end everything") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    std::vector<Pair> pairs;
    for (int i = 0; i != 10; ++i) {
        pairs.push_back(Pair::pipe());
        REQUIRE(pairs.back().write());
        REQUIRE(set.set(pairs.back()[0], kR) == 0);
    }
    std::vector<int> seen;
    EpollSet::Event events[3];
    for (int round = 0; round != 4; ++round) {
        const int count = set.collect(events, 3);
        CHECK(count == (round == 3 ? 1 : 3));
        for (int i = 0; i != count; ++i) {
            seen.push_back(events[i].fd);
            REQUIRE(set.set(events[i].fd, 0) == 0);
        }
    }
    std::sort(seen.begin(), seen.end());
    CHECK(std::unique(seen.begin(), seen.end()) == seen.end());
    CHECK(seen.size() == 10);
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

TEST_CASE("a child's libuv loop watches the child's set when that is renewed first") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    bucle::uv::Loop loop;
    REQUIRE(loop.open().ok());
    const Pair pair = Pair::pipe();
    REQUIRE(set.set(pair[0], kR) == 0);
    REQUIRE(loop.watch_backend(set.fd()).ok());
    loop.run_nowait();
    const int code = bucle::test::in_child([&] {
        if (set.reopen() != 0 || !loop.fork().ok()) {
            return 1;
        }
        loop.run_once(); // returns at once after a fork
        loop.run_nowait();
        if (loop.take_backend_ready() || !pair.write()) {
            return 2;
        }
        loop.run_once();
        if (!loop.take_backend_ready() || collected(set) != Ready{{pair[0], kR}}) {
            return 3;
        }
        return pair.read() ? 0 : 4;
    });
    CHECK(code == 0);
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    REQUIRE(pair.write());
    loop.run_once();
    CHECK(loop.take_backend_ready());
    CHECK(collected(set) == Ready{{pair[0], kR}});
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

TEST_CASE("a libuv loop that watches the set wakes for its descriptors") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    bucle::uv::Loop loop;
    REQUIRE(loop.open().ok());
    REQUIRE(loop.watch_backend(set.fd()).ok());
    Pair pair = Pair::pipe();
    REQUIRE(set.set(pair[0], kR) == 0);
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    REQUIRE(pair.write());
    loop.run_once();
    CHECK(loop.take_backend_ready());
    CHECK(collected(set) == Ready{{pair[0], kR}});
    // Closed behind the back of all: the loop neither wakes nor aborts.
    pair.close(0);
    loop.run_nowait();
    CHECK_FALSE(loop.take_backend_ready());
    CHECK(set.set(pair[0], kR) == EBADF);
    loop.unwatch_backend();
    set.close();
    loop.run_nowait();
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
