// Timeout for native code: what `async with timeout(delay)` does, without its coroutines.
#pragma once

#include "py/ref.hpp"

namespace bucle::combine {

// Timeout(when); `when` is a number or None.
py::Ref make_timeout(PyObject* when) noexcept;

// loop.time() + delay, and None for None.
py::Ref deadline_after(PyObject* loop, PyObject* delay) noexcept;

// The current task of the running loop; null with an error set, asyncio's own when there is none.
py::Ref require_task(PyObject* loop) noexcept;

// __aenter__ and __aexit__ of an exact native Timeout. False: an error is set, which may be the
// TimeoutError. `type` and `error` are null when the block ended well.
[[nodiscard]] bool enter_timeout(PyObject* self) noexcept;
[[nodiscard]] bool exit_timeout(PyObject* self, PyObject* type, PyObject* error) noexcept;

// `raise TimeoutError from cause`; without the second half for a null one.
void raise_timeout(PyObject* cause) noexcept;

} // namespace bucle::combine
