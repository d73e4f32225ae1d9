// One step of a task: mark it current, send or throw, read what came out. The order of the
// questions and every text is that of _asyncio's task_step.
#include "core/awaiting.hpp"
#include "core/context.hpp"
#include "core/handle.hpp"
#include "core/task.hpp"
#include "py/asyncio_abi.hpp"
#include "py/call.hpp"
#include "py/error.hpp"
#include "py/lent_stop.hpp"

namespace bucle::core {
namespace {

PyObject* cancel_message(const TaskCore& core) noexcept {
    return core.extras != nullptr && core.extras->cancel_message ? core.extras->cancel_message.get()
                                                                 : Py_None;
}

// The error is thrown in at the next turn, not raised here.
bool fail_soon(PyObject* task, TaskCore& core, PyObject* type, const char* format, PyObject* first,
               PyObject* second = nullptr) noexcept {
    py::Ref text = py::Ref::steal(PyUnicode_FromFormat(format, first, second));
    core.step_error = text ? py::call(type, text.get()) : py::Ref();
    return core.step_error && schedule_task_step(task, core);
}

bool complete_with_result(PyObject* task, TaskCore& core, PyObject* result) noexcept {
    if (core.must_cancel) {
        // Cancelled after its last await: it counts as cancelled although it returned.
        core.must_cancel = false;
        const py::Ref message = py::Ref::borrow(cancel_message(core));
        return unregister_task(task, core) && future_cancel(task, core, message.get()) >= 0;
    }
    return unregister_task(task, core) && future_set_result(task, core, result);
}

// Null when there is none, or more than one.
py::Ref only_argument(PyObject* exception) noexcept {
    PyObject* args = reinterpret_cast<PyBaseExceptionObject*>(exception)->args;
    return args != nullptr && PyTuple_GET_SIZE(args) == 1
               ? py::Ref::borrow(PyTuple_GET_ITEM(args, 0))
               : py::Ref();
}

bool complete_with_error(PyObject* task, TaskCore& core) noexcept {
    py::Ref error = py::compat::take_exception();
    if (PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) != 0) {
        FutureExtras* extras = core.need_extras();
        if (extras == nullptr) {
            return false;
        }
        extras->thrown_message = only_argument(error.get());
        extras->cancelled_error = std::move(error);
        return unregister_task(task, core) && future_cancel(task, core, nullptr) >= 0;
    }
    if (!unregister_task(task, core) || !future_set_exception(task, core, error.get())) {
        return false;
    }
    if (py::is_exit_exception(error.get())) {
        py::compat::put_exception(std::move(error));
        return false;
    }
    return true;
}

// Up to 3.12 a must_cancel survives an uncancel() to zero; later it does not. The count can have
// been changed by an unbound stock call, so it is looked at here as well.
bool cancel_is_due(PyObject* task, TaskCore& core) noexcept {
    if (core.must_cancel && py::compat::kUncancelClearsMustCancel &&
        cancel_count(task, core) <= 0) {
        core.must_cancel = false;
    }
    return core.must_cancel;
}

bool forward_cancel(PyObject* task, TaskCore& core, PyObject* future) noexcept {
    if (!cancel_is_due(task, core)) {
        return true;
    }
    const py::Ref message = py::Ref::borrow(cancel_message(core));
    const int accepted = cancel_any(future, message.get());
    if (accepted > 0) {
        core.must_cancel = false;
    }
    return accepted >= 0;
}

bool complain_of_yield(PyObject* task, TaskCore& core, PyObject* future) noexcept {
    return fail_soon(task, core, PyExc_RuntimeError,
                     "yield was used instead of yield from in task %R with %R", task, future);
}

bool complain_of_loop(PyObject* task, TaskCore& core, PyObject* future) noexcept {
    return fail_soon(task, core, PyExc_RuntimeError,
                     "Task %R got Future %R attached to a different loop", task, future);
}

bool wait_for_native(PyObject* task, TaskCore& core, py::Ref future, FutureCore& awaited) noexcept {
    if (!awaited.blocking) {
        return complain_of_yield(task, core, future.get());
    }
    if (awaited.loop.get() != core.loop.get()) [[unlikely]] {
        return complain_of_loop(task, core, future.get());
    }
    awaited.blocking = false;
    if (!py::abi::add_awaited_by(future.get(), task)) {
        return false;
    }
    PyObject* const raw = future.get();
    core.waits_for = std::move(future);
    if (awaited.pending() ? !add_waiter(awaited, task) : !schedule_task_wakeup(task, raw)) {
        return false;
    }
    return !core.must_cancel || forward_cancel(task, core, raw);
}

bool wait_for_foreign(PyObject* task, TaskCore& core, py::Ref future) noexcept {
    const py::Names& names = py::names();
    py::Ref loop = loop_of(future.get());
    if (!loop) {
        return false;
    }
    if (loop.get() != core.loop.get()) {
        return complain_of_loop(task, core, future.get());
    }
    py::Ref wakeup = make_wakeup(task);
    PyObject* const context = task_context(task, core);
    if (!wakeup || context == nullptr ||
        PyObject_SetAttr(future.get(), names._asyncio_future_blocking, Py_False) < 0 ||
        !py::call_method_kw(future.get(), names.add_done_callback, names.kw_context, wakeup.get(),
                            context) ||
        !py::abi::add_awaited_by_any(future.get(), task)) {
        return false;
    }
    PyObject* const raw = future.get();
    core.waits_for = std::move(future);
    return !core.must_cancel || forward_cancel(task, core, raw);
}

// What the coroutine yielded decides when it is stepped again.
bool read_yield(PyObject* task, TaskCore& core, py::Ref yielded) noexcept {
    if (yielded.get() == task) [[unlikely]] {
        return fail_soon(task, core, PyExc_RuntimeError, "Task cannot await on itself: %R", task);
    }
    if (waits_natively(yielded.get())) {
        FutureCore& awaited = *future_core(yielded.get());
        return wait_for_native(task, core, std::move(yielded), awaited);
    }
    if (yielded == Py_None) {
        return schedule_task_step(task, core);
    }
    py::Ref blocking = py::get_optional_attr(yielded.get(), py::names()._asyncio_future_blocking);
    if (!blocking && PyErr_Occurred() != nullptr) {
        return false;
    }
    if (blocking && blocking.get() != Py_None) {
        const int truth = PyObject_IsTrue(blocking.get());
        if (truth < 0) {
            return false;
        }
        return truth != 0 ? wait_for_foreign(task, core, std::move(yielded))
                          : complain_of_yield(task, core, yielded.get());
    }
    if (PyGen_CheckExact(yielded.get())) {
        return fail_soon(task, core, PyExc_RuntimeError,
                         "yield was used instead of yield from for generator in task %R with %R",
                         task, yielded.get());
    }
    return fail_soon(task, core, PyExc_RuntimeError, "Task got bad yield: %R", yielded.get());
}

// The step itself, between entering and leaving.
bool step_inner(PyObject* task, TaskCore& core, py::Ref error) noexcept {
    if (!core.pending()) {
        PyErr_Format(py::state().invalid_state_error, "__step(): already done: %R %R", task,
                     error ? error.get() : Py_None);
        return false;
    }
    if (cancel_is_due(task, core)) {
        if (!error || PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) == 0) {
            error = make_cancelled_error(core);
            if (!error) {
                return false;
            }
        }
        core.must_cancel = false;
    }
    core.waits_for.reset();
    if (!core.coro) {
        py::raise_runtime_error("uninitialized Task object");
        return false;
    }
    const py::Ref coro = core.coro.clone();
    PyObject* out = nullptr;
    switch (error ? throw_into(coro.get(), error.get(), &out)
                  : PyIter_Send(coro.get(), Py_None, &out)) {
    case PYGEN_NEXT: {
        if (!read_yield(task, core, py::Ref::steal(out))) {
            return false;
        }
        return true;
    }
    case PYGEN_RETURN: {
        const py::Ref result = py::Ref::steal(out);
        return complete_with_result(task, core, result.get());
    }
    case PYGEN_ERROR:
        break;
    }
    return complete_with_error(task, core);
}

} // namespace

bool task_step(PyObject* task, TaskCore& core, py::Ref error) noexcept {
    const py::Ref loop = core.loop.clone();
    if (!py::abi::enter_task(loop.get(), task)) {
        return false;
    }
    const bool ok = step_inner(task, core, std::move(error));
    py::Ref raised = py::compat::take_exception();
    py::take_back_stop_iteration();
    if (!py::abi::leave_task(loop.get(), task)) {
        py::raise_chained(py::compat::take_exception(), std::move(raised));
        return false;
    }
    py::compat::put_exception(std::move(raised));
    return ok;
}

bool task_step_in_turn(PyObject* task, TaskCore& core, py::Ref error,
                       Scheduler& scheduler) noexcept {
    if (!py::abi::set_current(scheduler.thread, scheduler.loop, task, scheduler.lingering_task)) {
        return false;
    }
    if (step_inner(task, core, std::move(error))) [[likely]] {
        return py::abi::unset_current(scheduler.thread, scheduler.loop, task,
                                      scheduler.lingering_task);
    }
    py::Ref raised = py::compat::take_exception();
    if (!py::abi::unset_current(scheduler.thread, scheduler.loop, task, scheduler.lingering_task)) {
        py::raise_chained(py::compat::take_exception(), std::move(raised));
        return false;
    }
    py::compat::put_exception(std::move(raised));
    return false;
}

bool take_outcome(PyObject* task, PyObject* future, py::Ref& error) noexcept {
    bool ok = false;
    if (waits_natively(future)) {
        if (!py::abi::discard_awaited_by(future, task)) {
            return false;
        }
        FutureCore& awaited = *future_core(future);
        ok = awaited.state == FutureState::finished && !awaited.exception;
        if (ok) [[likely]] {
            awaited.log_traceback = false;
        } else {
            ok = static_cast<bool>(future_result(future, awaited));
        }
    } else {
        if (!py::abi::discard_awaited_by_any(future, task)) {
            return false;
        }
        ok = static_cast<bool>(py::call_method(future, py::names().result));
    }
    if (!ok) {
        error = py::compat::take_exception();
    }
    return true;
}

bool schedule_task_step(PyObject* task, TaskCore& core) noexcept {
    Scheduler* scheduler = scheduler_of(core.loop.get());
    if (scheduler == nullptr || scheduler->foreign()) {
        py::Ref step = make_step(task);
        return step && call_soon(core.loop.get(), step.get(), nullptr, task_context(task, core));
    }
    return (scheduler->gate == 0 || check_gate(*scheduler)) &&
           push_ready(*scheduler, ReadyKind::task_step, py::Ref::borrow(task));
}

bool schedule_task_wakeup(PyObject* task, PyObject* future) noexcept {
    TaskCore& core = *task_core(task);
    Scheduler* scheduler = scheduler_of(core.loop.get());
    if (scheduler == nullptr || scheduler->foreign()) {
        py::Ref wakeup = make_wakeup(task);
        return wakeup && call_soon(core.loop.get(), wakeup.get(), future, task_context(task, core));
    }
    return (scheduler->gate == 0 || check_gate(*scheduler)) &&
           push_ready(*scheduler, ReadyKind::task_wakeup, py::Ref::borrow(task));
}

bool task_eager_start(PyObject* task, TaskCore& core) noexcept {
    // The context first: entering it can fail, and then the current task must be untouched.
    const py::Ref context = py::Ref::borrow(task_context(task, core));
    if (!context || PyContext_Enter(context.get()) < 0) {
        return false;
    }
    const py::Ref loop = core.loop.clone();
    py::Ref previous = py::abi::swap_current_task(loop.get(), task);
    bool ok = static_cast<bool>(previous) && register_task(task, core);
    if (ok) {
        ok = step_inner(task, core, {});
    }
    py::Ref raised = py::compat::take_exception();
    if (previous && !py::abi::swap_current_task(
                        loop.get(), previous.get() == Py_None ? nullptr : previous.get())) {
        PyErr_WriteUnraisable(task);
    }
    if (PyContext_Exit(context.get()) < 0) {
        PyErr_WriteUnraisable(task);
    }
    py::compat::put_exception(std::move(raised));
    if (!core.pending()) {
        drop_coro(task, core);
    }
    return ok;
}

} // namespace bucle::core
