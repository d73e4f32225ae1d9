// GatheringFuture: the future that gather() returns. Like asyncio's it is a Future of a class of
// its own, whose cancel() cancels the children and leaves it to them what becomes of the whole.
#pragma once

#include "core/future.hpp"

namespace bucle::combine {

// Stands behind the fields of a Future, which is not initialised before all children are known.
struct Gathering {
    py::Ref children;        // list: one for every argument
    py::Ref waiter;          // the task that called gather(), while its children await their end
    Py_ssize_t expected = 0; // how many different children there are, and how many were heard of
    Py_ssize_t heard = 0;
    bool return_exceptions = false;
    bool cancel_requested = false;
};

Gathering& gathering_of(PyObject* self) noexcept;

// With an empty list of children.
py::Ref make_gathering_future() noexcept;

[[nodiscard]] bool make_gathering_future_type(PyObject* module) noexcept;

} // namespace bucle::combine
