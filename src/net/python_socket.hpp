// Python's own socket objects: their descriptor without a call, and one made around a descriptor.
#pragma once

#include "py/ref.hpp"

#include <sys/socket.h>

namespace bucle::net {

// Whether `object` is a socket.socket, or of a subclass that inherits its descriptor.
[[nodiscard]] bool is_python_socket(PyObject* object) noexcept;
// -1 when it is closed or detached; no error is set.
[[nodiscard]] int fd_of_socket(PyObject* socket) noexcept;
[[nodiscard]] int family_of_socket(PyObject* socket) noexcept;
// A socket.socket that owns the descriptor from now on, non-blocking as it is. Null with an error.
py::Ref adopt_socket(int fd) noexcept;
// What the socket module makes of an address; null with an error set. Families that it does not know
// here: null without one.
py::Ref python_address(const sockaddr* address, socklen_t size) noexcept;

} // namespace bucle::net
