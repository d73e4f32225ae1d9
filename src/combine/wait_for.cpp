// wait_for. From 3.12 on it is `async with timeout(delay): await it`; before, it makes a task of
// what it is given and waits for a waiter that the end of either releases. Which of the two the
// installed asyncio has is asked at import; what both do with a delay of zero is the same.
#include "combine/child.hpp"
#include "combine/combine.hpp"
#include "combine/delay.hpp"
#include "combine/timeout.hpp"
#include "core/awaiting.hpp"
#include "core/coroutine.hpp"
#include "core/handle.hpp"
#include "core/observer.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

using core::Coroutine;
using core::Step;

enum Stage : std::uint8_t {
    kStart,
    kUntimed, // waits for `it`, without a deadline
    kTimed,   // waits for `it`; kept: the Timeout
    kEnding,  // waits for the end of `it`, which it cancelled
    // Up to 3.11:
    kWaiting,   // for the waiter
    kEndingOld, // as kEnding; kept: the CancelledError to raise then, if any
};

// The places of the arguments, reused.
PyObject* it(const Coroutine& co) noexcept {
    return co.arguments[0].get();
}
PyObject* delay(const Coroutine& co) noexcept {
    return co.arguments[1].get();
}
py::Ref& timer(Coroutine& co) noexcept {
    return co.arguments[1];
}
py::Ref& observer(Coroutine& co) noexcept {
    return co.arguments[2];
}

bool on_end(PyObject* waiter, PyObject*) noexcept {
    return release(waiter);
}

PyObject* release_waiter_function(py::Function& function, PyObject* const* args) noexcept {
    PyObject* const waiter = args[0];
    if (!core::is_exact_future(waiter)) {
        return PyObject_CallOneArg(function.twin, waiter);
    }
    return release(waiter) ? py::new_ref(Py_None) : nullptr;
}

// The end of `it` releases the waiter.
bool watch(Coroutine& co, PyObject* waiter) noexcept {
    observer(co) = core::make_observer(waiter, on_end, "_release_waiter");
    return observer(co) && core::observe(it(co), observer(co).get());
}

bool unwatch(Coroutine& co) noexcept {
    const py::Ref watching = std::move(observer(co));
    return core::stop_observing(it(co), watching.get());
}

bool cancel_it(const Coroutine& co) noexcept {
    if (core::is_exact_native(it(co))) {
        return core::cancel_any(it(co), Py_None) >= 0;
    }
    return static_cast<bool>(py::call_method(it(co), py::names().cancel));
}

bool end_cancelling(Coroutine& co) noexcept {
    return unwatch(co) &&
           (!py::state().timeout_rules.cancel_leaves_edge || drop_edge(it(co), co.kept.get()));
}

// Waits not for `it`, which would swallow a cancellation of ours, but for its callback.
Step cancel_and_wait(Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    if (co.stage != 0) {
        if (!end_cancelling(co)) {
            return core::fail_after(std::move(error));
        }
        return error ? core::fail_with(std::move(error)) : core::finish_with_none(result);
    }
    const py::Ref loop = py::abi::require_running_loop();
    py::Ref waiter = loop ? core::make_future(loop.get()) : py::Ref();
    if (!waiter || !watch(co, waiter.get())) {
        return Step::fail;
    }
    co.kept = py::abi::current_task(loop.get());
    if (!co.kept ||
        (py::state().timeout_rules.cancel_leaves_edge && !add_edge(it(co), co.kept.get()))) {
        return Step::fail;
    }
    if (cancel_it(co)) {
        return co.wait(std::move(waiter), 1);
    }
    const py::ErrorScope keep;
    if (!end_cancelling(co)) {
        PyErr_WriteUnraisable(it(co));
    }
    return Step::fail;
}

// A coroutine of its own, as in asyncio: call graphs show it.
Step end_it(Coroutine& co, PyObject* loop, Stage next) noexcept {
    PyObject* const function = py::state().cancel_and_wait;
    const py::Ref ending =
        loop == nullptr ? py::call(function, it(co)) : py::call(function, it(co), loop);
    return co.wait(ending ? core::awaitable_of(ending.get()) : py::Ref(), next);
}

// What `it` ended with after we cancelled it: a cancellation is the timeout.
Step outcome_after_cancel(Coroutine& co, py::Ref& result) noexcept {
    result = core::result_of(it(co));
    if (result) {
        return Step::finish;
    }
    if (PyErr_ExceptionMatches(py::state().cancelled_error)) {
        const py::Ref cause = py::compat::take_exception();
        raise_timeout(cause.get());
    }
    return Step::fail;
}

bool make_task_of_it(Coroutine& co, PyObject* loop) noexcept {
    co.arguments[0] = ensure_future(it(co), loop);
    return static_cast<bool>(co.arguments[0]);
}

Step without_delay(Coroutine& co, PyObject* loop, py::Ref& result) noexcept {
    const bool old = !py::state().timeout_rules.wait_for_uses_timeout;
    timer(co).reset(); // there is none
    if (!make_task_of_it(co, old ? loop : nullptr)) {
        return Step::fail;
    }
    const int done = core::is_done(it(co));
    if (done != 0) {
        return done > 0 ? core::finish_with(result, core::result_of(it(co))) : Step::fail;
    }
    return end_it(co, loop, old ? kEndingOld : kEnding);
}

Step end_timed(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    const py::Ref timeout = std::move(co.kept);
    PyObject* const type = error ? reinterpret_cast<PyObject*>(Py_TYPE(error.get())) : nullptr;
    if (!exit_timeout(timeout.get(), type, error.get())) {
        return Step::fail;
    }
    return error ? core::fail_with(std::move(error)) : core::finish_with(result, std::move(value));
}

Step with_timeout(Coroutine& co, py::Ref& result) noexcept {
    const py::Ref loop = py::abi::require_running_loop();
    if (!loop) {
        return Step::fail;
    }
    if (delay(co) == Py_None) { // a Timeout would be entered and left, and do nothing
        return require_task(loop.get()) ? co.wait(core::awaitable_of(it(co)), kUntimed)
                                        : Step::fail;
    }
    const py::Ref when = deadline_after(loop.get(), delay(co));
    co.kept = when ? make_timeout(when.get()) : py::Ref();
    if (!co.kept || !enter_timeout(co.kept.get())) {
        return Step::fail;
    }
    py::Ref awaitable = core::awaitable_of(it(co));
    return awaitable ? co.wait(std::move(awaitable), kTimed)
                     : end_timed(co, {}, py::compat::take_exception(), result);
}

Step with_waiter(Coroutine& co, PyObject* loop) noexcept {
    const py::Ref waiter = core::make_future(loop);
    const py::Ref wake = waiter ? py::Ref::borrow(py::state().release_waiter) : py::Ref();
    if (!wake) {
        return Step::fail;
    }
    const py::Ref delay_kept = std::move(timer(co));
    timer(co) =
        py::call_method(loop, py::names().call_later, delay_kept.get(), wake.get(), waiter.get());
    if (!timer(co) || !make_task_of_it(co, loop)) {
        return Step::fail;
    }
    return watch(co, waiter.get()) ? co.wait(waiter.clone(), kWaiting) : Step::fail;
}

// Up to 3.11, whatever the step: the timer is cancelled when wait_for ends.
Step end_old(Coroutine& co, Step step) noexcept {
    if (step == Step::wait) {
        return step;
    }
    const py::Ref handle = std::move(timer(co));
    if (step == Step::fail) {
        const py::ErrorScope keep;
        if (handle && !core::cancel_any_handle(handle.get())) {
            PyErr_WriteUnraisable(handle.get());
        }
        return step;
    }
    return !handle || core::cancel_any_handle(handle.get()) ? step : Step::fail;
}

Step end_waiting(Coroutine& co, py::Ref error, py::Ref& result) noexcept {
    if (error && PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) == 0) {
        return core::fail_with(std::move(error));
    }
    const int done = core::is_done(it(co));
    if (done != 0) {
        // A cancellation that came as `it` was done is swallowed.
        result = done > 0 ? core::result_of(it(co)) : py::Ref();
        if (result) {
            return Step::finish;
        }
        py::Ref raised = py::compat::take_exception();
        py::set_context(raised.get(), error.get());
        return core::fail_with(std::move(raised));
    }
    const py::Ref loop = unwatch(co) ? py::abi::require_running_loop() : py::Ref();
    co.kept = std::move(error);
    return loop ? end_it(co, loop.get(), kEndingOld) : Step::fail;
}

Step end_ending(Coroutine& co, py::Ref error, py::Ref& result) noexcept {
    const py::Ref first = co.stage == kEndingOld ? std::move(co.kept) : py::Ref();
    if (error) {
        py::raise_chained(std::move(error), first.clone());
        return Step::fail;
    }
    return first ? core::fail_with(first.clone()) : outcome_after_cancel(co, result);
}

Step start(Coroutine& co, py::Ref& result) noexcept {
    if (py::state().timeout_rules.wait_for_uses_timeout) {
        const int over = delay(co) == Py_None ? 0 : is_over(delay(co));
        if (over < 0) {
            return Step::fail;
        }
        return over == 0 ? with_timeout(co, result) : without_delay(co, nullptr, result);
    }
    const py::Ref loop = py::abi::require_running_loop();
    if (!loop) {
        return Step::fail;
    }
    if (delay(co) == Py_None) {
        return co.wait(core::awaitable_of(it(co)), kUntimed);
    }
    const int over = is_over(delay(co));
    if (over < 0) {
        return Step::fail;
    }
    return over == 0 ? with_waiter(co, loop.get()) : without_delay(co, loop.get(), result);
}

Step wait_for(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    switch (co.stage) {
    case kStart:
        return start(co, result);
    case kTimed:
        return end_timed(co, std::move(value), std::move(error), result);
    case kEnding:
        return end_ending(co, std::move(error), result);
    case kWaiting:
        return end_old(co, end_waiting(co, std::move(error), result));
    case kEndingOld:
        return end_old(co, end_ending(co, std::move(error), result));
    default:
        return error ? core::fail_with(std::move(error))
                     : core::finish_with(result, std::move(value));
    }
}

} // namespace

bool add_wait_for(PyObject* module) noexcept {
    static const py::FunctionRow kRows[] = {core::async_row("wait_for", wait_for),
                                            core::async_row("_cancel_and_wait", cancel_and_wait),
                                            {"_release_waiter", release_waiter_function},
                                            {nullptr, nullptr}};
    py::State& state = py::state();
    const char* const stock = "asyncio.tasks";
    state.timeout_rules.wait_for_uses_timeout = py::twin_mentions(stock, "wait_for", "timeouts");
    state.timeout_rules.cancel_leaves_edge =
        py::twin_mentions(stock, "_cancel_and_wait", "future_add_to_awaited_by");
    if (!py::add_module_functions(module, stock, kRows)) {
        return false;
    }
    state.release_waiter = PyObject_GetAttrString(module, "_release_waiter");
    state.cancel_and_wait = PyObject_GetAttrString(module, "_cancel_and_wait");
    return state.release_waiter != nullptr && state.cancel_and_wait != nullptr;
}

} // namespace bucle::combine
