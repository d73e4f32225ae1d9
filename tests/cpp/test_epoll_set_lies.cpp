// EpollSet when descriptors are closed, reused or duplicated behind its back.
//
// These are the cases in which a libuv poll handle aborts the process.
#include <doctest/doctest.h>

#include "collected.hpp"
#include "descriptors.hpp"
#include "loop/epoll_set.hpp"
#include <cerrno>

using bucle::loop::EpollSet;
using bucle::test::collected;
using bucle::test::Pair;
using bucle::test::Ready;

namespace {

constexpr unsigned kR = EpollSet::kReadable;
constexpr unsigned kW = EpollSet::kWritable;

} // namespace

TEST_CASE("closed behind our back: no event, ending succeeds, watching again is EBADF") {
    for (const bool end_it : {true, false}) {
        CAPTURE(end_it);
        EpollSet set;
        REQUIRE(set.open() == 0);
        Pair pair = Pair::pipe();
        REQUIRE(pair.write());
        REQUIRE(set.set(pair[0], kR) == 0);
        const int fd = pair[0];
        pair.close(0);
        CHECK(collected(set).empty());
        CHECK(set.set(fd, end_it ? 0 : kR | kW) == (end_it ? 0 : EBADF));
        CHECK(set.size() == 0);
        CHECK(set.mask(fd) == 0);
        CHECK_FALSE(set.needs_reopen());
    }
}

TEST_CASE("closed and reused: watching, changing and ending mean the new file") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair old = Pair::pipe();
    const Pair fresh = Pair::pipe();
    const int fd = old[0];
    REQUIRE(set.set(fd, kR) == 0);
    // dup2 closes the old file's only descriptor and puts the new one in its place.
    REQUIRE(dup2(fresh[0], fd) == fd);
    REQUIRE(fresh.write());
    CHECK(collected(set).empty());
    // The same mask as before must reach the kernel all the same.
    REQUIRE(set.set(fd, kR) == 0);
    CHECK(set.size() == 1);
    CHECK(collected(set) == Ready{{fd, kR}});
    REQUIRE(set.set(fd, 0) == 0);
    CHECK(collected(set).empty());
    CHECK_FALSE(set.needs_reopen());
}

TEST_CASE("closed and reused: ending without watching anew") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair old = Pair::pipe();
    const Pair fresh = Pair::pipe();
    REQUIRE(set.set(old[0], kR) == 0);
    REQUIRE(dup2(fresh[0], old[0]) == old[0]);
    CHECK(set.set(old[0], 0) == 0);
    CHECK(set.size() == 0);
    REQUIRE(set.set(old[0], kR) == 0);
    REQUIRE(fresh.write());
    CHECK(collected(set) == Ready{{old[0], kR}});
}

TEST_CASE("closed and reused by what cannot be watched") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair old = Pair::pipe();
    REQUIRE(set.set(old[0], kR) == 0);
    const int regular = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(dup2(regular, old[0]) == old[0]);
    CHECK(set.set(old[0], kR) == EPERM);
    CHECK(set.size() == 0);
    ::close(regular);
}

TEST_CASE("closed and reused: reopen does not watch the new file in place of the old") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair old = Pair::pipe();
    const Pair fresh = Pair::pipe();
    REQUIRE(set.set(old[0], kR) == 0);
    REQUIRE(dup2(fresh[0], old[0]) == old[0]);
    REQUIRE(fresh.write());
    REQUIRE(set.reopen() == 0);
    CHECK(collected(set).empty());
    CHECK(set.size() == 0);
}

TEST_CASE("closed while a duplicate lives: its events are dropped and ask for a reopen") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair pair = Pair::pipe();
    const Pair other = Pair::pipe();
    REQUIRE(set.set(pair[0], kR) == 0);
    REQUIRE(set.set(other[0], kR) == 0);
    const int fd = pair[0];
    const int duplicate = dup(fd);
    pair.close(0);
    CHECK(set.set(fd, 0) == 0);
    CHECK_FALSE(set.needs_reopen());
    REQUIRE(pair.write());
    REQUIRE(other.write());
    CHECK(collected(set) == Ready{{other[0], kR}});
    CHECK(set.needs_reopen());
    REQUIRE(set.reopen() == 0);
    CHECK_FALSE(set.needs_reopen());
    CHECK(collected(set) == Ready{{other[0], kR}});
    CHECK_FALSE(set.needs_reopen());
    ::close(duplicate);
}

TEST_CASE(
    "closed while a duplicate lives and reused: the old file's events are not the new one's") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair old = Pair::pipe();
    const Pair fresh = Pair::pipe();
    const int fd = old[0];
    REQUIRE(set.set(fd, kR) == 0);
    const int duplicate = dup(fd);
    REQUIRE(dup2(fresh[0], fd) == fd);
    REQUIRE(set.set(fd, kR) == 0);
    REQUIRE(old.write());
    CHECK(collected(set).empty());
    CHECK(set.needs_reopen());
    REQUIRE(set.reopen() == 0);
    CHECK(collected(set).empty());
    CHECK_FALSE(set.needs_reopen());
    REQUIRE(fresh.write());
    CHECK(collected(set) == Ready{{fd, kR}});
    ::close(duplicate);
}

TEST_CASE("a registration that the kernel kept and we forgot is taken over") {
    EpollSet set;
    REQUIRE(set.open() == 0);
    Pair pair = Pair::pipe();
    const int fd = pair[0];
    REQUIRE(set.set(fd, kR) == 0);
    const int duplicate = dup(fd);
    pair.close(0);
    REQUIRE(set.set(fd, 0) == 0); // EBADF for the kernel, which so keeps it
    REQUIRE(dup2(duplicate, fd) == fd);
    REQUIRE(set.set(fd, kR) == 0); // EEXIST
    REQUIRE(pair.write());
    CHECK(collected(set) == Ready{{fd, kR}});
    CHECK_FALSE(set.needs_reopen());
    REQUIRE(set.set(fd, 0) == 0);
    CHECK(collected(set).empty());
    ::close(fd);
    ::close(duplicate);
}
