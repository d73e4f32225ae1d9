// The types of this room, for the module.
#pragma once

#include "py/python.hpp"

namespace bucle::sync {

[[nodiscard]] bool make_lock_type(PyObject* module) noexcept;
[[nodiscard]] bool make_queue_types(PyObject* module) noexcept;

} // namespace bucle::sync
