// The door to _asyncio: where the interpreter keeps the fields of its own Future and Task, and how
// it knows tasks and the current task. Our types have _asyncio's as bases and never run the bases'
// constructors, so the base fields are inert, but for a few that other code reads:
//   - unbound stock methods (asyncio.Task.done(t)) read the base fields: they get mirrors of ours,
//     borrowed, cleared before the base's dealloc (the name and the cancel count live there);
//   - `python -m asyncio ps` reads coro, name and the is-task flag (3.14+).
// The places are found at import by probing stock objects, and checked; where a probe fails the
// mirrors stay off, everything else works, and self_test() says so.
#pragma once

#include "py/state.hpp"

namespace bucle::py::abi {

struct Layout {
    bool mirrors = false;           // all of the following offsets were found
    bool registers_tasks = false;   // 3.14+: tasks stand in the thread state's list
    bool fast_current_task = false; // 3.14+: the thread state's slots are known
    const char* reason = "";        // why something is off
    Py_ssize_t loop = 0;
    Py_ssize_t state = 0; // int32: 0 pending, 1 cancelled, 2 finished
    Py_ssize_t result = 0;
    Py_ssize_t exception = 0;
    Py_ssize_t cancel_message = 0;
    Py_ssize_t coro = 0;
    Py_ssize_t name = 0;
    Py_ssize_t context = 0;
    Py_ssize_t waiter = 0;
    Py_ssize_t cancels = 0; // int32
    Py_ssize_t is_task = 0;
    Py_ssize_t awaited_by = 0;
    Py_ssize_t awaited_by_is_set = 0;
    Py_ssize_t node = 0;              // of a task, in the thread's list
    Py_ssize_t thread_tasks_head = 0; // the list itself
    Py_ssize_t thread_running_loop = 0;
    Py_ssize_t thread_running_task = 0;

    bool operator==(const Layout&) const = default;
};

extern Layout layout; // one for the process: plain numbers, equal in every interpreter

// Finds the layout. False with an error set only when the interpreter itself fails.
[[nodiscard]] bool probe(State& state) noexcept;
// A dict for self_test().
Ref describe() noexcept;

inline PyObject*& slot_at(PyObject* self, Py_ssize_t offset) noexcept {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + offset);
}
inline std::int32_t& int_at(PyObject* self, Py_ssize_t offset) noexcept {
    return *reinterpret_cast<std::int32_t*>(reinterpret_cast<char*>(self) + offset);
}

void mirror_new_task(PyObject* task, PyObject* coro, PyObject* context) noexcept;
// Null: none is made yet, an empty one of the interpreter's stands in (its readers do not check).
void mirror_context(PyObject* task, PyObject* context) noexcept;
void mirror_done(PyObject* self, PyObject* loop, int state, PyObject* result, PyObject* exception,
                 PyObject* cancel_message) noexcept;
// Before the base's dealloc, which would drop the borrowed pointers, and before our fields change.
void clear_mirrors(PyObject* self, bool is_task) noexcept;

// The numbers and the name that the base's fields hold for a task; for a task that dies.
void forget_task(PyObject* task) noexcept;

// 3.14+: the graph of who awaits whom. The base slot is ours to visit and to clear.
[[nodiscard]] bool add_awaited_by(PyObject* future, PyObject* waiter) noexcept;
[[nodiscard]] bool discard_awaited_by(PyObject* future, PyObject* waiter) noexcept;
// The same for objects that need not be futures of _asyncio's.
[[nodiscard]] bool add_awaited_by_any(PyObject* future, PyObject* waiter) noexcept;
[[nodiscard]] bool discard_awaited_by_any(PyObject* future, PyObject* waiter) noexcept;
int visit_awaited_by(PyObject* self, visitproc visit, void* arg) noexcept;
void clear_awaited_by(PyObject* self) noexcept;

// 3.14+ (before: no-ops, our own list is shown to all_tasks() by a proxy).
[[nodiscard]] bool register_task(PyObject* task) noexcept;
[[nodiscard]] bool unregister_task(PyObject* task) noexcept;

// The current task of `loop`, as asyncio's own functions do it, errors included.
[[nodiscard]] bool enter_task(PyObject* loop, PyObject* task) noexcept;
[[nodiscard]] bool leave_task(PyObject* loop, PyObject* task) noexcept;
// Sets the current task (null: none) and returns the previous one (None if none), null on error.
Ref swap_current_task(PyObject* loop, PyObject* task) noexcept;
Ref current_task(PyObject* loop) noexcept;

// The loop that runs in this thread; null when none does, or with an error set.
Ref running_loop() noexcept;
// asyncio.get_running_loop(): with asyncio's error where none runs.
Ref require_running_loop() noexcept;

// The cheap way for our own loop while it runs: 3.14+ one store into the thread state; up to 3.13
// one store into the dict, where the entry may linger (core/lingering.hpp).
[[nodiscard]] bool set_current(PyThreadState* thread, PyObject* loop, PyObject* task,
                               bool& lingering) noexcept;
[[nodiscard]] bool unset_current(PyThreadState* thread, PyObject* loop, PyObject* task,
                                 bool& lingering) noexcept;
void clear_lingering(PyObject* loop, bool& lingering) noexcept;

} // namespace bucle::py::abi
