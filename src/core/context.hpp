// Contexts of callbacks. Copying the current context for every call_soon() is what costs the stock
// loop most beside the Handle: an empty one is recorded as null and made when the callback runs,
// from one spare that the loop keeps as long as nobody else got hold of it and it stayed empty.
#pragma once

#include "py/ref.hpp"

namespace bucle::core {

inline bool is_empty_context(PyObject* context) noexcept {
    return context == nullptr || PyContext_Type.tp_as_mapping->mp_length(context) == 0;
}

// A copy of the calling thread's context, or null with no error set when that is empty.
// `failed` tells a null that is an error.
inline py::Ref copy_current_context(bool& failed) noexcept {
    failed = false;
    if (is_empty_context(PyThreadState_Get()->context)) {
        return {};
    }
    py::Ref copy = py::Ref::steal(PyContext_CopyCurrent());
    failed = !copy;
    return copy;
}

// The context that null stands for.
inline py::Ref make_empty_context() noexcept {
    return py::Ref::steal(PyContext_New());
}

} // namespace bucle::core
