// What all primitives do with the futures by which tasks wait: bind to the running loop, make one,
// ask it, wake it. The futures that we make are native; a subclass may have put others among them.
#pragma once

#include "core/future.hpp"

namespace bucle::sync {

// asyncio's LoopBound: the first loop that has to be waited in is the primitive's for good. Null
// with a RuntimeError set when another one runs now.
PyObject* bind_loop(PyObject* self, py::Ref& bound) noexcept;

// A new future of the running loop, which `self` gets bound to.
py::Ref make_waiter(PyObject* self, py::Ref& bound) noexcept;

// 1, 0, or -1 with an error set.
[[nodiscard]] int is_done(PyObject* waiter) noexcept;
[[nodiscard]] int is_cancelled(PyObject* waiter) noexcept;

// waiter.set_result(value)
[[nodiscard]] bool wake(PyObject* waiter, PyObject* value) noexcept;

} // namespace bucle::sync
