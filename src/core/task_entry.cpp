// A task's entry of the ready ring: its step in its context, and what becomes of the context after.
//
// Most tasks set no variable. Those have no context of their own: the loop's spare is lent to them
// for each step.
#include "core/context.hpp"
#include "core/handle.hpp"
#include "core/lingering.hpp"
#include "core/task.hpp"
#include "py/error.hpp"
#include "py/lent_stop.hpp"

#include <utility>

namespace bucle::core {
namespace {

// Errors of entering or of asyncio's own rules go the way of any callback's error.
bool report_step_error(PyObject* task, TaskCore& core) noexcept {
    py::Ref error = py::compat::take_exception();
    const py::Names& names = py::names();
    py::Ref step = make_step(task);
    Scheduler* scheduler = scheduler_of(core.loop.get());
    py::Ref handle;
    if (step && scheduler != nullptr) {
        handle = make_handle(*scheduler, step.get(), nullptr, 0, core.context.get());
    }
    if (!handle) {
        py::compat::put_exception(std::move(error));
        return false;
    }
    py::Ref message =
        py::Ref::steal(PyUnicode_FromFormat("Exception in callback %R()", step.get()));
    const py::Handling handled(error.get());
    return report_to_loop(core.loop.get(), std::move(message),
                          {{names.exception, error.get()}, {names.handle, handle.get()}});
}

// The task's context, entered; null with an error set.
py::Ref enter_context(PyObject* task, TaskCore& core, Scheduler& scheduler) noexcept {
    if (!core.context) {
        core.context =
            scheduler.spare_context ? std::move(scheduler.spare_context) : make_empty_context();
        py::abi::mirror_context(task, core.context.get());
    }
    if (core.context == scheduler.lingering_context.get()) {
        return std::move(scheduler.lingering_context);
    }
    leave_lingering_context(scheduler);
    py::Ref context = core.context.clone();
    if (context && PyContext_Enter(context.get()) < 0) {
        context.reset();
    }
    return context;
}

// asyncio asks of a context no more than a method run(). False with an error set.
bool step_by_name(PyObject* task, const TaskCore& core, PyObject* future,
                  Scheduler& scheduler) noexcept {
    const py::Ref context = core.context.clone();
    if (!context || PyContext_CheckExact(context.get())) {
        return false; // why it could not be entered
    }
    PyErr_Clear();
    leave_step(scheduler);
    const py::Ref step = future == nullptr ? make_step(task) : make_wakeup(task);
    return step && py::Ref::steal(PyObject_CallMethod(
                       context.get(), "run", future == nullptr ? "O" : "OO", step.get(), future));
}

// Leaves it entered for the next step, and as the spare where it may be lent again. Its owners then
// are the task, the thread and the caller: nobody else has seen it.
bool leave_context(PyObject* task, TaskCore& core, py::Ref context, Scheduler& scheduler) noexcept {
    if (scheduler.thread->context != context.get()) [[unlikely]] {
        return PyContext_Exit(context.get()) == 0; // raises
    }
    if (core.context == context.get() && Py_REFCNT(context.get()) == 3 &&
        is_empty_context(context.get())) {
        core.context.reset();
        py::abi::mirror_context(task, nullptr);
        scheduler.spare_context = context.clone();
    }
    scheduler.lingering_context = std::move(context);
    return true;
}

} // namespace

bool run_task_entry(PyObject* task, ReadyKind kind, Scheduler& scheduler) noexcept {
    TaskCore& core = *task_core(task);
    const py::Ref future = kind == ReadyKind::task_wakeup ? core.waits_for.clone() : py::Ref();
    py::Ref context = enter_context(task, core, scheduler);
    if (!context) [[unlikely]] {
        return step_by_name(task, core, future.get(), scheduler) ||
               (!py::exit_exception_raised() && report_step_error(task, core));
    }
    py::Ref error = std::move(core.step_error);
    if ((!future || take_outcome(task, future.get(), error)) &&
        task_step_in_turn(task, core, std::move(error), scheduler)) [[likely]] {
        py::take_back_stop_iteration();
        return leave_context(task, core, std::move(context), scheduler);
    }
    {
        const py::ErrorScope keep;
        if (PyContext_Exit(context.get()) < 0) {
            PyErr_WriteUnraisable(task);
        }
    }
    return !py::exit_exception_raised() && report_step_error(task, core);
}

} // namespace bucle::core
