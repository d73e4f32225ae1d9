// Await by hand: what the interpreter does for `await x` in a coroutine, for coroutines that are
// written in C++ and for tasks.
#pragma once

#include "py/ref.hpp"

namespace bucle::core {

// What `await object` sends to: the object itself where it is its own iterator (native futures and
// coroutines, the interpreter's coroutines); any other awaitable is wrapped in a coroutine.
py::Ref awaitable_of(PyObject* object) noexcept;

// Resumes what awaitable_of() gave, with `value`, or with `error` when that is not null. A
// GeneratorExit closes it first, as it does below an interpreter's coroutine.
PySendResult resume_awaitable(PyObject* awaitable, PyObject* value, py::Ref error,
                              PyObject** out) noexcept;

// coro.throw(error), its outcome told as PyIter_Send tells it.
PySendResult throw_into(PyObject* coro, PyObject* error, PyObject** out) noexcept;

// The outcome of a resumption as tp_iternext gives it: a result other than None is a StopIteration.
PyObject* as_next(PySendResult outcome, PyObject* value) noexcept;
// The same for a method, which cannot end as silently.
PyObject* as_sent(PySendResult outcome, PyObject* value) noexcept;

// The exception that throw(type, value=None, traceback=None) asks for; null with an error set.
py::Ref exception_to_throw(PyObject* const* args, Py_ssize_t nargs) noexcept;

} // namespace bucle::core
