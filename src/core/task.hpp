// Task: a FutureCore and what drives a coroutine. While pending, a task is in exactly one of these
// places: in the ready ring (scheduled), among the callbacks of the future it waits for, or
// running.
#pragma once

#include "base/intrusive_list.hpp"
#include "core/future.hpp"

namespace bucle::core {

struct TaskCore : FutureCore {
    py::Ref coro;
    py::Ref waits_for;  // asyncio's _fut_waiter
    py::Ref context;    // null: an empty one, not made yet or given back
    py::Ref step_error; // to be thrown in at the next step
    py::Ref own_name;   // where the base's name slot is unknown (see py::abi)
    std::int32_t own_cancels = 0;
    bool must_cancel = false;
    bool log_destroy_pending = false; // set when it has a coroutine
    base::ListNode node;              // in the list of all live tasks, up to 3.13
};

inline TaskCore* task_core(PyObject* task) noexcept {
    return py::own_fields<TaskCore>(task, task_offset);
}

py::Ref make_task(PyObject* coro, PyObject* loop, PyObject* name, PyObject* context,
                  bool eager_start) noexcept;

// False with an error set for KeyboardInterrupt and SystemExit, which the task keeps and which
// also leave the loop; other errors are asyncio's own complaints about the step.
[[nodiscard]] bool task_step(PyObject* task, TaskCore& core, py::Ref error) noexcept;
// The same for a task of our own loop, in one of its turns.
[[nodiscard]] bool task_step_in_turn(PyObject* task, TaskCore& core, py::Ref error,
                                     Scheduler& scheduler) noexcept;
// What the future that a task waited for has for it: `error` is to be thrown in, or null.
[[nodiscard]] bool take_outcome(PyObject* task, PyObject* future, py::Ref& error) noexcept;

// Queue the next step; a wakeup when `future` is done.
[[nodiscard]] bool schedule_task_step(PyObject* task, TaskCore& core) noexcept;
[[nodiscard]] bool schedule_task_wakeup(PyObject* task, PyObject* future) noexcept;

// For the loop: runs a ring entry in the task's context. Errors as of task_step; those that are
// not to leave the loop went to the exception handler.
[[nodiscard]] bool run_task_entry(PyObject* task, ReadyKind kind, Scheduler& scheduler) noexcept;

// The first step, now, inside the constructor.
[[nodiscard]] bool task_eager_start(PyObject* task, TaskCore& core) noexcept;

// 1 accepted, 0 done already, -1 error.
[[nodiscard]] int task_cancel(PyObject* task, PyObject* message) noexcept;

// The builtins that stand for a step or a wakeup where Python has to see a callable.
py::Ref make_wakeup(PyObject* task) noexcept;
py::Ref make_step(PyObject* task) noexcept;
bool is_wakeup_of(PyObject* function, PyObject* task) noexcept;

// Registration with all_tasks(). The list is made with the type.
[[nodiscard]] bool make_task_list() noexcept;
[[nodiscard]] bool register_task(PyObject* task, TaskCore& core) noexcept;
[[nodiscard]] bool unregister_task(PyObject* task, TaskCore& core) noexcept;
py::Ref list_native_tasks() noexcept;

// Cancels through cancel(msg=...), natively where that is the same: 1 accepted, 0 not, -1 error.
[[nodiscard]] int cancel_any(PyObject* future, PyObject* message) noexcept;

[[nodiscard]] bool init_task(PyObject* self, TaskCore& core, PyObject* coro, PyObject* loop,
                             PyObject* name, PyObject* context, bool eager_start) noexcept;
// The task's context, made if need be (borrowed); null with an error set.
PyObject* task_context(PyObject* self, TaskCore& core) noexcept;
PyObject* task_name(PyObject* self, TaskCore& core) noexcept; // new reference
[[nodiscard]] bool set_task_name(PyObject* self, TaskCore& core, PyObject* name) noexcept;
std::int32_t& cancel_count(PyObject* self, TaskCore& core) noexcept;
void drop_coro(PyObject* self, TaskCore& core) noexcept;

[[nodiscard]] bool make_task_type(PyObject* module) noexcept;

// The argument of cancel(msg=None), borrowed.
[[nodiscard]] bool parse_cancel(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                                PyObject** message) noexcept;

// Sends a call of one of our method descriptors on a stock object to the stock method.
PyObject* call_stock_method(PyObject* self, const char* name, PyObject* const* args,
                            Py_ssize_t nargs, PyObject* kwnames) noexcept;

} // namespace bucle::core
