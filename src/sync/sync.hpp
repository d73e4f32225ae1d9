// The types of this room, for the module.
#pragma once

#include "py/python.hpp"

namespace bucle::sync {

[[nodiscard]] bool make_lock_type(PyObject* module) noexcept;
[[nodiscard]] bool make_queue_types(PyObject* module) noexcept;
[[nodiscard]] bool make_event_type(PyObject* module) noexcept;
[[nodiscard]] bool make_condition_type(PyObject* module) noexcept;
[[nodiscard]] bool make_semaphore_types(PyObject* module) noexcept;
[[nodiscard]] bool make_barrier_type(PyObject* module) noexcept;

} // namespace bucle::sync
