// What all primitives do with the futures by which tasks wait: bind to the running loop, make one.
// To ask one and to wake one is core's: a subclass may have put others than ours among them.
#pragma once

#include "core/any_future.hpp"

namespace bucle::sync {

// asyncio's LoopBound: the first loop that has to be waited in is the primitive's for good. Null
// with a RuntimeError set when another one runs now.
PyObject* bind_loop(PyObject* self, py::Ref& bound) noexcept;

// A new future of the running loop, which `self` gets bound to.
py::Ref make_waiter(PyObject* self, py::Ref& bound) noexcept;

} // namespace bucle::sync
