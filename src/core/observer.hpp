// Observer: a done callback that is C++, what gather, wait or a TaskGroup hangs on each of its
// futures. On our loop the notice is an entry of the ready ring, at the place where asyncio's
// callback would stand, without a Handle, a context or an argument tuple. Everywhere else it is
// what Python sees: a callable that takes the future.
//
// The observers of a native future stay with it until their entries run, in the same order.
#pragma once

#include "core/future.hpp"

namespace bucle::core {

// Called once, from the loop, with the future that is done. False with an error set: told as any
// callback's error.
using Notify = bool (*)(PyObject* owner, PyObject* future) noexcept;

// `name` is what a Future's repr shows ("gather.<locals>._done_callback").
py::Ref make_observer(PyObject* owner, Notify notify, const char* name) noexcept;

// future.add_done_callback(observer) and remove_done_callback, for any future.
[[nodiscard]] bool observe(PyObject* future, PyObject* observer) noexcept;
[[nodiscard]] bool stop_observing(PyObject* future, PyObject* observer) noexcept;

// For the loop: runs the ring entry of `future`. As run_handle().
[[nodiscard]] bool run_notice(Scheduler& scheduler, PyObject* future) noexcept;

[[nodiscard]] bool make_observer_type(PyObject* module) noexcept;

} // namespace bucle::core
