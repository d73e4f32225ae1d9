// Lock, as the condition and the barrier use theirs: the parts of acquire() for bodies that have
// more to do than wait for a lock. A subclass is asked by name where asyncio does so.
#pragma once

#include "sync/waiting.hpp"

namespace bucle::sync {

struct Lock : Waiting {
    Flag locked;
};

inline Lock& lock_of(PyObject* self) noexcept {
    return core_of<Lock>(self);
}

inline bool is_exact_lock(PyObject* object) noexcept {
    return Py_TYPE(object) == py::state().lock_type;
}

py::Ref make_lock() noexcept;

// 1: it is the caller's now; 0: it has to wait; -1 with an error set.
[[nodiscard]] int claim_lock(Lock& lock) noexcept;
// Where it has to wait: the future to wait for, null with an error set.
py::Ref wait_for_lock(PyObject* self) noexcept;
// After that wait, which ended with `error` unless that is null. True: the lock is the caller's;
// false: an error is set, `error` or another.
[[nodiscard]] bool end_wait_for_lock(PyObject* self, PyObject* waiter, py::Ref error) noexcept;

[[nodiscard]] bool release_lock(PyObject* self) noexcept;

// The whole of `await lock.acquire()` as a body whose first stage is 0 and whose other is 1; the
// lock need not be the coroutine's own object.
core::Step acquire_lock(core::Coroutine& co, PyObject* self, py::Ref error,
                        py::Ref& result) noexcept;

} // namespace bucle::sync
