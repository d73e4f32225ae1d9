// Handle<T>: the block lives until its close callback, whichever of handle and loop goes first.
//
// What is freed too early or never is found by the address sanitizer's build of this program.
#include "uv/handle.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <utility>

#include "failing_allocations.hpp"
#include "uv/loop.hpp"

using bucle::uv::Handle;
using bucle::uv::Loop;
using bucle::uv::Status;

namespace {

using Timer = Handle<uv_timer_t>;

Status start(Timer& timer, Loop& loop, int* fired) {
    const Status status =
        timer.init(fired, [&](uv_timer_t* block) { return uv_timer_init(loop.raw(), block); });
    if (!status) {
        return status;
    }
    return Status(uv_timer_start(
        timer.get(), [](uv_timer_t* block) { ++*static_cast<int*>(block->data); }, 0, 0));
}

} // namespace

TEST_CASE("a Handle finds its owner, closes, and may be made again") {
    Loop loop;
    REQUIRE(loop.open().ok());
    int fired = 0;
    Timer timer;
    CHECK_FALSE(timer);
    CHECK(timer.get() == nullptr);
    for (int round = 1; round != 4; ++round) {
        REQUIRE(start(timer, loop, &fired).ok());
        CHECK(timer);
        CHECK(loop.handles() == 1);
        loop.run_nowait();
        CHECK(fired == round);
        timer.close();
        timer.close();
        CHECK_FALSE(timer);
        CHECK(loop.handles() == 0);
    }
}

TEST_CASE("init of an open Handle closes what it had") {
    Loop loop;
    REQUIRE(loop.open().ok());
    int first = 0;
    int second = 0;
    Timer timer;
    REQUIRE(start(timer, loop, &first).ok());
    REQUIRE(start(timer, loop, &second).ok());
    CHECK(loop.handles() == 1);
    loop.run_nowait();
    loop.run_nowait();
    CHECK(first == 0);
    CHECK(second == 1);
}

TEST_CASE("a Handle whose init fails stays empty") {
    Loop loop;
    REQUIRE(loop.open().ok());
    Timer timer;
    CHECK(timer.init(nullptr, [](uv_timer_t*) { return UV_EMFILE; }).code() == UV_EMFILE);
    CHECK_FALSE(timer);
    {
        const bucle::test::FailingAllocations none;
        CHECK(start(timer, loop, nullptr).code() == UV_ENOMEM);
    }
    CHECK_FALSE(timer);
    CHECK(loop.handles() == 0);
}

TEST_CASE("moving a Handle moves the block") {
    Loop loop;
    REQUIRE(loop.open().ok());
    int fired = 0;
    int other_fired = 0;
    Timer timer;
    REQUIRE(start(timer, loop, &fired).ok());
    uv_timer_t* const block = timer.get();
    Timer moved(std::move(timer));
    CHECK(moved.get() == block);
    Timer assigned;
    REQUIRE(start(assigned, loop, &other_fired).ok());
    assigned = std::move(moved);
    CHECK(assigned.get() == block);
    CHECK(loop.handles() == 1);
    loop.run_nowait();
    CHECK(fired == 1);
    CHECK(other_fired == 0);
}

TEST_CASE("an unreferenced Handle keeps no loop alive") {
    Loop loop;
    REQUIRE(loop.open().ok());
    Timer timer;
    int fired = 0;
    REQUIRE(start(timer, loop, &fired).ok());
    CHECK(uv_has_ref(reinterpret_cast<uv_handle_t*>(timer.get())) == 1);
    timer.unref();
    CHECK(uv_has_ref(reinterpret_cast<uv_handle_t*>(timer.get())) == 0);
    timer.ref();
    CHECK(uv_has_ref(reinterpret_cast<uv_handle_t*>(timer.get())) == 1);
}

TEST_CASE("a Handle may die right after being closed, or unclosed, before its loop") {
    Loop loop;
    REQUIRE(loop.open().ok());
    int fired = 0;
    auto timer = std::make_unique<Timer>();
    REQUIRE(start(*timer, loop, &fired).ok());
    timer->close();
    timer.reset();
    timer = std::make_unique<Timer>();
    REQUIRE(start(*timer, loop, &fired).ok());
    timer.reset();
    loop.close();
    CHECK(fired == 0);
}

TEST_CASE("a Handle left open when its loop closes can be closed afterwards") {
    int fired = 0;
    Timer survivor;
    Timer closed_later;
    {
        Loop loop;
        REQUIRE(loop.open().ok());
        REQUIRE(start(survivor, loop, &fired).ok());
        REQUIRE(start(closed_later, loop, &fired).ok());
    }
    CHECK(fired == 0);
    CHECK(survivor.get()->data != &fired);
    closed_later.close();
    CHECK_FALSE(closed_later);
}

TEST_CASE("a Handle may let go while its loop is closing it") {
    // Two handles whose close callbacks run in one batch; the first one's drops the second.
    struct Dropper {
        uv_timer_t block{};
        Timer victim;
    } dropper;
    Loop loop;
    REQUIRE(loop.open().ok());
    REQUIRE(uv_timer_init(loop.raw(), &dropper.block) == 0);
    REQUIRE(start(dropper.victim, loop, nullptr).ok());
    // Closing behind the owner's back, as the loop does it; callbacks run last in, first out.
    bucle::uv::detail::close_left_behind(reinterpret_cast<uv_handle_t*>(dropper.victim.get()));
    uv_close(reinterpret_cast<uv_handle_t*>(&dropper.block),
             [](uv_handle_t* handle) { reinterpret_cast<Dropper*>(handle)->victim.close(); });
    loop.close();
    CHECK_FALSE(dropper.victim);
}
