// call_later, call_at, and the heap of timers behind them: ordered by deadline and, for equal ones,
// by when they were made. The heap owns its handles. Cancelling is a mark; the heap is compacted
// when most of it is marked.
#include "loop/loop.hpp"

#include "core/context.hpp"
#include "core/handle.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

#include <limits>

namespace bucle::loop {
namespace {

bool is_cancelled(PyObject* handle) noexcept {
    return core::timer_core(handle)->cancelled;
}

void drop_timer(PyObject* handle) noexcept {
    core::timer_core(handle)->scheduled = false;
    py::drop(handle);
}

// An int too large for a float is as far away as time goes.
bool as_seconds(PyObject* number, double& out) noexcept {
    out = PyFloat_AsDouble(number);
    if (out != -1 || PyErr_Occurred() == nullptr) {
        return true;
    }
    if (!PyLong_Check(number) || !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return false;
    }
    PyErr_Clear();
    py::Ref zero = py::Ref::steal(PyLong_FromLong(0));
    const int negative = zero ? PyObject_RichCompareBool(number, zero.get(), Py_LT) : -1;
    out = negative > 0 ? -std::numeric_limits<double>::infinity()
                       : std::numeric_limits<double>::infinity();
    return negative >= 0;
}

// `given`: the time (looked at already), the callback and its arguments.
PyObject* schedule(LoopCore& core, double when, const py::CallbackArgs& given) noexcept {
    PyObject* callback = given.args[1];
    if (core.gate != 0 && (!core::check_closed(core) ||
                           (core.debug() && (!core::check_thread(core) ||
                                             !core::check_callback(callback, "call_at")))))
        [[unlikely]] {
        return nullptr;
    }
    bool failed = false;
    py::Ref context = given.context == nullptr || given.context == Py_None
                          ? core::copy_current_context(failed)
                          : py::Ref::borrow(given.context);
    if (failed) {
        return nullptr;
    }
    py::Ref handle = core::make_timer_handle(core, when, callback, given.args + 2, given.nargs - 2,
                                             context.get());
    if (!handle) {
        return nullptr;
    }
    if (!core.timers.push(timer_key(when), handle.get())) {
        return PyErr_NoMemory();
    }
    core::timer_core(handle.get())->scheduled = true;
    py::Ref kept = handle.clone();
    (void)kept.release(); // the heap's
    if (core.polling) {
        // From another thread, outside the contract; asyncio would not notice before its next
        // event either, but we do not let the timer be late without end.
        wake_from_thread(core);
    }
    return handle.release();
}

} // namespace

bool fire_due_timers(LoopCore& core, double now) noexcept {
    const std::int64_t key = timer_key(now);
    while (!core.timers.empty() && core.timers.top().when <= key) {
        py::Ref handle = py::Ref::steal(core.timers.pop().item);
        core::TimerCore& timer = *core::timer_core(handle.get());
        timer.scheduled = false;
        if (timer.cancelled) {
            core.timers.note_cancelled_popped();
            continue;
        }
        ++core.metrics.timers_fired;
        if (!core::push_ready(core, core::ReadyKind::handle, std::move(handle))) {
            return false;
        }
    }
    return true;
}

void drop_timers(LoopCore& core) noexcept {
    core.timers.clear(drop_timer);
}

void count_cancelled_timer(core::Scheduler& scheduler) noexcept {
    auto& core = static_cast<LoopCore&>(scheduler);
    core.timers.note_cancelled();
    if (core.timers.wants_compaction()) {
        core.timers.compact(is_cancelled, drop_timer);
    }
}

PyObject* timer_handle_cancelled(PyObject* self, PyObject* handle) noexcept {
    if (core::handle_core(handle) != nullptr &&
        PyType_IsSubtype(Py_TYPE(handle), py::state().timer_handle_type) &&
        core::timer_core(handle)->scheduled) {
        count_cancelled_timer(*loop_core(self));
    }
    Py_RETURN_NONE;
}

PyObject* call_at(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                  PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"when", "callback", nullptr};
    py::CallbackArgs given;
    if (!py::sort_callback_args("call_at", kNames, args, nargs, kwnames, given)) {
        return nullptr;
    }
    if (given.args[0] == Py_None) {
        return py::raise_type_error("when cannot be None");
    }
    double when = 0;
    if (!as_seconds(given.args[0], when)) {
        return nullptr;
    }
    py::Ref handle = py::Ref::steal(schedule(*loop_core(self), when, given));
    if (handle && !PyFloat_CheckExact(given.args[0])) {
        core::timer_core(handle.get())->given_when = py::Ref::borrow(given.args[0]);
    }
    return handle.release();
}

PyObject* call_at_directly(core::Scheduler& scheduler, PyObject* when, PyObject* callback,
                           PyObject* argument) noexcept {
    if (static_cast<LoopCore&>(scheduler).call_at_overridden) {
        return py::call_method(scheduler.loop, py::names().call_at, when, callback, argument)
            .release();
    }
    PyObject* const args[] = {when, callback, argument};
    return call_at(scheduler.loop, args, 3, nullptr);
}

PyObject* call_later(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                     PyObject* kwnames) noexcept {
    static constexpr const char* kNames[] = {"delay", "callback", nullptr};
    py::CallbackArgs given;
    if (!py::sort_callback_args("call_later", kNames, args, nargs, kwnames, given)) {
        return nullptr;
    }
    if (given.args[0] == Py_None) {
        return py::raise_type_error("delay must not be None");
    }
    LoopCore& core = *loop_core(self);
    double now = 0;
    double delay = 0;
    if (!now_seconds(core, now)) {
        return nullptr;
    }
    if (!PyFloat_Check(given.args[0]) && !PyLong_Check(given.args[0])) [[unlikely]] {
        // Whatever adds up with a float, and asyncio's complaint about what does not.
        py::Ref base = py::Ref::steal(PyFloat_FromDouble(now));
        py::Ref sum = base ? py::Ref::steal(PyNumber_Add(base.get(), given.args[0])) : py::Ref();
        if (!sum || !as_seconds(sum.get(), delay)) {
            return nullptr;
        }
        delay -= now;
    } else {
        delay = PyFloat_AsDouble(given.args[0]);
        if (delay == -1 && PyErr_Occurred() != nullptr) {
            return nullptr;
        }
    }
    if (!core.call_at_overridden) [[likely]] {
        return schedule(core, now + delay, given);
    }
    py::Ref when = py::Ref::steal(PyFloat_FromDouble(now + delay));
    py::ArgStack stack;
    if (!when || !stack.add(self) || !stack.add(when.get()) ||
        !stack.add(given.args + 1, given.nargs - 1) ||
        (given.context != nullptr && !stack.add(given.context))) {
        return nullptr;
    }
    return PyObject_VectorcallMethod(py::names().call_at, stack.data(),
                                     static_cast<std::size_t>(given.nargs) + 1,
                                     given.context == nullptr ? nullptr : py::names().kw_context);
}

} // namespace bucle::loop
