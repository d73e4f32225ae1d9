// The metaclass of all native types. It answers isinstance() and issubclass() in both directions
// (a stock Task is an instance of bucle.Task, a native Task one of bucle.Future), so that install()
// can re-point asyncio.Future and asyncio.Task; and it tells the Loop type about assignments to its
// attributes. It derives from typing's protocol metaclass, itself an ABCMeta: a user's
// `class X(asyncio.Future, SomeABC)`, or one with a Protocol, would be a metaclass conflict
// otherwise.
#pragma once

#include "py/type_builder.hpp"

namespace bucle::core {

[[nodiscard]] bool make_meta_type(PyObject* module) noexcept;

// Called after an attribute of the Loop type, or of a subclass, was set or deleted. False with an
// error set, which whoever set the attribute gets.
using LoopClassChanged = bool (*)(PyTypeObject* type);
void on_loop_class_changed(LoopClassChanged callback) noexcept;

} // namespace bucle::core
