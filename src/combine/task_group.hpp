// TaskGroup: the tasks of a block, which ends when they are all done. A failing one has the rest
// cancelled, and the block's own task with them.
//
// The versions of asyncio differ in when they take that last cancellation back, in what they keep
// afterwards and in which callbacks run at once: see py::TaskGroupRules.
//
// All tasks share one observer. It is made with the first task and given up with the block, so that
// the group is no cycle afterwards.
#pragma once

#include "core/coroutine.hpp"
#include "sync/properties.hpp"

namespace bucle::combine {

struct TaskGroup {
    py::Ref loop;
    py::Ref parent_task;
    py::Ref tasks;  // a set; null: empty, not made yet
    py::Ref errors; // a list, or None; null: empty, not made yet
    py::Ref base_error;
    py::Ref on_completed; // the future that the block's end waits for
    py::Ref observer;
    py::Ref outer_cancel; // the last one that came while the block waited for its tasks
    sync::Flag entered;
    bool exiting = false;
    bool aborting = false;
    bool parent_cancel_requested = false;
    bool cancel_on_enter = false;

    int visit(visitproc visitor, void* arg) const noexcept;
    void clear() noexcept;

    // 1, 0, or -1 with an error set, here and in has_errors().
    [[nodiscard]] int has_tasks() const noexcept {
        return tasks ? PyObject_IsTrue(tasks.get()) : 0;
    }
    PyObject* parent() const noexcept { return parent_task ? parent_task.get() : Py_None; }
    [[nodiscard]] int has_errors() const noexcept {
        return errors ? PyObject_IsTrue(errors.get()) : 0;
    }
};

inline TaskGroup& group_of(PyObject* self) noexcept {
    return sync::core_of<TaskGroup>(self);
}
inline bool is_exact_group(PyObject* self) noexcept {
    return Py_TYPE(self) == py::state().task_group_type;
}

// False with an AttributeError set: __init__ never ran. For who finds it not to be entered.
[[nodiscard]] bool is_initialized(PyObject* self) noexcept;

// The set and the list, made if need be (borrowed); null with an error set.
PyObject* tasks_of(TaskGroup& group) noexcept;
PyObject* errors_of(TaskGroup& group) noexcept;
[[nodiscard]] bool append_error(TaskGroup& group, PyObject* error) noexcept;

// What asyncio calls as self._abort() and self._is_base_error().
[[nodiscard]] bool abort_group(PyObject* self) noexcept;
[[nodiscard]] int is_base_error(PyObject* self, PyObject* error) noexcept; // 1, 0, -1: error
// Has the block's own task cancelled.
[[nodiscard]] bool request_parent_cancel(TaskGroup& group) noexcept;
// parent_task.uncancel(); -1 with an error set.
[[nodiscard]] long uncancel_parent(TaskGroup& group) noexcept;

// task_group_exit.cpp
core::Step exit_group(core::Coroutine& co, py::Ref value, py::Ref error, py::Ref& result) noexcept;
core::Step exit_group_inner(core::Coroutine& co, py::Ref value, py::Ref error,
                            py::Ref& result) noexcept;

// task_group_tasks.cpp: create_task() and what happens when a task is done
PyObject* group_create_task(py::Function& function, PyObject* const* args) noexcept;
PyObject* group_on_task_done(py::Function& function, PyObject* const* args) noexcept;

} // namespace bucle::combine
