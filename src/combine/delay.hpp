// Delays as asyncio takes them: any number, and most often an int or a float.
#pragma once

#include "py/state.hpp"

namespace bucle::combine {

// 1: there is nothing to wait for; -1 with an error set.
inline int is_over(PyObject* delay) noexcept {
    PyObject* const zero = py::state().zero;
    if (delay == zero) [[likely]] { // the interpreter has one object for it
        return 1;
    }
    if (PyFloat_CheckExact(delay)) {
        return PyFloat_AS_DOUBLE(delay) <= 0 ? 1 : 0;
    }
    return PyObject_RichCompareBool(delay, zero, Py_LE);
}

} // namespace bucle::combine
