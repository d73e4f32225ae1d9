// A coroutine of the interpreter's own in the place of a native one, where somebody wants to see a
// frame: `cr_frame`, call graphs, and `python -m asyncio ps`, which reads a task's coroutine out of
// the process's memory and takes it for the interpreter's. It is the twin, called and never run; it
// stands at the head of the function. One serves all coroutines of a function.
#pragma once

#include "py/function.hpp"

namespace bucle::core {

// Borrowed; null with an error set.
PyObject* stand_in_of(py::Function& function) noexcept;

} // namespace bucle::core
