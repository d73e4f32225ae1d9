// What module.cpp needs of this room: each makes its types and gives the loop its methods. False
// with an error set. find_python_sockets() comes before the sock_* methods.
#pragma once

#include "py/python.hpp"

namespace bucle::net {

[[nodiscard]] bool find_python_sockets() noexcept;
[[nodiscard]] bool make_socket_transport_type(PyObject* module) noexcept;
[[nodiscard]] bool make_listener_type(PyObject* module) noexcept;
[[nodiscard]] bool make_datagram_type(PyObject* module) noexcept;
[[nodiscard]] bool make_pipe_types(PyObject* module) noexcept;
[[nodiscard]] bool add_sock_methods() noexcept;
[[nodiscard]] bool add_getaddrinfo() noexcept;

} // namespace bucle::net
