// One turn: poll if that is due, queue the due timers, run what was queued when the batch began.
//
// Polling is adaptive. While work is ready, a poll comes after kTurnsWatched turns or kWatchedNs
// when a descriptor is watched, after kTurnsAlone turns when none is (a poll costs 0.2 us, a turn
// of sleep(0) may cost 0.1), and in both cases after kCallbacks callbacks, so that big batches do
// not stretch the bound. Timers are looked at then, too. The first turn of a run polls, and so does
// the last one: stop() ends a run only after what became ready has been queued and run, as in
// asyncio.
#include "core/context.hpp"
#include "core/handle.hpp"
#include "core/handover.hpp"
#include "core/lingering.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "loop/loop.hpp"
#include "loop/readiness.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <algorithm>

namespace bucle::loop {
namespace {

using core::Ready;
using core::ReadyKind;

constexpr unsigned kTurnsAlone = 64;
constexpr unsigned kTurnsWatched = 16;
constexpr std::int64_t kWatchedNs = 50'000;
constexpr unsigned kTurnsBetweenClocks = 8;
constexpr std::size_t kCallbacks = 256;

bool poll_is_due(const LoopCore& core) noexcept {
    if (core.ready.empty() || core.callbacks_since_poll >= kCallbacks || !core.flushes.empty()) {
        return true;
    }
    if (core.watched != 0) {
        return core.turns_since_poll >= kTurnsWatched ||
               (!clock_is_slow() && monotonic_ns() - core.last_poll_ns >= kWatchedNs);
    }
    if (core.turns_since_poll >= kTurnsAlone) {
        return true;
    }
    return !core.timers.empty() && core.turns_since_poll % kTurnsBetweenClocks == 0 &&
           (core.time_overridden ||
            core.timers.top().when <= timer_key(seconds_of(monotonic_ns())));
}

bool poll_and_fire(LoopCore& core) noexcept {
    core::leave_step(core);
    if (!core.flushes.empty() && !flush_all(core, Occasion::turn_ends)) {
        return false;
    }
    const bool block = core.ready.empty() && !core.stopping && core.flushes.empty();
    core.turns_since_poll = 0;
    core.callbacks_since_poll = 0;
    if (!poll(core, block)) {
        return false;
    }
    if (core.timers.empty()) {
        core.last_poll_ns = core.watched != 0 ? monotonic_ns() : 0;
        return true;
    }
    double now = 0;
    if (!now_seconds(core, now)) {
        return false;
    }
    core.last_poll_ns = core.watched != 0 ? monotonic_ns() : 0;
    return fire_due_timers(core, now);
}

bool run_handle_entry(LoopCore& core, PyObject* handle) noexcept {
    core::HandleCore& fields = *core::handle_core(handle);
    if (fields.cancelled) {
        return true;
    }
    core::leave_step(core);
    if (Py_TYPE(handle) == py::state().handle_type ||
        Py_TYPE(handle) == py::state().timer_handle_type) [[likely]] {
        return core::run_handle(handle, fields, core.spare_context);
    }
    if (Py_TYPE(handle) == py::state().threadsafe_handle_type) {
        return core::run_threadsafe_handle(handle, core.spare_context);
    }
    // A user's subclass.
    return static_cast<bool>(py::Ref::steal(PyObject_CallMethod(handle, "_run", nullptr)));
}

bool run_entry(LoopCore& core, Ready entry) noexcept {
    switch (entry.kind()) {
    case ReadyKind::handle:
        return run_handle_entry(core, entry.object());
    case ReadyKind::notice:
        core::leave_step(core);
        return core::run_notice(core, entry.object());
    case ReadyKind::readiness:
        core::leave_step(core);
        return run_readiness(core, entry.object());
    case ReadyKind::handover:
        core::leave_step(core);
        return core::run_handover(core, entry.object());
    default:
        return core::run_task_entry(entry.object(), entry.kind(), core);
    }
}

// The Handle that debug mode shows for an entry; a step is shown as a handle of its step function.
py::Ref shown_handle(LoopCore& core, Ready entry) noexcept {
    if (entry.kind() == ReadyKind::handle) {
        return py::Ref::borrow(entry.object());
    }
    const bool is_io = entry.kind() == ReadyKind::readiness;
    py::Ref step = is_io ? py::Ref::borrow(entry.object()) : core::make_step(entry.object());
    PyObject* context = is_io ? nullptr : core::task_core(entry.object())->context.get();
    py::Ref handle = step ? core::make_handle(core, step.get(), nullptr, 0, context) : py::Ref();
    if (handle) {
        core::handle_core(handle.get())->source_traceback.reset();
    }
    return handle;
}

bool run_entry_in_debug(LoopCore& core, Ready entry) noexcept {
    if (entry.kind() == ReadyKind::handle && core::handle_core(entry.object())->cancelled) {
        return true;
    }
    if (entry.kind() == ReadyKind::notice || entry.kind() == ReadyKind::handover) {
        // Queued before debug mode began.
        return run_entry(core, entry);
    }
    core::leave_step(core);
    core.current_handle = shown_handle(core, entry);
    if (!core.current_handle) {
        return false;
    }
    const std::int64_t begun = monotonic_ns();
    const bool ok = run_entry(core, entry);
    const double took = seconds_of(monotonic_ns() - begun);
    const py::Ref handle = std::move(core.current_handle);
    if (!ok || took < core.slow_callback_duration) {
        return ok;
    }
    py::Ref text = py::call(py::state().format_handle, handle.get());
    py::Ref duration = py::Ref::steal(PyFloat_FromDouble(took));
    py::Ref logger = py::Ref::steal(PyObject_GetAttrString(py::state().base_events, "logger"));
    return text && duration && logger &&
           py::Ref::steal(PyObject_CallMethod(logger.get(), "warning", "sOO",
                                              "Executing %s took %.3f seconds", text.get(),
                                              duration.get()));
}

// Runs the first `count` entries.
bool run_batch(LoopCore& core, std::size_t count) noexcept {
    core.metrics.callbacks += count;
    core.callbacks_since_poll += count;
    while (count-- != 0 && !core.ready.empty()) {
        const Ready entry = core.ready.pop_front();
        const py::Ref hold = py::Ref::steal(entry.object());
        const bool ok = core.debug() ? run_entry_in_debug(core, entry) : run_entry(core, entry);
        if (entry.kind() == ReadyKind::handle && Py_REFCNT(entry.object()) > 1) [[unlikely]] {
            core::track_handle(entry.object()); // somebody keeps it
        }
        if (!ok) [[unlikely]] {
            const py::ErrorScope keep;
            core::leave_step(core);
            return false;
        }
        if (Py_REFCNT(entry.object()) <= 1 + core.lingering_task) { // it dies here
            core::leave_step(core);
        }
    }
    return true;
}

// stop() ended a batch that no poll preceded: poll once, and run what that made ready, but not what
// the batch itself queued, which waits for the next run as in asyncio.
bool finish_stopped_run(LoopCore& core) noexcept {
    core.held.swap(core.ready);
    const bool ok = poll_and_fire(core) && run_batch(core, core.ready.size());
    return release_held(core) && ok;
}

} // namespace

// It goes in front of what has come meanwhile.
bool release_held(LoopCore& core) noexcept {
    bool ok = true;
    while (!core.held.empty() && !core.ready.empty()) {
        const Ready entry = core.ready.pop_front();
        if (!core.held.push_back(entry)) {
            py::drop(entry.object());
            PyErr_NoMemory();
            ok = false;
        }
    }
    if (!core.held.empty()) {
        core.held.swap(core.ready);
    }
    return ok;
}

bool flush_all(LoopCore& core, Occasion occasion) noexcept {
    // What a flush lets others write goes out with the next one: it may be their end, too.
    base::IntrusiveList<Flush, &Flush::node> now;
    now.take_all(core.flushes);
    bool ok = true;
    while (ok && !now.empty()) {
        Flush& flush = *now.pop_front();
        ok = flush.flush(flush, occasion);
    }
    core.flushes.take_all(now);
    return ok;
}

bool flush_running() noexcept {
    const py::Ref loop = py::abi::running_loop();
    return loop ? core::scheduler_of(loop.get()) == nullptr ||
                      flush_all(*loop_core(loop.get()), Occasion::callback)
                : PyErr_Occurred() == nullptr;
}

void track_queued_handles(LoopCore& core) noexcept {
    for (std::size_t i = 0; i < core.ready.size(); ++i) {
        if (core.ready[i].kind() == ReadyKind::handle) {
            core::track_handle(core.ready[i].object());
        }
    }
}

bool run_turns(LoopCore& core) noexcept {
    core.turns_since_poll = kTurnsAlone; // the first turn polls
    for (;;) {
        ++core.metrics.turns;
        const bool polled = poll_is_due(core);
        if (polled && !poll_and_fire(core)) {
            return false;
        }
        ++core.turns_since_poll;
        if (!run_batch(core, core.ready.size())) {
            return false;
        }
        if (core.stopping) [[unlikely]] {
            return polled || finish_stopped_run(core);
        }
    }
}

} // namespace bucle::loop
