// The end of a TaskGroup's block: waits for the tasks, then raises what is to be raised.
#include "combine/task_group.hpp"
#include "core/awaiting.hpp"
#include "py/call.hpp"
#include "py/error.hpp"

namespace bucle::combine {
namespace {

using core::Coroutine;
using core::Step;

// With the exception that the block handles for its context, as `raise` in __aexit__ has it.
Step raise(PyObject* error) noexcept {
    py::raise(py::Ref::borrow(error));
    return Step::fail;
}

PyObject* type_given(const Coroutine& co) noexcept {
    return co.arguments[1].get();
}
PyObject* error_given(const Coroutine& co) noexcept {
    return co.arguments[2].get();
}

// The block ended by a cancellation.
bool given_cancellation(const Coroutine& co) noexcept {
    PyObject* const cancelled = py::state().cancelled_error;
    return type_given(co) == cancelled ||
           (py::state().task_group_rules.takes_subclasses && type_given(co) != Py_None &&
            PyErr_GivenExceptionMatches(type_given(co), cancelled) != 0);
}

// The cancellation of ours is taken back; `propagate` is cleared when no other is left.
bool take_back(TaskGroup& group, py::Ref& propagate) noexcept {
    if (!group.parent_cancel_requested) {
        return true;
    }
    const long left = uncancel_parent(group);
    if (left == 0) {
        propagate.reset();
    } else if (!propagate && py::state().task_group_rules.keeps_outer_cancel) {
        propagate = std::move(group.outer_cancel);
    }
    return left >= 0;
}

// Keeps the parent's count of cancellations, which an outer one has raised.
bool cancel_parent_again(TaskGroup& group) noexcept {
    const py::Names& names = py::names();
    const py::Ref parent = py::Ref::borrow(group.parent());
    const int cancelling = py::truth_of(py::call_method(parent.get(), names.cancelling));
    return cancelling == 0 || (cancelling > 0 && py::call_method(parent.get(), names.uncancel) &&
                               py::call_method(parent.get(), names.cancel));
}

Step raise_group(TaskGroup& group) noexcept {
    const py::Ref text = py::Ref::steal(PyUnicode_FromString("unhandled errors in a TaskGroup"));
    const py::Ref errors = group.errors.clone();
    const py::Ref error =
        text ? py::call(PyExc_BaseExceptionGroup, text.get(), errors.get()) : py::Ref();
    group.errors = py::none();
    if (!error) {
        return Step::fail;
    }
    PyException_SetCause(error.get(), nullptr); // `from None`
    return raise(error.get());
}

bool is_only_error(const Coroutine& co, const TaskGroup& group) noexcept {
    return py::state().task_group_rules.passes_generator_exit && type_given(co) != Py_None &&
           PyErr_GivenExceptionMatches(type_given(co), PyExc_GeneratorExit) != 0 &&
           PyObject_Size(group.errors.get()) == 1;
}

Step conclude(Coroutine& co, TaskGroup& group, py::Ref& result) noexcept {
    if (group.base_error) {
        const py::Ref error = group.base_error.clone();
        return raise(error.get());
    }
    py::Ref propagate = std::move(co.kept);
    const py::TaskGroupRules& rules = py::state().task_group_rules;
    if (rules.uncancels_late && !take_back(group, propagate)) {
        return Step::fail;
    }
    int failed = group.has_errors();
    if (failed < 0) {
        return Step::fail;
    }
    if (propagate && failed == 0) {
        return raise(propagate.get());
    }
    if (type_given(co) != Py_None && !given_cancellation(co)) {
        if (!append_error(group, error_given(co))) {
            return Step::fail;
        }
        failed = 1;
    }
    if (failed > 0) {
        if (rules.uncancels_late && !cancel_parent_again(group)) {
            return Step::fail;
        }
        return is_only_error(co, group) ? raise(error_given(co)) : raise_group(group);
    }
    return core::finish_with(result, py::Ref::borrow(rules.suppresses ? Py_True : Py_None));
}

bool begin(Coroutine& co, TaskGroup& group) noexcept {
    PyObject* const self = co.arguments[0].get();
    if (!is_initialized(self)) {
        return false;
    }
    group.exiting = true;
    if (error_given(co) != Py_None) {
        const int base = is_base_error(self, error_given(co));
        if (base < 0) {
            return false;
        }
        if (base > 0 && !group.base_error) {
            group.base_error = co.arguments[2].clone();
        }
    }
    if (given_cancellation(co) && error_given(co) != Py_None) {
        co.kept = co.arguments[2].clone(); // to be raised, if nothing else is
    }
    if (!py::state().task_group_rules.uncancels_late && !take_back(group, co.kept)) {
        return false;
    }
    return type_given(co) == Py_None || group.aborting || abort_group(self);
}

bool note_cancellation(Coroutine& co, TaskGroup& group, py::Ref error) noexcept {
    group.outer_cancel = error.clone();
    if (group.aborting) {
        return true;
    }
    co.kept = std::move(error);
    return abort_group(co.arguments[0].get());
}

void give_up(TaskGroup& group) noexcept {
    group.observer.reset();
    group.outer_cancel.reset();
    if (py::state().task_group_rules.forgets) {
        group.parent_task.reset();
        group.base_error.reset();
        group.errors = py::none();
    }
}

} // namespace

Step exit_group_inner(Coroutine& co, py::Ref, py::Ref error, py::Ref& result) noexcept {
    TaskGroup& group = group_of(co.arguments[0].get());
    if (co.stage == 0) {
        if (!begin(co, group)) {
            return Step::fail;
        }
    } else {
        if (error) {
            if (PyErr_GivenExceptionMatches(error.get(), py::state().cancelled_error) == 0) {
                return core::fail_with(std::move(error));
            }
            if (!note_cancellation(co, group, std::move(error))) {
                return Step::fail;
            }
        }
        group.on_completed.reset();
    }
    const int has_tasks = group.has_tasks();
    if (has_tasks <= 0) {
        return has_tasks == 0 ? conclude(co, group, result) : Step::fail;
    }
    if (!group.on_completed) {
        if (!group.loop) { // a group that nobody entered
            (void)py::get_attr(Py_None, py::names().create_future);
            return Step::fail;
        }
        group.on_completed = core::make_future(group.loop.get());
    }
    return co.wait(group.on_completed.clone(), 1);
}

Step exit_group(Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept {
    PyObject* const self = co.arguments[0].get();
    Step step = Step::fail;
    const int has_tasks = co.stage == 0 && is_exact_group(self) ? group_of(self).has_tasks() : 1;
    if (has_tasks < 0) {
        return Step::fail;
    }
    // Where asyncio has _aexit() it is called by name; call graphs show it while it waits.
    const bool at_once = has_tasks == 0;
    if (at_once || !py::state().task_group_rules.forgets) {
        step = exit_group_inner(co, std::move(value), std::move(error), result);
    } else if (co.stage == 0) {
        const py::Ref inner =
            py::call_method(self, py::names()._aexit, type_given(co), error_given(co));
        step = co.wait(inner ? core::awaitable_of(inner.get()) : py::Ref(), 1);
    } else {
        step =
            error ? core::fail_with(std::move(error)) : core::finish_with(result, std::move(value));
    }
    if (step == Step::finish) {
        give_up(group_of(self));
    } else if (step == Step::fail) {
        const py::ErrorScope keep;
        give_up(group_of(self));
    }
    return step;
}

} // namespace bucle::combine
