// Hooks: what asyncio's reader asks itself for by name, and what a protocol asks a reader for. A
// subclass, or one object of a subclass, may have replaced some; then asyncio's own functions run,
// on our attributes. Whether it did is asked of the type once for each state that it is in (the
// interpreter numbers these), and of the object's dict each time. The type itself, exactly, has no
// hooks.
#pragma once

#include "py/state.hpp"

namespace bucle::streams {

namespace detail {
bool nothing_replaced(PyObject* self, bool feeding) noexcept;
} // namespace detail

// Nothing that its own functions reach is anybody else's.
inline bool acts_natively(PyObject* reader) noexcept {
    return Py_TYPE(reader) == py::state().stream_reader_type ||
           detail::nothing_replaced(reader, false);
}

// And nothing that it is fed by. Any object may be asked.
inline bool is_fed_natively(PyObject* reader) noexcept {
    return Py_TYPE(reader) == py::state().stream_reader_type ||
           detail::nothing_replaced(reader, true);
}

// To be called when the type is made, before anybody can have replaced anything.
[[nodiscard]] bool remember_native_hooks() noexcept;

} // namespace bucle::streams
