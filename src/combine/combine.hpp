// The functions and types of this room, for the module.
#pragma once

#include "py/python.hpp"

namespace bucle::combine {

[[nodiscard]] bool add_sleep(PyObject* module) noexcept;
[[nodiscard]] bool make_timeout_type(PyObject* module) noexcept; // and timeout(), timeout_at()
[[nodiscard]] bool add_wait_for(PyObject* module) noexcept;
[[nodiscard]] bool make_task_group_type(PyObject* module) noexcept;

} // namespace bucle::combine
