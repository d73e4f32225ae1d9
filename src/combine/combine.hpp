// The functions and types of this room, for the module.
#pragma once

#include "py/python.hpp"

namespace bucle::combine {

[[nodiscard]] bool add_sleep(PyObject* module) noexcept;
[[nodiscard]] bool make_timeout_type(PyObject* module) noexcept; // and timeout(), timeout_at()
[[nodiscard]] bool add_wait_for(PyObject* module) noexcept;
[[nodiscard]] bool make_task_group_type(PyObject* module) noexcept;
[[nodiscard]] bool add_ensure_future(PyObject* module) noexcept;
[[nodiscard]] bool add_gather(PyObject* module) noexcept; // the first: finds the rules of awaits
[[nodiscard]] bool add_wait(PyObject* module) noexcept;
[[nodiscard]] bool add_shield(PyObject* module) noexcept;
[[nodiscard]] bool add_as_completed(PyObject* module) noexcept;
[[nodiscard]] bool add_threads(PyObject* module) noexcept;

} // namespace bucle::combine
