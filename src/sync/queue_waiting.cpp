// put, get and join of a queue: the coroutines. Invariant: a task that was woken and cannot use it
// (it was cancelled meanwhile) wakes the next in line, so no wake-up is lost.
#include "sync/queue.hpp"

#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::sync {
namespace {

struct Putting {
    static constexpr bool kLooksAgain = false;
    static Deque& line(PyObject* self) noexcept { return queue_of(self).putters; }
    static int blocked(PyObject* self) noexcept { return is_full(self); }
    static py::Ref proceed(PyObject* self, PyObject* item) noexcept {
        return is_native(self, Hook::put_nowait)
                   ? put_now(self, item)
                   : py::call_method(self, py::names().put_nowait, item);
    }
};

struct Getting {
    static constexpr bool kLooksAgain = true; // before it says that the queue is shut down
    static Deque& line(PyObject* self) noexcept { return queue_of(self).getters; }
    static int blocked(PyObject* self) noexcept { return is_empty(self); }
    static py::Ref proceed(PyObject* self, PyObject*) noexcept {
        return is_native(self, Hook::get_nowait) ? get_now(self)
                                                 : py::call_method(self, py::names().get_nowait);
    }
};

// A future of the loop that self._get_loop() gives.
py::Ref make_queue_waiter(PyObject* self) noexcept {
    if (is_native(self, Hook::get_loop)) {
        return make_waiter(self, queue_of(self).loop);
    }
    const py::Ref loop = py::call_method(self, py::names()._get_loop);
    return loop ? core::make_future(loop.get()) : py::Ref();
}

core::Step stand_in_line(core::Coroutine& co, Deque& line) noexcept {
    py::Ref waiter = make_queue_waiter(co.arguments[0].get());
    if (!waiter || !line.push_back(waiter.get())) {
        return core::Step::fail;
    }
    co.kept = waiter.clone();
    return co.wait(std::move(waiter), 1);
}

// The waiter was woken or not; false with an error set.
template <class Side>
bool leave_line(PyObject* self, PyObject* waiter) noexcept {
    (void)core::future_cancel(waiter, *core::future_core(waiter), nullptr);
    if (PyErr_Occurred() != nullptr) {
        return false;
    }
    if (!Side::line(self).remove(waiter)) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return false;
        }
        PyErr_Clear(); // whoever woke it took it out
    }
    const int blocked = Side::blocked(self);
    if (blocked != 0) {
        return blocked > 0;
    }
    return core::is_cancelled(waiter) == 1 || wake_next_of(self, Side::line(self));
}

template <class Side>
core::Step run(core::Coroutine& co, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    const py::Ref waiter = std::move(co.kept);
    if (error) {
        if (leave_line<Side>(self, waiter.get())) {
            return core::fail_with(std::move(error));
        }
        py::raise_chained(py::compat::take_exception(), std::move(error));
        return core::Step::fail;
    }
    const int blocked = Side::blocked(self);
    if (blocked == 0) {
        return core::finish_with(result, Side::proceed(self, co.arguments[1].get()));
    }
    if (blocked > 0 && queue_of(self).is_shutdown) [[unlikely]] {
        const int still = Side::kLooksAgain ? Side::blocked(self) : 1;
        if (still > 0) {
            PyErr_SetNone(py::state().queue_shut_down);
        }
        if (still != 0) {
            return core::Step::fail;
        }
    }
    return blocked < 0 ? core::Step::fail : stand_in_line(co, Side::line(self));
}

} // namespace

core::Step put(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    return run<Putting>(co, std::move(error), result);
}

core::Step get(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    return run<Getting>(co, std::move(error), result);
}

core::Step join(core::Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    enum Stage : std::uint8_t { kNativeWaiter = kStart + 1, kEvent };
    Queue& queue = queue_of(co.arguments[0].get());
    if (co.stage == kStart) {
        if (queue.unfinished <= 0 && !queue.maxsize) { // __init__ never ran
            py::raise_no_attribute(co.arguments[0].get(), "_unfinished_tasks");
            return core::Step::fail;
        }
        return queue.unfinished > 0 ? queue.finished.wait(co, kNativeWaiter, kEvent, result)
                                    : core::finish_with_none(result);
    }
    if (co.stage == kNativeWaiter) {
        queue.finished.leave(co.kept.get());
    }
    return error ? core::fail_with(std::move(error)) : core::finish_with_none(result);
}

} // namespace bucle::sync
