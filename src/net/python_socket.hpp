// Python's own socket objects: their descriptor without a method call, and one made around a
// descriptor.
#pragma once

#include "py/ref.hpp"

namespace bucle::net {

// Of any socket.socket, subclasses included. -1 when it is closed or detached, or no socket at all;
// no error is set.
[[nodiscard]] int fd_of_socket(PyObject* socket) noexcept;
[[nodiscard]] int family_of_socket(PyObject* socket) noexcept;
// The C function behind a method without arguments; null: there is none.
[[nodiscard]] PyCFunction function_behind(PyObject* method) noexcept;
// A socket.socket that owns the descriptor from now on, non-blocking as it is. Null with an error.
py::Ref adopt_socket(int fd) noexcept;

} // namespace bucle::net
