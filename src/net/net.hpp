// The types of this room, for the module. The first one is made first.
#pragma once

#include "py/python.hpp"

namespace bucle::net {

[[nodiscard]] bool find_socket_layout() noexcept;
[[nodiscard]] bool make_socket_transport_type(PyObject* module) noexcept;
[[nodiscard]] bool make_listener_type(PyObject* module) noexcept;

} // namespace bucle::net
