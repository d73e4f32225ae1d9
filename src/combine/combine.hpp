// The functions and types of this room, for the module.
#pragma once

#include "py/python.hpp"

namespace bucle::combine {

[[nodiscard]] bool add_sleep(PyObject* module) noexcept;

} // namespace bucle::combine
