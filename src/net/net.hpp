// What module.cpp needs of this room: each makes its types and gives the loop its methods. False
// with an error set.
#pragma once

#include "py/python.hpp"

namespace bucle::net {

[[nodiscard]] bool make_datagram_type(PyObject* module) noexcept;
[[nodiscard]] bool make_pipe_types(PyObject* module) noexcept;

} // namespace bucle::net
